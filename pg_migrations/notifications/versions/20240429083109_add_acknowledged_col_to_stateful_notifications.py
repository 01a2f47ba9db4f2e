"""Let a stateful notification be acknowledged.

A column with a constant default, NULL allowed, and an index on it. The table is not rewritten, but it is
locked against everybody until the index is built.

Undo: drops the index and the column. Which notifications were acknowledged is remembered, and applying again
acknowledges them; nobody can have answered in between, for the column did not exist.

Put aside: by rollback, id and acknowledged of the rows where it is not false.

Differs from the original: the values survive a rollback; the original drops them.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240429083109"
down_revision = "20240418115910"


def upgrade() -> None:
    op.execute("ALTER TABLE stateful_notifications ADD COLUMN acknowledged BOOLEAN DEFAULT false")
    op.execute(stash.take_values_back(revision, "stateful_notifications", "acknowledged = stashed.acknowledged"))
    # dataops: ignore[squawk/require-concurrent-index-creation] one transaction with its column, as the original; short:
    # the table was 12 days old
    op.execute("""
        CREATE INDEX idx_stateful_notifications_acknowledged ON stateful_notifications (acknowledged)
    """)


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        "stateful_notifications",
        "id, acknowledged",
        where="acknowledged IS NOT FALSE",
        comment="The rows whose acknowledged was true or NULL when the column was dropped.",
    ):
        op.execute(statement)
    op.execute("DROP INDEX idx_stateful_notifications_acknowledged")
    op.execute("ALTER TABLE stateful_notifications DROP COLUMN acknowledged")
