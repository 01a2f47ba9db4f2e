"""No newsletter any more. Its rows are put aside, for the way back."""

from alembic import op

from dataops.model import Direction
from dataops.stash.postgres import put_tables_aside, take_tables_back

revision = "s02"
down_revision = "s01"


def upgrade() -> None:
    for statement in put_tables_aside(revision, "newsletter", during=Direction.APPLY):
        op.execute(statement)


def downgrade() -> None:
    op.execute("CREATE TABLE newsletter (customer int PRIMARY KEY REFERENCES customers, since date NOT NULL)")
    op.execute(take_tables_back(revision, "newsletter"))
