"""Rows for every state of the three services: each value that some migration treats in a way of its own.

`sow` fits the rows to the columns that there are, so that one list serves every point of a history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from tests.migrations.postgres.chain import Db

Row = dict[str, Any]
NIL = UUID(int=0)
ROOM = 100  # one sowing uses ids from `start` to `start + ROOM - 1`


@dataclass(frozen=True)
class NullOr:
    """NULL where the column may be NULL, otherwise this."""

    value: object


def sow(db: Db, service: str, start: int = ROOM) -> None:
    """Add the service's rows to the tables that exist."""
    for table, rows in ROWS[service](start).items():
        if nullable := _columns(db, table):
            for row in rows:
                _insert(db, table, _fitted(row, nullable))


def _columns(db: Db, table: str) -> dict[str, bool]:
    """The columns of a table, and whether each may be NULL; nothing where the table is missing."""
    return dict(
        db.execute(
            "SELECT column_name, is_nullable = 'YES' FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s",
            (table,),
        ).fetchall()
    )


def _fitted(row: Row, nullable: dict[str, bool]) -> Row:
    fitted = {}
    for name, value in row.items():
        if name in nullable:
            if isinstance(value, NullOr):
                value = None if nullable[name] else value.value
            fitted[name] = value
    return fitted


def _insert(db: Db, table: str, row: Row) -> None:
    db.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(map(sql.Placeholder, row)),
        ),
        row,
    )


def _time(day: int) -> datetime:
    return datetime(2024, 1, day, 3, 4, 5, 678901, tzinfo=UTC)


def _api_keys(start: int) -> dict[str, list[Row]]:
    def key(n: int, **values: Any) -> Row:
        return {
            "id": UUID(int=start + n),
            "identity_id": UUID(int=start + n % 2),
            "name": f"key {n}",
            "encrypted_key": f"crypt {start + n}",
            "created_at": _time(n),
            "expires_at": _time(20),
            "scopes": ["read", "write"],
            **values,
        }

    return {
        "identities": [{"id": UUID(int=start + n), "subject_id": f"subject {start + n}"} for n in (0, 1)],
        "identity_api_keys": [
            key(1),
            key(2, read_only=True, scopes=["read"], hashed_key=start.to_bytes(32)),
            key(3, read_only=False, scopes=["write", "read"], hashed_key=None),
            key(4, scopes=["receive"], last_used_at=_time(8), hashed_key=start.to_bytes(31)),
            key(5, scopes=[], revoked=True, revoked_at=_time(7), expires_at=NullOr(_time(19))),
            key(6, scopes=["read", "write", "receive"], read_only=True, expires_at=NullOr(_time(18))),
            key(7, scopes=["read", None]),
            key(8, expires_at=datetime(9999, 1, 1, tzinfo=UTC)),
        ],
    }


def _notifications(start: int) -> dict[str, list[Row]]:
    def message(n: int, after: UUID | None = None, **values: Any) -> Row:
        name = f"channel {start}"
        return {
            "id": UUID(int=start + n),
            "channel_name": name,
            "channel_args": "",
            "after_message_id": after,
            **values,
        }

    def event(n: int, sequence: int, **event: Any) -> Row:
        return {"id": UUID(int=start + n), "sequence": sequence, "event_type": "created", "event": Jsonb(event)}

    users = [f"user {start + n}" for n in range(3)]
    return {
        "mq_msgs": [
            message(1, attempt_at=_time(1)),
            message(2, attempt_at=None, attempts=0),
            message(3, NIL, commit_interval="10 seconds", retry_backoff="1 month 2 days 3.5 seconds"),
            message(4, UUID(int=start + 3), created_at=None),
        ],
        "mq_payloads": [
            {"id": UUID(int=start + 1), "name": "job", "payload_json": Jsonb({"b": 1, "a": [None]})},
            {"id": UUID(int=start + 3), "name": "job", "payload_bytes": b"\x00\xff"},
            {"id": UUID(int=start + 9), "name": "orphan", "payload_json": Jsonb(None)},
        ],
        "user_notification_settings": [
            {"id": UUID(int=start + n), "galoy_user_id": user} for n, user in enumerate(users)
        ],
        "user_notification_settings_events": [event(0, 1, type="x"), event(0, 2), event(1, 1)],
        "notification_cool_off_tracker": [{"event_type": f"kind {start}", "last_triggered_at": _time(5)}],
        "email_reminder_projection": [
            {"galoy_user_id": user, "user_first_seen_at": _time(n + 1), "last_notified_at": _time(9) if n else None}
            for n, user in enumerate(users)
        ],
        "in_app_notifications": [
            {"galoy_user_id": user, "title": "t", "body": "b'\"", "deep_link": None, "read_at": _time(n + 1)}
            for n, user in enumerate(users)
        ],
        "stateful_notifications": [
            {"id": UUID(int=start + n), "galoy_user_id": user, "acknowledged": value, "bulletin_enabled": value}
            for n, (user, value) in enumerate(zip(users, (True, False, None), strict=True))
        ],
        "stateful_notification_events": [event(0, 1, type="y"), event(0, 2), event(2, 1)],
    }


def _voucher(start: int) -> dict[str, list[Row]]:
    def link(n: int, cents: str, shown: str, currency: str = "USD", **values: Any) -> Row:
        return {
            "id": UUID(int=start + n),
            "userId": f"user {n % 2}",
            **{name: f"{name} {start + n}" for name in ("identifierCode", "voucherSecret", "k1", "uniqueHash")},
            "voucherAmountInCents": Decimal("250.25"),
            "salesAmountInCents": Decimal(cents),
            "commissionPercentage": n / 8,
            "displayVoucherPrice": shown,
            "displayCurrency": currency,
            **values,
        }

    return {
        "WithdrawLinks": [
            link(1, "12345", "123.45 USD"),
            link(2, "5.5", "0.06 USD", status="PAID", paidAt=_time(3), platformFee=Decimal("12.34")),
            link(3, "999999.99", "9,999.99 EUR", "EUR", voucherAmountInSats=2**40, voucherAmountInSatsAt=_time(4)),
            link(4, "0", "nothing", createdAt=None, voucherAmountInSats=0),
            link(5, "-150", "-1.50 USD", "GBP", status="ACTIVE", voucherAmountInSatsAt=_time(5)),
        ]
    }


ROWS: dict[str, Callable[[int], dict[str, list[Row]]]] = {
    "api-keys": _api_keys,
    "notifications": _notifications,
    "voucher": _voucher,
}
