"""The files of `dataops new --template` pass lint, go there and back, and let old and new applications write."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from tests.projects import Project

TEMPLATES = {
    "backfill": ["--on", "orders.cents", "--value", "total * 100"],
    "expand": ["--on", "orders.seen", "--type", "timestamptz"],
    "contract": ["--on", "orders.customer", "--type", "text NOT NULL"],
    "rename": ["--on", "orders.customer", "--to", "buyer"],
    "index": ["--on", "orders.customer"],
    "not-null": ["--on", "orders.cents", "--value", "round(total * 100)"],
}


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    shop = project.add("shop", pg_url)
    shop.file(
        "shop",
        "20200101000000",
        'op.execute("CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, '
        'total numeric, cents bigint)")',
        'op.execute("DROP TABLE orders")',
    )
    return shop


def rows(pg: psycopg.Connection[Any]) -> list[Any]:
    found = pg.execute("SELECT to_jsonb(o) FROM orders o ORDER BY id").fetchall()
    return [row[0] for row in found]


@pytest.mark.parametrize("template", TEMPLATES)
def test_it_passes_lint_and_goes_there_and_back(shop: Project, pg: psycopg.Connection[Any], template: str) -> None:
    written = shop("new", "shop", "a change", "--template", template, *TEMPLATES[template], "--json")
    assert written.code == 0, written
    linted = shop("lint", "--json")
    assert [one for one in linted.json["findings"] if one["file"].rpartition("/")[2] != "20200101000000.py"] == []
    assert shop("apply", "--yes", "--to", "20200101000000").code == 0
    pg.execute("INSERT INTO orders (customer, total) SELECT 'c' || i, i / 10.0 FROM generate_series(1, 3000) i")
    before = rows(pg)
    done = shop("apply", "--yes", "--background")
    assert done.code == 0, done
    assert rows(pg) != before or template == "index"
    back = shop("rollback", "--to", "shop/20200101000000", "--yes")
    assert back.code == 0, back
    kept = rows(pg)
    if template in ("backfill", "not-null"):  # what was filled stays
        kept = [{**row, "cents": None} for row in kept]
    assert kept == before
    again = shop("apply", "--yes", "--background")
    assert again.code == 0, again


@pytest.mark.parametrize("template", TEMPLATES)
def test_it_is_proved_as_it_is(shop: Project, template: str) -> None:
    more = [word for word in TEMPLATES[template] if not word.startswith("--value")][:4]
    more = more[:2] + (more[2:] if more[2:3] in (["--to"], ["--type"]) else [])
    assert shop("new", "shop", "a change", "--template", template, *more).code == 0
    proved = shop("prove", timeout=300)
    assert proved.code == 0, proved


def test_before_and_after_a_rename_write_side_by_side(shop: Project, pg: psycopg.Connection[Any]) -> None:
    assert shop("new", "shop", "buyers", "--template", "rename", *TEMPLATES["rename"]).code == 0
    assert shop("apply", "--yes", "--to", "20200101000000").code == 0
    pg.execute("INSERT INTO orders (customer) SELECT 'c' || i FROM generate_series(1, 2000) i")
    assert shop("apply", "--yes").code == 0  # the expansion; the backfill is for the background
    pg.execute("INSERT INTO orders (customer) VALUES ('of the old one')")
    pg.execute("INSERT INTO orders (buyer) VALUES ('of the new one')")
    pg.execute("UPDATE orders SET customer = 'moved by the old one' WHERE id = 5")
    pg.execute("UPDATE orders SET buyer = 'moved by the new one' WHERE id = 6")
    assert shop("apply", "--yes", "--background").code == 0
    pg.execute("UPDATE orders SET customer = 'again' WHERE id = 7")
    pg.execute("UPDATE orders SET buyer = 'and again' WHERE id = 8")
    wrong = pg.execute("SELECT count(*) FROM orders WHERE customer IS DISTINCT FROM buyer").fetchone()
    assert wrong == (0,)
    assert pg.execute("SELECT buyer FROM orders WHERE id IN (5, 7) ORDER BY id").fetchall() == [
        ("moved by the old one",),
        ("again",),
    ]
    contracted = shop(
        "new", "shop", "no customers", "--template", "contract", "--on", "orders.customer", "--to", "buyer"
    )
    assert contracted.code == 0, contracted
    done = shop("apply", "--yes", "--background")
    assert done.code == 0, done
    before = pg.execute("SELECT id, buyer FROM orders ORDER BY id").fetchall()
    back = shop("rollback", "--steps", "2", "--yes")
    assert back.code == 0, back
    assert pg.execute("SELECT id, customer FROM orders ORDER BY id").fetchall() == before
    pg.execute("UPDATE orders SET customer = 'old again' WHERE id = 9")
    assert pg.execute("SELECT buyer FROM orders WHERE id = 9").fetchone() == ("old again",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--template", "rename", "--on", "orders.customer"], "needs the new name"),
        (["--template", "index"], "needs the column or field that it is about"),
        (["--template", "index", "--on", "orders.a b"], "needs the column or field that it is about"),
        (["--on", "orders.customer"], "--template"),
        (["--template", "index", "--on", "orders.customer", "--autogenerate"], "no --template"),
    ],
)
def test_what_is_missing_is_said(shop: Project, words: list[str], says: str) -> None:
    refused = shop("new", "shop", "a change", *words)
    assert refused.code == 64, refused
    assert says in refused.stderr


MONGO_TEMPLATES = {
    "backfill": ["--on", "orders.cents", "--value", "0"],
    "contract": ["--on", "orders.customer"],
    "rename": ["--on", "orders.customer", "--to", "buyer"],
    "index": ["--on", "orders.customer"],
    "not-null": ["--on", "orders.cents", "--value", "0"],
}


@pytest.mark.parametrize("template", MONGO_TEMPLATES)
def test_mongodb_goes_there_and_back(
    project: Project, mongo_db: Database[dict[str, Any]], mongo_url: str, template: str
) -> None:
    bank = project.add("bank", mongo_url, onto_existing=True)
    mongo_db.orders.insert_many([{"_id": i, "customer": f"c{i}", "total": i} for i in range(2500)])
    bank.file("bank", "20200101000000-first", "pass", "pass", head="reversible = True\nrepeatable = True")
    written = bank("new", "bank", "a change", "--template", template, *MONGO_TEMPLATES[template])
    assert written.code == 0, written
    linted = bank("lint", "--json")
    assert [one for one in linted.json["findings"] if "20200101000000" not in one["file"]] == []
    before = list(mongo_db.orders.find().sort("_id"))
    done = bank("apply", "--yes", "--background")
    assert done.code == 0, done
    assert list(mongo_db.orders.find().sort("_id")) != before or template == "index"
    back = bank("rollback", "--to", "bank/20200101000000-first", "--yes")
    assert back.code == 0, back
    kept = list(mongo_db.orders.find().sort("_id"))
    if template in ("backfill", "not-null"):
        kept = [{key: value for key, value in one.items() if key != "cents"} for one in kept]
    assert kept == before
    proved = bank("prove", timeout=300)
    assert proved.code == 0, proved


def test_a_new_field_needs_no_file(project: Project, mongo_url: str) -> None:
    bank = project.add("bank", mongo_url)
    refused = bank("new", "bank", "a field", "--template", "expand", "--on", "orders.seen")
    assert refused.code == 64
    assert "--template backfill --on orders.seen" in refused.stderr
