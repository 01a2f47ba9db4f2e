"""For the tour: fills the databases, waits until a migration is in its middle, and shows a document and a row.

python look.py seed | middle | show
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import psycopg
from pymongo import MongoClient
from pymongo.database import Database

RECEIPTS, CUSTOMERS = 40_000, 5_000
STASH = "dataops_stash_m02.receipts"


def main(wanted: str) -> None:
    with (
        MongoClient[dict[str, Any]](os.environ["DEMO_RECEIPTS_URL"]) as client,
        psycopg.connect(os.environ["DEMO_SHOP_URL"], autocommit=True) as shop,
    ):
        db = client.get_default_database()
        {"seed": seed, "middle": middle, "show": show}[wanted](db, shop)


def seed(db: Database[dict[str, Any]], shop: psycopg.Connection[Any]) -> None:
    for first in range(0, RECEIPTS, 10_000):
        db.receipts.insert_many(
            {"_id": n, "customer": n % CUSTOMERS, "price": f"{n % 90 + 1}.50 EUR"} for n in range(first, first + 10_000)
        )
    shop.execute(
        "INSERT INTO customers SELECT n, 'c' || n || '@example.org' FROM generate_series(1, %s) n", [CUSTOMERS]
    )
    shop.execute("INSERT INTO newsletter SELECT id, date '2024-01-01' + id %% 300 FROM customers", [])
    print(f"{RECEIPTS:,} receipts, {CUSTOMERS:,} customers")


def middle(db: Database[dict[str, Any]], shop: psycopg.Connection[Any]) -> None:
    """Come back when the migration has done a good part of the receipts."""
    deadline = time.monotonic() + 60
    while db[STASH].estimated_document_count() < RECEIPTS * 0.4:
        if time.monotonic() > deadline:
            sys.exit("the migration does not get anywhere")
        time.sleep(0.01)


def show(db: Database[dict[str, Any]], shop: psycopg.Connection[Any]) -> None:
    print("receipt 7:   ", db.receipts.find_one({"_id": 7}))
    there = shop.execute("SELECT to_regclass('newsletter')").fetchone()
    row = shop.execute("SELECT * FROM newsletter WHERE customer = 7").fetchone() if there and there[0] else None
    print("newsletter 7:", f"since {row[1]}" if row else "there is no such table")


if __name__ == "__main__":
    main(sys.argv[1])
