"""The table that a backfill goes through, and the key by whose order it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from dataops.backends.postgres.sql import quoted
from dataops.backfill import BackfillRefused

_TABLE = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid) AS inherited,
       (SELECT CASE WHEN pg_catalog.min(l.reltuples) >= 0 THEN pg_catalog.sum(l.reltuples)::bigint END
          FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid
         WHERE t.isleaf) AS parts, c.reltuples::bigint AS rows
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass(%s)
"""

_KEYS = """
SELECT i.indisprimary AS is_primary,
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (number, at)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
              WHERE k.at <= i.indnkeyatts ORDER BY k.at) AS columns
  FROM pg_catalog.pg_index i
 WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate
   AND i.indpred IS NULL AND i.indexprs IS NULL
 ORDER BY i.indisprimary DESC, i.indexrelid
"""

_COLUMNS = """
SELECT a.attname::text AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS is_set, a.attgenerated <> '' OR a.attidentity = 'a' AS is_generated
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
"""

_EXACT = 100_000


@dataclass(frozen=True)
class Column:
    """A column, by its name and the name of its type."""

    name: str
    type: str
    is_set: bool = True
    is_generated: bool = False

    @property
    def sql(self) -> str:
        return quoted(self.name)


@dataclass(frozen=True)
class Place:
    """A table. `key` are the columns of a unique index without NULL, and `rows` about how many it has, if known."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    rows: int | None

    @property
    def sql(self) -> str:
        """Its full name."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def order(self) -> str:
        """The columns of the key, for ORDER BY and for a comparison of rows."""
        return ", ".join(f"{quoted(self.name)}.{column.sql}" for column in self.key)

    def column(self, name: str, why: str) -> Column:
        """A column by its name. Raises BackfillRefused."""
        for column in self.columns:
            if column.name == name:
                return column
        raise BackfillRefused(f"{self.name} has no column {name}, which is named in {why}")

    def values(self, key: Sequence[str]) -> str:
        """A key as SQL: its values, with their types."""
        return ", ".join(
            f"{sql.Literal(value).as_string(None)}::{column.type}" for value, column in zip(key, self.key, strict=True)
        )

    def within(self, after: Sequence[str], up_to: Sequence[str] | None) -> str:
        """The condition for the rows of a batch. Without `after` it begins at the first row."""
        first = [f"({self.order}) > ({self.values(after)})"] if after else []
        last = [f"({self.order}) <= ({self.values(up_to)})"] if up_to is not None else []
        return " AND ".join([*first, *last]) or "true"


def find(connection: psycopg.Connection[Any], name: str, wanted: Sequence[str]) -> Place:
    """The table of this name, as SQL finds it now. Raises BackfillRefused, also where it has no such key."""
    cursor = connection.cursor(row_factory=dict_row)
    try:
        table = cursor.execute(_TABLE, [name]).fetchone()
    except psycopg.errors.InvalidName:
        table = None
    if table is None:
        raise BackfillRefused(
            f"there is no table {name}", hint="write the name as in SQL; is it made by a later migration, or gone?"
        )
    if table["kind"] not in "rp":
        raise BackfillRefused(f"{name} is no table with rows of its own: name the table behind it")
    if table["inherited"]:
        raise BackfillRefused(
            f"other tables inherit from {name}, and its key says nothing of their rows",
            hint="backfill each of them for itself",
        )
    columns = tuple(Column(**row) for row in cursor.execute(_COLUMNS, [table["oid"]]))
    keys = cursor.execute(_KEYS, [table["oid"]]).fetchall()
    rows = table["parts"] if table["kind"] == "p" else table["rows"] if table["rows"] >= 0 else None
    place = Place(table["schema"], table["name"], columns, (), rows)
    place = Place(place.schema, place.name, columns, _key(place, keys, wanted), rows)
    if rows is None or rows < _EXACT:
        place = Place(place.schema, place.name, columns, place.key, _counted(cursor, place) or rows)
    return place


def _key(place: Place, keys: Sequence[Any], wanted: Sequence[str]) -> tuple[Column, ...]:
    for name in wanted:
        place.column(name, "key")
    for key in keys:
        columns = tuple(place.column(name, "key") for name in key["columns"])
        if wanted and set(wanted) != set(key["columns"]):
            continue
        if all(column.is_set for column in columns) and (wanted or key["is_primary"]):
            return columns
    if not wanted:
        raise BackfillRefused(
            f"{place.name} has no primary key", hint="name a unique key without NULL: backfill(..., key=[...])"
        )
    raise BackfillRefused(
        f"({', '.join(wanted)}) is no key of {place.name}: it has no valid unique index on exactly these columns, "
        "or they may be NULL",
        hint="make one first (CREATE UNIQUE INDEX CONCURRENTLY, and NOT NULL), or leave key out for the primary key",
    )


def _counted(cursor: psycopg.Cursor[Any], place: Place) -> int | None:
    """How many rows a small table has; None for more than 100,000."""
    row = cursor.execute(
        f"SELECT count(*) AS rows FROM (SELECT FROM {place.sql} LIMIT {_EXACT + 1}) AS first".encode()
    ).fetchone()
    return row["rows"] if row and row["rows"] <= _EXACT else None


__all__ = ["Column", "Place", "find"]
