"""Backfills: big changes in batches, which can be stopped anywhere, give way, and are exactly once."""

from __future__ import annotations

import signal
from typing import Any

import psycopg
import pytest

from tests.projects import Project, ended, until

HEAD = "from dataops.backfill import backfill, restore"


def orders(pg: psycopg.Connection[Any], rows: int) -> None:
    pg.execute(
        "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric, cents bigint,"
        " n int NOT NULL DEFAULT 0, country text DEFAULT 'UK')"
    )
    pg.execute("INSERT INTO orders (total) SELECT i / 10.0 FROM generate_series(1, %s) i", [rows])


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    return project.add("shop", pg_url, onto_existing=True)


def test_changes_every_row_that_matches(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 5000)
    shop.file(
        "shop", "001", 'backfill(op, "orders", where="cents IS NULL", set={"cents": "round(total * 100)"})', head=HEAD
    )
    plan = shop("plan")
    assert "backfill, in batches by the primary key" in plan.stdout, plan
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT count(*), sum(cents) FROM orders WHERE cents = round(total * 100)").fetchone() == (
        5000,
        pg.execute("SELECT sum(round(total * 100)) FROM orders").fetchone()[0],
    )
    left = pg.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dataops_stash%'").fetchone()
    assert left == (0,)


def test_gives_back_what_it_kept(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 5000)
    pg.execute("UPDATE orders SET country = 'FR' WHERE id % 3 = 0")
    shop.file(
        "shop",
        "001",
        """backfill(op, "orders", where="country = 'UK'", set={"country": "'GB'"}, keep=["country"])""",
        'restore(op, "orders")',
        head=HEAD,
    )
    assert shop("apply", "--yes").code == 0
    assert pg.execute("SELECT count(*) FROM orders WHERE country = 'GB'").fetchone() == (3334,)
    pg.execute("UPDATE orders SET country = 'IE' WHERE id = 1")
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    assert pg.execute("SELECT country, count(*) FROM orders GROUP BY 1 ORDER BY 1").fetchall() == [
        ("FR", 1666),
        ("IE", 1),
        ("UK", 3333),
    ]
    left = pg.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dataops_stash%'").fetchone()
    assert left == (0,)


def test_without_where_each_row_is_changed_once(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 5000)
    shop.file(
        "shop",
        "001",
        'backfill(op, "orders", set={"n": "n + 1"})',
        'restore(op, "orders", set={"n": "n - 1"})',
        head=HEAD,
    )
    assert shop("apply", "--yes").code == 0
    assert pg.execute("SELECT min(n), max(n), count(*) FROM orders").fetchone() == (1, 1, 5000)
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    assert pg.execute("SELECT min(n), max(n), count(*) FROM orders").fetchone() == (0, 0, 5000)


def test_stops_between_two_batches_and_goes_on(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 20000)
    pg.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END $$"
    )
    pg.execute("CREATE TRIGGER slow BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION slow()")
    shop.file(
        "shop",
        "001",
        'backfill(op, "orders", set={"n": "n + 1"})',
        'restore(op, "orders", set={"n": "n - 1"})',
        head=HEAD,
    )
    with shop.running("apply", "--yes") as process:
        until(lambda: pg.execute("SELECT count(*) FROM orders WHERE n = 1").fetchone() != (0,))
        process.send_signal(signal.SIGTERM)
        stopped = ended(process)
    assert stopped.code == 75, stopped
    status = shop("status")
    print(status.stdout)
    plan = shop("plan")
    print(plan.stdout)
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT min(n), max(n), count(*) FROM orders").fetchone() == (1, 1, 20000)
