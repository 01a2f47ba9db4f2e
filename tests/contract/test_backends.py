"""Every promise of dataops.backends, on three kinds of database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops.backends import Database, Locked, StepFailed
from dataops.backends.sandbox import Sandbox
from dataops.durations import Stopwatch
from dataops.errors import LockLost, LockNotObtained, Stopped, Unreachable
from dataops.model import Author, Direction, Entry, Holder, JournalEvent, Step
from dataops.progress import reporting
from tests import memory
from tests.contract.conftest import AUTHOR, OTHER, Trial
from tests.projects import until

Objects = Callable[[], set[str]]


def never() -> bool:
    return False


def held(database: Database, author: Author = AUTHOR, *, timeout: float = 10.0) -> AbstractContextManager[Locked]:
    return database.lock(author, timeout=timeout, waiting=lambda holder: None, stop=never)


def entry(step: Step, event: JournalEvent, author: Author = AUTHOR) -> Entry:
    return author.entry(step.migration, step.direction, event)


def run(locked: Locked, step: Step, author: Author = AUTHOR) -> Entry:
    """What a step raises, without what the database adds to it."""
    stopwatch = Stopwatch()
    try:
        return locked.run(step, lambda: replace(entry(step, JournalEvent.SUCCEEDED, author), seconds=stopwatch.seconds))
    except StepFailed as failed:
        cause = failed.cause
    raise cause


def test_reading_rendering_and_asking_for_history_create_nothing(trial: Trial, objects: Objects) -> None:
    before = objects()
    database = trial.database()
    state = database.read()
    assert (state.applied, state.last, state.holder, [m.id for m in state.pending]) == ((), None, None, ["001", "002"])
    assert database.history(None) == ()
    assert database.stash_entries() == ()
    with Sandbox() as sandbox:
        rendering = database.render(trial.step("001"), sandbox)
    assert rendering.opaque == ""
    assert any("t_001" in command for command in rendering.commands)
    assert objects() == before


def test_a_run_is_recorded_natively_and_in_the_journal(trial: Trial, objects: Objects) -> None:
    database, step = trial.database(), trial.step("001")
    with held(database) as locked:
        locked.check()
        locked.write(entry(step, JournalEvent.STARTED))
        done = run(locked, step)
    state = trial.database().read()
    assert [applied.id for applied in state.applied] == ["001"]
    assert "t_001" in objects()
    newest, oldest = database.history(None)
    assert (newest.event, oldest.event) == (JournalEvent.SUCCEEDED, JournalEvent.STARTED)
    assert newest.seq > oldest.seq
    assert newest.seconds == done.seconds  # one stopwatch: the journal says what the result says
    assert done.seconds is not None
    assert (newest.actor, newest.host, newest.run) == (AUTHOR.actor, AUTHOR.host, AUTHOR.run)
    assert newest.checksum == step.migration.checksum
    assert newest.at is not None
    assert state.applied[0].run == AUTHOR.run
    assert database.history(1) == (newest,)


def test_a_rollback_takes_the_record_back(trial: Trial, objects: Objects) -> None:
    database = trial.database()
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
        run(locked, trial.step("002", Direction.ROLLBACK))
    assert [applied.id for applied in trial.database().read().applied] == ["001"]
    assert "t_002" not in objects()


def test_the_lock_excludes_and_names_its_holder(trial: Trial) -> None:
    first, second = trial.database(), trial.database()
    seen: list[Holder | None] = []
    with held(first):
        assert "ana@pod-1" in str(trial.database().read().holder)
        with (
            pytest.raises(LockNotObtained, match="ana@pod-1"),
            second.lock(OTHER, timeout=0.2, waiting=seen.append, stop=never),
        ):
            raise AssertionError("two of us hold the lock")
    assert [holder.run for holder in seen if holder] == [AUTHOR.run]
    assert trial.database().read().holder is None
    with held(second, OTHER):
        assert OTHER.run in str(trial.database().read().holder)


def test_who_waits_for_the_lock_can_be_stopped(trial: Trial) -> None:
    with held(trial.database()):
        waiting = trial.database().lock(OTHER, timeout=60, waiting=lambda holder: None, stop=lambda: True)
        with pytest.raises(Stopped), waiting:
            raise AssertionError("two of us hold the lock")


def test_the_lock_is_given_back_when_its_scope_ends_in_an_error(trial: Trial) -> None:
    database = trial.database()
    with pytest.raises(RuntimeError), held(database):
        raise RuntimeError
    with held(trial.database(), OTHER, timeout=1):
        assert database.read().holder is not None


def test_without_the_lock_nothing_can_be_written(trial: Trial) -> None:
    """What needs the lock does not exist outside of it, and what is kept of it beyond its scope is refused."""
    database, step = trial.database(), trial.step("001")
    doing = {name for name in vars(Locked) if not name.startswith("_")} - {"database", "read"}
    assert {"write", "run", "resolve", "adopt", "prune"} < doing
    assert [name for name in doing if hasattr(database, name)] == []
    with held(database) as locked:
        pass
    with pytest.raises(LockLost):
        locked.check()
    with pytest.raises(LockLost):
        locked.write(entry(step, JournalEvent.STARTED))
    with pytest.raises(LockLost):
        run(locked, step)
    assert database.history(None) == ()
    assert database.read().applied == ()


def test_a_lost_lock_is_noticed_and_stops_every_write(trial: Trial) -> None:
    """PostgreSQL: the connection is terminated. MongoDB: somebody else's token is in the lock document."""
    database, step = trial.database(), trial.step("001")
    with held(database) as locked:
        locked.write(entry(step, JournalEvent.STARTED))
        if trial.is_memory:
            memory.server_of(trial.url).token += 1
        elif trial.is_postgres:
            with psycopg.connect(trial.url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dataops/2%'"
                )
        else:
            with MongoClient[dict[str, Any]](trial.url) as client:
                client.get_default_database().dataops_lock.update_one({}, {"$inc": {"token": 1}})
        with pytest.raises((LockLost, Unreachable)):
            locked.write(entry(step, JournalEvent.SUCCEEDED))
        with pytest.raises(LockLost):
            locked.check()
        with pytest.raises((LockLost, Unreachable)):
            run(locked, step)
    assert [e.event for e in trial.database().history(None)] == [JournalEvent.STARTED]
    assert trial.database().read().applied == ()


def test_a_migration_that_raises_is_not_recorded(trial: Trial, objects: Objects) -> None:
    body = "op.execute('CREATE TABLE half (id int)')" if trial.is_postgres else "db.half.insert_one({})"
    trial.project.file("it", "003", f"{body}\nraise RuntimeError('half-way')")
    database = trial.database()
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
        with pytest.raises(RuntimeError, match="half-way"):
            run(locked, trial.step("003"))
        locked.write(entry(trial.step("003"), JournalEvent.FAILED))
    state = trial.database().read()
    assert [applied.id for applied in state.applied] == ["001", "002"]
    assert ("half" in objects()) is not trial.service.kind.transactional  # atomic: nothing is left


def test_a_person_may_say_that_a_step_is_applied_or_not(trial: Trial) -> None:
    database, step = trial.database(), trial.step("001")
    for applied in (True, False):
        direction = Direction.APPLY if applied else Direction.ROLLBACK
        with held(database) as locked:
            answer = AUTHOR.entry(step.migration, direction, JournalEvent.RESOLVED, reason="seen")
            locked.resolve(answer, applied=applied)
        state = trial.database().read()
        assert [one.id for one in state.applied] == (["001"] if applied else [])
        assert state.claims == {"001": applied}
        assert state.last is not None
        assert state.last.reason == "seen"


def test_a_step_that_runs_is_seen_as_running_and_not_as_dead(trial: Trial) -> None:
    database, step = trial.database(), trial.step("001")
    with held(database) as locked:
        locked.write(entry(step, JournalEvent.STARTED))
        state = trial.database().read()
        assert state.last is not None
        assert (state.last.event, state.holder is not None) == (JournalEvent.STARTED, True)
    state = trial.database().read()
    assert state.last is not None
    assert (state.last.event, state.holder) == (JournalEvent.STARTED, None)


def test_progress_is_reported_in_the_thread_that_migrates(trial: Trial) -> None:
    head = "from dataops.progress import track"
    trial.project.file("it", "003", "for batch in track([[1, 2], [3]], total=3, unit='rows'):\n    pass", head=head)
    seen: list[tuple[int, int | None, str]] = []
    database = trial.database()
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
        with reporting(lambda done, total, unit: seen.append((done, total, unit))):
            run(locked, trial.step("003"))
    assert seen == [(2, 3, "rows"), (3, 3, "rows")]


def test_what_runs_can_be_aborted_from_another_thread(trial: Trial) -> None:
    sleeping = "op.execute('SELECT pg_sleep(60)')" if trial.is_postgres else (
        "db.t.insert_one({})\n"
        "while True:\n    db.t.find_one()\n    time.sleep(0.05)"
    )  # fmt: skip
    trial.project.file("it", "003", sleeping)
    database = trial.database()
    failed: list[BaseException] = []
    with held(database) as locked:
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))

        def work() -> None:
            try:
                run(locked, trial.step("003"))
            except Exception as error:  # noqa: BLE001
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: _is_busy(trial), what="the migration runs")
        locked.abort()
        thread.join(20)
        assert not thread.is_alive()
    assert len(failed) == 1
    assert [one.id for one in trial.database().read().applied] == ["001", "002"]


def _is_busy(trial: Trial) -> bool:
    if trial.is_memory:
        return memory.server_of(trial.url).running
    if trial.is_postgres:
        with psycopg.connect(trial.url) as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
            )
            row = connection.execute(query).fetchone()
            return row is not None and row[0] > 0
    with MongoClient[dict[str, Any]](trial.url) as client:
        return client.get_default_database().t.find_one() is not None


def test_closing_twice_is_fine(trial: Trial) -> None:
    database = trial.database()
    database.read()
    database.close()
    database.close()


def test_a_server_that_is_not_there_is_unreachable(trial: Trial) -> None:
    trial.project.env = dict.fromkeys(trial.project.env, trial.nowhere)
    database = trial.database()
    questions: list[Callable[[], object]] = [database.read, lambda: database.history(1), database.stash_entries]
    for question in questions:
        with pytest.raises(Unreachable, match="127.0.0.1:1"):
            question()
