"""Customers, and who wants the newsletter."""

from alembic import op

revision = "s01"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE customers (id int PRIMARY KEY, mail text NOT NULL)")
    op.execute("CREATE TABLE newsletter (customer int PRIMARY KEY REFERENCES customers, since date NOT NULL)")


def downgrade() -> None:
    op.execute("DROP TABLE newsletter")
    op.execute("DROP TABLE customers")
