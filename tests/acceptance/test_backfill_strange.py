"""Backfills of tables that are strange: names, triggers, rights, rows that come from elsewhere."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.projects import Project

HEAD = "from dataops.backfill import backfill, restore"


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    return project.add("shop", pg_url, onto_existing=True)


def test_two_tables_of_one_name(shop: Project, pg: psycopg.Connection[Any]) -> None:
    for schema in ("north", "south"):
        pg.execute(f"CREATE SCHEMA {schema}")
        pg.execute(f"CREATE TABLE {schema}.orders (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)")
        pg.execute(f"INSERT INTO {schema}.orders SELECT generate_series(1, 100)")
    shop.file(
        "shop",
        "001",
        'for schema in ("north", "south"):\n        backfill(op, f"{schema}.orders", set={"n": "n + 1"})',
        'for schema in ("south", "north"):\n        restore(op, f"{schema}.orders", set={"n": "n - 1"})',
        head=HEAD,
    )
    done = shop("apply", "--yes")
    assert done.code == 0, done
    both = "SELECT min(n), max(n) FROM (TABLE north.orders UNION ALL TABLE south.orders) o"
    assert pg.execute(both).fetchone() == (1, 1)
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    assert pg.execute(both).fetchone() == (0, 0)


def test_one_table_twice_without_names(shop: Project, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE orders (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, m int NOT NULL DEFAULT 0)")
    pg.execute("INSERT INTO orders SELECT generate_series(1, 100)")
    shop.file(
        "shop",
        "001",
        'for what in "nm":\n        backfill(op, "orders", set={what: f"{what} + 1"})',
        'restore(op, "orders", set={"n": "n - 1", "m": "m - 1"})',
        head=HEAD,
    )
    plan = shop("plan", "--detailed-exitcode")
    assert plan.code == 4, plan
    assert "have the name orders" in plan.stdout, plan
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert 'name="..."' in failed.stderr, failed
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)  # the first of them


def numbers(pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE orders (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)")
    pg.execute("INSERT INTO orders SELECT generate_series(1, 100)")


def trigger(pg: psycopg.Connection[Any], body: str) -> None:
    """A trigger before each update, with these statements."""
    pg.execute(f"CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$".encode())
    pg.execute("CREATE TRIGGER odd BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION odd()")


def back(shop: Project, call: str) -> None:
    """A file with this backfill, whose way back takes one from each number."""
    shop.file("shop", "001", call, 'restore(op, "orders", set={"n": "n - 1"})', head=HEAD)


@pytest.mark.parametrize("how", ['where="n = 0"', "once=True", 'where="n = 0", keep="n"'])
def test_a_row_that_a_trigger_keeps_as_it_is(shop: Project, pg: psycopg.Connection[Any], how: str) -> None:
    numbers(pg)
    trigger(pg, "IF OLD.id = 7 THEN RETURN NULL; END IF; RETURN NEW;")
    back(shop, f'backfill(op, "orders", set={{"n": "n + 1"}}, {how})')
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert "UPDATE does not change, for example the one with the key 7" in failed.stderr, failed
    pg.execute("DROP TRIGGER odd ON orders")
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)


@pytest.mark.parametrize("what", ['set={"n": "n + 1"}', 'statement="UPDATE orders SET n = n + 1 WHERE {batch}"'])
def test_a_trigger_that_changes_the_key(shop: Project, pg: psycopg.Connection[Any], what: str) -> None:
    numbers(pg)
    trigger(pg, "IF NEW.id < 1000 THEN NEW.id = NEW.id + 1000; END IF; RETURN NEW;")
    back(shop, f'backfill(op, "orders", {what})')
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert "100 rows of orders have another key after they were changed" in failed.stderr, failed
    assert "half done" not in failed.stderr, failed
    assert pg.execute("SELECT max(id), max(n) FROM orders").fetchone() == (100, 0)


def test_rows_may_be_deleted_in_batches(shop: Project, pg: psycopg.Connection[Any]) -> None:
    numbers(pg)
    back(shop, 'backfill(op, "orders", statement="DELETE FROM orders WHERE {batch}")')
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_a_table_from_which_others_inherit(shop: Project, pg: psycopg.Connection[Any]) -> None:
    numbers(pg)
    pg.execute("CREATE TABLE old () INHERITS (orders)")
    pg.execute("INSERT INTO old SELECT generate_series(51, 150)")
    back(shop, 'backfill(op, "orders", set={"n": "n + 1"})')
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert "other tables inherit from orders" in failed.stderr, failed
    assert "half done" not in failed.stderr, failed


def test_names_with_anything_in_them(shop: Project, pg: psycopg.Connection[Any]) -> None:
    schema, table = '"So %s {x}.y"', '"Or%d""er\'s"'
    pg.execute(f"CREATE SCHEMA {schema}".encode())
    pg.execute(f'CREATE TABLE {schema}.{table} ("I%d {{batch}}" text PRIMARY KEY, "n %s" int DEFAULT 0)'.encode())
    pg.execute(f"INSERT INTO {schema}.{table} SELECT 'a%s' || generate_series(1, 3000)".encode())
    name = repr(f"{schema}.{table}")
    up = f"backfill(op, {name}, set={{'n %s': '\"n %s\" + 1'}}, keep=['n %s'])"
    shop.file("shop", "001", up, f"restore(op, {name})", head=HEAD)
    both = f'SELECT min("n %s"), max("n %s") FROM {schema}.{table}'.encode()
    wrong = shop.file("shop", "002", f"backfill(op, {name}, set={{'none': '1'}})", head=HEAD)
    plan = shop("plan", "-v")
    assert "has no column none" in " ".join(plan.stdout.split()), plan  # the plan looks at this very table
    wrong.unlink()
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute(both).fetchone() == (1, 1)
    undone = shop("rollback", "--yes", "--steps", "1")
    assert undone.code == 0, undone
    assert pg.execute(both).fetchone() == (0, 0)


def test_a_backfill_that_is_refused_leaves_nothing(shop: Project, pg: psycopg.Connection[Any]) -> None:
    numbers(pg)
    path = shop.file("shop", "001", 'backfill(op, "orders", where="n = 0", set={"n": "n + 0"})', head=HEAD)
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert "still match where" in failed.stderr, failed
    assert "half done" not in failed.stderr, failed
    assert "half done" not in shop("status").stdout
    path.write_text(path.read_text().replace("n + 0", "n + 1"))
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)
    left = pg.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dataops_stash%'").fetchone()
    assert left == (0,)


def test_a_way_back_that_names_another_table(shop: Project, pg: psycopg.Connection[Any]) -> None:
    numbers(pg)
    call = 'backfill(op, "orders", where="n = 0", set={"n": "n + 1"}, keep="n")'
    shop.file("shop", "001", call, 'restore(op, "public.orders")', head=HEAD)
    refused = shop("apply", "--yes")
    assert refused.code == 1
    assert "what is kept of orders would not be given back" in refused.stderr
    path = shop.path("shop", "001")  # and now in a way that only a run can see
    path.write_text(path.read_text().replace('"public.orders"', "f\"public.{__name__ and 'orders'}\""))
    done = shop("apply", "--yes")
    assert done.code == 0, done
    failed = shop("rollback", "--yes", "--steps", "1")
    assert failed.code == 1, failed
    assert "what was kept of orders was not given back" in failed.stderr, failed
    kept = pg.execute("SELECT count(*) FROM dataops_stash_001.orders").fetchone()
    assert kept == (100,)
