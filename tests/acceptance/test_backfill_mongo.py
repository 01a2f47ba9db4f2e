"""Backfills of MongoDB: batches in transactions, which can be stopped anywhere, give way, and are exactly once."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.database import Database

from tests.projects import Project

HEAD = "from dataops.backfill import backfill, restore"
Document = dict[str, Any]
DB = Database[Document]


@pytest.fixture
def shop(project: Project, mongo_url: str) -> Project:
    return project.add("shop", mongo_url, onto_existing=True)


def fill(db: DB, number: int) -> None:
    db.orders.insert_many([{"_id": at, "total": at / 10, "n": 0, "country": "UK"} for at in range(number)])


def left_behind(db: DB) -> list[str]:
    """The collections of a stash."""
    return [name for name in db.list_collection_names() if name.startswith("dataops_stash")]


def test_changes_every_document_that_matches(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 12_000)
    shop.file(
        "shop",
        "001",
        'backfill(db, "orders", where={"cents": None}, set=[{"$set": {"cents": {"$multiply": ["$total", 100]}}}])',
        head=HEAD,
    )
    plan = shop("plan")
    assert "backfill, in batches by _id: update orders" in plan.stdout, plan
    assert "12,000 documents" in plan.stdout, plan
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"$expr": {"$eq": ["$cents", {"$multiply": ["$total", 100]}]}}) == 12_000
    assert left_behind(mongo_db) == []


def test_gives_back_what_it_kept(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 5000)
    mongo_db.orders.update_many({"n": 0, "_id": {"$mod": [5, 0]}}, {"$set": {"country": "FR"}})
    shop.file(
        "shop",
        "001",
        'change = {"$set": {"country": "GB", "new": 1}}\n'
        'backfill(db, "orders", where={"country": "UK"}, set=change, keep=["country", "new"])',
        'restore(db, "orders")',
        head=HEAD,
    )
    before = list(mongo_db.orders.find().sort("_id"))
    assert shop("apply", "--yes").code == 0
    assert mongo_db.orders.count_documents({"country": "GB", "new": 1}) == 4000
    assert "orders" in shop("stash", "list").stdout
    mongo_db.orders.update_one({"_id": 1}, {"$set": {"country": "IE"}})
    mongo_db.orders.delete_one({"_id": 2})
    plan = shop("plan", "--direction", "rollback", "--to", "base")
    assert "gives back what was put aside" in plan.stdout, plan
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    before[1]["country"] = "IE"
    del before[2]
    assert list(mongo_db.orders.find().sort("_id")) == before
    assert left_behind(mongo_db) == []


def test_without_where_each_document_is_changed_once(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 7000)
    shop.file(
        "shop",
        "001",
        'backfill(db, "orders", set={"$inc": {"n": 1}})',
        'restore(db, "orders", set={"$inc": {"n": -1}})',
        head=HEAD,
    )
    assert shop("apply", "--yes").code == 0
    assert mongo_db.orders.count_documents({"n": 1}) == 7000
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    assert mongo_db.orders.count_documents({"n": 0}) == 7000
    assert left_behind(mongo_db) == []
