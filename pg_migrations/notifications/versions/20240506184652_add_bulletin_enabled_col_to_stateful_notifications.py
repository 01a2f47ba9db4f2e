"""Let a stateful notification be shown as a bulletin.

A column with a constant default, NULL allowed, and an index on it. The table is not rewritten, but it is
locked against everybody until the index is built.

Undo: drops the index and the column. Which notifications were bulletins is remembered, and applying again
makes them so; nobody can have changed it in between, for the column did not exist.

Put aside: by rollback, id and bulletin_enabled of the rows where it is not false.

Differs from the original: the values survive a rollback; the original drops them.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240506184652"
down_revision = "20240429083109"


def upgrade() -> None:
    op.execute("ALTER TABLE stateful_notifications ADD COLUMN bulletin_enabled BOOLEAN DEFAULT false")
    op.execute(
        stash.take_values_back(revision, "stateful_notifications", "bulletin_enabled = stashed.bulletin_enabled")
    )
    # dataops: ignore[squawk/require-concurrent-index-creation] one transaction with its column, as the original; short:
    # the table was 19 days old
    op.execute("""
        CREATE INDEX idx_stateful_notifications_bulletin_enabled ON stateful_notifications (bulletin_enabled)
    """)


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        "stateful_notifications",
        "id, bulletin_enabled",
        where="bulletin_enabled IS NOT FALSE",
        comment="The rows whose bulletin_enabled was true or NULL when the column was dropped.",
    ):
        op.execute(statement)
    op.execute("DROP INDEX idx_stateful_notifications_bulletin_enabled")
    op.execute("ALTER TABLE stateful_notifications DROP COLUMN bulletin_enabled")
