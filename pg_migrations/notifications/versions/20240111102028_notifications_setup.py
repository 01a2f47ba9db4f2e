"""Create users' notification settings and the events they are made of.

The events table has no primary key; (id, sequence) is unique.

Undo: both tables move as they are into the stash, in no time whatever their size, and applying again puts
them back with every row and every grant.

Put aside: by rollback, user_notification_settings and user_notification_settings_events whole.

Differs from the original: it has a way back; the original has none.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240111102028"
down_revision = "20220713122907"

TABLES = ("user_notification_settings", "user_notification_settings_events")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE user_notification_settings (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            galoy_user_id VARCHAR NOT NULL UNIQUE,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE user_notification_settings_events (
            id UUID NOT NULL REFERENCES user_notification_settings (id),
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
