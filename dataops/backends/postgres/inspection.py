"""What `dataops inspect` asks a PostgreSQL server. It only reads, has time-outs of its own, and never reads a table
whole: rows are estimated by the server, and a sample says how often a column has a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql as compose

from dataops.backends.postgres.catalogue import INDEX_METHOD, LEFT_OUT, SCHEMA, SEARCH_PATH, TABLES, no_extension
from dataops.backends.postgres.connection import WatchedConnection
from dataops.errors import LockNotObtained
from dataops.inspection import FIELD, Inspection, Part, Place
from dataops.redaction import redact

SECONDS = 10
_LOCK_SECONDS = 2
_LIMITS = f"""
SELECT set_config('statement_timeout', '{SECONDS}s', true), set_config('lock_timeout', '{_LOCK_SECONDS}s', true)
"""
_PLACES = f"""
SELECT c.oid, {SCHEMA} || c.relname AS name, c.relkind::text AS kind,
       nullif(greatest(c.reltuples, -1), -1)::bigint AS rows,
       (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = c.oid) AS partitions,
       coalesce(t.size, pg_total_relation_size(c.oid)) AS size,
       coalesce(t.indexes, pg_indexes_size(c.oid)) AS index_size,
       (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid) AS indexes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (SELECT sum(pg_total_relation_size(relid))::bigint AS size,
                            sum(pg_indexes_size(relid))::bigint AS indexes
                       FROM pg_partition_tree(c.oid) WHERE c.relkind = 'p') t ON true
 WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT c.relispartition AND {TABLES}
   AND {no_extension("pg_class", "c.oid")}
 ORDER BY 2
"""  # rows is -1 until the table was analysed for the first time
_KINDS = {"r": "table", "p": "table", "f": "foreign table", "v": "view", "m": "materialized view"}
_COLUMNS = """
SELECT a.attname AS name,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
           CASE WHEN a.attidentity <> '' THEN 'IDENTITY'
                WHEN a.attgenerated <> '' THEN 'GENERATED AS (' || pg_get_expr(x.adbin, x.adrelid) || ')'
                WHEN x.adbin IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(x.adbin, x.adrelid) END) AS definition
  FROM pg_attribute a LEFT JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
 WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""
_OTHERS = f"""
SELECT 1 AS sort, 'index' AS kind, i.relname AS name, pg_relation_size(i.oid) AS size,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey) AND NOT x.indisprimary) AS keys,
       concat_ws(' ', CASE WHEN x.indisprimary THEN 'PRIMARY KEY' WHEN x.indisunique THEN 'UNIQUE' END,
           {INDEX_METHOD},
           CASE WHEN NOT x.indisvalid THEN 'INVALID' END) AS definition
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
 WHERE x.indrelid = %(oid)s
UNION ALL
SELECT 2, 'constraint', k.conname, NULL, '{{}}', pg_get_constraintdef(k.oid)
  FROM pg_constraint k WHERE k.conrelid = %(oid)s AND k.contype IN ('c', 'f', 'x')
UNION ALL
SELECT 3, 'referenced by', k.conname, NULL, '{{}}', {SCHEMA} || c.relname || ': ' || pg_get_constraintdef(k.oid)
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.confrelid = %(oid)s AND k.conparentid = 0
UNION ALL
SELECT 4, 'trigger', g.tgname, NULL, '{{}}',
       concat_ws(', ', regexp_replace(pg_get_triggerdef(g.oid, true),
                     '^CREATE (CONSTRAINT )?TRIGGER ("([^"]|"")+"|[^ "]+) ', ''),
                 CASE g.tgenabled WHEN 'D' THEN 'disabled' END)
  FROM pg_trigger g WHERE g.tgrelid = %(oid)s AND NOT g.tgisinternal
UNION ALL
SELECT 5, 'partition', p.relid::regclass::text, pg_total_relation_size(p.relid), '{{}}',
       pg_get_expr(c.relpartbound, c.oid)
  FROM pg_partition_tree(%(oid)s) p JOIN pg_class c ON c.oid = p.relid WHERE p.level > 0
 ORDER BY 1, 3
"""
_ABOUT = """
SELECT n.nspname AS schema, c.relname AS name, c.reltuples AS rows, c.relkind IN ('r', 'p', 'm') AS samples,
       has_table_privilege(c.oid, 'SELECT') AS readable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s
"""
_LOCKERS = """
SELECT l.relation::regclass::text AS name, l.pid, a.application_name AS who
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.mode = 'AccessExclusiveLock' AND l.granted AND l.relation >= 16384
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def places(connection: WatchedConnection) -> list[Place]:
    """The tables and views of the application. Raises LockNotObtained where somebody holds one of them."""
    return [place for _, place in _places(connection)]


def inspect(connection: WatchedConnection, name: str, sample: int) -> Inspection:
    """One of `places` in detail, with a sample of about so many rows."""
    oid, place = next((oid, place) for oid, place in _places(connection) if place.name == name)
    columns = connection.execute(_COLUMNS.encode(), {"oid": oid}).fetchall()
    others = _ask(connection, _OTHERS, {"oid": oid})
    shares, sampled, notes = _sample(connection, oid, [row["name"] for row in columns], sample)
    fields = [Part(FIELD, row["name"], redact(row["definition"]), shares.get(row["name"])) for row in columns]
    rest = [
        Part(row["kind"], row["name"], redact(row["definition"]), size=row["size"], keys=tuple(row["keys"]))
        for row in others
    ]
    return Inspection(place, (*fields, *rest), sampled, notes)


def _places(connection: WatchedConnection) -> list[tuple[int, Place]]:
    connection.execute(SEARCH_PATH.encode())
    connection.execute(_LIMITS.encode())
    found = []
    for row in _ask(connection, _PLACES, LEFT_OUT):
        kind = _KINDS[row["kind"]] + (f" of {row['partitions']} partitions" if row["kind"] == "p" else "")
        numbers = (row["rows"], row["size"], row["indexes"], row["index_size"])
        found.append((row["oid"], Place(row["name"], kind, *(numbers if row["kind"] != "v" else ()))))
    return found


def _ask(connection: WatchedConnection, question: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an answer that needs a short lock on a table: a size, a definition."""
    try:
        with connection.transaction():
            return connection.execute(question.encode(), names).fetchall()
    except psycopg.errors.LockNotAvailable:
        holders = [
            f"{row['name']} is held by process {row['pid']} ({row['who'] or 'without a name'})"
            for row in connection.execute(_LOCKERS.encode())
        ]
        raise LockNotObtained(
            f"a table is locked, so that nothing can be asked about it: {'; '.join(holders) or 'it was until now'}",
            hint="wait for that session to end its transaction, then ask again",
        ) from None


def _sample(
    connection: WatchedConnection, oid: int, columns: Sequence[str], most: int
) -> tuple[dict[str, float], int, tuple[str, ...]]:
    """How many of the sampled rows have a value, for each column; how many rows it were; what was not possible."""
    about = connection.execute(_ABOUT.encode(), {"oid": oid}).fetchone()
    assert about is not None
    if not about["samples"]:
        return {}, 0, ("views and foreign tables are not sampled: that would run a query elsewhere",)
    if not columns:
        return {}, 0, ()
    if not about["readable"]:
        return {}, 0, ("not sampled: this user may not read the rows",)
    part: compose.Composable = compose.SQL("")
    if about["rows"] > 10 * most:  # whole pages, chosen before any is read; a smaller table is read from its beginning
        part = compose.SQL("TABLESAMPLE SYSTEM ({})").format(compose.Literal(min(100.0, 100.0 * most / about["rows"])))
    question = compose.SQL("SELECT count(*) AS of_all, {} FROM (SELECT * FROM {} {} LIMIT {}) AS sampled").format(
        compose.SQL(", ").join(
            compose.SQL("count({}) AS {}").format(compose.Identifier("sampled", name), compose.Identifier(f"n{at}"))
            for at, name in enumerate(columns)
        ),
        compose.Identifier(about["schema"], about["name"]),
        part,
        compose.Literal(most),
    )
    try:
        with connection.transaction():
            row = connection.execute(question).fetchone()
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
        return {}, 0, (f"not sampled: the server did not do it within {SECONDS} s, or does not allow it",)
    assert row is not None
    if not row["of_all"]:
        return {}, 0, ()
    return {name: row[f"n{at}"] / row["of_all"] for at, name in enumerate(columns)}, row["of_all"], ()


__all__ = ["SECONDS", "inspect", "places"]
