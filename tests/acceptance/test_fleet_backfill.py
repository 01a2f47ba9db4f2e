"""Backfills in the databases of a fleet, most of all what is for the background: what waits for it, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from dataops.errors import ExitCode
from tests.fleets import Fleet, fleet
from tests.projects import Project, ended, until

HEAD = "from dataops.backfill import backfill, restore\nbackground = True"
ROWS = 300


@pytest.fixture(params=["postgresql", "mongodb"])
def tenants(
    request: pytest.FixtureRequest, project: Project, postgres: PostgresServer, mongo: MongoServer
) -> Iterator[Fleet]:
    """Five databases with rows, of which the first is a canary, and a backfill that is still to be done in each."""
    with fleet(project, postgres if request.param == "postgresql" else mongo, 5) as found:
        found.configure(waves=[{"databases": [found.names[0]]}, {}])
        project.configure(tenants={"timeouts": {"lease": "1s"}})
        if found.is_mongo:
            project.file(
                "tenants",
                "001",
                f"db.orders.insert_many([{{'_id': at, 'n': 0}} for at in range({ROWS})])",
                "db.orders.drop()",
            )
            up, down = (
                "backfill(db, 'orders', set={'$inc': {'n': 1}}, once=True)",
                "restore(db, 'orders', set={'$inc': {'n': -1}})",
            )
            last = "db.create_collection('last')", "db.last.drop()"
        else:
            project.file(
                "tenants",
                "001",
                "op.execute('CREATE TABLE orders (id int PRIMARY KEY, n int)')\n"
                f"op.execute('INSERT INTO orders SELECT id, 0 FROM generate_series(1, {ROWS}) id')",
                "op.execute('DROP TABLE orders')",
            )
            up, down = "backfill(op, 'orders', set={'n': 'n + 1'})", "restore(op, 'orders', set={'n': 'n - 1'})"
            last = "op.execute('CREATE TABLE last (id int)')", "op.execute('DROP TABLE last')"
        assert project("apply", "--yes").code == ExitCode.OK
        project.file("tenants", "002", up, down, head=HEAD)
        project.file("tenants", "003", *last)
        yield found


def values(tenants: Fleet) -> dict[str, set[int]]:
    """Which values the rows of each database have: 0 before the backfill, and 1 once it has changed all of them."""
    found = {}
    for name in tenants.names:
        if tenants.is_mongo:
            with MongoClient[dict[str, Any]](tenants.server.url(name)) as client:
                found[name] = set(client.get_default_database().orders.distinct("n"))
        else:
            with psycopg.connect(tenants.server.url(name)) as connection:
                found[name] = {n for (n,) in connection.execute("SELECT DISTINCT n FROM orders")}
    return found


def of(tenants: Fleet, key: str) -> dict[str, Any]:
    return {one["database"]: one[key] for one in tenants.project("status", "--json").json["services"]}


def waiting(tenants: Fleet) -> list[str]:
    """The databases whose backfill waits just now."""
    return [name for name, found in of(tenants, "backfills").items() if any(one["paused"] for one in found)]


def test_no_wave_of_a_deployment_waits_for_the_background(tenants: Fleet) -> None:
    project = tenants.project
    left = project("apply", "--yes")
    assert left.code == ExitCode.OK, left.stderr
    assert values(tenants) == {name: {0} for name in tenants.names}
    assert project("status", "--check").code == ExitCode.OK
    assert project("wait", "--timeout", "1s").code == ExitCode.OK
    assert all(one["waiting"] == ["003"] for one in of(tenants, "background").values())
    done = project("apply", "--background", "--yes")
    assert done.code == ExitCode.OK, done.stderr
    assert values(tenants) == {name: {1} for name in tenants.names}
    undone = project(
        "rollback", "--yes", "--run", next(iter(of(tenants, "last").values()))["run"], "--allow", "destroys-data"
    )
    assert undone.code == ExitCode.OK, undone.stderr
    assert values(tenants) == {name: {0} for name in tenants.names}
    assert of(tenants, "applied") == dict.fromkeys(tenants.names, 1)


def test_pausing_a_fleet_is_told_once(tenants: Fleet) -> None:
    project, one = tenants.project, tenants.names[0]
    assert (
        project("pause", f"tenants@{one}").stdout
        == f"tenants@{one}: backfills wait; to go on: dataops resume tenants@{one}\n"
    )
    paused = project("pause", "tenants")
    assert paused.stdout == "tenants (5 databases): backfills wait; to go on: dataops resume tenants\n"
    assert set(project("status", "--json").json["services"][0]["paused"]) >= {"who"}
    assert project("resume", f"tenants@{one}").code == ExitCode.OK
    resumed = project("resume", "tenants")
    assert resumed.stdout == f"tenants (4 databases): backfills go on\ntenants@{one}: was not paused\n"
    assert not any(of(tenants, "paused").values())
    assert len(project("resume", "tenants", "-v").stdout.splitlines()) == 5


def test_one_that_is_paused_keeps_the_next_wave_from_beginning(tenants: Fleet) -> None:
    project, canary = tenants.project, tenants.names[0]
    assert project("pause", f"tenants@{canary}").code == ExitCode.OK
    with project.running("apply", "--background", "--yes") as process:
        until(lambda: waiting(tenants) == [canary])
        assert project("apply", "--yes").code == ExitCode.OK
        assert values(tenants) == {name: {0} for name in tenants.names}
        assert project("resume", "tenants").code == ExitCode.OK
        done = ended(process)
    assert done.code == ExitCode.OK, done.stderr
    assert values(tenants) == {name: {1} for name in tenants.names}


def test_killed_beside_one_that_is_paused_each_row_is_changed_once(tenants: Fleet) -> None:
    project, slow = tenants.project, tenants.names[2]
    others = {name: {1} for name in tenants.names if name != slow}
    assert project("pause", f"tenants@{slow}").code == ExitCode.OK
    with project.running("apply", "--background", "--yes") as process:
        until(lambda: waiting(tenants) == [slow] and values(tenants) == {**others, slow: {0}})
        until(lambda: of(tenants, "applied") == {name: 1 if name == slow else 3 for name in tenants.names})
        process.kill()
        process.wait()
    until(lambda: of(tenants, "background")[slow]["half_done"])  # MongoDB frees the lock of a dead run a little later
    assert project("apply", "--yes").code == ExitCode.OK
    assert values(tenants) == {**others, slow: {0}}
    assert project("resume", f"tenants@{slow}").code == ExitCode.OK
    done = project("apply", "--background", "--yes")
    assert done.code == ExitCode.OK, done.stderr
    assert values(tenants) == {**others, slow: {1}}
    assert of(tenants, "applied") == dict.fromkeys(tenants.names, 3)
