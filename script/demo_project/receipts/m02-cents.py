"""Prices are whole cents, not texts such as "12.50 EUR"."""

from typing import Any

from pymongo.database import Database

from dataops.progress import track
from dataops.stash.mongo import WRITTEN, applying, batches, undoing

name = "m02-cents"
dependencies = ["m01-begin"]
repeatable = True

TEXTS = {"price": {"$type": "string"}}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        total = db.receipts.count_documents(TEXTS)
        for batch in track(batches(db, "receipts", TEXTS, ["price"], 250), total, "receipts"):
            stash.add("receipts", [planned(receipt) for receipt in batch])
        stash.write("receipts")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("receipts", {"price": WRITTEN})


def planned(receipt: dict[str, Any]) -> dict[str, Any]:
    """What a receipt had, and what it gets."""
    number, _, _ = receipt["price"].partition(" ")
    return {"_id": receipt.pop("_id"), "was": receipt, "set": {"price": round(float(number) * 100)}}
