"""Create stateful notifications and the events they are made of, with an index by user.

The events table has no primary key; (id, sequence) is unique.

Undo: both tables move as they are into the stash, the index with them, and applying again puts them back
with every row and every grant.

Put aside: by rollback, stateful_notifications and stateful_notification_events whole.

Differs from the original: it has a way back; the original's is empty.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240417091715"
down_revision = "20240406100757"

TABLES = ("stateful_notifications", "stateful_notification_events")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE stateful_notifications (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            galoy_user_id VARCHAR NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX idx_stateful_notifications_galoy_user_id ON stateful_notifications (galoy_user_id)")
    op.execute("""
        CREATE TABLE stateful_notification_events (
            id UUID NOT NULL REFERENCES stateful_notifications (id),
            sequence INT NOT NULL,
            event_type VARCHAR NOT NULL,
            event JSONB NOT NULL,
            recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            UNIQUE (id, sequence)
        )
    """)
    op.execute(stash.take_tables_back(revision, *TABLES))


def downgrade() -> None:
    for statement in stash.put_tables_aside(revision, *TABLES):
        op.execute(statement)
