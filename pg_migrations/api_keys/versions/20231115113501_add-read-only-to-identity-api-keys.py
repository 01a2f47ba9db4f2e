"""Let an API key be read-only.

A column with a constant default: the table is not rewritten, and keys that old pods create meanwhile may
read and write, as they always did.

Undo: drops the column. Which keys were read-only is remembered, and applying again makes exactly those
read-only; a key created in between may read and write.

Put aside: by rollback, id and read_only of the read-only keys. While rolled back they can write: the older
service knows no difference.

Differs from the original: it has a way back; the original has none.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20231115113501"
down_revision = "20231103084227"


def upgrade() -> None:
    op.execute("ALTER TABLE identity_api_keys ADD COLUMN read_only BOOLEAN NOT NULL DEFAULT false")
    op.execute(stash.take_values_back(revision, "identity_api_keys", "read_only = stashed.read_only"))


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        "identity_api_keys",
        "id, read_only",
        where="read_only",
        comment="The read-only keys, when the column read_only was dropped.",
    ):
        op.execute(statement)
    op.execute("ALTER TABLE identity_api_keys DROP COLUMN read_only")
