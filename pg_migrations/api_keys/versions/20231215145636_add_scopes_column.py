"""Replace read_only by scopes.

A read-only key gets the scopes {read}, any other {read,write}; then read_only goes, and scopes loses the
default that it had for the sake of existing rows. Nothing is lost on the way up: scopes says all that
read_only said.

Old pods cannot create keys from here on (they name read_only, and give no scopes); nothing half-written
remains, their INSERT fails. Deploy the new ones soon after.

Undo: read_only comes back, true for every key that may not write. It is worked out from the scopes as they
are now, so what was changed since the apply counts. A key that may only receive becomes read-only: of the
two things that the older service knows, the weaker. Applying again gives such a key back the very scopes
that it had, unless its read_only was changed meanwhile: then that wins.

Put aside: by rollback, id and scopes of the keys whose scopes read_only cannot express ({receive}, another
order).

Differs from the original: it has a way back; the original has none.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20231215145636"
down_revision = "20231205080519"


def upgrade() -> None:
    op.execute("ALTER TABLE identity_api_keys ADD COLUMN scopes VARCHAR[] NOT NULL DEFAULT ARRAY['read']")
    op.execute("UPDATE identity_api_keys SET scopes = ARRAY['read', 'write'] WHERE NOT read_only")
    op.execute(
        stash.take_values_back(
            revision,
            "identity_api_keys",
            "scopes = stashed.scopes",
            where="present.read_only = (('write' = ANY (stashed.scopes)) IS NOT TRUE)",
        )
    )
    # dataops: ignore[squawk/ban-drop-default] it was for the rows that exist; who creates a key has to say its scopes
    op.execute("ALTER TABLE identity_api_keys ALTER COLUMN scopes DROP DEFAULT")
    # dataops: ignore[squawk/ban-drop-column] scopes says all that read_only said; new pods follow soon, see above
    op.execute("ALTER TABLE identity_api_keys DROP COLUMN read_only")


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        "identity_api_keys",
        "id, scopes",
        where="scopes NOT IN (ARRAY['read']::VARCHAR[], ARRAY['read', 'write']::VARCHAR[])",
        comment="The keys whose scopes were neither {read} nor {read,write} when read_only took their place.",
    ):
        op.execute(statement)
    op.execute("ALTER TABLE identity_api_keys ADD COLUMN read_only BOOLEAN NOT NULL DEFAULT false")
    op.execute("UPDATE identity_api_keys SET read_only = true WHERE ('write' = ANY (scopes)) IS NOT TRUE")
    op.execute("ALTER TABLE identity_api_keys DROP COLUMN scopes")
