"""What a person sees of a run that takes long: from its file, and from a server that builds an index."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import mongodb_server
from tests.acceptance.test_rights import role
from tests.projects import Project, until
from tests.terminal import Terminal

CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY ix ON t_001 (id)")
"""
FAIL_POINT = "hangIndexBuildDuringCollectionScanPhaseBeforeInsertion"


@contextmanager
def a_mongodb_that_can_be_held() -> Iterator[str]:
    """The URL of an empty database on a server that stops where a test tells it to."""
    with mongodb_server(replica_set=True, options=["--setParameter=enableTestCommands=1"]) as server:
        yield server.create_database("held")


def sessions_that_tell(pg: psycopg.Connection[Any]) -> int:
    row = pg.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'dataops-at/%' AND datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_run_that_builds_an_index_in_postgresql_is_watched_from_inside_and_from_outside(
    project: Project, pg_url: str, pg: psycopg.Connection[Any]
) -> None:
    """A transaction of the application holds the index build, so that it waits as long as we want."""
    project.add("shop", pg_url)
    project.table("shop", "001")
    assert project("apply", "--yes").code == 0
    project.file("shop", "002", CONCURRENTLY, 'op.execute("DROP INDEX ix")')
    pg.execute("BEGIN; INSERT INTO t_001 VALUES (1)")
    waiting = "index on t_001: waiting for writers before build, 0 of 1 transactions"
    with Terminal(project, "apply", "--yes", env={"COLUMNS": "160"}) as terminal:
        terminal.read_until(f" s, {waiting}")
        terminal.read_until("0 of 1, 1 running, ")
        assert " left" not in terminal.text  # nobody knows how long

        told = project("status")
        assert "running: apply 002 for " in told.stdout
        assert f"({waiting}) by " in told.stdout
        (shop,) = project("status", "--json").json["services"]
        assert (shop["running"]["migration"], shop["running"]["event"]) == ("002", "started")
        assert shop["running"]["doing"] == {
            "what": "index on t_001: waiting for writers before build",
            "done": 0,
            "total": 1,
            "unit": "transactions",
            "rate": None,
            "left": None,
        }
        with Terminal(project, "status", "--watch", env={"COLUMNS": "200"}) as watching:
            watching.read_until("running: apply 002 for ")
            pg.execute("COMMIT")
            assert terminal.ended() == 0
            watching.read_until("up to date")
            watching.signal(signal.SIGINT)
            assert watching.ended() == 0
    assert "shop: apply 002 done (" in terminal.text
    (shop,) = project("status", "--json").json["services"]
    assert shop["running"] is None


def test_a_run_that_builds_an_index_in_mongodb_says_how_far_it_is(project: Project) -> None:
    with a_mongodb_that_can_be_held() as url, MongoClient[dict[str, Any]](url) as client:
        client["held"]["t_001"].insert_many([{"a": number} for number in range(500)])
        project.add("bank", url, onto_existing=True)
        project.file("bank", "001", "db.t_001.create_index('a')", "db.t_001.drop_indexes()")
        hold: dict[str, Any] = {"configureFailPoint": FAIL_POINT, "data": {"fieldsToMatch": {"a": 300}}}
        client.admin.command({**hold, "mode": "alwaysOn"})
        with Terminal(project, "apply", "--yes", env={"COLUMNS": "160"}) as terminal:
            try:
                terminal.read_until(" s, index on t_001: scanning collection, 300 of 500 documents")
                told = project("status").stdout
                assert "(index on t_001: scanning collection, 300 of 500 documents) by " in told
            finally:
                client.admin.command({"configureFailPoint": FAIL_POINT, "mode": "off"})
            assert terminal.ended() == 0


def test_a_loop_with_a_total_says_how_much_time_is_left_and_a_pipe_gets_lines_at_growing_intervals(
    two: Project,
) -> None:
    assert two("apply", "--yes").code == 0
    loop = "for n in track(range(4), total=4, unit='rows'):\n    here(f'at{n}')\n"
    two.file("shop", "003", loop, head="from dataops.progress import track")
    with Terminal(two, "apply", "--yes", env={"COLUMNS": "160"}) as terminal:
        two.go("at0")
        two.reached("at1")
        terminal.read_until(" s, 1 of 4 rows")
        two.go("at1")
        terminal.read_until("2 of 4 rows")
        terminal.read_until(" left")
        for name in ("at2", "at3"):
            two.go(name)
        assert terminal.ended() == 0

    two.file("shop", "004", "here('long')")
    with two.start("apply", "--yes") as process:
        assert process.stderr is not None
        two.reached("long")
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "still running" in line:
                break
        two.go("long")
        lines += list(process.stderr)
        assert process.wait(20) == 0
    assert lines.index("shop: apply 004 …\n") < next(at for at, line in enumerate(lines) if "still running, " in line)


def test_another_terminal_sees_how_far_a_loop_of_a_file_is_and_nothing_of_it_when_the_step_is_over(
    two: Project, pg: psycopg.Connection[Any], pg_url: str
) -> None:
    assert two("apply", "--yes").code == 0
    for service, db in (("shop", ""), ("bank", ", db")):
        loop = f"for n in track(range(40), 40, 'rows'):\n    if n in (0, 3):\n        here(f'{service}{{n}}'{db})\n"
        two.file(service, "003", loop, head="from dataops.progress import track")
        two.file(service, "004", f"here('{service}-next'{db})")
    with two.running("apply", "--yes") as process:
        for service in ("shop", "bank"):
            two.reached(f"{service}0")
            two.go(f"{service}0")
        for service in ("shop", "bank"):
            two.reached(f"{service}3")
        until(lambda: two("status").stdout.count("3 of 40 rows, ") == 2, 20, what="status says how far both are")
        services = two("status", "--json").json["services"]
        for one in services:
            doing = one["running"]["doing"]
            assert (doing["done"], doing["total"], doing["unit"]) == (3, 40, "rows"), one
            assert doing["left"] == pytest.approx(37 / doing["rate"], rel=0.01), one
        assert sessions_that_tell(pg) == 1
        with role(pg_url, "looker") as url:
            pg.execute("GRANT USAGE ON SCHEMA public, dataops_history TO looker")
            pg.execute("GRANT SELECT ON alembic_version, dataops_history.dataops_journal TO looker")
            assert "3 of 40 rows, " in two("status", "--service", "shop", env={"SHOP_URL": url}).stdout
        runs = two("history", "--json").json["runs"]
        assert (sorted(runs[0]["running"]), runs[0]["open"], runs[1]["running"]) == (["bank/003", "shop/003"], [], [])
        assert "✗" not in two("history").stdout + two("history", runs[0]["run"]).stdout
        for service in ("shop", "bank"):
            two.go(f"{service}3")
            two.reached(f"{service}-next")
        for one in two("status", "--json").json["services"]:
            assert (one["running"]["migration"], one["running"]["doing"]) == ("004", None)
        for service in ("shop", "bank"):
            two.go(f"{service}-next")
        assert process.wait(20) == 0
    assert sessions_that_tell(pg) == 0


def test_watching_needs_a_terminal_and_no_other_output(two: Project) -> None:
    for options in (["--watch"], ["--watch", "--json"], ["--watch", "--check"], ["--watch", "-o", "csv"]):
        answer = two("status", *options)
        assert (answer.code, "--watch" in answer.stdout + answer.stderr) == (64, True), options


def test_colours_are_where_force_color_wants_them_and_nowhere_with_no_color(two: Project) -> None:
    green = "\x1b[32m"
    assert green not in two("apply", "--yes").stdout
    assert green in two("status", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b[3" not in two("status", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    assert "\x1b" not in two("status", "--json", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b" not in two("status", env={"FORCE_COLOR": ""}).stdout
