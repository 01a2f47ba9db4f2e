"""What the live database says about the objects that a plan touches. Only the catalogue and statistics are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.foresight.grammar import Name

_TABLE = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relpersistence::text AS persistence,
       tree.rows, tree.analysed, tree.heap, tree.indexes AS index_bytes, tree.parts,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS readable,
       row_security_active(c.oid) AS hidden,
       ARRAY(SELECT DISTINCT k.confrelid FROM pg_constraint k
              WHERE k.conrelid = c.oid AND k.contype = 'f') AS refers_to,
       ARRAY(SELECT DISTINCT k.conrelid FROM pg_constraint k
              WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conrelid <> c.oid) AS referred_by,
       (SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition) AS whole,
       (SELECT nullif(d.partdefid, 0) FROM pg_partitioned_table d WHERE d.partrelid = c.oid) AS rest,
       tree.pages,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
                AND t.tgtype::int & 3 = 3)
       OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1') AS rewritten,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1') AS ruled
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
       SELECT sum(CASE WHEN greatest(s.n_live_tup, 0) > 0 AND p.reltuples <= 0 THEN s.n_live_tup
                       WHEN p.reltuples < 0 THEN NULL ELSE p.reltuples END)
                FILTER (WHERE p.relkind <> 'p')::bigint AS rows,
              bool_and(p.reltuples >= 0 OR p.relpages = 0) FILTER (WHERE p.relkind <> 'p') AS analysed,
              sum(CASE WHEN p.relkind IN ('r', 'm') THEN {heap} ELSE 0 END)::bigint AS heap,
              sum(CASE WHEN p.relkind IN ('r', 'm') THEN {indexes} ELSE 0 END)::bigint AS indexes,
              sum(CASE WHEN p.relkind IN ('r', 'm') THEN {pages} ELSE 0 END)::bigint AS pages,
              count(*) - 1 AS parts
         FROM pg_class p LEFT JOIN pg_stat_all_tables s ON s.relid = p.oid
        WHERE p.oid = c.oid OR p.oid IN (
              WITH RECURSIVE below AS (
                   SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
                    UNION SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.inhrelid
              ) SELECT inhrelid FROM below)
       ) tree
 WHERE c.oid = %(oid)s
"""
_SIZES = {"heap": "pg_table_size(p.oid)", "indexes": "pg_indexes_size(p.oid)", "pages": "pg_relation_size(p.oid)"}
_WRITTEN = "pg_get_expr(k.conbin, k.conrelid)"
_PAGES = "CASE WHEN p.reltuples < 0 THEN 1 ELSE p.relpages::bigint END * current_setting('block_size')::int"
# The functions for sizes wait for a lock. Of a table that somebody has for himself, the catalogue knows them roughly.
_ROUGHLY = {
    "heap": _PAGES,
    "indexes": "(SELECT coalesce(sum(i.relpages::bigint), 0) * current_setting('block_size')::int FROM pg_index x "
    "JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = p.oid)",
    "pages": _PAGES,
}
_BUSY = """
SELECT FROM pg_locks l
 WHERE l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation IN (
       WITH RECURSIVE tree AS (
            SELECT %(oid)s::oid AS oid
             UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid
       ) SELECT oid FROM tree UNION SELECT x.indexrelid FROM pg_index x JOIN tree ON x.indrelid = tree.oid)
 LIMIT 1
"""
_COLUMNS = """
SELECT a.attname AS name, a.attnotnull AS not_null, a.atttypid AS type, a.atttypmod AS modifier,
       format_type(a.atttypid, a.atttypmod) AS written, a.attgenerated::text AS generated,
       format_type(a.atttypid, NULL) AS base, a.attidentity::text AS identity,
       (SELECT pg_get_expr(f.adbin, f.adrelid) FROM pg_attrdef f
         WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum AND a.attgenerated = '' AND {written}) AS "default",
       (SELECT s.null_frac FROM pg_stats s
         WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
           AND NOT s.inherited) AS nulls
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS = """
SELECT k.conname AS name, k.contype::text AS kind, k.convalidated AS valid, k.confrelid AS other,
       k.condeferrable OR to_jsonb(k) ->> 'conenforced' = 'false' AS lenient,
       {expression} AS expression,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY key (number, at)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = key.number ORDER BY key.at) AS columns
  FROM pg_constraint k WHERE k.conrelid = %(oid)s
"""
_INDEXES = """
SELECT i.relname AS name, x.indisunique AS is_unique, x.indisprimary AS is_primary, x.indisvalid AS valid,
       m.amname AS method,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY key (number, at)
               JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = key.number ORDER BY key.at) AS columns,
       CASE WHEN x.indpred IS NULL AND x.indexprs IS NULL AND x.indimmediate AND x.indisvalid THEN x.indnkeyatts
            ELSE 0 END AS keys,
       i.relpages::bigint * current_setting('block_size')::int AS bytes
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am m ON m.oid = i.relam
 WHERE x.indrelid = %(oid)s
"""
_IN_PATH = """
SELECT c.oid FROM unnest(%(schemas)s::text[]) WITH ORDINALITY path (schema, at)
  JOIN pg_namespace n ON n.nspname = path.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = %(name)s
 ORDER BY path.at LIMIT 1
"""
_INDEXED = "SELECT x.indrelid AS oid FROM pg_index x WHERE x.indexrelid = %(oid)s"
# An index belongs to its table, and a sequence to that of its column.
_OWNER = """
SELECT d.refobjid AS oid, i.relname::text AS name,
       ARRAY(SELECT a.attname::text FROM pg_depend u JOIN pg_attribute a ON a.attrelid = u.refobjid
               AND a.attnum = u.refobjsubid WHERE u.classid = d.classid AND u.objid = d.objid
               AND u.refobjid = d.refobjid AND u.refobjsubid > 0) AS columns
  FROM pg_class i, (
       SELECT 'pg_class'::regclass AS classid, x.indexrelid AS objid, x.indrelid AS refobjid FROM pg_index x
        UNION SELECT classid, objid, refobjid FROM pg_depend
               WHERE deptype IN ('a', 'i') AND classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
                 AND refobjsubid > 0) d
 WHERE i.oid = %(oid)s AND i.relkind IN ('i', 'I', 'S') AND d.objid = i.oid LIMIT 1
"""
_METHOD = """
SELECT a.oid, pg_indexam_has_property(a.oid, 'can_unique') AS can_unique,
       pg_indexam_has_property(a.oid, 'can_multi_col') AS can_have_many
  FROM pg_am a WHERE a.amname = %(name)s AND a.amtype = 'i'
"""
# The server takes the operator class of the type itself, of one that is stored alike, or of all arrays, enums and more.
_TAKES = """
WITH RECURSIVE based AS (
     SELECT t.* FROM pg_type t WHERE t.oid = %(type)s
      UNION ALL SELECT t.* FROM pg_type t JOIN based b ON b.typtype = 'd' AND t.oid = b.typbasetype
)
SELECT FROM based b, pg_opclass o JOIN pg_type t ON t.oid = o.opcintype
 WHERE o.opcmethod = %(method)s AND o.opcdefault
   AND (o.opcintype = b.oid
        OR t.typname = CASE WHEN b.typcategory = 'A' THEN 'anyarray' WHEN b.typtype = 'e' THEN 'anyenum'
                            WHEN b.typtype = 'r' THEN 'anyrange' WHEN b.typtype = 'm' THEN 'anymultirange'
                            WHEN b.typtype = 'c' THEN 'record' END
        OR EXISTS (SELECT FROM pg_cast c
                    WHERE c.castsource = b.oid AND c.casttarget = o.opcintype AND c.castmethod = 'b'))
 LIMIT 1
"""
_NAMES = """
SELECT c.oid, n.nspname || '.' || c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%(oids)s)
"""
_VIEWS = """
SELECT DISTINCT n.nspname || '.' || v.relname AS name
  FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
  JOIN pg_namespace n ON n.oid = v.relnamespace
 WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s
   AND v.oid <> %(oid)s AND (%(column)s = '' OR d.refobjsubid = (
       SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = %(oid)s AND a.attname = %(column)s AND a.attnum > 0))
 ORDER BY 1
"""
_REFERENCES = """
SELECT n.nspname || '.' || c.relname AS table, c.oid, k.conname AS name,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) key (number)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = key.number) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) key (number)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = key.number) AS keys,
       (SELECT i.relname FROM pg_class i WHERE i.oid = k.conindid) AS index,
       k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
       k.condeferrable OR to_jsonb(k) ->> 'conenforced' = 'false' AS lenient
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.confrelid = %(oid)s AND k.contype = 'f' AND k.conrelid <> k.confrelid
 ORDER BY 1, 3
"""
_CHILDREN = "SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = %(oid)s"
_RELATIVES = """
WITH RECURSIVE below AS (
     SELECT %(oid)s::oid AS oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.oid
), above AS (
     SELECT %(oid)s::oid AS oid UNION SELECT i.inhparent FROM pg_inherits i JOIN above ON i.inhrelid = above.oid
) SELECT oid FROM below UNION SELECT oid FROM above
"""
_BOUNDS = """
SELECT pg_get_partition_constraintdef(c.oid) AS bounds
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %(oid)s AND c.relispartition
"""
_KEYS = """
SELECT a.attname::text AS name FROM pg_constraint k, unnest(k.confkey) WITH ORDINALITY key (number, at), pg_attribute a
 WHERE k.conrelid = %(oid)s AND k.conname = %(name)s AND a.attrelid = k.confrelid AND a.attnum = key.number
 ORDER BY key.at
"""
# Before version 15, the column depends on the other one itself, and not its expression.
_GENERATED = """
SELECT DISTINCT a.attname::text AS name
  FROM pg_depend d LEFT JOIN pg_attrdef f ON f.oid = d.objid AND d.classid = 'pg_attrdef'::regclass
  JOIN pg_attribute a ON a.attrelid = %(oid)s AND a.attgenerated <> ''
   AND (a.attnum = f.adnum OR (d.classid = 'pg_class'::regclass AND d.objid = a.attrelid AND a.attnum = d.objsubid))
  JOIN pg_attribute b ON b.attrelid = d.refobjid AND b.attnum = d.refobjsubid
 WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s AND b.attname = %(column)s AND a.attnum <> b.attnum
 ORDER BY 1
"""
_IN_SCHEMA = """
SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %(name)s AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname
"""
_DOMAIN = """
SELECT t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid) AS checks, t.typnotnull AS not_null
  FROM pg_type t WHERE t.oid = to_regtype(%(name)s) AND t.typtype = 'd'
"""
_VOLATILE = """
SELECT p.proname AS name, bool_and(p.provolatile = 'v') AS always, bool_or(p.provolatile = 'v') AS ever
  FROM pg_proc p WHERE p.proname = ANY (%(names)s) GROUP BY 1
"""


@dataclass(frozen=True)
class Column:
    """One column as it is. `nulls` is the share of nulls that the statistics say, None without any.

    `base` is its type without length and precision, `identity` as in pg_attribute, `default` SQL.
    """

    name: str
    not_null: bool
    type: int
    modifier: int
    written: str
    generated: str
    nulls: float | None
    base: str
    identity: str
    default: str | None


@dataclass(frozen=True)
class Constraint:
    """One constraint as it is; `kind` as in pg_constraint, `expression` only of a check.

    `lenient` says that rows may break it: it is not enforced, or may be deferred.
    """

    name: str
    kind: str
    valid: bool
    other: int
    lenient: bool
    expression: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """One index as it is; `columns` without expressions and with those that it only includes.

    The first `keys` of them are its key; 0 if it has expressions, is of a part of the rows, or may be deferred.
    """

    name: str
    is_unique: bool
    is_primary: bool
    valid: bool
    method: str
    columns: tuple[str, ...]
    keys: int
    bytes: int


@dataclass(frozen=True)
class Table:
    """A table, or another relation, as it is now; of a partitioned table, sizes are those of all its partitions.

    `rows` is an estimate of the server, None where it has none. `heap` and `index_bytes` are in bytes. `hidden` says
    that row security hides rows from this user. `pages` is how many bytes its rows take; `parts` counts partitions and
    children. `whole` is the table of which it is a partition, and `rest` its own default partition. `rewritten` says
    that triggers or rules may change what a statement writes, `ruled` that rules may.
    """

    oid: int
    schema: str
    name: str
    kind: str
    rows: int | None
    analysed: bool
    heap: int
    index_bytes: int
    parts: int
    readable: bool
    hidden: bool
    columns: Mapping[str, Column] = field(repr=False)
    constraints: Sequence[Constraint] = field(repr=False)
    indexes: Sequence[Index] = field(repr=False)
    refers_to: Sequence[int] = ()
    referred_by: Sequence[int] = ()
    persistence: str = "p"
    whole: int | None = None
    rest: int | None = None
    pages: int = 0
    rewritten: bool = False
    ruled: bool = False

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_empty(self) -> bool:
        """Whether it has no row, for certain: it has no page, or the statistics of a table of one page say so."""
        if self.kind not in ("r", "p", "m"):  # the rows of a view or a foreign table are elsewhere
            return False
        return not self.rows and (not self.pages or (self.pages <= 8192 and self.rows == 0))

    @property
    def inherited(self) -> bool:
        """Whether other tables inherit from it, and are no partitions: their rows are its rows, in most questions."""
        return self.kind == "r" and self.parts > 0

    def proves_not_null(self, column: str) -> bool:
        """Whether a constraint that is valid already says that the column has no nulls."""
        wanted = {f"({name} IS NOT NULL)" for name in (column, '"' + column.replace('"', '""') + '"')}
        return any(one.valid and one.expression in wanted for one in self.constraints)


class Gone(LookupError):
    """A relation is there no more: somebody has dropped it since its name was looked up."""


class Facts:
    """Answers about one database, each asked once. `schemas` is the search_path for names without a schema."""

    def __init__(self, connection: WatchedConnection) -> None:
        self.connection = connection
        self.schemas: Sequence[str] = connection.shielded().schemas
        self.major = connection.info.server_version // 10000
        self._tables: dict[int, Table] = {}
        self._oids: dict[tuple[tuple[str, ...], str], int | None] = {}
        self._answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._owners: dict[int, tuple[int, str, frozenset[str]] | None] = {}
        self._relatives: dict[int, list[int]] = {}

    def ask(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of the answer, which is asked for once: a plan may name one table in thousands of steps."""
        key = (query, repr(parameters))
        if key not in self._answers:
            self._answers[key] = self.connection.execute(query.encode(), parameters).fetchall()
        return self._answers[key]

    def oid_of(self, name: Name) -> int | None:
        """The relation that has this name here, None if there is none."""
        schemas = [name.schema] if name.schema else ["pg_catalog", *self.schemas]
        key = (tuple(schemas), name.name)
        if key not in self._oids:
            rows = self.ask(_IN_PATH, schemas=schemas, name=name.name)
            self._oids[key] = int(rows[0]["oid"]) if rows else None
        return self._oids[key]

    def table(self, oid: int) -> Table:
        """Everything about a relation."""
        if oid not in self._tables:
            row, constraints, columns = self._read(oid)
            self._tables[oid] = Table(
                **row,
                columns={one["name"]: Column(**one) for one in columns},
                constraints=[_constraint(one) for one in constraints],
                indexes=[Index(**{**one, "columns": tuple(one["columns"])}) for one in self.ask(_INDEXES, oid=oid)],
            )
        return self._tables[oid]

    def _read(self, oid: int) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
        """What is read with a lock: the sizes, and how checks and defaults are written."""
        if not self.ask(_BUSY, oid=oid):
            with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):  # somebody has taken it now
                rows = self.ask(_TABLE.format(**_SIZES), oid=oid)
                if rows:
                    constraints = self.ask(_CONSTRAINTS.format(expression=_WRITTEN), oid=oid)
                    return rows[0], constraints, self.ask(_COLUMNS.format(written="true"), oid=oid)
        rows = self.ask(_TABLE.format(**_ROUGHLY), oid=oid)
        if not rows:
            raise Gone
        constraints = self.ask(_CONSTRAINTS.format(expression="NULL::text"), oid=oid)
        return rows[0], constraints, self.ask(_COLUMNS.format(written="false"), oid=oid)

    def table_of_index(self, oid: int) -> int | None:
        """The table of an index; None for what is no index."""
        rows = self.ask(_INDEXED, oid=oid)
        return int(rows[0]["oid"]) if rows else None

    def owner(self, oid: int) -> tuple[int, str, frozenset[str]] | None:
        """Of an index or a sequence: the table to which it belongs, its own name, and the columns that it needs."""
        if oid not in self._owners:
            rows = self.ask(_OWNER, oid=oid)
            self._owners[oid] = (rows[0]["oid"], rows[0]["name"], frozenset(rows[0]["columns"])) if rows else None
        return self._owners[oid]

    def index_method(self, name: str) -> dict[str, Any] | None:
        """Of a method of indexes: its `oid`, and whether it `can_unique` and `can_have_many` columns; None for none."""
        rows = self.ask(_METHOD, name=name)
        return rows[0] if rows else None

    def is_indexed_by(self, method: int, type_: int) -> bool:
        """Whether a column of this type needs no operator class to be named for it."""
        return bool(self.ask(_TAKES, method=method, type=type_))

    def is_index(self, name: Name) -> bool:
        """Whether an index has this name."""
        oid = self.oid_of(name)
        return oid is not None and self.table_of_index(oid) is not None

    def children(self, table: Table) -> list[str]:
        """The tables that inherit from it directly."""
        return self.titles([row["oid"] for row in self.ask(_CHILDREN, oid=table.oid)])

    def titles(self, oids: Sequence[int]) -> list[str]:
        """The names of these relations."""
        return sorted(row["name"] for row in self.ask(_NAMES, oids=list(oids))) if oids else []

    def references_to(self, table: Table) -> list[dict[str, Any]]:
        """The foreign keys of other tables to this one: `table`, its `oid`, `name`, their `columns`, and our `keys`."""
        return self.ask(_REFERENCES, oid=table.oid)

    def keys_of(self, table: Table, name: str) -> list[str]:
        """The columns to which a foreign key of the table refers."""
        return [row["name"] for row in self.ask(_KEYS, oid=table.oid, name=name)]

    def generated_from(self, table: Table, column: str) -> list[str]:
        """The generated columns that are made from this one."""
        return [row["name"] for row in self.ask(_GENERATED, oid=table.oid, column=column)]

    def relatives(self, table: Table) -> list[int]:
        """The table itself, its partitions and children, and those of which it is one: they share rows."""
        if table.oid not in self._relatives:
            self._relatives[table.oid] = [row["oid"] for row in self.ask(_RELATIVES, oid=table.oid)]
        return self._relatives[table.oid]

    def bounds_of_parts(self, table: Table) -> list[str]:
        """Which rows each partition takes, as conditions."""
        return [row["bounds"] for row in self.ask(_BOUNDS, oid=table.oid) if row["bounds"]]

    def has_schema(self, name: str) -> bool:
        """Whether there is a schema of this name."""
        return bool(self.ask("SELECT FROM pg_namespace WHERE nspname = %(name)s", name=name))

    def in_schema(self, name: str) -> list[int]:
        """The tables in a schema."""
        return [row["oid"] for row in self.ask(_IN_SCHEMA, name=name)]

    def domain(self, written: str) -> tuple[bool, bool]:
        """Of a type: whether it is a domain that checks its values, and one that allows no nulls."""
        rows = self.ask(_DOMAIN, name=written)
        return (rows[0]["checks"], rows[0]["not_null"]) if rows else (False, False)

    def views_on(self, table: Table, column: str = "") -> list[str]:
        """The views, and tables with rules, that use a table, or one column of it."""
        return [row["name"] for row in self.ask(_VIEWS, oid=table.oid, column=column)]

    def volatility(self, functions: Sequence[str]) -> bool | None:
        """Whether one of these functions may give another value for each row; None if that depends on its arguments."""
        names = [name.rpartition(".")[2] for name in functions]
        rows = self.ask(_VOLATILE, names=names) if names else []
        if any(row["always"] for row in rows):
            return True
        return None if any(row["ever"] for row in rows) else False


def _constraint(row: dict[str, Any]) -> Constraint:
    return Constraint(**{**row, "columns": tuple(row["columns"])})
