"""What a step holds and writes anew in a scratch database, asked after each of its statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from dataops.backends.postgres.connection import Server
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
    with server.connect() as connection, connection.cursor(row_factory=tuple_row) as cursor:
        watch = _Watch(record, cursor.execute(_NODES.encode()).fetchall())
    yield watch.observe


class _Watch:
    def __init__(self, record: str, nodes: list[tuple[Any, ...]]) -> None:
        self._record = record
        self._nodes = {oid: node for oid, _, node in nodes}

    def observe(self, statement: Statement) -> Observed:
        connection = statement.connection
        if not isinstance(connection, psycopg.Connection) or connection.closed:
            return Observed()
        if connection.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
            return Observed()
        with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
            locks = cursor.execute(_LOCKS.encode(), {"record": self._record}).fetchall()
            nodes = cursor.execute(_NODES.encode()).fetchall()
        rewritten = [name for oid, name, node in nodes if self._nodes.get(oid, node) != node]
        self._nodes = {oid: node for oid, _, node in nodes}
        strongest: dict[str, str] = {}
        for name, mode in locks:
            strongest[name] = max(strongest.get(name, mode), mode, key=MODES.index)
        return Observed(
            tuple((redact(name), mode) for name, mode in strongest.items()),
            tuple(redact(name) for name in sorted(rewritten)),
        )


__all__ = ["observing"]
