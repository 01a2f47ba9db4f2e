"""Whoever listens hears what a migration asks, and never a value."""

from __future__ import annotations

import pytest

from dataops.backends.mongo.listener import Listener
from dataops.statements import Statement, has_listeners, listening, report, without_values


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
    listener = Listener("api")
    with listening(heard.append):
        listener.started(Event())  # type: ignore[arg-type]
        listener.succeeded(Event())  # type: ignore[arg-type]
    assert heard == []
