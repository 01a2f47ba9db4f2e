"""What only MongoDB can get wrong: a lease is no session, and its holder may sleep, or believe that it holds it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dataops.backends.mongo import lease
from dataops.backends.mongo.operations import Operations, app_name
from dataops.errors import LockLost
from dataops.model import JournalEvent
from tests.contract.conftest import AUTHOR, OTHER, Trial
from tests.contract.test_backends import entry, held, run
from tests.projects import Project, ended, pause, until

Document = dict[str, Any]


@pytest.fixture(params=["mongo_url", "mongo_standalone_url"])
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    made = Trial(Project(tmp_path), request.getfixturevalue(request.param))
    yield made
    made.close()


@pytest.fixture
def db(trial: Trial) -> Iterator[Database[Document]]:
    with MongoClient[Document](trial.url) as client:
        yield client.get_default_database()


def _lock(db: Database[Document]) -> Document:
    found = db.dataops_lock.find_one()
    assert found is not None
    return found


def test_every_holder_has_a_higher_token_and_every_entry_a_higher_number(trial: Trial, db: Database[Document]) -> None:
    tokens = []
    for author in (AUTHOR, OTHER, AUTHOR):
        database = trial.database()
        with held(database, author) as locked:
            tokens.append(_lock(db)["token"])
            for event in (JournalEvent.STARTED, JournalEvent.FAILED):
                locked.write(entry(trial.step("001"), event, author))
    assert tokens == sorted(set(tokens))
    numbers = [one.seq for one in reversed(trial.database().history(None))]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6


def test_a_lease_is_kept_for_longer_than_it_lasts(trial: Trial) -> None:
    database = trial.database()
    with held(database) as locked:
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 1.5 * trial.service.timeouts.lease)
        locked.check()
        assert trial.database().read().holder is not None
        locked.write(entry(trial.step("001"), JournalEvent.STARTED))


def test_who_gets_the_lease_of_a_dead_holder_has_outlived_it(trial: Trial, db: Database[Document]) -> None:
    """The holder is gone without a word: its document stays, with an end that is still to come."""
    db.dataops_lock.insert_one({"_id": "migrations", "token": 7, "run": "r", "who": "dead@pod", "acquired_at": None})
    ahead = [{"$set": {"expires_at": {"$add": ["$$NOW", 1000]}, "acquired_at": "$$NOW"}}]
    db.dataops_lock.update_one({}, ahead)
    ends = _lock(db)["expires_at"]
    with held(trial.database()):
        assert _lock(db)["token"] == 8
        assert _lock(db)["acquired_at"] >= ends


@pytest.mark.parametrize("taken", [False, True])
def test_a_heartbeat_that_fails_ends_the_lease_by_the_holders_own_clock(
    trial: Trial, db: Database[Document], taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing reaches the server any more (or it says that another has it): `still_held` raises in time."""
    database, step = trial.database(), trial.step("001")
    trial.project.file("it", "003", "while True:\n    db.t.insert_one({})\n    time.sleep(0.05)")
    with held(database) as locked:

        def fails(self: lease.Lease, locks: Any) -> None:
            if not taken:
                from pymongo.errors import AutoReconnect

                raise AutoReconnect("cut off")

        monkeypatch.setattr(lease.Lease, "_beat", fails)
        began = time.monotonic()
        with pytest.raises(LockLost, match="lock was lost"):
            run(locked, trial.step("003"))  # what runs is made to fail
        assert time.monotonic() - began < trial.service.timeouts.lease + 1.5
        with pytest.raises(LockLost):
            locked.check()
        with pytest.raises(LockLost):
            locked.write(entry(step, JournalEvent.STARTED))
        with pytest.raises(LockLost):
            run(locked, step)
    assert database.history(None) == ()
    assert db.t_001.count_documents({}) == 0


def test_the_token_decides_too_whatever_the_holder_believes(
    trial: Trial, db: Database[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder's clock stands still, as in a virtual machine that was frozen. Another run has taken the lease since.

    As long as nobody has taken it, a lease that ended by the server's clock is still ours: that clock may have jumped.
    """
    database = trial.database()
    with held(database) as locked:
        monkeypatch.setattr(lease, "clock", lambda: 0.0)
        db.dataops_lock.update_one({}, [{"$set": {"expires_at": {"$subtract": ["$$NOW", 1]}}}])
        locked.write(entry(trial.step("001"), JournalEvent.STARTED))
        db.dataops_lock.update_one({}, {"$inc": {"token": 1}})
        locked.check()
        with pytest.raises(LockLost):
            locked.write(entry(trial.step("001"), JournalEvent.FAILED))
    assert [one.event for one in database.history(None)] == [JournalEvent.STARTED]


def test_a_paused_holder_that_wakes_up_writes_neither_journal_nor_record(two: Project) -> None:
    """It sleeps in the middle of a step; its lease ends, another run decides; then it wakes up and is told."""
    two.file("bank", "003", "db.half.insert_one({'_id': 1})\nhere('x', db)", "db.half.drop()", head="repeatable = True")
    two.path("bank", "003").write_text(two.path("bank", "003").read_text().replace("insert_one(", "replace_one({}, ")
                                       .replace("{'_id': 1})", "{'_id': 1}, upsert=True)"))  # fmt: skip
    with two.running("apply", "--yes", "--service", "bank") as sleeper:
        two.reached("x")
        pause(sleeper)
        two.go("x")
        other = two("apply", "--yes", "--service", "bank", "--json")
        assert (other.code, other.json["done"]) == (0, ["bank/003"])
        before = two("history", "--service", "bank", "--json").json
        sleeper.send_signal(signal.SIGCONT)
        answer = ended(sleeper)
    assert answer.code == 3
    assert "lock was lost" in answer.stderr
    assert two("history", "--service", "bank", "--json").json == before
    assert two("status", "--check", "--service", "bank").code == 0


def test_an_open_transaction_of_a_dead_run_is_ended(mongo_db: Database[dict[str, Any]], mongo_url: str) -> None:
    mongo_db.orders.insert_one({"_id": 1})
    with MongoClient[dict[str, Any]](mongo_url, appname=app_name("dead", mongo_db.name)) as dead:
        session = dead.start_session()
        session.start_transaction()
        dead[mongo_db.name].orders.update_one({"_id": 1}, {"$set": {"n": 1}}, session=session)
        operations = Operations(mongo_db)
        assert [str(one) for one in operations.of(lambda run: run == "dead")] == ["an open transaction of run dead"]
        assert operations.end(lambda run: run == "dead", seconds=60) == []
        assert mongo_db.orders.find_one_and_update({"_id": 1}, {"$set": {"m": 1}}) == {"_id": 1}
