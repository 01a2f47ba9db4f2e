"""Let the second of two pollers find the next message.

mq_poll locks the rows that it picks: a second poller waits, sees that these are not due any more, and takes
the next ones instead of coming back with nothing. The new body is used from the next call on; a call that is
running ends with the old one. Two pollers that go through several channels in different orders may wait for
each other; PostgreSQL ends one of them and it polls again, until 20240318074634 lets them pass each other.

Undo: the body before. It holds no data.

Differs from the original: the ids are collected before the rows are updated. The original joins the update
to a sub-select with LIMIT and FOR UPDATE, which the planner may run once per row, each time with the next
ids: on a table without statistics a batch of 1 then hands out everything. Here batch_size holds under every
plan.
"""

from alembic import op

revision = "20240312083208"
down_revision = "20240229144542"


def upgrade() -> None:
    op.execute("""
CREATE OR REPLACE FUNCTION mq_poll(channel_names TEXT[], batch_size INT DEFAULT 1)
RETURNS TABLE (
    id UUID,
    is_committed BOOLEAN,
    name TEXT,
    payload_json TEXT,
    payload_bytes BYTEA,
    retry_backoff INTERVAL,
    wait_time INTERVAL
) LANGUAGE plpgsql AS $$
DECLARE
    channel RECORD;
    picked UUID[] := '{}';
BEGIN
    FOR channel IN
        SELECT active.name, active.args FROM mq_active_channels(channel_names, batch_size) AS active
    LOOP
        picked := picked || ARRAY(
            SELECT msgs.id
            FROM mq_msgs AS msgs
            WHERE msgs.id <> '00000000-0000-0000-0000-000000000000'
              AND msgs.attempt_at <= now()
              AND msgs.channel_name = channel.name
              AND msgs.channel_args = channel.args
              AND NOT mq_uuid_exists(msgs.after_message_id)
            ORDER BY msgs.attempt_at
            LIMIT batch_size - cardinality(picked)
            FOR UPDATE
        );
        EXIT WHEN cardinality(picked) >= batch_size;
    END LOOP;

    RETURN QUERY
    WITH handed_out AS (
        UPDATE mq_msgs AS msgs
        SET attempt_at = CASE WHEN msgs.attempts = 1 THEN NULL ELSE now() + msgs.retry_backoff END,
            attempts = msgs.attempts - 1,
            retry_backoff = msgs.retry_backoff * 2
        WHERE msgs.id = ANY (picked) AND msgs.attempt_at <= now()
        RETURNING msgs.id, msgs.commit_interval IS NULL AS committed, msgs.retry_backoff / 2 AS backoff
    )
    SELECT handed_out.id, handed_out.committed,
           payloads.name, payloads.payload_json::TEXT, payloads.payload_bytes,
           handed_out.backoff, INTERVAL '0'
    FROM handed_out
    LEFT JOIN mq_payloads AS payloads ON payloads.id = handed_out.id;

    IF NOT FOUND THEN
        RETURN QUERY
        SELECT NULL::UUID, NULL::BOOLEAN, NULL::TEXT, NULL::TEXT, NULL::BYTEA, NULL::INTERVAL,
               min(msgs.attempt_at) - now()
        FROM mq_msgs AS msgs
        WHERE msgs.id <> '00000000-0000-0000-0000-000000000000'
          AND NOT mq_uuid_exists(msgs.after_message_id)
          AND (channel_names IS NULL OR msgs.channel_name = ANY (channel_names));
    END IF;
END
$$
    """)


def downgrade() -> None:
    op.execute("""
CREATE OR REPLACE FUNCTION mq_poll(channel_names TEXT[], batch_size INT DEFAULT 1)
RETURNS TABLE (
    id UUID,
    is_committed BOOLEAN,
    name TEXT,
    payload_json TEXT,
    payload_bytes BYTEA,
    retry_backoff INTERVAL,
    wait_time INTERVAL
) LANGUAGE plpgsql AS $$
DECLARE
    channel RECORD;
    picked UUID[] := '{}';
BEGIN
    FOR channel IN
        SELECT active.name, active.args FROM mq_active_channels(channel_names, batch_size) AS active
    LOOP
        picked := picked || ARRAY(
            SELECT msgs.id
            FROM mq_msgs AS msgs
            WHERE msgs.id <> '00000000-0000-0000-0000-000000000000'
              AND msgs.attempt_at <= now()
              AND msgs.channel_name = channel.name
              AND msgs.channel_args = channel.args
              AND NOT mq_uuid_exists(msgs.after_message_id)
            ORDER BY msgs.attempt_at
            LIMIT batch_size - cardinality(picked)
        );
        EXIT WHEN cardinality(picked) >= batch_size;
    END LOOP;

    RETURN QUERY
    WITH handed_out AS (
        UPDATE mq_msgs AS msgs
        SET attempt_at = CASE WHEN msgs.attempts = 1 THEN NULL ELSE now() + msgs.retry_backoff END,
            attempts = msgs.attempts - 1,
            retry_backoff = msgs.retry_backoff * 2
        WHERE msgs.id = ANY (picked) AND msgs.attempt_at <= now()
        RETURNING msgs.id, msgs.commit_interval IS NULL AS committed, msgs.retry_backoff / 2 AS backoff
    )
    SELECT handed_out.id, handed_out.committed,
           payloads.name, payloads.payload_json::TEXT, payloads.payload_bytes,
           handed_out.backoff, INTERVAL '0'
    FROM handed_out
    LEFT JOIN mq_payloads AS payloads ON payloads.id = handed_out.id;

    IF NOT FOUND THEN
        RETURN QUERY
        SELECT NULL::UUID, NULL::BOOLEAN, NULL::TEXT, NULL::TEXT, NULL::BYTEA, NULL::INTERVAL,
               min(msgs.attempt_at) - now()
        FROM mq_msgs AS msgs
        WHERE msgs.id <> '00000000-0000-0000-0000-000000000000'
          AND NOT mq_uuid_exists(msgs.after_message_id)
          AND (channel_names IS NULL OR msgs.channel_name = ANY (channel_names));
    END IF;
END
$$
    """)
