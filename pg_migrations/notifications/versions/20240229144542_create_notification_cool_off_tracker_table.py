"""Remember when a kind of notification was last sent.

One row a kind; price_changed is there from the start, never triggered.

Undo: the table moves into the stash. Applying again puts it back, so the cool-off goes on where it was; the
row for price_changed is added only if it is missing.

Put aside: by rollback, notification_cool_off_tracker whole.

Differs from the original: a rollback keeps the times; the original forgets them, and users are told twice.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240229144542"
down_revision = "20240111102028"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE notification_cool_off_tracker (
            event_type VARCHAR PRIMARY KEY,
            last_triggered_at TIMESTAMPTZ
        )
    """)
    op.execute(stash.take_tables_back(revision, "notification_cool_off_tracker"))
    op.execute("""
        INSERT INTO notification_cool_off_tracker (event_type, last_triggered_at)
        VALUES ('price_changed', NULL)
        ON CONFLICT (event_type) DO NOTHING
    """)


def downgrade() -> None:
    for statement in stash.put_tables_aside(revision, "notification_cool_off_tracker"):
        op.execute(statement)
