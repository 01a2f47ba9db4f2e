"""The SQLAlchemy connection and engine that a migration sees. They behave like those of plain Alembic.

The migration's own connection is the one that holds the lock. Every other connection that the migration takes from the
engine, for an inspector, a Session or a transaction of its own, is a new real connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from dataops.backends.postgres.connection import WatchedConnection, as_dbapi

_DRIVER = "postgresql+psycopg"

Another = Callable[[], WatchedConnection]
"""Opens one more connection to the same database."""


class MigrationEngine:
    """An engine over the connection that holds the lock."""

    def __init__(self, url: str, first: WatchedConnection, another: Another) -> None:
        """`first` holds the lock, and `another` opens further connections. `url` only shows as the engine's URL."""
        self._first = first
        self._another = another
        self._hands_out_first = False
        self.engine = create_engine(_url(url), creator=self._checkout, poolclass=NullPool)
        event.listen(self.engine, "checkout", self._checked_out)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """The migration's own connection. It stays open after the scope, although the pool tries to close it."""
        self._hands_out_first = self._first.stays_open = True
        try:
            with self.engine.connect() as connection:
                # If a transaction is open already, Alembic leaves the commit to whoever began it. Then nothing is
                # committed, and the migration is lost without an error.
                assert not connection.in_transaction()
                yield connection
        finally:
            self._hands_out_first = self._first.stays_open = False

    def _checked_out(self, connection: WatchedConnection, *_: object) -> None:
        if connection is not self._first:
            # On a new connection, SQLAlchemy first asks for types in transactions of its own. Those do not count.
            connection.commits = 0

    def _checkout(self) -> psycopg.Connection:
        if self._hands_out_first:
            self._hands_out_first = False
            return as_dbapi(self._first)
        return as_dbapi(self._another())


def _url(url: str) -> URL | str:
    try:
        return make_url(url).set(drivername=_DRIVER)
    except (ArgumentError, ValueError):  # libpq accepts URLs that SQLAlchemy cannot parse, for example two hosts
        return f"{_DRIVER}://"


__all__ = ["MigrationEngine"]
