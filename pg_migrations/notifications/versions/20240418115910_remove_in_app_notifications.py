"""Remove in-app notifications.

The table moves as it is into the stash, its index with it, in no time whatever its size. An old pod that
still writes to it fails: deploy the new ones soon after. That the table may be missing already is no error.

Undo: the table comes back with every row and every grant; if there is none in the stash (it was missing, or
the stash has been pruned), an empty one is created. Applying again removes it with what has been written
since.

Put aside: by apply, in_app_notifications whole.

Differs from the original: it has a way back, and drops nothing; the original drops the table for good.
"""

from alembic import op

from dataops.model import Direction
from dataops.stash import postgres as stash

revision = "20240418115910"
down_revision = "20240417091715"


def upgrade() -> None:
    for statement in stash.put_tables_aside(revision, "in_app_notifications", during=Direction.APPLY, if_exists=True):
        # dataops: ignore[squawk/ban-set-schema] to remove the table is what this is for: new pods do not use it
        op.execute(statement)


def downgrade() -> None:
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
