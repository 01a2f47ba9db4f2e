"""Whoever listens hears what a migration asks, and never a value."""

from __future__ import annotations

from contextlib import suppress

import pytest

from dataops.backends.journal import from_fields, to_fields
from dataops.backends.mongo.listener import Listener
from dataops.backends.postgres.runner import may_write
from dataops.model import Direction, Entry, JournalEvent, Sent, Spent
from dataops.statements import Statement, Tally, has_listeners, listening, report, without_values


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("CREATE TABLE t_001 (b varchar(32) DEFAULT 'it''s')", "CREATE TABLE t_001 (b varchar(?) DEFAULT ?)"),
        ("INSERT INTO a VALUES (%(p)s, $1, E'a\\'b', -1.5e3)", "INSERT INTO a VALUES (%(p)s, $1, ?, -?)"),
        ("UPDATE \"it's\" SET a = 'secret'", "UPDATE \"it's\" SET a = ?"),
        ("SELECT a -- it's\nFROM b WHERE c = 'secret'", "SELECT a FROM b WHERE c = ?"),
        ("/* it's */ SELECT 'secret'", "SELECT ?"),
        ("DO $$ BEGIN PERFORM 'secret'; END $$", "DO $$?$$"),
        ("CREATE FUNCTION f() AS $fn$ SELECT 'secret' $fn$ LANGUAGE sql", "CREATE FUNCTION f() AS $$?$$ LANGUAGE sql"),
        ("SELECT 'cut in the midd", "SELECT ?"),
        ("DO $$ cut in the midd", "DO $$?$$"),
        ("a\n  b", "a b"),
    ],
)  # fmt: skip
def test_sql_is_told_without_its_literals(sql: str, told: str) -> None:
    assert without_values(sql) == told


def test_sql_is_told_no_longer_than_is_of_use() -> None:
    assert len(without_values("SELECT a, " * 100_000)) == 1000


def test_everyone_who_listens_hears_it_and_only_while_they_do() -> None:
    one: list[Statement] = []
    two: list[Statement] = []
    said = Statement("api", "update")
    assert not has_listeners()
    with listening(one.append):
        with listening(two.append):
            report(said)
        report(said)
        assert has_listeners()
    report(said)
    assert (one, two) == ([said, said], [said])
    assert not has_listeners()


def test_a_listener_that_raises_hears_no_more_and_stops_nothing() -> None:
    heard: list[Statement] = []

    def broken(statement: Statement) -> None:
        heard.append(statement)
        raise RuntimeError("no")

    with listening(broken):
        report(Statement("api", "update"))
        report(Statement("api", "update"))
    assert len(heard) == 1


def test_a_command_that_is_not_on_a_collection_is_not_told() -> None:
    """`hello`, `commitTransaction`, and what logs in."""

    class Event:
        request_id = 1
        command_name = "saslStart"
        duration_micros = 5
        command = {"saslStart": 1, "payload": b"secret"}  # noqa: RUF012
        reply = {"ok": 1}  # noqa: RUF012

    heard: list[Statement] = []
    listener = Listener("api", Tally("documents", str), lambda: None)
    with listening(heard.append):
        listener.started(Event())  # type: ignore[arg-type]
        listener.succeeded(Event())  # type: ignore[arg-type]
    assert heard == []


STATEMENTS = {
    "SELECT 1": False, "select 1;": False, "-- INSERT\nSELECT 1": False, "/* ; */ /* x */SELECT 1": False,
    "SHOW all": False, "VALUES (1)": False, "TABLE a": False, "SET x = 1": False, "SAVEPOINT a": False,
    "WITH a AS (SELECT 1) SELECT * FROM a": False, "EXPLAIN SELECT 1": False, "FETCH 1 FROM c": False,
    "SELECT 1 INTO a": True, "SELECT 1; INSERT INTO a VALUES (1)": True, "INSERT INTO a VALUES (1)": True,
    "WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a": True, "EXPLAIN ANALYZE INSERT INTO a VALUES (1)": True,
    "EXPLAIN (ANALYSE) DELETE FROM a": True, "DO $$ $$": True, "CALL p()": True, "COPY a FROM STDIN": True,
    "TRUNCATE a": True, "SELECTS": True, "": True, "/* /* */ INSERT */ SELECT 1": True, "/* SELECT 1": True,
    "/**/" * 5000 + "INSERT INTO a VALUES (1)": True, "PREPARE a AS SELECT 1": True, "EXECUTE a": True,
}  # fmt: skip


@pytest.mark.parametrize(("sql", "writes"), STATEMENTS.items(), ids=range(len(STATEMENTS)))
def test_sql_that_is_not_certainly_a_read_is_a_write(sql: str, writes: bool) -> None:
    assert may_write(sql) is writes


def test_only_after_a_failure_the_count_stays() -> None:
    tally = Tally("rows", str.upper)
    with tally.counting():
        tally.send("insert", writes=True)
        tally.send("select", writes=False)
        tally.change(3)
        assert tally.sent() == Sent(1, 3, "rows", "SELECT")
    assert tally.sent() == Sent()
    with suppress(ValueError), tally.counting():
        tally.send("delete", writes=True)
        raise ValueError
    assert str(tally.sent()) == "1 write sent, 0 rows changed; last sent: DELETE"


def test_of_very_many_statements_only_the_slowest_are_remembered() -> None:
    told: list[str] = []

    def tell(text: str) -> str:
        told.append(text)
        return text

    tally = Tally("rows", tell)
    with tally.counting():
        for number in range(100_000):
            tally.spend(f"SELECT {number}", 0.001)
        assert told == []  # what is fast costs nothing
        for number in range(1_000):
            tally.spend(f"SELECT {number}", 0.01 + number / 1000)
        tally.spend("x" * 5000, 7.0)
        tally.spend("SELECT 999", 5.0)
        slowest = tally.sent().slowest
        assert len(tally._slow) <= 100
    assert [(one.text[:10], round(one.seconds, 3), one.count) for one in slowest] == [
        ("x" * 10, 7.0, 1), ("SELECT 999", 6.009, 2), ("SELECT 998", 1.008, 1), ("SELECT 997", 1.007, 1),
        ("SELECT 996", 1.006, 1),
    ]  # fmt: skip
    assert len(slowest[0].text) == 300
    assert tally.sent().slowest == ()


def test_what_the_journal_keeps_of_slow_statements_is_small_and_readable_again() -> None:
    wide = tuple(Spent("\u20ac" * 300, 1.0 * number, number) for number in range(5, 0, -1))
    entry = Entry("r", "001", Direction.APPLY, JournalEvent.SUCCEEDED, statements=wide)
    stored = to_fields(entry)
    assert len(stored["statements"].encode()) <= 4000
    assert from_fields(stored).statements == wide[:4]
