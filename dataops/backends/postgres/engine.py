"""The SQLAlchemy connection and engine that a migration sees: they behave as those of plain Alembic do.

The migration's own connection is the one that holds the lock. Whatever else it checks out of the engine, for an
inspector, a Session or a transaction of its own, is a second real connection.
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
        """`url` is what a migration reads as the engine's URL; the connections come from `first` and `another`."""
        self._first = first
        self._another = another
        self._hands_out_first = False
        self.engine = create_engine(_url(url), creator=self._checkout, poolclass=NullPool)
        event.listen(self.engine, "checkout", self._checked_out)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """The migration's own connection. It outlives the scope, although the pool closes what it gets back."""
        self._hands_out_first = self._first.kept = True
        try:
            with self.engine.connect() as connection:
                # Alembic takes a transaction that is open already for somebody else's, commits nothing, and every
                # migration vanishes without an error.
                assert not connection.in_transaction()
                yield connection
        finally:
            self._hands_out_first = self._first.kept = False

    def _checked_out(self, connection: WatchedConnection, *_: object) -> None:
        if connection is not self._first:
            connection.commits = 0  # SQLAlchemy has asked for types on it, in transactions of its own

    def _checkout(self) -> psycopg.Connection:
        if self._hands_out_first:
            self._hands_out_first = False
            return as_dbapi(self._first)
        return as_dbapi(self._another())


def _url(url: str) -> URL | str:
    try:
        return make_url(url).set(drivername=_DRIVER)
    except (ArgumentError, ValueError):  # libpq takes several hosts and more, SQLAlchemy does not
        return f"{_DRIVER}://"


__all__ = ["MigrationEngine"]
