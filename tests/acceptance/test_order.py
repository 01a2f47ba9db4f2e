"""Several services at once: who waits for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dataops.dev import PostgresServer
from tests.projects import Project, ended
from tests.servers import fresh_postgres


@pytest.fixture
def three(project: Project, postgres: PostgresServer) -> Iterator[Project]:
    """Services a, b and c, with nothing in them."""
    with ExitStack() as stack:
        for name in ("a", "b", "c"):
            project.add(name, stack.enter_context(fresh_postgres(postgres)))
        yield project


def test_what_depends_on_something_waits_for_it(three: Project) -> None:
    """b and c are independent of each other; a needs b."""
    three.configure(a={"depends_on": ["b"]})
    three.table("a", "1")
    three.file("b", "1", "here('in-b')")
    three.file("c", "1", "here('in-c')")
    with three.running("apply", "--yes") as process:
        three.reached("in-b")
        three.reached("in-c")
        assert three("status", "--json", "--service", "a").json["services"][0]["last"] is None
        three.go("in-b")
        three.go("in-c")
        assert ended(process).code == 0


def test_a_service_in_between_with_nothing_to_do_passes_the_order_on(three: Project) -> None:
    """a needs b, b needs c, and b has no migration: a still waits for c, and is undone before it."""
    three.configure(a={"depends_on": ["b"]}, b={"depends_on": ["c"]})
    three.table("a", "1")
    three.file("c", "1", "here('in-c')", "op.execute('SELECT 1')")
    with three.running("apply", "--yes") as process:
        three.reached("in-c")
        three.go("in-c")
        assert ended(process).code == 0
    entries = three("history", "--json").json["entries"]
    assert [e["service"] for e in entries if e["event"] == "succeeded"] == ["a", "c"]
    assert three("rollback", "--yes", "--steps", "2").code == 0
    entries = three("history", "--json").json["entries"]
    assert [e["service"] for e in entries if (e["event"], e["direction"]) == ("succeeded", "rollback")] == ["c", "a"]


def test_a_dependency_that_fails_stops_what_needs_it(three: Project) -> None:
    three.configure(a={"depends_on": ["b"]})
    three.table("a", "1")
    three.file("b", "1", "op.execute('SELECT 1 / 0')")
    answer = three("apply", "--yes", "--json")
    assert (answer.code, answer.json["done"], answer.json["left"]) == (1, [], ["a/1"])


def test_locks_are_taken_in_one_order_whatever_was_chosen(three: Project) -> None:
    """Else two runs could each hold what the other waits for: all of them (c before a), and b with c."""
    three.configure(a={"depends_on": ["c"]})
    for service in ("a", "b", "c"):
        three.table(service, "1")
    orders = []
    for command in (["apply"], ["rollback", "--steps", "3"], ["apply", "--service", "c", "--service", "b"], ["apply"]):
        answer = three(*command, "--yes", "--log-format", "json")
        assert answer.code == 0
        lines = [json.loads(line) for line in answer.stderr.splitlines()]
        orders.append([line["service"] for line in lines if line["event"] == "lock_taken"])
    assert orders == [["a", "b", "c"], ["a", "b", "c"], ["b", "c"], ["a"]]


def test_jobs_one_runs_one_service_after_the_other(three: Project) -> None:
    for service in ("a", "b", "c"):
        three.file(service, "1", "op.execute('SELECT pg_sleep(0.1)')")
    answer = three("apply", "--yes", "--jobs", "1", "--log-format", "json")
    assert answer.code == 0
    events = [json.loads(line)["event"] for line in answer.stderr.splitlines()]
    assert [e for e in events if e.startswith("step_")] == ["step_started", "step_finished"] * 3
