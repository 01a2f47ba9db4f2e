"""Charge a platform fee for a voucher.

A column with a constant default: the table is not rewritten, and links that an old pod creates meanwhile
cost nothing.

Undo: drops the column. The fees are remembered, and applying again gives each link its own; a link that was
created in between costs nothing.

Put aside: by rollback, id and "platformFee" of the links with a fee.

Differs from the original: it has a way back; the original's does nothing.
"""

from alembic import op

from dataops.stash import postgres as stash

revision = "20240520210910"
down_revision = "20240406102113"


def upgrade() -> None:
    op.execute("""ALTER TABLE "WithdrawLinks" ADD COLUMN "platformFee" NUMERIC(8, 2) NOT NULL DEFAULT '0'""")
    op.execute(stash.take_values_back(revision, '"WithdrawLinks"', '"platformFee" = stashed."platformFee"'))


def downgrade() -> None:
    for statement in stash.put_values_aside(
        revision,
        '"WithdrawLinks"',
        'id, "platformFee"',
        where='"platformFee" <> 0',
        comment="The links whose platformFee was not 0 when the column was dropped.",
    ):
        op.execute(statement)
    op.execute('ALTER TABLE "WithdrawLinks" DROP COLUMN "platformFee"')
