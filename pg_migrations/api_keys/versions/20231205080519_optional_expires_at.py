"""Let an API key live for ever.

expires_at may be NULL. A change of the catalogue only; old pods go on writing dates.

Undo: expires_at is NOT NULL again. A key without an end gets one that nobody lives to see, 9999-01-01, so
that it goes on working: its owner was promised no end, and the older service only asks whether expires_at is
later than now. (Not 'infinity': client libraries turn it into an error.) Applying again makes it NULL again,
unless somebody has meanwhile set another date: that date wins. The table is scanned once under an exclusive
lock.

Put aside: by rollback, the ids of the keys without an end.

Differs from the original: it has a way back; the original has none.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20231205080519"
down_revision = "20231115113501"


def upgrade() -> None:
    # dataops: ignore[squawk/ban-drop-not-null] old pods go on writing dates; only new ones make keys without an end
    op.execute("ALTER TABLE identity_api_keys ALTER COLUMN expires_at DROP NOT NULL")
    op.execute(
        stash.take_values_back(
            revision,
            "identity_api_keys",
            "expires_at = NULL",
            where="present.expires_at = '9999-01-01 00:00:00+00'",
        )
    )


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        "identity_api_keys",
        "id",
        where="expires_at IS NULL",
        comment="The keys whose expires_at was NULL and became 9999-01-01.",
    ):
        op.execute(statement)
    op.execute("UPDATE identity_api_keys SET expires_at = '9999-01-01 00:00:00+00' WHERE expires_at IS NULL")
    op.execute("ALTER TABLE identity_api_keys ALTER COLUMN expires_at SET NOT NULL")
