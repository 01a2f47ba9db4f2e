"""Backfills that cannot be done as they are written: said before anything is changed, or with the checkpoint kept."""

from __future__ import annotations

import signal
from typing import Any

import psycopg
import pytest

from tests.acceptance.test_backfill import HEAD, changed, once, slow_orders
from tests.projects import Project, ended, until


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    return project.add("shop", pg_url, onto_existing=True)


def test_no_key(shop: Project, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE logs (line text)")
    shop.file("shop", "001", 'backfill(op, "logs", where="line IS NULL", set={"line": "1"})', head=HEAD)
    plan = shop("plan", "--detailed-exitcode")
    assert plan.code == 4, plan
    assert "logs has no primary key" in plan.stdout
    failed = shop("apply", "--yes")
    assert failed.code == 1
    assert "logs has no primary key" in failed.stderr
    assert "key=[...]" in failed.stderr


@pytest.mark.parametrize(
    ("table", "call", "says"),
    [
        ("id int PRIMARY KEY, a int", 'key="a", where="a IS NULL", set={"a": "1"}', "(a) is no key of t"),
        ("id int PRIMARY KEY, a int UNIQUE", 'key="a", where="id < 0", set={"id": "1"}', "(a) is no key of t"),
        ("id int PRIMARY KEY, a int", 'key="b", where="a IS NULL", set={"a": "1"}', "t has no column b"),
        ("id int PRIMARY KEY, a int", 'where="a IS NULL", set={"id": "id + 1"}', "set changes id, which is in the key"),
        ("id int PRIMARY KEY, a int", 'where="a IS NULL", set={"c": "1"}', "t has no column c"),
        ("id int PRIMARY KEY, a int", 'where="a IS NULL", set={"a": "1"}, keep="c"', "t has no column c"),
        ("id int PRIMARY KEY, a int", 'where="a IS NULL", statement="UPDATE t SET a = 1"', "has no {batch} in it"),
        ("id int PRIMARY KEY, a int", 'where="a IS NULL"', "say what to change, by set or by statement"),
        (
            "id int PRIMARY KEY, a int GENERATED ALWAYS AS (id) STORED",
            'where="a = 0", set={"a": "1"}',
            "computes by itself",
        ),
    ],
)
def test_refused_by_the_plan_and_by_the_run(
    shop: Project, pg: psycopg.Connection[Any], table: str, call: str, says: str
) -> None:
    pg.execute(f"CREATE TABLE t ({table})".encode())
    pg.execute(b"INSERT INTO t (id) SELECT generate_series(1, 100)")
    shop.file("shop", "001", f'backfill(op, "t", {call})', head=HEAD)
    plan = shop("plan", "--detailed-exitcode")
    assert plan.code == 4, plan
    assert says in plan.stdout, plan
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert says in failed.stderr, failed


def test_a_filter_that_its_own_update_does_not_leave(shop: Project, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE t (id int PRIMARY KEY, a int, n int DEFAULT 0)")
    pg.execute("INSERT INTO t SELECT generate_series(1, 100)")
    shop.file("shop", "001", 'backfill(op, "t", where="a IS NULL", set={"n": "n + 1"})', head=HEAD)
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert "100 of 100 rows of t still match where after they were changed" in failed.stderr
    assert "once=True" in failed.stderr
    assert pg.execute("SELECT max(n) FROM t").fetchone() == (0,)


def test_a_filter_that_its_own_update_may_stay_in(shop: Project, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE t (id int PRIMARY KEY, a int, n int DEFAULT 0)")
    pg.execute("INSERT INTO t SELECT generate_series(1, 5000)")
    shop.file(
        "shop",
        "001",
        'backfill(op, "t", where="a IS NULL", set={"n": "n + 1"}, once=True)',
        'restore(op, "t", set={"n": "n - 1"})',
        head=HEAD,
    )
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT min(n), max(n) FROM t").fetchone() == (1, 1)
    assert shop("rollback", "--steps", "1", "--yes").code == 0
    assert pg.execute("SELECT min(n), max(n) FROM t").fetchone() == (0, 0)


def half(shop: Project, pg: psycopg.Connection[Any]) -> int:
    """Stop a backfill in the middle. Returns how many rows it has changed."""
    slow_orders(pg, 6000)
    once(shop)
    with shop.running("apply", "--yes") as process:
        until(lambda: changed(pg))
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 75
    return changed(pg)


def test_a_file_that_is_changed_after_half_the_batches(shop: Project, pg: psycopg.Connection[Any]) -> None:
    done = half(shop, pg)
    path = shop.path("shop", "001")
    before = path.read_text()
    path.write_text(before.replace('"n + 1"', '"n + 2"'))
    for command in ("plan", "apply"):
        refused = shop(command, *(["--yes"] if command == "apply" else []))
        assert refused.code == 4, refused
        assert "001 was changed in the middle of its backfill of orders" in refused.stderr, refused
    assert changed(pg) == done
    path.write_text(before + "\n# only a comment\n")
    assert shop("apply", "--yes").code == 0
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)


def test_a_table_that_is_gone_at_the_next_start(shop: Project, pg: psycopg.Connection[Any]) -> None:
    done = half(shop, pg)
    pg.execute("ALTER TABLE orders RENAME TO old_orders")
    refused = shop("apply", "--yes")
    assert refused.code == 1, refused
    assert "there is no table orders" in refused.stderr
    pg.execute("ALTER TABLE old_orders RENAME TO orders")
    assert changed(pg) == done
    assert shop("apply", "--yes").code == 0
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)


def test_half_of_it_is_taken_back(shop: Project, pg: psycopg.Connection[Any]) -> None:
    done = half(shop, pg)
    assert 0 < done < 6000
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (0, 0)
    left = pg.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dataops_stash%'").fetchone()
    assert left == (0,)
    assert shop("apply", "--yes").code == 0
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)


def test_a_statement_for_batches_is_no_wrong_sql_to_lint(shop: Project, pg: psycopg.Connection[Any]) -> None:
    shop.file(
        "shop",
        "001",
        'backfill(op, "t", once=True, statement="UPDATE t SET a = 1 WHERE {batch}")',
        'restore(op, "t", set={"a": "0"})',
        head=HEAD,
    )
    assert [one["code"] for one in shop("lint", "--json").json["findings"] if one["severity"] == "error"] == []


def test_one_statement_over_many_rows_suggests_a_backfill(shop: Project, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")
    pg.execute("INSERT INTO t SELECT generate_series(1, 120000)")
    pg.execute("ANALYZE t")
    shop.file("shop", "001", 'op.execute("UPDATE t SET a = 1")', head="reversible = True")
    assert "changes-many" in shop("plan").stdout
    assert "dataops docs backfills" in shop("explain", "changes-many").stdout
    shop.file(
        "shop",
        "001",
        'backfill(op, "t", where="a IS NULL", set={"a": "1"})',
        head=f"{HEAD}\nreversible = True",
        parent=None,
    )
    plan = shop("plan", "-v").stdout
    assert "changes-many" not in plan
    assert "about 120,000 rows" in plan
    assert "batches of about 0.5 s" in plan


def test_what_is_kept_and_never_given_back(shop: Project, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")
    shop.file(
        "shop",
        "001",
        'backfill(op, "t", where="a IS NULL", set={"a": "1"}, keep="a")',
        head=f"{HEAD}\nreversible = True",
    )
    refused = shop("apply", "--yes")
    assert refused.code == 1
    assert "downgrade() does not call restore" in refused.stderr
