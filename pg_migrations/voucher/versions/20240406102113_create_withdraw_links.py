"""Create the withdraw links.

The table's name is mixed case and has to be quoted. The application sends its ids. That commissionPercentage
is between 0 and 100 is said by a comment only, nothing checks it.

Before 2024-05-21 the server created this table by itself, so a database may hold it without a record of this
migration: then it fails ("already exists"), nothing has changed, and the history is to be adopted instead.

Undo: the table moves as it is into the stash, in no time whatever its size, and applying again puts it back
with every row and every grant.

Put aside: by rollback, "WithdrawLinks" whole.

Differs from the original: it has a way back; the original's does nothing. The unique constraints are made
with the table rather than added to it; their names are the same.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240406102113"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE "WithdrawLinks" (
            id UUID PRIMARY KEY,
            "userId" TEXT NOT NULL,
            "identifierCode" TEXT NOT NULL CONSTRAINT withdrawlinks_identifiercode_unique UNIQUE,
            "voucherSecret" TEXT NOT NULL CONSTRAINT withdrawlinks_vouchersecret_unique UNIQUE,
            k1 TEXT NOT NULL CONSTRAINT withdrawlinks_k1_unique UNIQUE,
            "uniqueHash" TEXT NOT NULL CONSTRAINT withdrawlinks_uniquehash_unique UNIQUE,
            "createdAt" TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP,
            "paidAt" TIMESTAMPTZ,
            status TEXT NOT NULL DEFAULT 'PENDING' CHECK (status IN ('ACTIVE', 'PENDING', 'PAID')),
            "voucherAmountInCents" NUMERIC(8, 2) NOT NULL,
            "salesAmountInCents" NUMERIC(8, 2) NOT NULL,
            "commissionPercentage" REAL NOT NULL DEFAULT '0'
        )
    """)
    op.execute("""
        COMMENT ON COLUMN "WithdrawLinks"."commissionPercentage" IS 'min = 0 and max = 100'
    """)
    op.execute(stash.take_tables_back(revision, '"WithdrawLinks"'))


def downgrade() -> None:
    for statement in stash.put_tables_aside(revision, '"WithdrawLinks"'):
        op.execute(statement)
