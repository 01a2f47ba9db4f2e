"""Several services at once: who waits for whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dataops.dev import PostgresServer
from tests.projects import Project, ended, until
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
    assert three("rollback", "--yes").code == 0
    entries = three("history", "--json").json["entries"]
    assert [e["service"] for e in entries if (e["event"], e["direction"]) == ("succeeded", "rollback")] == ["c", "a"]


def test_a_dependency_that_fails_stops_what_needs_it(three: Project) -> None:
    three.configure(a={"depends_on": ["b"]})
    three.table("a", "1")
    three.file("b", "1", "op.execute('SELECT 1 / 0')")
    answer = three("apply", "--yes", "--json")
    assert (answer.code, answer.json["done"], answer.json["left"]) == (1, [], ["a/1"])


def test_two_runs_over_different_services_never_wait_for_each_other_in_a_circle(three: Project) -> None:
    """Run 1 plans c, a, b (a needs c), run 2 plans b, c: each must take c and b in the same order.

    Somebody holds the second lock of the order; both runs come, wait, and both finish when it is free.
    """
    three.configure(a={"depends_on": ["c"]})
    for service in ("a", "b", "c"):
        three.file(service, "1", f"here('in-{service}')")
    for service in ("a", "c"):
        three.go(f"in-{service}")
    with three.running("apply", "--yes", "--service", "b") as holder:
        three.reached("in-b")
        with (
            three.running("apply", "--yes", "--lock-timeout", "20s") as one,
            three.running("apply", "--yes", "--lock-timeout", "20s", "--service", "b", "--service", "c") as two,
        ):
            for process in (one, two):
                assert process.stderr is not None
                while "waiting for the lock" not in (line := process.stderr.readline()):
                    assert line
            three.go("in-b")
            assert [ended(process).code for process in (holder, one, two)] == [0, 0, 0]
    until(lambda: three("status", "--check").code == 0)


def test_jobs_one_runs_one_service_after_the_other(three: Project) -> None:
    for service in ("a", "b", "c"):
        three.file(service, "1", "op.execute('SELECT pg_sleep(0.1)')")
    answer = three("apply", "--yes", "--jobs", "1", "--log-format", "json")
    assert answer.code == 0
    events = [line.split('"event": "')[1].split('"')[0] for line in answer.stderr.splitlines()]
    assert [e for e in events if e.startswith("step_")] == ["step_started", "step_finished"] * 3
