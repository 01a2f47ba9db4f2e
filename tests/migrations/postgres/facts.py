"""The catalogue after all migrations, from scratch, as Blink's own migrations leave it. Facts, written down once.

Of a column: type, nullability, default, comment. Of an index: kind, key columns, predicate. Of a function:
arguments, result, language, volatility, strict, returns a set, parallel, security definer, cost, rows, settings,
and whether it has a comment.
"""

from __future__ import annotations

from typing import Any

FACTS: dict[str, dict[str, Any]] = {
    "api-keys": {
        "extensions": ["pgcrypto", "plpgsql"],
        "tables": {
            "identities": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "gen_random_uuid()", ""),
                    "subject_id": ("character varying", "NOT NULL", "", ""),
                    "created_at": ("timestamp with time zone", "NOT NULL", "now()", ""),
                },
                "constraints": {
                    "identities_pkey": "PRIMARY KEY (id)",
                    "identities_subject_id_key": "UNIQUE (subject_id)",
                },
                "indexes": {
                    "identities_pkey": ("primary", "id", ""),
                    "identities_subject_id_key": ("unique", "subject_id", ""),
                },
            },
            "identity_api_keys": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "gen_random_uuid()", ""),
                    "identity_id": ("uuid", "NOT NULL", "", ""),
                    "name": ("character varying", "NOT NULL", "", ""),
                    "last_used_at": ("timestamp with time zone", "null", "", ""),
                    "encrypted_key": ("character varying", "NOT NULL", "", ""),
                    "created_at": ("timestamp with time zone", "NOT NULL", "now()", ""),
                    "expires_at": ("timestamp with time zone", "null", "", ""),
                    "revoked": ("boolean", "NOT NULL", "false", ""),
                    "revoked_at": ("timestamp with time zone", "null", "", ""),
                    "scopes": ("character varying[]", "NOT NULL", "", ""),
                    "hashed_key": ("bytea", "null", "gen_random_bytes(256)", ""),
                },
                "constraints": {
                    "identity_api_keys_identity_id_fkey": "FOREIGN KEY (identity_id) REFERENCES identities(id)",
                    "identity_api_keys_pkey": "PRIMARY KEY (id)",
                    "identity_api_keys_hashed_key_key": "UNIQUE (hashed_key)",
                },
                "indexes": {
                    "identity_api_keys_hashed_key_key": ("unique", "hashed_key", ""),
                    "identity_api_keys_pkey": ("primary", "id", ""),
                },
            },
        },
        "types": {},
        "functions": {},
        "others": [],
    },
    "notifications": {
        "extensions": ["plpgsql", "uuid-ossp"],
        "tables": {
            "email_reminder_projection": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "gen_random_uuid()", ""),
                    "galoy_user_id": ("character varying", "NOT NULL", "", ""),
                    "user_first_seen_at": ("timestamp with time zone", "NOT NULL", "now()", ""),
                    "last_transaction_at": ("timestamp with time zone", "null", "", ""),
                    "last_notified_at": ("timestamp with time zone", "null", "", ""),
                },
                "constraints": {
                    "email_reminder_projection_pkey": "PRIMARY KEY (id)",
                    "email_reminder_projection_galoy_user_id_key": "UNIQUE (galoy_user_id)",
                },
                "indexes": {
                    "email_reminder_projection_galoy_user_id_key": ("unique", "galoy_user_id", ""),
                    "email_reminder_projection_pkey": ("primary", "id", ""),
                },
            },
            "mq_msgs": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "", ""),
                    "created_at": ("timestamp with time zone", "null", "now()", ""),
                    "attempt_at": ("timestamp with time zone", "null", "now()", ""),
                    "attempts": ("integer", "NOT NULL", "5", ""),
                    "retry_backoff": ("interval", "NOT NULL", "'00:00:01'::interval", ""),
                    "channel_name": ("text", "NOT NULL", "", ""),
                    "channel_args": ("text", "NOT NULL", "", ""),
                    "commit_interval": ("interval", "null", "", ""),
                    "after_message_id": ("uuid", "null", "uuid_nil()", ""),
                },
                "constraints": {
                    "mq_msgs_after_message_id_fkey": (
                        "FOREIGN KEY (after_message_id) REFERENCES mq_msgs(id) ON DELETE SET DEFAULT"
                    ),
                    "mq_msgs_pkey": "PRIMARY KEY (id)",
                },
                "indexes": {
                    "mq_msgs_channel_name_channel_args_after_message_id_idx": (
                        "unique",
                        "channel_name, channel_args, after_message_id",
                        "",
                    ),
                    "mq_msgs_channel_name_channel_args_attempt_at_idx": (
                        "plain",
                        "channel_name, channel_args, attempt_at",
                        "((id <> uuid_nil()) AND (NOT mq_uuid_exists(after_message_id)))",
                    ),
                    "mq_msgs_channel_name_channel_args_created_at_id_idx": (
                        "plain",
                        "channel_name, channel_args, created_at, id",
                        "((id <> uuid_nil()) AND (after_message_id IS NOT NULL))",
                    ),
                    "mq_msgs_pkey": ("primary", "id", ""),
                },
            },
            "mq_payloads": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "", ""),
                    "name": ("text", "NOT NULL", "", ""),
                    "payload_json": ("jsonb", "null", "", ""),
                    "payload_bytes": ("bytea", "null", "", ""),
                },
                "constraints": {"mq_payloads_pkey": "PRIMARY KEY (id)"},
                "indexes": {"mq_payloads_pkey": ("primary", "id", "")},
            },
            "notification_cool_off_tracker": {
                "columns": {
                    "event_type": ("character varying", "NOT NULL", "", ""),
                    "last_triggered_at": ("timestamp with time zone", "null", "", ""),
                },
                "constraints": {"notification_cool_off_tracker_pkey": "PRIMARY KEY (event_type)"},
                "indexes": {"notification_cool_off_tracker_pkey": ("primary", "event_type", "")},
            },
            "stateful_notification_events": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "", ""),
                    "sequence": ("integer", "NOT NULL", "", ""),
                    "event_type": ("character varying", "NOT NULL", "", ""),
                    "event": ("jsonb", "NOT NULL", "", ""),
                    "recorded_at": ("timestamp with time zone", "NOT NULL", "now()", ""),
                },
                "constraints": {
                    "stateful_notification_events_id_fkey": "FOREIGN KEY (id) REFERENCES stateful_notifications(id)",
                    "stateful_notification_events_id_sequence_key": "UNIQUE (id, sequence)",
                },
                "indexes": {"stateful_notification_events_id_sequence_key": ("unique", "id, sequence", "")},
            },
            "stateful_notifications": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "gen_random_uuid()", ""),
                    "galoy_user_id": ("character varying", "NOT NULL", "", ""),
                    "created_at": ("timestamp with time zone", "NOT NULL", "now()", ""),
                    "acknowledged": ("boolean", "null", "false", ""),
                    "bulletin_enabled": ("boolean", "null", "false", ""),
                },
                "constraints": {"stateful_notifications_pkey": "PRIMARY KEY (id)"},
                "indexes": {
                    "idx_stateful_notifications_acknowledged": ("plain", "acknowledged", ""),
                    "idx_stateful_notifications_bulletin_enabled": ("plain", "bulletin_enabled", ""),
                    "idx_stateful_notifications_galoy_user_id": ("plain", "galoy_user_id", ""),
                    "stateful_notifications_pkey": ("primary", "id", ""),
                },
            },
            "user_notification_settings": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "gen_random_uuid()", ""),
                    "galoy_user_id": ("character varying", "NOT NULL", "", ""),
                    "created_at": ("timestamp with time zone", "NOT NULL", "now()", ""),
                },
                "constraints": {
                    "user_notification_settings_pkey": "PRIMARY KEY (id)",
                    "user_notification_settings_galoy_user_id_key": "UNIQUE (galoy_user_id)",
                },
                "indexes": {
                    "user_notification_settings_galoy_user_id_key": ("unique", "galoy_user_id", ""),
                    "user_notification_settings_pkey": ("primary", "id", ""),
                },
            },
            "user_notification_settings_events": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "", ""),
                    "sequence": ("integer", "NOT NULL", "", ""),
                    "event_type": ("character varying", "NOT NULL", "", ""),
                    "event": ("jsonb", "NOT NULL", "", ""),
                    "recorded_at": ("timestamp with time zone", "NOT NULL", "now()", ""),
                },
                "constraints": {
                    "user_notification_settings_events_id_fkey": (
                        "FOREIGN KEY (id) REFERENCES user_notification_settings(id)"
                    ),
                    "user_notification_settings_events_id_sequence_key": "UNIQUE (id, sequence)",
                },
                "indexes": {"user_notification_settings_events_id_sequence_key": ("unique", "id, sequence", "")},
            },
        },
        "types": {
            "mq_new_t": [
                ("id", "uuid"),
                ("delay", "interval"),
                ("retries", "integer"),
                ("retry_backoff", "interval"),
                ("channel_name", "text"),
                ("channel_args", "text"),
                ("commit_interval", "interval"),
                ("ordered", "boolean"),
                ("name", "text"),
                ("payload_json", "text"),
                ("payload_bytes", "bytea"),
            ]
        },
        "functions": {
            "mq_active_channels": (
                "channel_names text[], batch_size integer",
                "TABLE(name text, args text)",
                "sql",
                "STABLE",
                False,
                True,
                "u",
                False,
                100.0,
                1000.0,
                None,
                False,
            ),
            "mq_checkpoint": (
                "msg_id uuid, duration interval, new_payload_json text, new_payload_bytes bytea, extra_retries integer",
                "void",
                "sql",
                "VOLATILE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                False,
            ),
            "mq_clear_all": ("", "void", "plpgsql", "VOLATILE", False, False, "u", False, 100.0, 0.0, None, True),
            "mq_clear": (
                "channel_names text[]",
                "void",
                "plpgsql",
                "VOLATILE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                True,
            ),
            "mq_commit": (
                "msg_ids uuid[]",
                "void",
                "plpgsql",
                "VOLATILE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                False,
            ),
            "mq_delete": (
                "msg_ids uuid[]",
                "void",
                "plpgsql",
                "VOLATILE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                False,
            ),
            "mq_insert": (
                "new_messages mq_new_t[]",
                "void",
                "plpgsql",
                "VOLATILE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                False,
            ),
            "mq_keep_alive": (
                "msg_ids uuid[], duration interval",
                "void",
                "sql",
                "VOLATILE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                False,
            ),
            "mq_latest_message": (
                "from_channel_name text, from_channel_args text",
                "uuid",
                "sql",
                "STABLE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                False,
            ),
            "mq_poll": (
                "channel_names text[], batch_size integer DEFAULT 1",
                (
                    "TABLE(id uuid, is_committed boolean, name text, payload_json text, payload_bytes bytea,"
                    " retry_backoff interval, wait_time interval)"
                ),
                "plpgsql",
                "VOLATILE",
                False,
                True,
                "u",
                False,
                100.0,
                1000.0,
                None,
                False,
            ),
            "mq_uuid_exists": (
                "id uuid",
                "boolean",
                "sql",
                "IMMUTABLE",
                False,
                False,
                "u",
                False,
                100.0,
                0.0,
                None,
                False,
            ),
        },
        "others": [],
    },
    "voucher": {
        "extensions": ["plpgsql"],
        "tables": {
            "WithdrawLinks": {
                "columns": {
                    "id": ("uuid", "NOT NULL", "", ""),
                    "userId": ("text", "NOT NULL", "", ""),
                    "identifierCode": ("text", "NOT NULL", "", ""),
                    "voucherSecret": ("text", "NOT NULL", "", ""),
                    "k1": ("text", "NOT NULL", "", ""),
                    "uniqueHash": ("text", "NOT NULL", "", ""),
                    "createdAt": ("timestamp with time zone", "null", "CURRENT_TIMESTAMP", ""),
                    "paidAt": ("timestamp with time zone", "null", "", ""),
                    "status": ("text", "NOT NULL", "'PENDING'::text", ""),
                    "voucherAmountInCents": ("numeric(8,2)", "NOT NULL", "", ""),
                    "salesAmountInCents": ("numeric(8,2)", "NOT NULL", "", ""),
                    "commissionPercentage": ("real", "NOT NULL", "'0'::real", "min = 0 and max = 100"),
                    "platformFee": ("numeric(8,2)", "NOT NULL", "'0'::numeric", ""),
                    "displayVoucherPrice": ("text", "NOT NULL", "", ""),
                    "displayCurrency": ("text", "NOT NULL", "", ""),
                    "voucherAmountInSats": ("bigint", "null", "", ""),
                    "voucherAmountInSatsAt": ("timestamp with time zone", "null", "", ""),
                },
                "constraints": {
                    "WithdrawLinks_status_check": "CHECK ((status = ANY "
                    "(ARRAY['ACTIVE'::text, "
                    "'PENDING'::text, "
                    "'PAID'::text])))",
                    "WithdrawLinks_pkey": "PRIMARY KEY (id)",
                    "withdrawlinks_identifiercode_unique": 'UNIQUE ("identifierCode")',
                    "withdrawlinks_k1_unique": "UNIQUE (k1)",
                    "withdrawlinks_uniquehash_unique": 'UNIQUE ("uniqueHash")',
                    "withdrawlinks_vouchersecret_unique": 'UNIQUE ("voucherSecret")',
                },
                "indexes": {
                    "WithdrawLinks_pkey": ("primary", "id", ""),
                    "withdrawlinks_identifiercode_unique": ("unique", '"identifierCode"', ""),
                    "withdrawlinks_k1_unique": ("unique", "k1", ""),
                    "withdrawlinks_uniquehash_unique": ("unique", '"uniqueHash"', ""),
                    "withdrawlinks_vouchersecret_unique": ("unique", '"voucherSecret"', ""),
                },
            }
        },
        "types": {},
        "functions": {},
        "others": [],
    },
}
