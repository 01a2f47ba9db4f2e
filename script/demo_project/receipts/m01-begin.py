"""Find receipts by customer."""

from typing import Any

from pymongo.database import Database

dependencies: list[str] = []


def upgrade(db: Database[dict[str, Any]]) -> None:
    db.receipts.create_index("customer")


def downgrade(db: Database[dict[str, Any]]) -> None:
    db.receipts.drop_index("customer_1")
