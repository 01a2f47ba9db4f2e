"""Where somebody writes down that backfills of this database have to wait: a table of ours, beside the journal.

It is written without the lock, which the backfill that is to wait has.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from dataops.backends.postgres.sql import quoted
from dataops.model import Author, Pause
from dataops.redaction import redact

TABLE = "dataops_pause"

_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
    who    text NOT NULL,
    reason text NOT NULL,
    at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE {table} IS 'While there is a row, backfills of dataops wait: dataops pause, dataops resume';
"""


def read(connection: psycopg.Connection[Any], schema: str) -> Pause | None:
    """The pause that was asked for; None when there is none."""
    if not _there(connection, schema):
        return None
    cursor = connection.cursor(row_factory=dict_row)
    row = cursor.execute(f"SELECT who, reason, at FROM {_name(schema)} ORDER BY at LIMIT 1".encode()).fetchone()
    return Pause(redact(row["who"]), row["at"], redact(row["reason"])) if row else None


def write(connection: psycopg.Connection[Any], schema: str, author: Author, reason: str) -> None:
    """Ask for a pause, unless there is one."""
    with connection.transaction():
        if not _there(connection, schema):
            connection.execute(_CREATE.format(table=_name(schema)).encode())
        name = _name(schema).replace("%", "%%")
        connection.execute(
            f"INSERT INTO {name} (who, reason) SELECT %s, %s WHERE NOT EXISTS (SELECT FROM {name})".encode(),
            [f"{author.actor}@{author.host}", reason],
        )


def end(connection: psycopg.Connection[Any], schema: str) -> bool:
    """End the pause. Returns whether there was one."""
    if not _there(connection, schema):
        return False
    return connection.execute(f"DELETE FROM {_name(schema)}".encode()).rowcount > 0


def _name(schema: str) -> str:
    return f"{quoted(schema)}.{TABLE}"


def _there(connection: psycopg.Connection[Any], schema: str) -> bool:
    cursor = connection.cursor(row_factory=dict_row)
    row = cursor.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL AS there", [_name(schema)]).fetchone()
    return bool(row and row["there"])


__all__ = ["TABLE", "end", "read", "write"]
