"""Look API keys up by their hash.

The default is 256 random bytes: a key that exists already, or that an old pod creates, gets a value that no
secret hashes to, so it can no longer be used. The default is volatile, so the table is rewritten under an
exclusive lock. (Hashes come with the new pods: SHA-256, 32 bytes.)

Undo: drops the column, its default and its unique constraint. The hashes are the only way to authenticate
keys, so all of them are kept, the random ones too, and applying again gives each key its own back. A key
that was created in between has no hash anywhere and gets random bytes, as at the first apply.

Put aside: by rollback, id and hashed_key of every key. The stash holds secrets as much as the table did;
only the user who migrates can read it.

Differs from the original: it has a way back; the original has none. The unique constraint is added after the
column rather than with it, so that values taken back are checked once; its name is the same.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240112183422"
down_revision = "20231215145636"


def upgrade() -> None:
    # dataops: ignore[squawk/adding-field-with-default] a table of keys is small; every row needs another random value
    op.execute("ALTER TABLE identity_api_keys ADD COLUMN hashed_key BYTEA DEFAULT gen_random_bytes(256)")
    op.execute(stash.take_values_back(revision, "identity_api_keys", "hashed_key = stashed.hashed_key"))
    # dataops: ignore[squawk/disallowed-unique-constraint, squawk/constraint-missing-not-valid] the rewrite before it
    # has locked the table already, and it is small
    op.execute("ALTER TABLE identity_api_keys ADD CONSTRAINT identity_api_keys_hashed_key_key UNIQUE (hashed_key)")


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        "identity_api_keys",
        "id, hashed_key",
        where="true",
        comment="hashed_key of every key when the column was dropped: the only way to authenticate them.",
    ):
        op.execute(statement)
    op.execute("ALTER TABLE identity_api_keys DROP COLUMN hashed_key")
