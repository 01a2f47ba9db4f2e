"""MongoDB: whatever ends a client, its work on the server is ended too, and nobody else's.

The server goes on with an update when the client that has sent it is gone. The update here takes some seconds, or
a minute, a document at a time, and adds one to each of 2,000 counters.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dataops.dev import MongoServer, mongodb_server
from tests.projects import Project, ended, pause, until
from tests.proxies import Fault, proxied
from tests.servers import fresh_mongo

SLOW = """
busy = {"$reduce": {"input": {"$range": [0, 4000]}, "initialValue": 0, "in": {"$add": ["$$value", 1]}}}
add_one = [{"$set": {"n": {"$add": ["$n", 1]}, "busy": busy}}]
db.client.admin.command("ping")
db.c.update_many({}, add_one)
"""
VERY_SLOW = SLOW.replace("4000", "400000")
COUNT = 2000


@pytest.fixture
def bank(project: Project, mongo_url: str) -> Project:
    project.add("bank", mongo_url, timeouts={"lease": "2s", "connect": "2s"})
    project.file("bank", "001", f"db.c.insert_many([{{'n': 0}} for _ in range({COUNT})])", "db.c.drop()")
    assert project("apply", "--yes").code == 0
    return project


def counters(db: Database[dict[str, Any]]) -> Counter[int]:
    """How many documents have which counter."""
    return Counter(document["n"] for document in db.c.find())


def operations(db: Database[dict[str, Any]]) -> list[str]:
    """The commands of migrations that the server is busy with in this database."""
    found = db.client.admin.aggregate(
        [{"$currentOp": {"allUsers": True}}, {"$match": {"appName": {"$regex": f"^dataops/.* {db.name}$"}}}]
    )
    return [str(one.get("op")) for one in found if not {"hello", "isMaster"} & set(one.get("command", {}))]


def under_way(db: Database[dict[str, Any]], least: int = 10) -> None:
    """Wait until the update is in the middle of its work."""
    until(lambda: counters(db)[1] >= least, 60, what="the update has begun")
    assert counters(db)[0] > 0, "the update was too fast for this test"


def nothing_runs(db: Database[dict[str, Any]]) -> Counter[int]:
    """The counters, when the server does nothing for a migration and nothing changes any more."""
    assert operations(db) == []
    before = counters(db)
    time.sleep(0.5)
    assert counters(db) == before
    return before


@pytest.mark.parametrize("then", ["resolve", "apply"])
def test_a_killed_run_leaves_nothing_at_work_behind_the_next_command(
    bank: Project, mongo_db: Database[dict[str, Any]], then: str
) -> None:
    bank.file("bank", "002", VERY_SLOW, head="repeatable = True")
    with bank.running("apply", "--yes") as process:
        under_way(mongo_db)
        process.kill()
        process.wait()
    if then == "apply":  # of another file, so that this one's update is not sent again
        bank.file("bank", "002", "db.c.find_one()", parent="001", head="repeatable = True")
        assert bank("apply", "--yes", "--lock-timeout", "60s").code == 0
    else:
        assert bank("resolve", "bank/002", "--not-applied", "--reason", "looked").code == 0
    left = nothing_runs(mongo_db)
    assert left[0] > 0  # it was ended, and not only awaited
    assert set(left) == {0, 1}


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_connection_that_is_cut_is_as_a_kill(
    bank: Project, mongo_db: Database[dict[str, Any]], repeatable: bool
) -> None:
    """Nobody knows how far the command came: interrupted, unless the file may be run again."""
    bank.file("bank", "002", VERY_SLOW, head="repeatable = True" if repeatable else "")
    url = bank.env["BANK_URL_CON"]
    with proxied(url) as (through, proxy), bank.running("apply", "--yes", env={"BANK_URL_CON": through}) as process:
        under_way(mongo_db)
        proxy.cut()
        answer = ended(process, 120)
    left = nothing_runs(mongo_db)
    assert left[0] > 0
    assert answer.code == (1 if repeatable else 6), answer.stderr
    assert "bug" not in answer.stderr
    bank.file("bank", "002", "db.c.find_one()", parent="001", head="repeatable = True" if repeatable else "")
    again = bank("apply", "--yes", timeout=120)
    assert again.code == (0 if repeatable else 6), again.stderr


@pytest.mark.parametrize("option", ["socketTimeoutMS=500", "timeoutMS=500", "w=0", "readPreference=secondary"])
def test_what_the_url_says_for_an_application_does_not_hold_for_a_migration(
    bank: Project, mongo_db: Database[dict[str, Any]], option: str
) -> None:
    bank.file("bank", "002", SLOW if "imeout" in option else "db.c.update_many({}, {'$inc': {'n': 1}})")
    url = bank.env["BANK_URL_CON"]
    env = {"BANK_URL_CON": f"{url}{'&' if '?' in url else '?'}{option}"}
    assert f"{option} in the URL is not used" in bank("plan", "-v", env=env).stderr + bank("plan", "-v", env=env).stdout
    answer = bank("apply", "--yes", env=env, timeout=120)
    assert (answer.code, answer.stderr if answer.code else "") == (0, "")
    assert counters(mongo_db) == {1: COUNT}


def test_a_write_that_fails_unacknowledged_is_a_failure(bank: Project, mongo_db: Database[dict[str, Any]]) -> None:
    bank.file("bank", "002", "db.d.insert_one({'_id': 1})\ndb.d.insert_one({'_id': 1})")
    url = bank.env["BANK_URL_CON"]
    answer = bank("apply", "--yes", env={"BANK_URL_CON": f"{url}{'&' if '?' in url else '?'}w=0"})
    assert answer.code == 1
    assert "DuplicateKey" in answer.stderr


def test_a_run_that_lost_its_lease_does_not_end_the_work_of_the_next(
    bank: Project, mongo_db: Database[dict[str, Any]]
) -> None:
    bank.file("bank", "002", "here('first', db)", head="repeatable = True")
    bank.file("bank", "003", SLOW)
    with bank.running("apply", "--yes", "--steps", "1") as frozen:
        bank.reached("first")
        pause(frozen)
        bank.go("first")
        with bank.running("apply", "--yes", "--lock-timeout", "60s") as second:
            under_way(mongo_db)
            frozen.send_signal(signal.SIGCONT)
            first = ended(frozen, 60)
            answer = ended(second, 120)
    assert first.code == 3, first.stderr
    assert (answer.code, answer.stderr if answer.code else "") == (0, "")
    assert counters(mongo_db) == {1: COUNT}


def test_a_frozen_run_that_wakes_up_sends_nothing_more(bank: Project, mongo_db: Database[dict[str, Any]]) -> None:
    """Its loop goes on as soon as it wakes up, before its heartbeat does."""
    loop = """
    import pathlib
    for number in range(10 ** 9):
        db.loop.update_one({"_id": "here"}, {"$set": {"number": number}}, upsert=True)
    """
    bank.file("bank", "002", loop, head="repeatable = True")
    with bank.running("apply", "--yes") as frozen:
        until(lambda: mongo_db.loop.find_one({"number": {"$gt": 10}}), 60)
        pause(frozen)
        bank.file("bank", "002", "db.loop.update_one({'_id': 'here'}, {'$set': {'number': -1}})", parent="001",
                  head="repeatable = True")  # fmt: skip
        assert bank("apply", "--yes", "--lock-timeout", "60s").code == 0
        frozen.send_signal(signal.SIGCONT)
        assert ended(frozen, 60).code == 3
    found = mongo_db.loop.find_one()
    assert found == {"_id": "here", "number": -1}


def test_a_file_that_swallows_every_error_cannot_write_after_its_lease(
    bank: Project, mongo_db: Database[dict[str, Any]]
) -> None:
    stubborn = """
    import time
    while db.client is not None:
        try:
            db.loop.insert_one({})
        except BaseException:
            time.sleep(0.01)
            if time.monotonic() - began > 20:
                break
    """
    bank.file("bank", "002", stubborn, head="import time\nbegan = time.monotonic()\nrepeatable = True")
    with bank.running("apply", "--yes") as frozen:
        until(lambda: mongo_db.loop.find_one(), 60)
        pause(frozen)
        bank.file("bank", "002", "db.loop.drop()", parent="001", head="repeatable = True")
        assert bank("apply", "--yes", "--lock-timeout", "60s").code == 0
        frozen.send_signal(signal.SIGCONT)
        assert ended(frozen, 60).code == 3
    assert "loop" not in mongo_db.list_collection_names()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_lease_survives_a_clock_that_jumps(bank: Project, mongo_db: Database[dict[str, Any]], hours: int) -> None:
    """A dead run's lease ends also when the server's clock was set back; a live run keeps it when it was set forward.

    A clock that is set back by an hour is a lease that ends an hour later than it should.
    """
    bank.file("bank", "002", "here('first', db)", head="repeatable = True")
    with bank.running("apply", "--yes") as process:
        bank.reached("first")
        if hours < 0:
            process.kill()
            process.wait()
        later = datetime.now(UTC) - timedelta(hours=hours)
        mongo_db.dataops_lock.update_one({}, {"$set": {"expires_at": later}})
        if hours < 0:
            bank.go("first")
            assert bank("apply", "--yes", "--lock-timeout", "1s").code == 3
            assert bank("apply", "--yes", "--lock-timeout", "60s").code == 0
        else:
            until(lambda: mongo_db.dataops_lock.find_one({"expires_at": {"$gt": datetime.now(UTC)}}), 20)
            bank.go("first")
            assert ended(process, 60).code == 0


def test_a_user_without_rights_on_the_server_ends_its_own_operations(
    project: Project, mongo_with_passwords: MongoServer
) -> None:
    with fresh_mongo(mongo_with_passwords) as url, MongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        db.command("createUser", "worker", pwd="secret", roles=[{"role": "readWrite", "db": db.name}])
        worker = url.replace(url.partition("://")[2].rpartition("@")[0], "worker:secret")
        worker = worker.replace("authSource=admin", f"authSource={db.name}")
        project.add("bank", worker, timeouts={"lease": "2s"})
        project.file("bank", "001", f"db.c.insert_many([{{'n': 0}} for _ in range({COUNT})])", "db.c.drop()")
        assert project("apply", "--yes").code == 0
        project.file("bank", "002", VERY_SLOW)
        with project.running("apply", "--yes") as process:
            under_way(db)
            process.kill()
            process.wait()
        assert project("apply", "--yes").code == 6
        assert nothing_runs(db)[0] > 0


def test_a_waiter_whose_request_is_interrupted_waits_on(bank: Project) -> None:
    bank.file("bank", "002", "here('first', db)", head="repeatable = True")
    with bank.running("apply", "--yes") as first:
        bank.reached("first")
        interrupted = Fault("refuse", code="11601", only="findAndModify", times=2)
        with (
            proxied(bank.env["BANK_URL_CON"], interrupted) as (url, proxy),
            bank.running("apply", "--yes", "--lock-timeout", "60s", env={"BANK_URL_CON": url}) as waiter,
        ):
            assert waiter.stderr is not None
            while "waiting for the lock" not in (line := waiter.stderr.readline()):
                assert line, "it ended without waiting"
            until(lambda: proxy.asked > 20, 60, what="it asks on")
            bank.go("first")
            assert ended(first, 60).code == 0
            answer = ended(waiter, 60)
        assert proxy.struck.is_set()
        assert (answer.code, answer.stderr if answer.code else "") == (0, "")


def test_a_set_without_a_primary_says_that(project: Project) -> None:
    with mongodb_server(replica_set=True) as server, MongoClient[dict[str, Any]](server.url("admin")) as client:
        project.add("bank", server.url("trial"), timeouts={"connect": "1s"})
        project.file("bank", "001", "db.c.insert_one({})", "db.c.drop()")
        client.admin.command("replSetStepDown", 120, force=True)
        for command in (["status"], ["plan"], ["apply", "--yes"]):
            answer = project(*command)
            assert answer.code == 10
            assert "has no primary" in answer.stderr


def test_a_prune_that_was_killed_drops_nothing_behind_the_next_command(
    bank: Project, mongo_db: Database[dict[str, Any]]
) -> None:
    """Its drop waits on the server for the transaction of somebody else."""
    head = "from dataops.stash.mongo import applying, undoing\nrepeatable = True\n"
    up = 'with applying(db, "002") as stash:\n    stash.keep("c", {}, ["n"])'
    bank.file("bank", "002", up, 'with undoing(db, "002") as stash:\n    stash.restore("c", {})', head=head)
    assert bank("apply", "--yes").code == 0
    kept = mongo_db["dataops_stash_002.c"]
    with mongo_db.client.start_session() as session, session.start_transaction():
        assert kept.update_one({}, {"$set": {"held": True}}, session=session).matched_count
        with bank.running("stash", "prune", "--older-than", "0s", "--yes") as process:
            until(lambda: drops(mongo_db), what="the prune has begun to drop")
            process.kill()
            process.wait()
        bank.table("bank", "003")
        assert bank("apply", "--yes").code == 0
        assert drops(mongo_db) == []
        session.abort_transaction()
    assert kept.count_documents({}) == COUNT


def drops(db: Database[dict[str, Any]]) -> list[dict[str, Any]]:
    """The collections of this database that the server is dropping."""
    found = db.client.admin.aggregate([{"$currentOp": {"allUsers": True}}, {"$match": {"command.$db": db.name}}])
    return [one for one in found if "drop" in one.get("command", {})]
