"""Let the queue be cleared, by channel or whole.

Undo: drops both functions. They hold no data.

Differs from the original: in nothing that can be seen.
"""

from alembic import op

revision = "20210921115907"
down_revision = "20210316025847"


def upgrade() -> None:
    op.execute("""
CREATE FUNCTION mq_clear(channel_names TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    WITH cleared AS (
        DELETE FROM mq_msgs WHERE channel_name = ANY (channel_names) RETURNING id
    )
    DELETE FROM mq_payloads WHERE id IN (SELECT id FROM cleared);
END
$$
    """)
    op.execute("""
CREATE FUNCTION mq_clear_all() RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    WITH cleared AS (
        DELETE FROM mq_msgs RETURNING id
    )
    DELETE FROM mq_payloads WHERE id IN (SELECT id FROM cleared);
END
$$
    """)


def downgrade() -> None:
    op.execute("DROP FUNCTION mq_clear_all()")
    op.execute("DROP FUNCTION mq_clear(TEXT[])")
