"""kill -9 and signals: what is left is either completed by the next run or refused with the two ways out."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dataops.dev import mongodb_server, postgres_server
from tests.projects import Project, ended, pause
from tests.servers import POSTGRES_MAJOR, Cli


def _applied(project: Project, service: str) -> int:
    rows = project("status", "--json").json["services"]
    return int(next(row["applied"] for row in rows if row["service"] == service))


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_the_next_apply_completes_the_histories(dataops_cli: Cli, seed: int) -> None:
    """All of Blink's migrations are atomic or repeatable, so there is never anything to decide."""
    moment = random.Random(seed).uniform(0.2, 4.0)
    process = dataops_cli.start("apply", "--yes")
    time.sleep(moment)  # the moment is the test, not a wait
    process.kill()
    process.communicate()

    again = dataops_cli("apply", "--yes", timeout=120)

    assert (again.code, again.stderr if again.code else "") == (0, "")
    assert dataops_cli("status", "--check").code == 0
    entries = dataops_cli("history", "--limit", "1000", "--json").json["entries"]
    succeeded = [(e["service"], e["migration"]) for e in entries if e["event"] == "succeeded"]
    assert sorted(succeeded) == sorted(set(succeeded))
    assert len(succeeded) == 62


def test_a_transactional_step_that_is_killed_leaves_nothing_and_runs_again(two: Project, pg_url: str) -> None:
    two.file("shop", "003", "op.execute('CREATE TABLE half (id int)')\nhere('middle')", "op.execute('DROP TABLE half')")
    with two.running("apply", "--yes", "--service", "shop") as process:
        two.reached("middle")
        process.kill()
        process.wait()
    two.go("middle")

    assert two("status").stdout.count("interrupted") == 0
    assert two("apply", "--yes").code == 0

    events = [
        e["event"] for e in two("history", "--service", "shop", "--json").json["entries"] if e["migration"] == "003"
    ]
    assert events == ["succeeded", "started", "failed", "started"]
    with psycopg.connect(pg_url) as connection:
        assert connection.execute("SELECT count(*) FROM half").fetchone() == (0,)


def test_a_repeatable_step_that_is_killed_runs_again(two: Project, mongo_db: Database[dict[str, Any]]) -> None:
    up = "db.half.update_one({'_id': 1}, {'$set': {'a': 1}}, upsert=True)\nhere('middle', db)"
    two.file("bank", "003", up, "db.half.drop()", head="repeatable = True")
    with two.running("apply", "--yes", "--service", "bank") as process:
        two.reached("middle")
        process.kill()
        process.wait()
    two.go("middle")

    assert two("apply", "--yes").code == 0
    assert list(mongo_db.half.find()) == [{"_id": 1, "a": 1}]


INTERRUPTED = {
    "bank": ("db.half.insert_one({'_id': 1})\nhere('middle', db)", "db.half.drop()"),
    "shop": (
        "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE half (id int)')\n    here('middle')",
        "op.execute('DROP TABLE half')",
    ),
}


@pytest.mark.parametrize("service", ["bank", "shop"])
@pytest.mark.parametrize("answer", ["--applied", "--not-applied"])
def test_a_step_that_is_neither_is_refused_until_somebody_says_what_is_true(
    two: Project, service: str, answer: str, pg_url: str, mongo_db: Database[dict[str, Any]]
) -> None:
    two.file(service, "003", *INTERRUPTED[service])
    with two.running("apply", "--yes", "--service", service) as process:
        two.reached("middle")
        process.kill()
        process.wait()
    two.go("middle")

    refused = two("apply", "--yes")
    assert refused.code == 6
    assert f"dataops resolve {service}/003 --applied" in refused.stderr
    assert f"dataops resolve {service}/003 --not-applied" in refused.stderr
    assert two("plan").code == 6
    assert two("status", "--check").code == 6
    assert "interrupted: apply 003" in two("status").stdout

    if answer == "--not-applied":  # the person has cleaned up
        mongo_db.half.drop()
        with psycopg.connect(pg_url, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS half")
    said = two("resolve", f"{service}/003", answer, "--reason", "I looked")
    assert said.code == 0

    assert _applied(two, service) == (3 if answer == "--applied" else 2)
    assert two("apply", "--yes").code == 0
    assert two("status", "--check").code == 0
    entries = two("history", "--service", service, "--json").json["entries"]
    assert [e["reason"] for e in entries if e["event"] == "resolved"] == ["I looked"]


@pytest.mark.parametrize("service", ["bank", "shop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_finishes_the_step_and_the_next_apply_goes_on(
    two: Project, service: str, number: signal.Signals
) -> None:
    two.file(service, "003", "here('middle', db)" if service == "bank" else "here('middle')")
    two.table(service, "004")
    with two.running("apply", "--yes", "--service", service) as process:
        two.reached("middle")
        process.send_signal(number)
        assert process.stderr is not None
        while "stopping after the running steps" not in (line := process.stderr.readline()):
            assert line, "it ended without a word"
        two.go("middle")
        answer = ended(process)
    assert answer.code == 75
    assert _applied(two, service) == 3
    assert two("apply", "--yes").code == 0
    assert _applied(two, service) == 4


def test_the_second_signal_stops_a_transactional_step_now_and_leaves_nothing(two: Project) -> None:
    """The statement sleeps for a minute; nobody waits for it."""
    two.file(
        "shop", "003", "op.execute('CREATE TABLE half (id int)')\nhere('middle')\nop.execute('SELECT pg_sleep(60)')"
    )
    with two.running("apply", "--yes", "--service", "shop") as process:
        two.reached("middle")
        process.send_signal(signal.SIGTERM)
        two.go("middle")
        assert process.stderr is not None
        while "stopping after" not in process.stderr.readline():
            assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        answer = ended(process)
    assert answer.code == 75
    assert time.monotonic() - began < 15
    assert _applied(two, "shop") == 2
    assert "interrupted" not in two("status").stdout


def test_a_lock_whose_holder_was_killed_is_free_again(two: Project) -> None:
    """PostgreSQL notices at once, MongoDB's lease (two seconds here) runs out."""
    two.file("shop", "003", "here('in-shop')")
    two.file("bank", "003", "here('in-bank', db)", head="repeatable = True")
    with two.running("apply", "--yes") as process:
        two.reached("in-shop")
        two.reached("in-bank")
        process.kill()
        process.wait()
    two.go("in-shop")
    two.go("in-bank")
    assert two("apply", "--yes", "--lock-timeout", "20s").code == 0


def test_a_paused_holder_that_wakes_up_cannot_write_into_the_next_ones_run(two: Project) -> None:
    two.file("bank", "003", "here('middle', db)\ndb.late.insert_one({})", head="repeatable = True")
    with two.running("apply", "--yes", "--service", "bank") as first:
        two.reached("middle")
        pause(first)
        two.go("middle")
        assert two("apply", "--yes", "--lock-timeout", "20s").code == 0
        first.send_signal(signal.SIGCONT)
        answer = ended(first)
    assert answer.code == 3
    assert "lock was lost" in answer.stderr
    entries = two("history", "--service", "bank", "--json").json["entries"]
    assert [e["event"] for e in entries if e["migration"] == "003"] == ["succeeded", "started", "failed", "started"]
    assert len({e["run"] for e in entries if e["migration"] == "003" and e["event"] == "succeeded"}) == 1
    assert two("status", "--check").code == 0


@pytest.mark.parametrize("kind", ["postgresql", "mongodb"])
def test_a_server_that_dies_in_the_middle_of_a_step_is_told_and_nothing_is_claimed(project: Project, kind: str) -> None:
    """Nobody can write the end of the step into the journal: so nobody says that it counts as not applied."""
    with ExitStack() as server:
        if kind == "postgresql":
            url = server.enter_context(postgres_server(POSTGRES_MAJOR)).create_database("trial")
        else:
            url = server.enter_context(mongodb_server()).url("trial")
        project.add("it", url, timeouts={"lease": "2s", "connect": "2s"})
        project.table("it", "001")
        again = "op.execute('SELECT 1')" if kind == "postgresql" else "db.t_001.find_one()"
        project.file("it", "002", f"here('x'{'' if kind == 'postgresql' else ', db'})\n{again}")
        with project.running("apply", "--yes", "--json") as process:
            project.reached("x")
            server.close()
            project.go("x")
            answer = ended(process)
    assert answer.code == 3
    assert answer.json["done"] == ["it/001"]
    assert [failed["step"] for failed in answer.json["failed"]] == ["it/002"]
    assert "counts as not applied" not in answer.stderr


def test_a_crash_between_the_record_and_the_journal_is_closed_by_the_next_run(two: Project, mongo_url: str) -> None:
    """MongoDB cannot write both at once: started is there, the record is there, succeeded is not."""
    two.configure(bank={"timeouts": {"lease": "1s"}})
    assert two("apply", "--yes", "--service", "bank").code == 0
    with MongoClient[dict[str, Any]](mongo_url) as client:
        journal = client.get_default_database().dataops_journal
        newest = journal.find_one(sort=[("seq", -1)])
        assert newest is not None
        journal.delete_one({"_id": newest["_id"]})
    assert two("status", "--check", "--service", "bank").code == 0
    two.table("bank", "003")
    assert two("apply", "--yes", "--service", "bank").code == 0
    entries = two("history", "--service", "bank", "--json").json["entries"]
    ends = [(e["migration"], e["reason"]) for e in entries if e["event"] == "succeeded"]
    assert ends == [("003", None), ("002", "found done in the native record after a crash"), ("001", None)]


def test_a_statement_that_takes_longer_than_it_may_fails_and_is_rolled_back(two: Project) -> None:
    two.configure(shop={"timeouts": {"statement": "200ms"}})
    two.file("shop", "003", "op.execute('CREATE TABLE half ()')\nop.execute('SELECT pg_sleep(60)')")
    answer = two("apply", "--yes", "--service", "shop")
    assert answer.code == 1
    assert "statement timeout" in answer.stderr
    assert _applied(two, "shop") == 2
