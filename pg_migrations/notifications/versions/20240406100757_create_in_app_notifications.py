"""Create in-app notifications, with an index by user.

Undo: the table moves as it is into the stash, its index with it, and applying again puts both back with
every row and every grant.

Put aside: by rollback, in_app_notifications whole.

Differs from the original: it has a way back; the original's is empty.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240406100757"
down_revision = "20240321091909"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE in_app_notifications (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            galoy_user_id VARCHAR NOT NULL,
            title TEXT NOT NULL,
            body TEXT NOT NULL,
            deep_link TEXT,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            read_at TIMESTAMPTZ
        )
    """)
    op.execute("CREATE INDEX idx_in_app_notifications_galoy_user_id ON in_app_notifications (galoy_user_id)")
    op.execute(stash.take_tables_back(revision, "in_app_notifications"))


def downgrade() -> None:
    for statement in stash.put_tables_aside(revision, "in_app_notifications"):
        op.execute(statement)
