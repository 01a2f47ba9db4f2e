"""Which rows of which tables a copy takes, and the SELECT that reads them: no big table is read as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composable, Identifier, Literal

from dataops.backends import Sampling
from dataops.backends.postgres.catalogue import LEFT_OUT, TABLES, no_extension
from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.rehearsing.masking import mask
from dataops.errors import UsageError
from dataops.redaction import redact
from dataops.text import near

WHOLE_PAGES = 8192
"""Tables of up to so many pages (64 MB) are passed over once; of bigger ones only a few pages are read."""
_ROWS_OF_A_PAGE = 30
_MOST_ROWS_OF_A_PAGE = 291
_SPARE = 1.2

_TABLES = f"""
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p',
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
       row_security_active(c.oid), size.pages, size.rows,
       (SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), t.typcategory, a.attnotnull,
                                         format_type(b.oid, NULL),
                                         EXISTS (SELECT FROM pg_constraint k
                                                  WHERE k.contypid = t.oid AND k.contype = 'c')) ORDER BY a.attnum)
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(pg_relation_size(p.oid) / current_setting('block_size')::int), 0)::bigint AS pages,
              sum(CASE WHEN p.reltuples > 0 AND p.relpages > 0
                       THEN p.reltuples / p.relpages
                            * (pg_relation_size(p.oid) / current_setting('block_size')::int)
                       WHEN pg_relation_size(p.oid) = 0 THEN 0
                       WHEN pg_stat_get_live_tuples(p.oid) > 0 THEN pg_stat_get_live_tuples(p.oid) END)::bigint AS rows
         FROM pg_class p
        WHERE p.relkind = 'r' AND (p.oid = c.oid OR p.oid IN (
              SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf))) size
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {TABLES} AND {no_extension("pg_class", "c.oid")}
 ORDER BY 2, 3
"""
_KEYS = """
SELECT k.conrelid, k.confrelid, k.conname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY key (number, at)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = key.number ORDER BY key.at),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY key (number, at)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = key.number ORDER BY key.at),
       ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM unnest(k.confkey) WITH ORDINALITY key (number, at)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = key.number ORDER BY key.at)
  FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.convalidated
 ORDER BY 3
"""


@dataclass(frozen=True)
class Column:
    """A column that is copied; `base` is its type without domain and modifier, `category` that of the server.

    `checked` says that its type is a domain that does not take every value.
    """

    name: str
    type: str
    category: str
    not_null: bool
    base: str
    checked: bool


@dataclass(frozen=True)
class Table:
    """A live table of the application. `rows` is an estimate of the server, None where it was never analysed."""

    oid: int
    schema: str
    name: str
    parted: bool
    readable: bool
    hidden: bool
    pages: int
    rows: int | None
    columns: Sequence[Column] = field(repr=False, kw_only=True)

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def place(self) -> Composable:
        """The table in a FROM, without the tables that inherit from it."""
        return SQL("{}" if self.parted else "ONLY {}").format(Identifier(self.schema, self.name))


@dataclass(frozen=True)
class ForeignKey:
    """Columns of one table that refer to those of another; `types` are those of the other."""

    table: int
    other: int
    name: str
    columns: Sequence[str]
    others: Sequence[str]
    types: Sequence[str]


@dataclass(frozen=True)
class Planned:
    """What is read of one table: `columns` as they are selected, and `share` of its pages or rows; 1 for all."""

    table: Table
    columns: Composable
    names: Composable
    share: float

    def query(self, limit: int) -> Composable:
        """The sample."""
        how: Composable = SQL("")
        if self.share < 1:
            method = SQL("BERNOULLI" if self.table.pages <= WHOLE_PAGES else "SYSTEM")
            how = SQL(" TABLESAMPLE {} ({})").format(method, Literal(round(self.share * 100, 6)))
        return SQL("SELECT {} FROM {}{} LIMIT {}").format(self.columns, self.table.place, how, Literal(limit))


def tables(connection: WatchedConnection) -> Mapping[int, Table]:
    """The tables of the application, by their oids."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(_TABLES.encode(), LEFT_OUT).fetchall()
    return {oid: Table(oid, *about, columns=[Column(*one) for one in columns or []]) for oid, *about, columns in rows}


def foreign_keys(connection: WatchedConnection, known: Mapping[int, Table]) -> list[ForeignKey]:
    """The foreign keys between these tables."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        keys = [ForeignKey(*row) for row in cursor.execute(_KEYS.encode()).fetchall()]
    return [key for key in keys if key.table in known and key.other in known]


def planned(connection: WatchedConnection, known: Mapping[int, Table], wanted: Sampling) -> list[Planned]:
    """What is read of each table that may be read. Raises UsageError for masks that cannot be."""
    masks = masked(known, wanted.masks)
    for key in foreign_keys(connection, known):
        for oid, names in ((key.table, key.columns), (key.other, key.others)):
            if both := set(names) & set(masks.get(oid, ())):
                raise UsageError(
                    f"--mask {redact(known[oid].title)}.{redact(min(both))}: foreign key {redact(key.name)} uses it",
                    hint="a key is needed to find the rows that belong together; mask what it leads to",
                )
    plan = []
    for table in known.values():
        if table.columns:
            masks_here = masks.get(table.oid, {})
            values = [
                mask(table.title, column) if column.name in masks_here else Identifier(column.name)
                for column in table.columns
            ]
            columns = SQL(", ").join(Identifier(column.name) for column in table.columns)
            plan.append(Planned(table, SQL(", ").join(values), columns, _share(table, wanted.rows)))
    return plan


def _share(table: Table, rows: int) -> float:
    if table.rows is None:
        if table.pages * _MOST_ROWS_OF_A_PAGE <= rows:
            return 1.0
        return min(1.0, (rows / _ROWS_OF_A_PAGE + 1) / table.pages)
    return min(1.0, _SPARE * rows / table.rows) if table.rows > rows else 1.0


def masked(known: Mapping[int, Table], masks: Sequence[str]) -> dict[int, dict[str, str]]:
    """The masks of each table by column. One of a table that is not there is left out. Raises UsageError."""
    found: dict[int, dict[str, str]] = {}
    for one in masks:
        place, _, column = one.rpartition(".")
        for table in known.values():
            if place not in (table.name, table.title):
                continue
            if column not in (names := [part.name for part in table.columns]):
                what = f"--mask {redact(one)}: {redact(table.title)} has no such column"
                raise UsageError(what, hint=near(column, names))
            found.setdefault(table.oid, {})[column] = one
    return found


__all__ = ["Column", "ForeignKey", "Planned", "Table", "foreign_keys", "masked", "planned", "tables"]
