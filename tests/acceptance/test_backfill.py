"""Backfills: big changes in batches, which can be stopped anywhere, give way, and are exactly once."""

from __future__ import annotations

import os
import signal
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.projects import Project, await_line, ended, until

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
    wrong = pg.execute("SELECT count(*) FROM orders WHERE cents IS DISTINCT FROM round(total * 100)").fetchone()
    assert wrong == (0,)
    left = pg.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dataops_stash%'").fetchone()
    assert left == (0,)


def keeps_countries(shop: Project) -> None:
    """A migration that changes countries and puts aside what they were, and gives them back."""
    shop.file(
        "shop",
        "001",
        """backfill(op, "orders", where="country = 'UK'", set={"country": "'GB'"}, keep=["country"])""",
        'restore(op, "orders")',
        head=HEAD,
    )


def test_gives_back_what_it_kept(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 5000)
    pg.execute("UPDATE orders SET country = 'FR' WHERE id % 3 = 0")
    keeps_countries(shop)
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


def test_the_server_knows_what_was_put_aside_before_it_is_given_back(
    shop: Project, pg: psycopg.Connection[Any]
) -> None:
    """Without statistics it took the first batch for big, and went over the whole table: no batch was short enough."""
    orders(pg, 3000)
    shop.configure(shop={"backfill": {"pause_file": "stop-here"}})
    keeps_countries(shop)
    assert shop("apply", "--yes").code == 0
    (shop.folder / "stop-here").touch()
    with shop.running("rollback", "--steps", "1", "--yes") as process:
        await_line(process, "waits: the file")
        row = pg.execute(
            "SELECT count(*) FROM pg_stats WHERE schemaname = 'dataops_stash_001' AND attname = 'k1'"
        ).fetchone()
        assert row == (1,)
        (shop.folder / "stop-here").unlink()
        assert ended(process).code == 0


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
    history = shop("history")
    assert "stopped at shop/001" in history.stdout, history
    assert "failed" not in history.stdout, history
    assert shop("history", "--failed", "--json").json["runs"] == []
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT min(n), max(n), count(*) FROM orders").fetchone() == (1, 1, 20000)


SLOW = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$"
TRIGGER = "CREATE TRIGGER slow BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION slow()"


def slow_orders(pg: psycopg.Connection[Any], rows: int) -> None:
    """Orders of which each takes a millisecond to change."""
    orders(pg, rows)
    pg.execute(SLOW)
    pg.execute(TRIGGER)


def changed(pg: psycopg.Connection[Any]) -> int:
    row = pg.execute("SELECT count(*) FROM orders WHERE n > 0").fetchone()
    assert row is not None
    return int(row[0])


def once(shop: Project) -> None:
    shop.file(
        "shop",
        "001",
        'backfill(op, "orders", set={"n": "n + 1"})',
        'restore(op, "orders", set={"n": "n - 1"})',
        head=HEAD,
    )


def test_status_and_plan_say_how_far_it_is(shop: Project, pg: psycopg.Connection[Any]) -> None:
    slow_orders(pg, 6000)
    once(shop)
    with shop.running("apply", "--yes") as process:
        until(lambda: changed(pg))
        running = shop("status", "--json").json["services"][0]
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 75
    assert running["backfills"][0]["total"] == 6000
    assert running["backfills"][0]["looked"] == running["backfills"][0]["changed"] > 0
    done = changed(pg)
    stopped = shop("status", "--json").json["services"][0]["backfills"][0]
    assert stopped["changed"] == done
    assert (
        f"orders: {100 * done // 6000} % done, {done:,} rows changed, goes on after key {done}" in shop("plan").stdout
    )
    assert f"{100 * done // 6000} % done" in shop("status").stdout


def test_pause_and_resume(shop: Project, pg: psycopg.Connection[Any]) -> None:
    slow_orders(pg, 6000)
    once(shop)
    with shop.running("apply", "--yes") as process:
        until(lambda: changed(pg))
        paused = shop("pause", "shop", "--reason", "the sale begins")
        assert paused.code == 0, paused
        until(lambda: shop("status", "--json").json["services"][0]["backfills"][0]["paused"])
        at_rest = changed(pg)
        status = shop("status")
        assert "the sale begins" in status.stdout, status
        until(lambda: "paused" in [e["event"] for e in shop("history", "--json").json["entries"]])
        assert changed(pg) == at_rest < 6000
        assert shop("resume", "shop").code == 0
        done = ended(process)
        assert done.code == 0, done
        assert "waits: paused by" in done.stderr
    assert changed(pg) == 6000
    events = [entry["event"] for entry in shop("history", "--json").json["entries"]]
    assert events == ["succeeded", "resumed", "paused", "started"]


def test_a_pause_outlives_the_run_that_waited_for_it(shop: Project, pg: psycopg.Connection[Any]) -> None:
    slow_orders(pg, 6000)
    once(shop)
    with shop.running("apply", "--yes") as process:
        until(lambda: changed(pg))
        assert shop("pause", "shop", "--reason", "the sale begins").code == 0
        until(lambda: shop("status", "--json").json["services"][0]["backfills"][0]["paused"])
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 75
    status = shop("status")
    assert "half done" in status.stdout
    assert status.stdout.count("the sale begins") == 1, status
    assert shop("resume", "shop").code == 0
    assert "the sale begins" not in shop("status").stdout


def test_several_may_ask_for_the_first_pause_at_once(shop: Project, pg: psycopg.Connection[Any]) -> None:
    shop.table("shop", "001")
    assert shop("apply", "--yes").code == 0
    for _ in range(3):
        pg.execute("DROP TABLE IF EXISTS dataops_history.dataops_pause")
        asking = [shop.start("pause", "shop") for _ in range(6)]
        answers = [ended(one) for one in asking]
        assert {(answer.code, answer.stderr) for answer in answers} == {(0, "")}
    assert shop("resume", "shop").code == 0


def test_who_may_not_end_a_pause_is_not_told_that_there_is_none(
    shop: Project, pg: psycopg.Connection[Any], pg_url: str
) -> None:
    shop.table("shop", "001")
    assert shop("apply", "--yes").code == 0
    assert shop("pause", "shop").code == 0
    role = f"looker_{os.getpid()}_{pg.info.backend_pid}"
    pg.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret-of-nobody'".encode())
    try:
        pg.execute(f"GRANT USAGE ON SCHEMA dataops_history TO {role}".encode())
        address = urlsplit(pg_url)
        host = f"{role}:secret-of-nobody@{address.hostname}:{address.port}"
        refused = shop("resume", "shop", env={"SHOP_URL": address._replace(netloc=host).geturl()})
        assert refused.code == 10, refused
        assert "permission denied for table dataops_pause" in refused.stderr, refused
        assert shop("status", "--json").json["services"][0]["paused"]
    finally:
        pg.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_a_deployment_does_not_wait_for_the_background(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 3000)
    shop.table("shop", "001")
    assert shop("apply", "--yes").code == 0
    shop.file(
        "shop",
        "002",
        'op.execute("ALTER TABLE orders ADD new_cents bigint")',
        'op.execute("ALTER TABLE orders DROP new_cents")',
    )
    shop.file(
        "shop",
        "003",
        'backfill(op, "orders", where="new_cents IS NULL", set={"new_cents": "total * 100"})',
        head=f"{HEAD}\nbackground = True\nreversible = True",
    )
    shop.file(
        "shop",
        "004",
        'op.execute("ALTER TABLE orders ALTER new_cents SET NOT NULL")',
        'op.execute("ALTER TABLE orders ALTER new_cents DROP NOT NULL")',
    )
    assert "003 is for the background; 1 waits for it: dataops apply --background" in shop("plan").stdout
    assert shop("status", "--check").code == 2
    assert shop("wait", "--timeout", "0").code == 3
    applied = shop("apply", "--yes")
    assert applied.code == 0, applied
    status = shop("status", "--check", "--json")
    assert status.code == 0, status
    service = status.json["services"][0]
    assert (service["revision"], service["background"]["migration"], service["background"]["waiting"]) == (
        "002",
        "003",
        ["004"],
    )
    assert shop("wait", "--timeout", "0").code == 0
    assert shop("apply", "--yes").code == 0
    done = shop("apply", "--yes", "--background")
    assert done.code == 0, done
    assert shop("status", "--json").json["services"][0]["revision"] == "004"
    assert pg.execute("SELECT count(*) FROM orders WHERE new_cents = total * 100").fetchone() == (3000,)


def test_a_deployment_passes_a_backfill_that_runs(shop: Project, pg: psycopg.Connection[Any]) -> None:
    slow_orders(pg, 6000)
    shop.table("shop", "001")
    assert shop("apply", "--yes").code == 0
    shop.file(
        "shop",
        "002",
        'backfill(op, "orders", set={"n": "n + 1"})',
        'restore(op, "orders", set={"n": "n - 1"})',
        head=f"{HEAD}\nbackground = True",
    )
    with shop.running("apply", "--yes", "--background") as process:
        until(lambda: changed(pg))
        deployed = shop("apply", "--yes")
        assert deployed.code == 0, deployed
        assert "002 runs in the background" in deployed.stderr
        assert shop("wait", "--timeout", "0").code == 0
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 75
    assert shop("status", "--check").code == 0
    assert shop("apply", "--yes").code == 0
    assert shop("apply", "--yes", "--background").code == 0
    assert changed(pg) == 6000


def test_a_new_database_leaves_nothing_for_the_background(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 10)
    shop.table("shop", "001")
    shop.file(
        "shop",
        "002",
        'backfill(op, "orders", where="cents IS NULL", set={"cents": "1"})',
        head=f"{HEAD}\nbackground = True\nreversible = True",
    )
    assert shop("apply", "--yes").code == 0
    assert shop("status", "--json").json["services"][0]["revision"] == "002"


def test_a_file_goes_on_after_its_backfill(shop: Project, pg: psycopg.Connection[Any]) -> None:
    slow_orders(pg, 3000)
    shop.file(
        "shop",
        "001",
        """
        op.execute("CREATE TABLE IF NOT EXISTS notes (line text)")
        backfill(op, "orders", where="n = 0", set={"n": "n + 1"})
        count = op.get_bind().execute(text("SELECT count(*) FROM orders WHERE n = 1")).scalar()
        op.execute(f"INSERT INTO notes VALUES ('{count}')")
        backfill(op, "orders", name="second", where="cents IS NULL", set={"cents": "1"})
        """,
        'op.execute("DROP TABLE notes")',
        head=f"{HEAD}\nfrom sqlalchemy import text\nrepeatable = True",
    )
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT line FROM notes").fetchall() == [("3000",)]
    assert pg.execute("SELECT count(*) FROM orders WHERE n = 1 AND cents = 1").fetchone() == (3000,)


def test_nothing_is_remembered_of_a_backfill_that_was_taken_back_by_nothing(
    shop: Project, pg: psycopg.Connection[Any]
) -> None:
    slow_orders(pg, 3000)
    shop.file("shop", "001", 'backfill(op, "orders", where="n = 0", set={"n": "1"})', head=f"{HEAD}\nreversible = True")
    with shop.running("apply", "--yes") as process:
        until(lambda: changed(pg))
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 75
    assert shop("rollback", "--yes", "--to", "base").code == 0
    pg.execute("UPDATE orders SET n = 0")
    assert shop("apply", "--yes").code == 0
    assert changed(pg) == 3000


def test_a_way_back_of_ones_own_forgets_which_rows_were_changed(shop: Project, pg: psycopg.Connection[Any]) -> None:
    orders(pg, 3000)
    shop.file(
        "shop",
        "001",
        'backfill(op, "orders", set={"n": "n + 1"})',
        'op.execute("UPDATE orders SET n = n - 1")',
        head=f"{HEAD}\nrepeatable = False",
    )
    assert shop("apply", "--yes").code == 0
    assert shop("rollback", "--yes", "--to", "base").code == 0
    assert shop("apply", "--yes").code == 0
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)
