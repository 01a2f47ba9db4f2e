"""CREATE TABLE, CREATE VIEW, and what can only be said of a table or view afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from dataops.backends.postgres import words
from dataops.backends.postgres.catalogue import LEFT_OUT, TABLES, no_extension
from dataops.backends.postgres.schema.pieces import (
    RELATION,
    SEQUENCE_OPTIONS,
    TABLE,
    VIEW,
    Cursor,
    Piece,
    collated,
)

_WHICH = f"{TABLES} AND {no_extension('pg_class', 'c.oid')}"
_METHOD = "(SELECT quote_ident(m.amname) FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap')"
_TABLES = f"""
SELECT c.oid, {RELATION}, c.relpersistence = 'u', pg_get_expr(c.relpartbound, c.oid),
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
       (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
          FROM pg_inherits i WHERE i.inhrelid = c.oid),
       (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o),
       CASE c.relreplident WHEN 'n' THEN 'NOTHING' WHEN 'f' THEN 'FULL' END, {_METHOD}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND {_WHICH}
"""
_COLUMNS = f"""
SELECT a.attrelid, quote_ident(a.attname),
       quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
       || {collated("a.attcollation", "t.typcollation")}
       || CASE WHEN a.attidentity <> ''
               THEN ' GENERATED ' || CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END || ' AS IDENTITY'
                    || coalesce((SELECT ' (' || nullif(ltrim(
                                  CASE WHEN i.relname <> c.relname || '_' || a.attname || '_seq'
                                       THEN 'SEQUENCE NAME ' || quote_ident(i.relname) ELSE '' END
                                  || {SEQUENCE_OPTIONS}), '') || ')'
                           FROM pg_depend d JOIN pg_class i ON i.oid = d.objid JOIN pg_sequence s ON s.seqrelid = i.oid
                          WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                            AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'i'), '')
               WHEN a.attgenerated <> '' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(x.adbin, x.adrelid) || ')'
                    || CASE a.attgenerated WHEN 's' THEN ' STORED' ELSE ' VIRTUAL' END
               WHEN x.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(x.adbin, x.adrelid) ELSE '' END
       || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
       a.attislocal, a.attnotnull, CASE WHEN a.attgenerated = '' THEN pg_get_expr(x.adbin, x.adrelid) END,
       (SELECT bool_or(pa.attnotnull) FROM pg_inherits i JOIN pg_attribute pa ON pa.attrelid = i.inhparent
         WHERE i.inhrelid = c.oid AND pa.attname = a.attname),
       (SELECT max(pg_get_expr(px.adbin, px.adrelid)) FROM pg_inherits i
          JOIN pg_attribute pa ON pa.attrelid = i.inhparent AND pa.attname = a.attname AND pa.attgenerated = ''
          JOIN pg_attrdef px ON px.adrelid = pa.attrelid AND px.adnum = pa.attnum WHERE i.inhrelid = c.oid),
       array_remove(ARRAY[
           CASE WHEN a.attstorage <> t.typstorage THEN 'SET STORAGE ' || CASE a.attstorage
               WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END END,
           CASE a.attcompression WHEN 'p' THEN 'SET COMPRESSION pglz' WHEN 'l' THEN 'SET COMPRESSION lz4' END,
           CASE WHEN a.attstattarget >= 0 THEN 'SET STATISTICS ' || a.attstattarget END,
           'SET (' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) o) || ')'], NULL)
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND {_WHICH}
 ORDER BY a.attrelid, a.attnum
"""
_VIEWS = f"""
SELECT c.oid, {RELATION}, c.relkind = 'm', c.relispopulated, pg_get_viewdef(c.oid, true),
       (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o),
       ARRAY(SELECT quote_ident(a.attname) || ' SET DEFAULT ' || pg_get_expr(x.adbin, x.adrelid)
               FROM pg_attrdef x JOIN pg_attribute a ON a.attrelid = x.adrelid AND a.attnum = x.adnum
              WHERE x.adrelid = c.oid ORDER BY a.attnum), {_METHOD}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('v', 'm') AND {_WHICH}
"""


def read(cursor: Cursor) -> Iterator[Piece]:
    """Every table and view."""
    columns: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for table, *column in cursor.execute(_COLUMNS.encode(), LEFT_OUT).fetchall():
        columns[table].append(tuple(column))
    for oid, name, *about in cursor.execute(_TABLES.encode(), LEFT_OUT).fetchall():
        yield Piece(TABLE, name, tuple(_table(name, about, columns[oid])), "pg_class", oid)
    for oid, name, materialized, populated, query, options, defaults, method in cursor.execute(
        _VIEWS.encode(), LEFT_OUT
    ).fetchall():
        kind = "MATERIALIZED VIEW" if materialized else "VIEW"
        using = f" USING {method}" if method else ""
        text = f"CREATE {kind} {name}{using}{f' WITH ({options})' if options else ''} AS\n"
        text += words.as_newer_versions(query.rstrip("; \n"), cursor.connection.info.server_version) + (
            "" if populated or not materialized else "\nWITH NO DATA"
        )
        more = (f"ALTER VIEW {name} ALTER COLUMN {default}" for default in defaults)
        yield Piece(VIEW, name, (text, *more), "pg_class", oid)


def verbatim(cursor: Cursor) -> Iterator[str]:
    """The query of each view in the server's own words."""
    for _, name, *_, query, _, _, _ in sorted(
        cursor.execute(_VIEWS.encode(), LEFT_OUT).fetchall(), key=lambda one: one[1]
    ):
        yield f"view {name}: {query}"


def _table(name: str, about: list[Any], columns: list[tuple[Any, ...]]) -> Iterator[str]:
    unlogged, bound, key, parents, options, identity, method = about
    own = [column[1] for column in columns if column[2] and bound is None]
    body = f" PARTITION OF {parents} {bound}" if bound is not None else f" (\n    {_listed(own)}\n)" if own else " ()"
    yield "".join(
        (
            f"CREATE {'UNLOGGED ' if unlogged else ''}TABLE {name}{body}",
            f" INHERITS ({parents})" if parents and bound is None else "",
            f" PARTITION BY {key}" if key else "",
            f" USING {method}" if method else "",
            f" WITH ({options})" if options else "",
        )
    )
    for column, _, local, not_null, default, parent_not_null, parent_default, settings in columns:
        alter = f"ALTER TABLE ONLY {name} ALTER COLUMN {column}"
        if bound is not None or not local:
            if not_null and not parent_not_null:
                yield f"{alter} SET NOT NULL"
            if default != parent_default:
                yield f"{alter} SET DEFAULT {default}" if default is not None else f"{alter} DROP DEFAULT"
        for setting in settings:
            yield f"{alter} {setting}"
    if identity:
        yield f"ALTER TABLE ONLY {name} REPLICA IDENTITY {identity}"


def _listed(columns: list[str]) -> str:
    return ",\n    ".join(columns)


__all__ = ["read", "verbatim"]
