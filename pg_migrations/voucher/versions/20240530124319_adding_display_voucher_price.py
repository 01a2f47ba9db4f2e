"""Store the price of a voucher as it is shown.

Every link that exists was sold in dollars: its price is the sales amount in dollars and cents, half a cent
rounded away from zero ("123.46 USD"), its currency USD. Every row is written once, under an exclusive lock.

Old pods cannot create links from here on (they give no price); nothing half-written remains, their INSERT
fails. Deploy the new ones soon after.

Undo: drops both columns. The prices that this migration would not work out by itself (another currency,
another text) are remembered, and applying again puts them back, unless the sales amount has changed since:
then the price is worked out anew.

Put aside: by rollback, id, both columns and the sales amount of those links.

Differs from the original: the prices survive a rollback; the original drops them and works out dollars for
all. It does not repeat the type of columns that have it already.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240530124319"
down_revision = "20240520210910"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE "WithdrawLinks" ADD COLUMN "displayVoucherPrice" TEXT, ADD COLUMN "displayCurrency" TEXT
    """)
    op.execute("""
        UPDATE "WithdrawLinks"
        SET "displayVoucherPrice" = to_char("salesAmountInCents" / 100.0, 'FM999999990.00') || ' USD',
            "displayCurrency" = 'USD'
    """)
    op.execute(
        stash.take_values_back(
            revision,
            '"WithdrawLinks"',
            '"displayVoucherPrice" = stashed."displayVoucherPrice", "displayCurrency" = stashed."displayCurrency"',
            where='present."salesAmountInCents" = stashed."salesAmountInCents"',
        )
    )
    # dataops: ignore[squawk/adding-not-nullable-field] every row was just written under the same exclusive lock
    op.execute("""
        ALTER TABLE "WithdrawLinks"
            ALTER COLUMN "displayVoucherPrice" SET NOT NULL,
            ALTER COLUMN "displayCurrency" SET NOT NULL
    """)


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        '"WithdrawLinks"',
        'id, "displayVoucherPrice", "displayCurrency", "salesAmountInCents"',
        where=(
            """"displayCurrency" <> 'USD' OR """
            """"displayVoucherPrice" <> to_char("salesAmountInCents" / 100.0, 'FM999999990.00') || ' USD'"""
        ),
        comment="The links whose price was not just the sales amount in USD, when the columns were dropped.",
    ):
        op.execute(statement)
    op.execute("""
        ALTER TABLE "WithdrawLinks" DROP COLUMN "displayVoucherPrice", DROP COLUMN "displayCurrency"
    """)
