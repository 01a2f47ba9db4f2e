"""What the executor promises, on databases in memory: nothing here needs a server.

A file is `a`, `b` or `c` of a service; while it runs it calls the hook of its name, `shop/a` for example.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dataops.backends import opened
from dataops.errors import LockLost, LockNotObtained, MigrationFailed, StalePlan, Stopped
from dataops.events import (
    Event,
    LockTaken,
    NothingLeft,
    RunFinished,
    StepFailed,
    StepFinished,
    StepProgressed,
    StepRetried,
    StepStarted,
)
from dataops.model import Author, Direction, Entry, JournalEvent, Migration, Plan, Result, Service, Timeouts
from dataops.planning import planner
from dataops.run import retry
from dataops.run.executor import execute
from dataops.run.stop import StopSignal
from tests import memory
from tests.memory import MEMORY, Conflict, fresh_url, hooks, server_of

AUTHOR = Author(run="run-1", actor="ann", host="pod-1", version="0.1.0")
OTHER = Author(run="run-2", actor="bob", host="pod-2", version="0.1.0")

FILE = """
from dataops.progress import track
from tests.memory import call
name = {id!r}
dependencies = {parents!r}
def upgrade(db):
    for row in track([1, 2], total=2, unit="rows"):
        db.{id}.insert_one(row)
    call("{service}/{id}")
def downgrade(db):
    call("{service}/{id}")
    db.{id}.drop()
"""


def service(name: str, ids: str = "ab", *, depends_on: tuple[str, ...] = ()) -> Service:
    """A service with a database of its own and one file for each letter."""
    files = []
    for at, id_ in enumerate(ids):
        parents = [ids[at - 1]] if at else []
        text = FILE.format(id=id_, parents=parents, service=name).encode()
        files.append(Migration(id_, tuple(parents), Path(f"{id_}.py"), MEMORY, text))
    timeouts = Timeouts(lock=0.2)
    return Service(name, MEMORY, fresh_url(), Path("."), tuple(files), depends_on, timeouts)


@dataclass
class Runs:
    """Plans and runs over some services; `heard` are the events, `ran` the files in the order in which they ran."""

    services: tuple[Service, ...]
    heard: list[Event] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    stop: StopSignal = field(default_factory=StopSignal)

    def __post_init__(self) -> None:
        for one in self.services:
            for migration in one.migrations:
                self.at(f"{one.name}/{migration.id}", lambda: None)

    def at(self, name: str, what: Callable[[], object]) -> None:
        """Call `what` while that file runs."""

        def call() -> None:
            self.ran.append(name)
            what()

        hooks[name] = call

    def plan(self, direction: Direction = Direction.APPLY, **how: Any) -> Plan:
        states = []
        for one in self.services:
            with opened(one) as database:
                states.append(database.read())
        if direction is Direction.APPLY:
            return planner.plan_apply(states)
        return planner.plan_rollback(states, **(how or {"steps": 99}))

    def __call__(self, plan: Plan | None = None, **how: Any) -> Result:
        return execute(plan or self.plan(), AUTHOR, emit=self.heard.append, stop=self.stop, **how)

    def journal(self, name: str) -> list[tuple[str, JournalEvent]]:
        return [(entry.migration, entry.event) for entry in self.entries(name)]

    def entries(self, name: str) -> list[Entry]:
        (one,) = [one for one in self.services if one.name == name]
        with opened(one) as database:
            return list(reversed(database.history(None)))

    def events(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]


@pytest.fixture(autouse=True)
def _no_hooks() -> Iterator[None]:
    yield
    hooks.clear()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "pause_after", lambda attempt: 0.0)


STARTED, SUCCEEDED, FAILED = JournalEvent.STARTED, JournalEvent.SUCCEEDED, JournalEvent.FAILED


def ids(steps: Any) -> list[str]:
    return [step.id for step in steps]


# --- order


def test_steps_run_in_their_order_and_each_is_journalled_before_and_after() -> None:
    runs = Runs((service("shop"),))
    result = runs()
    assert (ids(result.done), result.failures, result.left, result.stopped) == (["shop/a", "shop/b"], (), (), False)
    assert runs.ran == ["shop/a", "shop/b"]
    assert runs.journal("shop") == [("a", STARTED), ("a", SUCCEEDED), ("b", STARTED), ("b", SUCCEEDED)]
    assert [type(event) for event in runs.heard if not isinstance(event, StepProgressed)][-5:] == [
        StepStarted, StepFinished, StepStarted, StepFinished, RunFinished,
    ]  # fmt: skip


def test_the_journals_seconds_are_the_results() -> None:
    runs = Runs((service("shop"),))
    runs()
    told = [event.seconds for event in runs.events(StepFinished)]
    assert told == [entry.seconds for entry in runs.entries("shop") if entry.event is SUCCEEDED]


def test_a_service_comes_after_those_that_it_depends_on_and_before_them_when_it_is_undone() -> None:
    runs = Runs((service("docs", depends_on=("shop",)), service("shop")))
    runs()
    assert runs.ran == ["shop/a", "shop/b", "docs/a", "docs/b"]
    runs.ran.clear()
    result = runs(runs.plan(Direction.ROLLBACK))
    assert runs.ran == ["docs/b", "docs/a", "shop/b", "shop/a"]
    assert len(result.done) == 4


def test_a_dependency_without_steps_keeps_nobody_waiting() -> None:
    runs = Runs((service("docs", depends_on=("shop",)), service("shop", "")))
    assert ids(runs().done) == ["docs/a", "docs/b"]


def test_services_that_do_not_depend_on_each_other_run_side_by_side() -> None:
    meeting = threading.Barrier(2)
    runs = Runs((service("docs", "a"), service("shop", "a")))
    for name in ("docs/a", "shop/a"):
        runs.at(name, lambda: meeting.wait(20))  # each waits inside of its step until the other is there
    assert sorted(ids(runs().done)) == ["docs/a", "shop/a"]


def test_with_one_job_services_run_one_after_the_other() -> None:
    inside: list[str] = []
    most: list[int] = []
    runs = Runs((service("docs"), service("shop")))

    def enter(name: str) -> None:
        inside.append(name)
        most.append(len(inside))
        inside.remove(name)

    for name in ("docs/a", "docs/b", "shop/a", "shop/b"):
        runs.at(name, lambda name=name: enter(name))  # type: ignore[misc]
    runs(jobs=1)
    assert max(most) == 1
    assert runs.ran == ["docs/a", "docs/b", "shop/a", "shop/b"]


def test_all_locks_are_taken_in_the_order_of_names_before_the_first_step() -> None:
    runs = Runs((service("shop"), service("docs"), service("auth", depends_on=("shop",))))
    runs()
    taken = [event.service for event in runs.heard if isinstance(event, LockTaken | StepStarted)][:4]
    assert taken[:3] == ["auth", "docs", "shop"]
    assert [type(event) for event in runs.heard][1:4] == [LockTaken] * 3


# --- failure


def test_a_failure_stops_every_service_at_its_next_step_and_what_succeeded_stays() -> None:
    """shop: a, b fails. docs is in the middle of its a meanwhile, finishes it, and does not begin b."""
    failed = threading.Event()
    runs = Runs((service("docs"), service("shop")))
    runs.at("docs/a", lambda: failed.wait(20))

    def fail() -> None:
        raise RuntimeError("no")

    runs.at("shop/b", fail)
    stop_waiting = runs.heard.append

    def hear(event: Event) -> None:
        stop_waiting(event)
        if isinstance(event, StepFailed):
            failed.set()

    result = execute(runs.plan(), AUTHOR, emit=hear, stop=runs.stop)
    assert sorted(ids(result.done)) == ["docs/a", "shop/a"]
    assert [failure.step.id for failure in result.failures if failure.step] == ["shop/b"]
    assert ids(result.left) == ["docs/b"]
    (failure,) = result.failures
    assert isinstance(failure.error, MigrationFailed)
    assert "RuntimeError: no" in failure.error.message
    assert failure.applied_before == 1
    assert runs.journal("shop")[-1] == ("b", FAILED)
    assert runs.entries("shop")[-1].error == "RuntimeError: no"


def test_a_refusal_under_one_lock_keeps_every_service_from_starting() -> None:
    """The plan was made, then somebody else changed shop in another way."""
    docs, shop = service("docs"), service("shop")
    runs = Runs((docs, shop))
    runs()
    plan = runs.plan(Direction.ROLLBACK)
    runs.ran.clear()
    with opened(shop) as database, database.lock(OTHER, timeout=1, waiting=lambda _: None, stop=lambda: False) as held:
        held.write(OTHER.entry(shop.migrations[0], Direction.ROLLBACK, SUCCEEDED))
        server_of(shop.url).record = {"b": server_of(shop.url).record["b"]}
    with pytest.raises(Exception, match="applied"):
        runs(plan)
    assert runs.ran == []


def test_what_another_run_did_meanwhile_is_not_done_again() -> None:
    runs = Runs((service("shop"),))
    plan = runs.plan()
    runs()
    runs.heard.clear()
    result = runs(plan)
    assert (result.done, result.left, result.failures) == ((), (), ())
    assert runs.events(NothingLeft)
    assert runs.ran == ["shop/a", "shop/b"]


def test_a_plan_for_another_database_is_stale() -> None:
    runs = Runs((service("shop"),))
    plan = runs.plan()
    (state,) = plan.states
    elsewhere = replace(plan, states=(replace(state, service=replace(state.service, url=fresh_url())),))
    with pytest.raises(StalePlan, match="another database"):
        runs(elsewhere)


def test_a_lock_that_is_held_is_waited_for_and_then_given_up() -> None:
    shop = service("shop")
    runs = Runs((shop,))
    plan = runs.plan()
    with (
        opened(shop) as database,
        database.lock(OTHER, timeout=1, waiting=lambda _: None, stop=lambda: False),
        pytest.raises(LockNotObtained, match="bob@pod-2"),
    ):
        runs(plan, lock_timeout=0.05)
    assert runs.ran == []


# --- stopping


def test_a_stop_lets_the_running_step_end_and_begins_no_other() -> None:
    runs = Runs((service("shop"),))
    runs.at("shop/a", runs.stop.stop)
    result = runs()
    assert (ids(result.done), ids(result.left), result.stopped) == (["shop/a"], ["shop/b"], True)
    assert runs.journal("shop") == [("a", STARTED), ("a", SUCCEEDED)]


def test_a_stop_before_the_first_step_does_nothing() -> None:
    runs = Runs((service("shop"),))
    plan = runs.plan()
    runs.stop.stop()
    with pytest.raises(Stopped, match="before the first step"):
        runs(plan)
    assert runs.journal("shop") == []


def test_an_abort_ends_the_running_step() -> None:
    runs = Runs((service("shop"),))
    text = FILE.replace("def downgrade", "    while True:\n        db.t.find_one()\ndef downgrade")
    shop = runs.services[0]
    endless = replace(shop.migrations[1], text=text.format(id="b", parents=["a"], service="shop").encode())
    runs.services = (replace(shop, migrations=(shop.migrations[0], endless)),)
    runs.at("shop/b", runs.stop.abort)
    result = runs()
    assert (ids(result.done), result.stopped) == (["shop/a"], True)
    assert runs.journal("shop")[-2:] == [("b", STARTED), ("b", FAILED)]


# --- the lock is lost


def test_a_lock_that_is_lost_in_a_step_ends_the_run_and_writes_nothing_more() -> None:
    shop = service("shop")
    runs = Runs((shop,))

    def lose() -> None:
        server_of(shop.url).token += 1

    runs.at("shop/b", lose)
    result = runs()
    (failure,) = result.failures
    assert isinstance(failure.error, LockLost)
    assert ids(result.done) == ["shop/a"]
    assert runs.journal("shop") == [("a", STARTED), ("a", SUCCEEDED), ("b", STARTED)]
    with opened(shop) as database:
        assert database.read().applied_ids == {"a"}


# --- the record does not show what ran


def test_a_step_whose_record_is_not_there_afterwards_counts_as_failed() -> None:
    """The server said that it had committed, and had not."""
    shop = service("shop", "a")
    runs = Runs((shop,))
    server_of(shop.url).forgets = True
    result = runs()
    (failure,) = result.failures
    assert "was run, but the record does not show it" in str(failure.error)
    assert result.done == ()


# --- trying again


def conflicts(*sqlstates: str) -> Callable[[], None]:
    """Raises one conflict at each call, until there are none left."""
    left = list(sqlstates)

    def conflict() -> None:
        if left:
            raise Conflict(left.pop(0))

    return conflict


@pytest.mark.parametrize("sqlstate", retry.SQLSTATES)
def test_a_step_that_was_rolled_back_for_a_passing_reason_is_tried_again(sqlstate: str) -> None:
    shop = service("shop", "a")
    runs = Runs((shop,))
    runs.at("shop/a", conflicts(sqlstate, sqlstate))
    result = runs()
    assert ids(result.done) == ["shop/a"]
    assert runs.ran == ["shop/a"] * 3
    assert [event.attempt for event in runs.events(StepRetried)] == [1, 2]
    assert runs.journal("shop") == [("a", STARTED), ("a", SUCCEEDED)]
    assert server_of(shop.url).data["a"] == [1, 2]  # once, not three times


def test_any_other_reason_is_a_failure_at_once() -> None:
    runs = Runs((service("shop", "a"),))
    runs.at("shop/a", conflicts("23505"))
    (failure,) = runs().failures
    assert "conflict 23505" in str(failure.error)
    assert runs.events(StepRetried) == []


def test_the_last_try_fails_with_what_the_server_said() -> None:
    runs = Runs((service("shop", "a"),))
    runs.at("shop/a", conflicts(*["40001"] * 99))
    (failure,) = runs().failures
    assert "Conflict: conflict 40001" in str(failure.error)
    assert runs.ran == ["shop/a"] * retry.TRIES


def test_a_stop_between_two_tries_ends_the_step_as_not_done() -> None:
    runs = Runs((service("shop"),))

    def stop_and_conflict() -> None:
        runs.stop.stop()
        raise Conflict("40001")

    runs.at("shop/a", stop_and_conflict)
    result = runs()
    assert (result.done, result.failures, result.stopped) == ((), (), True)
    assert ids(result.left) == ["shop/a", "shop/b"]
    assert runs.journal("shop") == [("a", STARTED), ("a", FAILED)]


# --- progress


def test_what_a_file_tracks_is_told_as_progress_of_its_step() -> None:
    runs = Runs((service("shop", "a"),))
    runs()
    progress = [(e.service, e.step.id, e.done, e.total, e.unit) for e in runs.events(StepProgressed)]
    assert progress == [("shop", "shop/a", 1, 2, "rows"), ("shop", "shop/a", 2, 2, "rows")]


def test_the_kind_in_memory_is_known_to_the_program_by_its_facts_alone() -> None:
    assert memory.MEMORY.module == "tests.memory"
    shop = service("shop", "a")
    with opened(shop) as database:
        assert database.read().pending == shop.migrations
