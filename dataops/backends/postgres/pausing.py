"""Where somebody writes down that backfills of this database have to wait, in a table beside the journal.

It is written without the lock, which the backfill that is to wait has.
"""

from __future__ import annotations

from typing import Any

import psycopg

from dataops.backends.postgres.beside import Beside
from dataops.model import Author, Pause
from dataops.redaction import redact

_COLUMNS = "who text NOT NULL, reason text NOT NULL, at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()"


def _table(schema: str) -> Beside:
    what = "While there is a row, backfills of dataops wait: dataops pause, dataops resume"
    return Beside(schema, "dataops_pause", _COLUMNS, what)


def read(connection: psycopg.Connection[Any], schema: str) -> Pause | None:
    """The pause that was asked for; None when there is none. `schema` is that of the journal."""
    table = _table(schema)
    if not table.is_readable(connection):
        return None
    row = table.execute(connection, "SELECT who, reason, at FROM {table} ORDER BY at LIMIT 1").fetchone()
    return Pause(redact(row["who"]), row["at"], redact(row["reason"])) if row else None


def write(connection: psycopg.Connection[Any], schema: str, author: Author, reason: str) -> None:
    """Ask for a pause, unless there is one."""
    table = _table(schema)
    table.make(connection)
    table.execute(
        connection,
        "INSERT INTO {table} (who, reason) SELECT %s, %s WHERE NOT EXISTS (SELECT FROM {table})",
        [f"{author.actor}@{author.host}", reason],
    )


def end(connection: psycopg.Connection[Any], schema: str) -> bool:
    """End the pause. Returns whether there was one. The server refuses a user who may not end it."""
    table = _table(schema)
    return table.is_there(connection) and table.execute(connection, "DELETE FROM {table}").rowcount > 0


__all__ = ["end", "read", "write"]
