"""How far a step is, told in the name of a session: whatever the file counts, and as long as the step runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from dataops.backends.postgres import PostgresDatabase, sql
from dataops.backends.postgres.telling import Telling
from dataops.errors import Unreachable
from dataops.model import Doing
from tests.projects import until
from tests.unit.sample import service

SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'dataops-at/%' AND datname = current_database()"
)


def sessions(pg: psycopg.Connection[Any]) -> list[int]:
    return [pid for (pid,) in pg.execute(SESSIONS)]


def test_what_a_file_counts_is_told_while_its_step_runs(pg: psycopg.Connection[Any], pg_url: str) -> None:
    mine = replace(service("a"), url=pg_url)
    database = PostgresDatabase(mine)
    telling = Telling(database.server)
    pg.execute("SELECT pg_advisory_lock(%s)", [sql.LOCK_KEY])
    assert database.told() is None
    telling.tell(Doing("", 1, 2, "rows"))  # no step runs
    assert (database.told(), sessions(pg)) == (None, [])
    with telling.of_step():
        for said, heard in (
            (Doing("", 3, 40, "rows", 1.5), None),
            (Doing("", 0, None, "documents"), None),
            (Doing("", 12, 40, "", 12345.678), Doing("", 12, 40, "", 12350.0)),
            (Doing("", 10**12, 10**13, "very long words for what is counted", 1e9), None),
            (Doing("", 3, 40, "Stück\x1b[31m", None), None),
        ):
            telling.tell(said)
            found = database.told()
            assert found is not None
            wanted = heard or said
            assert (found.done, found.total, found.rate) == (wanted.done, wanted.total, wanted.rate)
            assert found.unit.isprintable()
            if said.unit.isascii():
                assert said.unit.startswith(found.unit) and bool(found.unit) == bool(said.unit)
        (pid,) = sessions(pg)
        pg.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        telling.tell(Doing("", 4, 40, "rows"))  # finds its session gone
        telling.tell(Doing("", 5, 40, "rows"))
        assert database.told() == Doing("", 5, 40, "rows")
        pg.execute("SELECT pg_advisory_unlock(%s)", [sql.LOCK_KEY])
        assert database.told() is None, "nobody holds the lock"
    until(lambda: not sessions(pg), 10, what="the session ends with the step")


def test_where_it_cannot_be_told_an_error_says_so() -> None:
    telling = Telling(PostgresDatabase(replace(service("a"), url="postgres://127.0.0.1:1/x")).server)
    with telling.of_step(), pytest.raises(Unreachable):
        telling.tell(Doing("", 1, 2, "rows"))
