"""What a step holds and writes anew in a scratch database, asked after each of its statements."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from dataops.backends.postgres.connection import Server, WatchedConnection
from dataops.backends.postgres.environment import options_of
from dataops.backends.postgres.foresight.locks import MODES
from dataops.model import Observed
from dataops.redaction import redact
from dataops.statements import Statement

_LOCKS = """
SELECT DISTINCT n.nspname || '.' || c.relname, l.mode
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'p', 'm')
   AND n.nspname !~ '^(pg_|information_schema$|dataops_history)'
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
 AND c.relname <> %(record)s
 ORDER BY 1
"""
_NODES = """
SELECT c.oid, n.nspname || '.' || c.relname, pg_catalog.pg_relation_filenode(c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 'i') AND n.nspname !~ '^(pg_|information_schema$|dataops_history)'
"""


@contextmanager
def observing(server: Server) -> Iterator[Callable[[Statement], Observed]]:
    """See dataops.backends.Rehearses.observing."""
    record = options_of(server.service).version_table
    with server.connect() as connection:
        with connection.cursor(row_factory=tuple_row) as cursor:
            nodes = cursor.execute(_NODES.encode()).fetchall()
        with _Poller(connection, record) as poller:
            yield _Watch(record, nodes, poller).observe


class _Poller:
    """Asks again and again, in a thread and on a connection of its own, which locks the other sessions hold.

    A statement outside of a transaction has given its locks back when it is done, so that nobody sees them then. A
    lock that is held for less than a few milliseconds may not be seen.
    """

    def __init__(self, connection: WatchedConnection, record: str) -> None:
        self._connection = connection
        self._record = record
        self._seen: dict[int, set[tuple[str, str]]] = {}
        self._mutex = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="dataops-locks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def taken(self, pid: int) -> set[tuple[str, str]]:
        """What a session has held since it was last asked about."""
        with self._mutex:
            return self._seen.pop(pid, set())

    def _poll(self) -> None:
        query = _LOCKS.replace("l.pid = pg_catalog.pg_backend_pid()", "l.pid <> pg_catalog.pg_backend_pid()")
        query = query.replace("SELECT DISTINCT", "SELECT DISTINCT l.pid,")
        with suppress(psycopg.Error), self._connection.cursor(row_factory=tuple_row) as cursor:
            while not self._done.wait(_PAUSE):
                for pid, name, mode in cursor.execute(query.encode(), {"record": self._record}).fetchall():
                    with self._mutex:
                        self._seen.setdefault(pid, set()).add((name, mode))


class _Watch:
    def __init__(self, record: str, nodes: list[tuple[Any, ...]], poller: _Poller) -> None:
        self._record = record
        self._nodes = {oid: node for oid, _, node in nodes}
        self._poller = poller

    def observe(self, statement: Statement) -> Observed:
        connection = statement.connection
        if not isinstance(connection, psycopg.Connection) or connection.closed:
            return Observed()
        if connection.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
            return Observed()
        outside = connection.info.transaction_status is TransactionStatus.IDLE
        seen = self._poller.taken(connection.info.backend_pid)
        with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
            locks = {
                (name, mode) for name, mode in cursor.execute(_LOCKS.encode(), {"record": self._record}).fetchall()
            }
            nodes = cursor.execute(_NODES.encode()).fetchall()
        rewritten = [name for oid, name, node in nodes if self._nodes.get(oid, node) != node]
        self._nodes = {oid: node for oid, _, node in nodes}
        strongest: dict[str, str] = {}
        for name, mode in sorted(locks | seen if outside else locks):
            strongest[name] = max(strongest.get(name, mode), mode, key=MODES.index)
        return Observed(
            tuple((redact(name), mode) for name, mode in strongest.items()),
            tuple(redact(name) for name in sorted(rewritten)),
        )


_PAUSE = 0.002
"""Seconds between two questions about locks."""

__all__ = ["observing"]
