"""Every file of docs/recipes.md is run as it stands there: linted, applied and undone, with rows in place."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import ROOT

RECIPES = (ROOT / "docs" / "recipes.md").read_text()
FILES = [
    (found[1], block)
    for block in re.findall(r"^```python\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)
    if (found := re.search(r"^# (\S+\.py)$", block, re.MULTILINE))
]
ROWS = [(number, f"customer {number % 7}", ("new", "paid")[number % 2], number or None) for number in range(1, 40)]


@pytest.fixture
def shop(project: Project, pg_url: str, mongo_url: str) -> Project:
    """The project of the page."""
    (settings,) = re.findall(r"^```toml\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)
    (project.folder / "dataops.toml").write_text(settings)
    project.env |= {"SHOP_URL": pg_url, "RECEIPTS_URL": mongo_url}
    for name, text in FILES:
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(text)
    return project


def test_every_recipe_goes_there_and_back_and_there_again(
    shop: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    linted = shop("lint", "--json")
    assert [one for one in linted.json["findings"] if one["severity"] == "error"] == []
    assert shop("apply", "--yes", "--service", "shop", "--to", "r01").code == 0
    assert shop("apply", "--yes", "--service", "receipts", "--to", "m02").code == 0
    with pg.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO orders (customer, state, total) VALUES (%s, %s, %s)",
            [
                (customer, state, None if total is not None and total % 3 else total)
                for _, customer, state, total in ROWS
            ],
        )
    mongo_db.receipts.insert_many(
        [{"_id": number, "order": number, **({"currency": "USD"} if number % 2 else {})} for number in range(40)]
    )
    before = pg.execute("SELECT customer, state, coalesce(total, 0) FROM orders ORDER BY id").fetchall()
    documents = list(mongo_db.receipts.find().sort("_id"))

    assert shop("plan").code == 0
    for service, end in (("receipts", "m03"), ("shop", "r13"), ("receipts", "m04")):
        done = shop("apply", "--yes", "--service", service, "--to", end)
        assert done.code == 0, done.stderr
    assert pg.execute("SELECT buyer, state, total FROM orders ORDER BY id").fetchall() == before
    assert pg.execute("SELECT count(*), count(*) FILTER (WHERE currency = 'EUR') FROM receipts").fetchone() == (40, 20)
    assert "receipts" not in mongo_db.list_collection_names()

    for service, end in (("receipts", "m02"), ("shop", "r01")):
        back = shop("rollback", "--yes", "--service", service, "--to", end)
        assert back.code == 0, back.stderr
    assert pg.execute("SELECT customer, state, coalesce(total, 0) FROM orders ORDER BY id").fetchall() == before
    assert list(mongo_db.receipts.find().sort("_id")) == documents
    for service, end in (("receipts", "m03"), ("shop", "r13")):
        again = shop("apply", "--yes", "--service", service, "--to", end)
        assert again.code == 0, again.stderr
    assert shop("status").code == 0


def test_prove_finds_nothing_in_the_recipes(shop: Project, postgres: PostgresServer, mongo: MongoServer) -> None:
    """Without the file that reads from the other database, which prove does not have."""
    (shop.folder / "migrations" / "versions" / "r13.py").unlink()
    proof = shop("prove", "--scratch", postgres.url(), "--scratch", mongo.url(), "--json", timeout=120)
    assert proof.code == 0, proof.stdout
