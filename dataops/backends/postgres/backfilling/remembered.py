"""The rows that a backfill has changed, by their keys, with the values that it is to keep: a table in the stash.

Its columns are k1.. for the key, w1.. for what was there, l1.. for what the backfill left, each with the name of the
column of the place as its comment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from dataops.backends.postgres.backfilling.place import Column, Place
from dataops.backends.postgres.sql import quoted
from dataops.backfill import BackfillRefused, not_given_back
from dataops.model import Step
from dataops.stash import postgres as stash

_THERE = """
SELECT a.attname::text AS name, pg_catalog.col_description(a.attrelid, a.attnum) AS of
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""

_IS_THERE = "SELECT pg_catalog.to_regnamespace(%s) IS NOT NULL AS there"

_ONLY_KEYS = """
SELECT c.relname::text AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = %s AND c.relkind = 'r'
 GROUP BY c.relname
HAVING bool_and(a.attname ~ '^k[0-9]+$')
"""

_WITH_VALUES = """
SELECT c.relname::text AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = %s AND c.relkind = 'r'
 GROUP BY c.relname
HAVING bool_and(a.attname ~ '^[kwl][0-9]+$' AND pg_catalog.col_description(a.attrelid, a.attnum) IS NOT NULL)
"""

_LONGEST = 63
"""Bytes in a name."""

_IS_EMPTY = """
SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = pg_catalog.to_regnamespace(%s)) AS empty
"""


class Remembered:
    """The table for one backfill. `there` says whether it is there, and `kept` are the columns that it keeps."""

    def __init__(self, connection: psycopg.Connection[Any], step: Step, name: str) -> None:
        self._connection = connection
        self._step = step
        self._schema = quoted(stash.schema(step.migration.id).lower())
        self.sql = f"{self._schema}.{quoted(_table_name(name))}"
        rows = connection.cursor(row_factory=dict_row).execute(_THERE, [self.sql]).fetchall()
        self.there = bool(rows)
        self.key_names = tuple(row["of"] for row in rows if row["name"].startswith("k"))
        self._kept_names = tuple(row["of"] for row in rows if row["name"].startswith("w"))

    def of(self, place: Place) -> Remembered:
        """Say which table it is about, whose key it has. Raises BackfillRefused if that has another key now."""
        self._place = place
        self.kept: tuple[Column, ...] = tuple(place.column(name, "what was put aside") for name in self._kept_names)
        if self.there and self.key_names != tuple(column.name for column in place.key):
            raise BackfillRefused(
                f"the key of {place.name} is another one than when the backfill began: ({', '.join(self.key_names)})",
                hint="give it that key back, and run again",
            )
        return self

    def create(self, kept: Sequence[Column]) -> None:
        """Create it, unless it is there."""
        if self.there:
            return
        self.kept = tuple(kept)
        table = quoted(self._place.name)
        columns = [(f"k{at}", column) for at, column in enumerate(self._place.key, 1)]
        columns += [(f"{letter}{at}", column) for letter in "wl" for at, column in enumerate(kept, 1)]
        selected = ", ".join(f"{table}.{column.sql} AS {name}" for name, column in columns)
        comments = [
            f"COMMENT ON COLUMN {self.sql}.{name} IS {sql.Literal(column.name).as_string(None)}"
            for name, column in columns
        ]
        statements = [
            *self._stash(),
            f"CREATE TABLE {self.sql} AS SELECT {selected} FROM {self._place.sql} WITH NO DATA",
            f"ALTER TABLE {self.sql} ADD PRIMARY KEY ({self.key})",
            *comments,
        ]
        with self._connection.transaction():
            for statement in statements:
                self._connection.execute(statement.encode())

    def _stash(self) -> tuple[str, ...]:
        """What creates the stash of the migration, unless it is there."""
        row = self._connection.cursor(row_factory=dict_row).execute(_IS_THERE, [self._schema]).fetchone()
        there = row is not None and row["there"]
        return () if there else stash.create_quoted(self._step.migration.id, self._step.direction)

    def drop(self) -> None:
        """Drop it, and the stash with it where nothing else is in it. In one transaction."""
        with self._connection.transaction():
            self._connection.execute(f"DROP TABLE {self.sql}".encode())
            _drop_if_empty(self._connection, self._schema)

    def drop_if_empty(self) -> None:
        with self._connection.transaction(), self._connection.cursor(row_factory=dict_row) as cursor:
            there = cursor.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL AS there", [self.sql]).fetchone()
            if not there or not there["there"]:
                return
            if cursor.execute(f"SELECT FROM {self.sql} LIMIT 1".encode()).fetchone() is None:
                self.drop()

    @property
    def key(self) -> str:
        """The columns of the key."""
        return ", ".join(f"k{at}" for at in range(1, len(self._place.key) + 1))

    @property
    def has(self) -> str:
        """The condition that a row of the place is in it."""
        table = quoted(self._place.name)
        same = " AND ".join(f"done.k{at} = {table}.{column.sql}" for at, column in enumerate(self._place.key, 1))
        return f"EXISTS (SELECT FROM {self.sql} AS done WHERE {same})"


def _table_name(name: str) -> str:
    """The name of the table for a backfill: the name of that, cut off where the server would do it, but unique."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{encoded[: _LONGEST - 17].decode(errors='ignore')}_{digest}"


def forget(connection: psycopg.Connection[Any], migration: str) -> None:
    """Forget which rows a migration has changed, where nothing of them was kept: it was rolled back.

    Raises BackfillRefused where former values are left.
    """
    schema = stash.schema(migration).lower()
    cursor = connection.cursor(row_factory=dict_row)
    for row in cursor.execute(_ONLY_KEYS, [schema]).fetchall():
        cursor.execute(f"DROP TABLE {quoted(schema)}.{quoted(row['name'])}".encode())
    if left := cursor.execute(_WITH_VALUES, [schema]).fetchone():
        raise not_given_back(left["name"])
    there = cursor.execute(_IS_THERE, [quoted(schema)]).fetchone()
    if there is not None and there["there"]:
        _drop_if_empty(connection, quoted(schema))


def _drop_if_empty(connection: psycopg.Connection[Any], schema: str) -> None:
    row = connection.cursor(row_factory=dict_row).execute(_IS_EMPTY, [schema]).fetchone()
    if row is not None and row["empty"]:
        connection.execute(f"DROP SCHEMA {schema}".encode())


__all__ = ["Remembered", "forget"]
