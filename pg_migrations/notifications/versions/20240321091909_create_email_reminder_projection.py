"""Keep what decides whom to remind of linking an e-mail address.

Undo: the table moves as it is into the stash, and applying again puts it back with every row and every
grant.

Put aside: by rollback, email_reminder_projection whole.

Differs from the original: it has a way back; the original's is empty.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240321091909"
down_revision = "20240318074634"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE email_reminder_projection (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            galoy_user_id VARCHAR NOT NULL UNIQUE,
            user_first_seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            last_transaction_at TIMESTAMPTZ,
            last_notified_at TIMESTAMPTZ
        )
    """)
    op.execute(stash.take_tables_back(revision, "email_reminder_projection"))


def downgrade() -> None:
    for statement in stash.put_tables_aside(revision, "email_reminder_projection"):
        op.execute(statement)
