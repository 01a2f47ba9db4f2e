"""Create the job queue.

A queue in PostgreSQL with the interface of the Rust library sqlxmq 0.5: mq_msgs (small rows, often updated)
and mq_payloads, the type mq_new_t in which messages are handed in, nine functions, and in mq_msgs the
sentinel, a row with the nil UUID to which the first message of every ordered channel points. When a message
is deleted, the foreign key sets its follower to the nil UUID, and so makes it the next one to be handed out.

Undo: the functions and the type go; the tables move into the stash with every message, and applying again
puts them back, the sentinel too (one is made if it has been lost). Messages that were waiting are then due
at once. The extension uuid-ossp stays: other things in the database may use it by now.

Put aside: by rollback, mq_msgs and mq_payloads whole, without three indexes that are made anew.

Differs from the original: the messages survive a rollback. mq_uuid_exists compares with the literal nil
UUID; the original calls uuid_nil() and so depends on search_path, which PostgreSQL 17 and newer refuse in
the predicate of an index, and which makes pg_restore lose that index on any version. For the same reason the
other functions use the literal too. mq_poll collects the ids before it updates the rows, so that batch_size
holds under every plan.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20210316025847"
down_revision = None

TABLES = ("mq_msgs", "mq_payloads")

MQ_UUID_EXISTS = """
CREATE FUNCTION mq_uuid_exists(id UUID) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS $$
    SELECT id IS NOT NULL AND id <> '00000000-0000-0000-0000-000000000000'
$$
"""

# Which ordered message of a channel a new one has to follow; the nil UUID for the first.
MQ_LATEST_MESSAGE = """
CREATE FUNCTION mq_latest_message(from_channel_name TEXT, from_channel_args TEXT)
RETURNS UUID LANGUAGE sql STABLE AS $$
    SELECT COALESCE(
        (
            SELECT id
            FROM mq_msgs
            WHERE channel_name = from_channel_name
              AND channel_args = from_channel_args
              AND after_message_id IS NOT NULL
              AND id <> '00000000-0000-0000-0000-000000000000'
            ORDER BY created_at DESC, id DESC
            LIMIT 1
        ),
        '00000000-0000-0000-0000-000000000000'
    )
$$
"""

# Channels with something to hand out, in random order so that none of them starves.
MQ_ACTIVE_CHANNELS = """
CREATE FUNCTION mq_active_channels(channel_names TEXT[], batch_size INT)
RETURNS TABLE (name TEXT, args TEXT) LANGUAGE sql STABLE AS $$
    SELECT channel_name, channel_args
    FROM mq_msgs
    WHERE id <> '00000000-0000-0000-0000-000000000000'
      AND attempt_at <= now()
      AND (channel_names IS NULL OR channel_name = ANY (channel_names))
      AND NOT mq_uuid_exists(after_message_id)
    GROUP BY channel_name, channel_args
    ORDER BY random()
    LIMIT batch_size
$$
"""

# Version A: nothing is locked, so two pollers may be handed the same message.
MQ_POLL = """
CREATE FUNCTION mq_poll(channel_names TEXT[], batch_size INT DEFAULT 1)
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
        WHERE msgs.id = ANY (picked)
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
"""

MQ_INSERT = """
CREATE FUNCTION mq_insert(new_messages mq_new_t[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mq_' || channel_name, '')
    FROM unnest(new_messages)
    WHERE channel_name IS NOT NULL
    GROUP BY channel_name;

    IF cardinality(new_messages) > 0 THEN
        PERFORM pg_notify('mq', '');
    END IF;

    INSERT INTO mq_payloads (id, name, payload_json, payload_bytes)
    SELECT id, name, payload_json::JSONB, payload_bytes
    FROM unnest(new_messages);

    INSERT INTO mq_msgs (
        id, attempt_at, attempts, retry_backoff, channel_name, channel_args, commit_interval, after_message_id
    )
    SELECT
        id,
        now() + delay + COALESCE(commit_interval, INTERVAL '0'),
        retries + 1,
        retry_backoff,
        channel_name,
        channel_args,
        commit_interval,
        CASE WHEN ordered THEN
            COALESCE(lag(id) OVER chain, mq_latest_message(channel_name, channel_args))
        END
    FROM unnest(new_messages)
    WINDOW chain AS (PARTITION BY channel_name, channel_args, ordered ORDER BY id);
END
$$
"""

MQ_COMMIT = """
CREATE FUNCTION mq_commit(msg_ids UUID[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    UPDATE mq_msgs
    SET attempt_at = attempt_at - commit_interval, commit_interval = NULL
    WHERE id = ANY (msg_ids) AND commit_interval IS NOT NULL;
END
$$
"""

# Notifies only for the heads of ordered channels: their followers become ready.
MQ_DELETE = """
CREATE FUNCTION mq_delete(msg_ids UUID[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mq_' || channel_name, '')
    FROM mq_msgs
    WHERE id = ANY (msg_ids) AND after_message_id = '00000000-0000-0000-0000-000000000000'
    GROUP BY channel_name;

    IF FOUND THEN
        PERFORM pg_notify('mq', '');
    END IF;

    DELETE FROM mq_msgs WHERE id = ANY (msg_ids);
    DELETE FROM mq_payloads WHERE id = ANY (msg_ids);
END
$$
"""

MQ_KEEP_ALIVE = """
CREATE FUNCTION mq_keep_alive(msg_ids UUID[], duration INTERVAL) RETURNS VOID LANGUAGE sql AS $$
    UPDATE mq_msgs
    SET attempt_at = now() + duration, commit_interval = commit_interval + (now() + duration - attempt_at)
    WHERE id = ANY (msg_ids) AND attempt_at < now() + duration
$$
"""

# GREATEST ignores NULL: a message after its last attempt (attempt_at NULL) is revived.
MQ_CHECKPOINT = """
CREATE FUNCTION mq_checkpoint(
    msg_id UUID, duration INTERVAL, new_payload_json TEXT, new_payload_bytes BYTEA, extra_retries INT
) RETURNS VOID LANGUAGE sql AS $$
    UPDATE mq_msgs
    SET attempt_at = GREATEST(attempt_at, now() + duration), attempts = attempts + COALESCE(extra_retries, 0)
    WHERE id = msg_id;

    UPDATE mq_payloads
    SET payload_json = COALESCE(new_payload_json::JSONB, payload_json),
        payload_bytes = COALESCE(new_payload_bytes, payload_bytes)
    WHERE id = msg_id
$$
"""


def upgrade() -> None:
    op.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
    op.execute("""
        CREATE TYPE mq_new_t AS (
            id UUID,
            delay INTERVAL,
            retries INT,
            retry_backoff INTERVAL,
            channel_name TEXT,
            channel_args TEXT,
            commit_interval INTERVAL,
            ordered BOOLEAN,
            name TEXT,
            payload_json TEXT,
            payload_bytes BYTEA
        )
    """)
    op.execute("""
        CREATE TABLE mq_msgs (
            id UUID PRIMARY KEY,
            created_at TIMESTAMPTZ DEFAULT now(),
            attempt_at TIMESTAMPTZ DEFAULT now(),
            attempts INT NOT NULL DEFAULT 5,
            retry_backoff INTERVAL NOT NULL DEFAULT '1 second',
            channel_name TEXT NOT NULL,
            channel_args TEXT NOT NULL,
            commit_interval INTERVAL,
            after_message_id UUID DEFAULT uuid_nil() REFERENCES mq_msgs (id) ON DELETE SET DEFAULT
        )
    """)
    op.execute("""
        CREATE TABLE mq_payloads (
            id UUID PRIMARY KEY,
            name TEXT NOT NULL,
            payload_json JSONB,
            payload_bytes BYTEA
        )
    """)
    op.execute(stash.take_tables_back(revision, *TABLES))
    op.execute("""
        INSERT INTO mq_msgs (id, channel_name, channel_args, after_message_id)
        VALUES ('00000000-0000-0000-0000-000000000000', '', '', NULL)
        ON CONFLICT (id) DO NOTHING
    """)
    op.execute(MQ_UUID_EXISTS)
    op.execute("""
        CREATE INDEX mq_msgs_channel_name_channel_args_attempt_at_idx
        ON mq_msgs (channel_name, channel_args, attempt_at)
        WHERE id <> uuid_nil() AND NOT mq_uuid_exists(after_message_id)
    """)
    op.execute("""
        CREATE INDEX mq_msgs_channel_name_channel_args_created_at_id_idx
        ON mq_msgs (channel_name, channel_args, created_at, id)
        WHERE id <> uuid_nil() AND after_message_id IS NOT NULL
    """)
    op.execute("""
        CREATE UNIQUE INDEX mq_msgs_channel_name_channel_args_after_message_id_idx
        ON mq_msgs (channel_name, channel_args, after_message_id)
    """)
    op.execute(MQ_LATEST_MESSAGE)
    op.execute(MQ_ACTIVE_CHANNELS)
    op.execute(MQ_POLL)
    op.execute(MQ_INSERT)
    op.execute(MQ_COMMIT)
    op.execute(MQ_DELETE)
    op.execute(MQ_KEEP_ALIVE)
    op.execute(MQ_CHECKPOINT)


def downgrade() -> None:
    op.execute("DROP FUNCTION mq_checkpoint(UUID, INTERVAL, TEXT, BYTEA, INT)")
    op.execute("DROP FUNCTION mq_keep_alive(UUID[], INTERVAL)")
    op.execute("DROP FUNCTION mq_delete(UUID[])")
    op.execute("DROP FUNCTION mq_commit(UUID[])")
    op.execute("DROP FUNCTION mq_insert(mq_new_t[])")
    op.execute("DROP FUNCTION mq_poll(TEXT[], INT)")
    op.execute("DROP FUNCTION mq_active_channels(TEXT[], INT)")
    op.execute("DROP FUNCTION mq_latest_message(TEXT, TEXT)")
    op.execute("DROP INDEX mq_msgs_channel_name_channel_args_after_message_id_idx")
    op.execute("DROP INDEX mq_msgs_channel_name_channel_args_created_at_id_idx")
    op.execute("DROP INDEX mq_msgs_channel_name_channel_args_attempt_at_idx")
    op.execute("DROP FUNCTION mq_uuid_exists(UUID)")
    op.execute("DROP TYPE mq_new_t")
    for statement in stash.put_tables_aside(revision, *TABLES):
        op.execute(statement)
