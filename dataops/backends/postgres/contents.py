"""Table digests of a PostgreSQL database. The server computes them, in one snapshot.

The digest of a column is the sum over its values. Each value is hashed as text, together with the primary key of its
row, or with another unique key that cannot be null. So it matters which row has which value. A table without such a key
gets digests of the values alone, and one more column "" with digests of whole rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composable, Identifier

from dataops.backends.postgres import catalogue
from dataops.contents import EACH, Contents, TableDigest

_SETTINGS = catalogue.EQUAL_TEXTS

# Partitions are left out, because their rows are read through the parent.
_TABLES = f"""
SELECT {catalogue.SCHEMA} || c.relname, n.nspname, c.relname, c.relkind = 'p',
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname),
       coalesce((SELECT ARRAY(SELECT a.attname::text FROM pg_attribute a
                               WHERE a.attrelid = c.oid AND a.attnum = ANY (x.indkey) ORDER BY a.attname)
                   FROM pg_index x
                  WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indimmediate
                    AND x.indexprs IS NULL AND x.indnkeyatts = x.indnatts
                    AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (x.indkey)
                                       AND NOT a.attnotnull)
                  ORDER BY x.indisprimary DESC, x.indnkeyatts, x.indexrelid::regclass::text LIMIT 1), '{{}}')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {catalogue.TABLES}
   AND {catalogue.no_extension("pg_class", "c.oid")}
 ORDER BY 1
"""


def read(connection: psycopg.Connection[Any], each: int = EACH) -> Contents:
    """Digest every table of the application in the caller's transaction. Changes settings of that transaction.

    Of those with at most `each` rows, every row gets a digest.
    """
    connection.execute(catalogue.SEARCH_PATH)
    connection.execute(_SETTINGS)
    with connection.cursor(row_factory=tuple_row) as cursor:
        tables = cursor.execute(_TABLES.encode(), catalogue.LEFT_OUT).fetchall()
        return {
            str(name): _table_digest(
                cursor, SQL("{}" if parted else "ONLY {}").format(Identifier(schema, table)), columns, key, each
            )
            for name, schema, table, parted, columns, key in tables
        }


def rows(connection: psycopg.Connection[Any], wanted: str, keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """Rows of one table by their keys, as `each` of its digest has them, with their values as texts."""
    connection.execute(catalogue.SEARCH_PATH)
    connection.execute(_SETTINGS)
    with connection.cursor(row_factory=tuple_row) as cursor:
        tables = cursor.execute(_TABLES.encode(), catalogue.LEFT_OUT).fetchall()
        for name, schema, table, _, _, key in tables:
            if name == wanted and key:
                query = SQL("SELECT {}, row_to_json(t)::text FROM {} AS t WHERE {} = ANY (%s)").format(
                    _shown(key), Identifier(schema, table), _shown(key)
                )
                found = cursor.execute(query, [list(keys)]).fetchall()
                return {str(id_): _texts(row) for id_, row in found}
    return {}


def _texts(row: str) -> dict[str, str]:
    """The values of a row that is JSON; null, true and numbers as JSON has them."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in json.loads(row).items()}


def _shown(key: Sequence[str]) -> Composable:
    """The key of a row of `t` as one text."""
    parts = [SQL("t.{}").format(Identifier(part)) for part in key]
    return SQL("{}::text").format(parts[0] if len(parts) == 1 else SQL("ROW({})").format(SQL(", ").join(parts)))


def _table_digest(
    cursor: psycopg.Cursor[tuple[Any, ...]], table: Composable, columns: Sequence[str], key: Sequence[str], most: int
) -> TableDigest:
    digests = dict(_digests(columns, key))
    sums = SQL(", ").join(SQL("coalesce(sum({}::numeric), 0)").format(digest) for digest in digests.values())
    totals = cursor.execute(SQL("SELECT count(*), {} FROM {} AS t").format(sums, table)).fetchone()
    assert totals is not None
    count = int(totals[0])
    fields = {name: int(total) for name, total in zip(digests, totals[1:], strict=True)}
    if not key or count > most:
        return TableDigest("rows", count, fields)
    query = SQL("SELECT {}, {} FROM {} AS t").format(_shown(key), SQL(", ").join(digests.values()), table)
    each = {str(row[0]): dict(zip(digests, map(int, row[1:]), strict=True)) for row in cursor.execute(query)}
    return TableDigest("rows", count, fields, each)


def _digests(columns: Sequence[str], key: Sequence[str]) -> Iterator[tuple[str, Composable]]:
    """An SQL expression for each column that hashes its value and the row's key. ROW writes NULL and '' differently."""
    parts = {column: SQL("t.{}").format(Identifier(column)) for column in columns}
    for column in columns:
        yield column, _digest([*(parts[name] for name in key), parts[column]])
    if not key:
        yield "", _digest(list(parts.values()))


def _digest(values: Sequence[Composable]) -> Composable:
    return SQL("hashtextextended(ROW({})::text, 0)").format(SQL(", ").join(values))


__all__ = ["read", "rows"]
