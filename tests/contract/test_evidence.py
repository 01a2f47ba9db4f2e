"""What is done to a journal behind our back is found, on every kind of database, whoever did it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from pymongo import MongoClient

from dataops.model import NOT_ONE_TRANSACTION, Direction, Entry, JournalEvent, Spent
from dataops.planning import evidence
from dataops.planning.evidence import Verdict
from tests import memory
from tests.contract.conftest import AUTHOR, Trial
from tests.contract.test_backends import entry, held, run

Stored = list[dict[str, Any]]
INSERT = "INSERT INTO dataops_history.dataops_journal ({}) OVERRIDING SYSTEM VALUE VALUES ({})"
SET_SEQUENCE = """
SELECT setval(own, greatest(%s, nextval(own)))
  FROM (SELECT pg_get_serial_sequence('dataops_history.dataops_journal', 'seq')::regclass AS own) AS sequence
"""


def verdict(trial: Trial) -> Verdict:
    return evidence.verify(trial.database().links())


def damaged(trial: Trial) -> list[tuple[int, str]]:
    return [(damage.seq, damage.migration) for damage in verdict(trial).damages]


@contextmanager
def by_hand(trial: Trial) -> Iterator[Callable[[Stored | None], Stored]]:
    """Reads the journal as it is stored, oldest first; called with entries, it puts these in the place of all."""
    if trial.is_memory:
        journal = memory.server_of(trial.url).journal

        def in_memory(entries: Stored | None) -> Stored:
            journal[:] = sorted(journal if entries is None else entries, key=lambda one: one["seq"])
            return [dict(one) for one in journal]

        yield in_memory
    elif trial.is_postgres:
        with psycopg.connect(trial.url, autocommit=True, row_factory=dict_row) as connection:

            def rows(entries: Stored | None) -> Stored:
                if entries is not None:
                    connection.execute("TRUNCATE dataops_history.dataops_journal")
                for one in entries or []:
                    statement = sql.SQL(
                        "INSERT INTO dataops_history.dataops_journal ({}) OVERRIDING SYSTEM VALUE VALUES ({})"
                    )
                    names = sql.SQL(", ").join(map(sql.Identifier, one))
                    connection.execute(
                        statement.format(names, sql.SQL(", ").join([sql.Placeholder()] * len(one))), list(one.values())
                    )
                if entries:
                    connection.execute(SET_SEQUENCE, [max(one["seq"] for one in entries)])
                return connection.execute("SELECT * FROM dataops_history.dataops_journal ORDER BY seq").fetchall()

            yield rows
    else:
        with MongoClient[dict[str, Any]](trial.url) as client:
            collection = client.get_default_database()["dataops_journal"]

            def documents(entries: Stored | None) -> Stored:
                if entries is not None:
                    collection.delete_many({})
                    collection.insert_many(entries)
                return list(collection.find().sort("seq", 1))

            yield documents


def without(one: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {key: "" if key in fields else value for key, value in one.items()}


@pytest.fixture
def applied(trial: Trial) -> Trial:
    """001 and 002 are applied and 002 is rolled back: six entries."""
    with held(trial.database()) as locked:
        for step in (trial.step("001"), trial.step("002"), trial.step("002", Direction.ROLLBACK)):
            locked.write(entry(step, JournalEvent.STARTED))
            run(locked, step)
    return trial


def test_a_journal_as_it_was_written_is_sound_and_a_change_of_any_field_is_found(applied: Trial) -> None:
    whole = verdict(applied)
    assert (whole.chained, whole.earlier, whole.between, whole.damages) == (6, 0, (), ())
    with by_hand(applied) as journal:
        before = journal(None)
        assert {"seq", "at", "imports", "statements", "previous", "hash"} < set(before[3])
        for field, value in before[3].items():
            if field == "_id":
                continue
            other: Any = "apply" if field == "direction" else ("failed" if field == "event" else f"{value}x")
            if isinstance(value, datetime):
                other = value + timedelta(milliseconds=1)
            if field in ("seq", "seconds"):
                other = (value or 0) + (0.001 if field == "seconds" else 1)
            if field == "direction" and value == other:
                other = "rollback"
            at = 5 if field == "seq" else 3  # the newest one: no entry has that number yet
            changed = {**before[at], field: other if field != "seq" else before[at]["seq"] + 1}
            journal([*before[:at], changed, *before[at + 1 :]])
            found = damaged(applied)
            assert found, field
            assert found[0] == (changed["seq"], changed["migration"]), field
        journal(before)
        assert verdict(applied) == whole


def test_an_entry_that_is_gone_moved_or_put_in_is_found(applied: Trial) -> None:
    whole = verdict(applied)
    with by_hand(applied) as journal:
        before = journal(None)
        for at in range(5):  # any but the newest, which no hash can tell
            journal([one for number, one in enumerate(before) if number != at])
            assert damaged(applied) == [(before[at + 1]["seq"], before[at + 1]["migration"])], at
        journal(before[:-1])
        assert damaged(applied) == []
        journal([without(one, "hash", "previous") if number < 2 else one for number, one in enumerate(before)])
        assert damaged(applied) == [(before[2]["seq"], before[2]["migration"])]
        journal([*before[:5], without(before[5], "hash", "previous")])
        assert "has lost its hash" in verdict(applied).damages[0].what
        twin = {**before[1], "seq": before[5]["seq"] + 1, **({"_id": "twin"} if "_id" in before[1] else {})}
        journal([*before, twin])
        assert damaged(applied) == [(twin["seq"], twin["migration"])] * 2
        journal([without(one, "hash", "previous") for one in before])
        assert (verdict(applied).chained, verdict(applied).earlier, damaged(applied)) == (0, 6, [])
        journal(before)
    assert verdict(applied) == whole


def test_entries_of_other_versions_have_no_hash_and_are_told_apart(applied: Trial) -> None:
    """Two of an earlier version, then ours; later the older version is used once more, and then ours again."""
    with by_hand(applied) as journal:
        before = journal(None)
        old = [{**without(one, "hash", "previous"), "version": "0.0.1"} for one in before[:2]]
        journal(old)
    with held(applied.database()) as locked:
        locked.write(entry(applied.step("002"), JournalEvent.STARTED))
    with by_hand(applied) as journal:
        now = journal(None)
        last = {**without(before[5], "hash", "previous"), "version": "0.0.1", "seq": now[-1]["seq"] + 1}
        journal([*now, last])
    with held(applied.database()) as locked:
        locked.write(entry(applied.step("002"), JournalEvent.FAILED))
    found = verdict(applied)
    assert (found.chained, found.earlier, [one.version for one in found.between]) == (2, 2, ["0.0.1"])
    assert found.damages == ()
    assert found.words == (
        "2 entries with a hash, 2 without one before them, as earlier versions wrote them, "
        "1 without one after them, by dataops 0.0.1"
    )


def test_what_a_failed_step_takes_back_leaves_no_gap_and_its_slowest_statements_are_kept(trial: Trial) -> None:
    spent = (Spent("UPDATE t SET a = ?", 1.5, 3), Spent("x" * 300, 0.02))
    with held(trial.database()) as locked:
        trial.project.file("it", "003", "raise RuntimeError('no')")
        run(locked, trial.step("001"))
        run(locked, trial.step("002"))
        with pytest.raises(RuntimeError):
            run(locked, trial.step("003"))
        step = trial.step("003")
        locked.write(AUTHOR.entry(step.migration, step.direction, JournalEvent.FAILED, error="no", statements=spent))
    assert damaged(trial) == []
    newest: Entry = trial.database().history(1)[0]
    assert newest.statements == spent


def test_two_marks_of_one_step_that_do_not_see_each_other_are_no_tampering(trial: Trial) -> None:
    """As two connections of a PostgreSQL step write them: both come after the same entry."""
    step = trial.step("001")
    mark = AUTHOR.entry(step.migration, step.direction, JournalEvent.STARTED, reason=NOT_ONE_TRANSACTION)
    with held(trial.database()) as locked:
        locked.write(entry(step, JournalEvent.STARTED))
        with by_hand(trial) as journal:
            first = journal(None)
        locked.write(mark)
        with by_hand(trial) as journal:
            one = journal(None)[1]
            journal(first)
        locked.write(mark)
        with by_hand(trial) as journal:
            journal([*journal(None), one])
        locked.write(entry(step, JournalEvent.SUCCEEDED))
    assert verdict(trial).chained == 4
    assert damaged(trial) == []
