"""Keep the sentinel when the queue is cleared.

Without the row with the nil UUID no ordered message can be inserted any more. mq_clear and mq_clear_all now
leave it alone, and each says so in a comment. A sentinel that an older mq_clear_all has deleted is not put
back.

Undo: the bodies before, and no comments. They hold no data.

Differs from the original: it has a way back; the original's is empty. The comments are in our own words.
"""

from alembic import op

revision = "20220713122907"
down_revision = "20220208120856"


def upgrade() -> None:
    op.execute("""
CREATE OR REPLACE FUNCTION mq_clear(channel_names TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    WITH cleared AS (
        DELETE FROM mq_msgs
        WHERE channel_name = ANY (channel_names) AND id <> '00000000-0000-0000-0000-000000000000'
        RETURNING id
    )
    DELETE FROM mq_payloads WHERE id IN (SELECT id FROM cleared);
END
$$
    """)
    op.execute("""
CREATE OR REPLACE FUNCTION mq_clear_all() RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    WITH cleared AS (
        DELETE FROM mq_msgs WHERE id <> '00000000-0000-0000-0000-000000000000' RETURNING id
    )
    DELETE FROM mq_payloads WHERE id IN (SELECT id FROM cleared);
END
$$
    """)
    op.execute("""
        COMMENT ON FUNCTION mq_clear(TEXT[]) IS
        'Deletes every message of the named channels, with its payload. The sentinel (nil UUID) stays.'
    """)
    op.execute("""
        COMMENT ON FUNCTION mq_clear_all() IS
        'Deletes every message, with its payload. The sentinel (nil UUID) stays.'
    """)


def downgrade() -> None:
    op.execute("""
CREATE OR REPLACE FUNCTION mq_clear(channel_names TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    WITH cleared AS (
        DELETE FROM mq_msgs WHERE channel_name = ANY (channel_names) RETURNING id
    )
    DELETE FROM mq_payloads WHERE id IN (SELECT id FROM cleared);
END
$$
    """)
    op.execute("""
CREATE OR REPLACE FUNCTION mq_clear_all() RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    WITH cleared AS (
        DELETE FROM mq_msgs RETURNING id
    )
    DELETE FROM mq_payloads WHERE id IN (SELECT id FROM cleared);
END
$$
    """)
    op.execute("COMMENT ON FUNCTION mq_clear(TEXT[]) IS NULL")
    op.execute("COMMENT ON FUNCTION mq_clear_all() IS NULL")
