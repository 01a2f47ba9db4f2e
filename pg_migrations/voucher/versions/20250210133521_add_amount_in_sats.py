"""Store what a voucher is worth in sats, and since when.

Two columns that may be NULL: a change of the catalogue only. Old pods leave them NULL.

Undo: drops both columns. The amounts are remembered, and applying again puts them back; a link that was
created in between has none.

Put aside: by rollback, id and both columns of the links that have either.

Differs from the original: it has a way back; the original's does nothing.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20250210133521"
down_revision = "20240530124319"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE "WithdrawLinks"
            ADD COLUMN "voucherAmountInSats" BIGINT,
            ADD COLUMN "voucherAmountInSatsAt" TIMESTAMPTZ
    """)
    op.execute(
        stash.take_values_back(
            revision,
            '"WithdrawLinks"',
            '"voucherAmountInSats" = stashed."voucherAmountInSats", '
            '"voucherAmountInSatsAt" = stashed."voucherAmountInSatsAt"',
        )
    )


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        '"WithdrawLinks"',
        'id, "voucherAmountInSats", "voucherAmountInSatsAt"',
        where='"voucherAmountInSats" IS NOT NULL OR "voucherAmountInSatsAt" IS NOT NULL',
        comment="The links that had an amount in sats, or its time, when the columns were dropped.",
    ):
        op.execute(statement)
    op.execute("""
        ALTER TABLE "WithdrawLinks" DROP COLUMN "voucherAmountInSats", DROP COLUMN "voucherAmountInSatsAt"
    """)
