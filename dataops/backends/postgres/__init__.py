"""PostgreSQL: Alembic files, the table alembic_version as the record, a session advisory lock, a journal table.

Asking needs only psycopg, and opens a read-only connection for each question. Modules that only some questions or only
a step need are imported when they are needed, because `status` and `wait` are called all day and have to start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.rows import tuple_row

from dataops.backends import Copied, Database, Sampling, Waiting
from dataops.backends.journal import settled
from dataops.backends.postgres import pausing, sql, state, tables
from dataops.backends.postgres.connection import Server, WatchedConnection, error_text
from dataops.backends.postgres.tables import OurTables
from dataops.contents import EACH
from dataops.errors import StalePlan, UsageError
from dataops.model import Author, Doing, Entry, Observed, Rendering, Service, State, Step
from dataops.planning.evidence import Link
from dataops.stash.entry import StashEntry

if TYPE_CHECKING:
    from dataops.backends.postgres.foresight import Foresight
    from dataops.backends.postgres.locked import PostgresLocked
    from dataops.backends.sandbox import Sandbox
    from dataops.catalogue import Catalogue
    from dataops.checkup import Check
    from dataops.contents import Contents
    from dataops.inspection import Inspection, Place
    from dataops.schema import Schema
    from dataops.statements import Statement


T = TypeVar("T")

_READINGS = 5
_GONE = (psycopg.errors.InternalError_, psycopg.errors.UndefinedTable)
"""What the server says of an object that is gone since the snapshot in which it writes down its definition."""


class PostgresDatabase:
    """See dataops.backends.Database for the promises."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.server = Server(service)
        self._looking: WatchedConnection | None = None

    def read(self) -> State:
        return settled(self._look)

    def our_tables(self) -> OurTables:
        """Where the record and the journal are."""
        with self.server.asking() as connection:
            return tables.find(connection, self.service)

    def _look(self) -> State:
        with self.server.asking() as connection:
            return state.read(connection, self.server)

    def render(self, step: Step, sandbox: Sandbox) -> Rendering:
        from dataops.backends.postgres import rendering as offline

        return offline.render(self.service, step, sandbox, self._our_schemas, self._foresight)

    @cached_property
    def _foresight(self) -> Foresight:
        """What follows the steps of a plan, over one connection that stays open until `close`."""
        from dataops.backends.postgres.foresight import Foresight

        self._looking = self.server.connect_to_look()
        return Foresight(self._looking)

    @cached_property
    def _our_schemas(self) -> frozenset[str]:
        ours = self.our_tables()
        return frozenset({ours.record.schema, ours.journal.schema if ours.journal else tables.OWN_SCHEMA})

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        with self.server.asking() as connection:
            return state.history(connection, self.service, limit)

    def links(self) -> tuple[Link, ...]:
        with self.server.asking() as connection:
            return state.links(connection, self.service)

    def checkup(self) -> Iterator[Check]:
        from dataops.backends.postgres import checkup

        return checkup.checks(self.server)

    def stash_entries(self) -> tuple[StashEntry, ...]:
        with self.server.asking() as connection:
            return state.stash_entries(connection)

    def catalogue(self) -> Catalogue:
        from dataops.backends.postgres import catalogue

        return self._read_whole(catalogue.read)

    def schema(self, *, most_rows: int | None) -> Schema:
        from dataops.backends.postgres import schema

        return self._read_whole(lambda connection: schema.read(connection, most_rows=most_rows), long=True)

    def _read_whole(self, read: Callable[[WatchedConnection], T], *, long: bool = False) -> T:
        """What `read` finds in one snapshot, read again if need be. Raises StalePlan where it is changed each time."""
        last: psycopg.Error | None = None
        for _ in range(_READINGS):
            with self.server.asking(long=long) as connection:
                try:
                    return read(connection)
                except _GONE as error:
                    last = error
        raise StalePlan(
            f"the database was changed while it was read: {error_text(last) if last else ''}",
            service=self.service.name,
            hint="run again when nobody changes it",
        ) from last

    def copy_into(self, scratch: Service, sampling: Sampling) -> Copied:
        from dataops.backends.postgres import rehearsing

        return rehearsing.copy(self.server, scratch, sampling)

    def observing(self) -> AbstractContextManager[Callable[[Statement], Observed]]:
        from dataops.backends.postgres.rehearsing import watching

        return watching.observing(self.server)

    def rows(self, name: str, keys: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        from dataops.backends.postgres import contents

        with self.server.asking() as connection:
            return contents.rows(connection, name, keys)

    def contents(self, *, each: int = EACH) -> Contents:
        from dataops.backends.postgres import contents

        with self.server.asking(long=True) as connection:
            return contents.read(connection, each)

    def places(self) -> list[Place]:
        from dataops.backends.postgres import inspection

        with self.server.asking() as connection:
            return inspection.places(connection)

    def inspect(self, name: str, sample: int) -> Inspection:
        from dataops.backends.postgres import inspection

        with self.server.asking() as connection:
            return inspection.inspect(connection, name, sample)

    def counters(self) -> Mapping[str, int | None]:
        with self.server.asking() as connection:
            return {row["name"]: row["last"] for row in connection.execute(sql.COUNTERS)}

    def turn_back(self, counters: Mapping[str, int | None]) -> None:
        with driver(self.service) as connection:
            for name, last in counters.items():
                connection.execute(sql.TURN_BACK, {"name": name, "last": last})

    def doing(self) -> Doing | None:
        with self.server.asking() as connection:
            return state.doing(connection)

    def told(self) -> Doing | None:
        from dataops.backends.postgres import telling

        with self.server.asking() as connection:
            return telling.told(connection)

    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> AbstractContextManager[PostgresLocked]:
        from dataops.backends.postgres import locked

        return locked.lock(self, self.server, author, timeout=timeout, waiting=waiting, stop=stop)

    def error_text(self, error: BaseException) -> str:
        return error_text(error)

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()


def connect(service: Service) -> Database:
    """See dataops.backends.connect."""
    return PostgresDatabase(service)


@contextmanager
def driver(service: Service) -> Iterator[psycopg.Connection[Any]]:
    """See dataops.backends.driver."""
    with Server(service).connect() as connection:
        plain: psycopg.Connection[Any] = connection
        plain.row_factory = tuple_row
        yield plain


def pause(service: Service, author: Author, reason: str) -> None:
    """See dataops.backends.pause."""
    with _journal(service) as (connection, schema):
        pausing.write(connection, schema, author, reason)


def resume(service: Service) -> bool:
    """See dataops.backends.resume."""
    with _journal(service) as (connection, schema):
        return pausing.end(connection, schema)


@contextmanager
def _journal(service: Service) -> Iterator[tuple[WatchedConnection, str]]:
    """A connection that can write, and the schema of the journal. Raises UsageError where there is none yet."""
    server = Server(service)
    connection = server.connect()
    try:
        with server.explaining(connection):
            connection.execute(f"SET lock_timeout = {round(service.timeouts.connect * 1000)}".encode())
            ours = tables.find(connection, service)
            if ours.journal is None:
                raise UsageError(
                    "nothing has run here yet that could be paused", service=service.name, hint="dataops apply"
                )
            yield connection, ours.journal.schema
    finally:
        connection.close()


__all__ = ["PostgresDatabase", "connect", "driver", "pause", "resume"]
