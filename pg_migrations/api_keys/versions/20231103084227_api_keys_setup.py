"""Create identities and their API keys.

Two tables, and the extension pgcrypto, from which the service uses digest, crypt and gen_salt. The extension
is trusted: CREATE on the database is enough, nobody has to be superuser.

Undo: both tables move as they are into the stash, in no time whatever their size, and applying again puts
them back with every row and every grant. The extension stays: other things in the database may use it by
now.

Put aside: by rollback, identities and identity_api_keys whole.

Differs from the original: it has a way back; the original has none.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20231103084227"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pgcrypto")
    op.execute("""
        CREATE TABLE identities (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            subject_id VARCHAR NOT NULL UNIQUE,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE identity_api_keys (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            identity_id UUID NOT NULL REFERENCES identities (id),
            name VARCHAR NOT NULL,
            last_used_at TIMESTAMPTZ,
            encrypted_key VARCHAR NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            expires_at TIMESTAMPTZ NOT NULL,
            revoked BOOLEAN NOT NULL DEFAULT false,
            revoked_at TIMESTAMPTZ
        )
    """)
    op.execute(stash.take_tables_back(revision, "identities", "identity_api_keys"))


def downgrade() -> None:
    for statement in stash.put_tables_aside(revision, "identities", "identity_api_keys"):
        op.execute(statement)
