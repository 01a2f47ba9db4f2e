"""What a PostgreSQL database is made of, in the same words from version 14 to 18, whatever the search_path is.

Some objects are left out: system schemas, objects of an extension, the tables of Alembic, of dataops and of other
migration tools, and what follows from another object: the index of a constraint, the sequence of a column, what a
partition inherits from its parent. NOT NULL is a part of its column, because only PostgreSQL 18 lists it among the
constraints. The order of columns does not count, because it depends on the past of a database. Bodies of functions,
comments and grants are details of the catalogue: they may differ between databases that have the same history.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from dataops.backends.postgres import othertools
from dataops.catalogue import Catalogue, Key
from dataops.kinds import POSTGRESQL

_OPEN = frozenset({"extension"})  # more of these is no difference: a person or a hosting company may have added one

# In definitions, the server writes the schema before a name only if the schema is not in the search_path. Our own
# schema comes first. `public` and the schemas of extensions follow, so that their names look alike in every database.
SEARCH_PATH = """
SELECT set_config('search_path', concat_ws(', ', quote_ident(current_schema()), (
           SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ')
             FROM pg_namespace n LEFT JOIN pg_extension e ON e.extnamespace = n.oid
            WHERE (n.nspname = 'public' OR e.oid IS NOT NULL)
              AND n.nspname NOT IN ('pg_catalog', coalesce(current_schema(), '')))), true)
"""
SCHEMAS = """
    n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
    AND NOT starts_with(n.nspname, 'dataops_stash_')
    -- A schema that has our journal and no other table
    AND NOT (starts_with(n.nspname, 'dataops_history')
             AND (SELECT coalesce(bool_and(j.relname = 'dataops_journal'), false) FROM pg_class j
                   WHERE j.relnamespace = n.oid AND j.relkind IN ('r', 'p', 'f', 'v', 'm')))
    -- A schema that has the record of drizzle and no other table
    AND NOT (n.nspname = 'drizzle'
             AND (SELECT coalesce(bool_and(j.relname = '__drizzle_migrations'), false) FROM pg_class j
                   WHERE j.relnamespace = n.oid AND j.relkind IN ('r', 'p', 'f', 'v', 'm')))
"""
_IS_RECORD = """EXISTS (
    SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid
     WHERE k.conrelid = c.oid AND k.contype = 'p' AND k.conname = c.relname || '_pkc'
       AND k.conkey = ARRAY[a.attnum] AND a.attname = 'version_num')"""
"""A record of Alembic, also under another name."""
_IS_TYPEORM = """(c.relname = 'migrations' AND 'id name timestamp' = (
    SELECT string_agg(a.attname, ' ' ORDER BY a.attname) FROM pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))"""
"""Its name is one that an application may have for a table of its own, too."""
ONLY_RECORDS = f"""(SELECT coalesce(bool_and({_IS_RECORD}), false) FROM pg_class c
                     WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'f', 'v', 'm'))"""
"""Whether a schema has nothing but such records."""
HAS_RECORD = f"EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND {_IS_RECORD})"
"""Whether a schema has such a record, and so is there before the first migration runs."""
SCHEMA = "CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname || '.' END"
TABLES = f"{SCHEMAS} AND c.relname <> ALL (%(records)s) AND NOT {_IS_RECORD} AND NOT {_IS_TYPEORM}"
LEFT_OUT = {"records": [*POSTGRESQL.ours, *(name for name in othertools.TABLES if name != "migrations")]}
_FUNCTION = f"{SCHEMA} || p.proname || '(' || oidvectortypes(p.proargtypes) || ')'"


def no_extension(catalog: str, oid: str) -> str:
    """SQL for "belongs to no extension".

    A function must not be one that the server made for a type either, such as the constructors of a range type.
    """
    types = "'e', 'i'" if catalog == "pg_proc" else "'e'"
    return (
        f"NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid}"
        f" AND d.deptype IN ({types}))"
    )


_OBJECTS = {
    "schema": f"""
        SELECT n.nspname, '' FROM pg_namespace n
         WHERE {SCHEMAS} AND n.nspname NOT IN ('public', current_schema()) AND {no_extension("pg_namespace", "n.oid")}
           AND NOT {ONLY_RECORDS}
    """,
    "extension": "SELECT extname, '' FROM pg_extension WHERE extname <> 'plpgsql'",
    "table": f"""
        SELECT {SCHEMA} || c.relname,
               concat_ws(', ',
                   CASE c.relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(c.oid)
                                  WHEN 'f' THEN 'foreign, of server ' || (
                                      SELECT s.srvname FROM pg_foreign_table f
                                        JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid) END,
                   (SELECT CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END
                           || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
                      FROM pg_inherits i WHERE i.inhrelid = c.oid HAVING count(*) > 0),
                   pg_get_expr(c.relpartbound, c.oid),
                   CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
                   CASE WHEN c.relrowsecurity THEN 'row level security' END,
                   CASE WHEN c.relforcerowsecurity THEN 'forced' END)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f') AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "column": f"""
        SELECT {SCHEMA} || c.relname || '.' || a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                   CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || quote_ident(o.collname) END,
                   CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                   CASE WHEN a.attidentity = 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
                        WHEN a.attidentity = 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY'
                        WHEN a.attgenerated <> '' THEN 'GENERATED ALWAYS AS (' || pg_get_expr(x.adbin, x.adrelid) || ')'
                            || CASE a.attgenerated WHEN 's' THEN ' STORED' ELSE ' VIRTUAL' END
                        WHEN x.adbin IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(x.adbin, x.adrelid) END)
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_collation o ON o.oid = a.attcollation
          LEFT JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
         WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "constraint": f"""
        SELECT {SCHEMA} || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
          FROM pg_constraint k
          JOIN pg_class c ON c.oid = k.conrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE k.contype NOT IN ('n', 't') AND k.conparentid = 0 AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "index": f"""
        SELECT {SCHEMA} || c.relname || '.' || i.relname,
               concat_ws(' ', CASE WHEN x.indisunique THEN 'UNIQUE' END,
                   substr(pg_get_indexdef(i.oid), strpos(pg_get_indexdef(i.oid), ' USING ') + 7),
                   CASE WHEN NOT x.indisvalid THEN 'INVALID' END)
          FROM pg_index x
          JOIN pg_class i ON i.oid = x.indexrelid
          JOIN pg_class c ON c.oid = x.indrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
           AND NOT i.relispartition AND c.relkind IN ('r', 'p', 'm')
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "view": f"""
        SELECT {SCHEMA} || c.relname,
               concat_ws(' ', CASE c.relkind WHEN 'm' THEN 'materialized' END,
                   (SELECT 'WITH (' || string_agg(o, ', ' ORDER BY o) || ')' FROM unnest(c.reloptions) o),
                   rtrim(pg_get_viewdef(c.oid), ';'))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('v', 'm') AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    # A sequence that a column owns is left out: the default or the identity of the column shows it.
    "sequence": f"""
        SELECT {SCHEMA} || c.relname,
               concat_ws(' ', format_type(s.seqtypid, NULL), 'from', s.seqmin, 'to', s.seqmax, 'by', s.seqincrement,
                         CASE WHEN s.seqcycle THEN 'cycle' END)
          FROM pg_sequence s
          JOIN pg_class c ON c.oid = s.seqrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                              AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "function": f"""
        SELECT {_FUNCTION},
               concat_ws(' ', '(' || pg_get_function_arguments(p.oid) || ')',
                   'RETURNS ' || pg_get_function_result(p.oid),
                   CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'w' THEN 'window'
                       WHEN 'a' THEN (SELECT concat_ws(' ', 'aggregate of', g.aggtransfn::regproc, 'on',
                                                       format_type(g.aggtranstype, NULL), 'from ' || g.agginitval)
                                        FROM pg_aggregate g WHERE g.aggfnoid = p.oid) END,
                   'LANGUAGE ' || l.lanname,
                   CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
                   CASE WHEN p.proisstrict THEN 'STRICT' END,
                   CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
                   CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END,
                   'SET ' || array_to_string(p.proconfig, ', '))
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
         WHERE {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
    """,
    "type": f"""
        SELECT {SCHEMA} || t.typname,
               CASE t.typtype
                   WHEN 'e' THEN 'enum ('
                       || (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                             FROM pg_enum e WHERE e.enumtypid = t.oid) || ')'
                   WHEN 'd' THEN concat_ws(' ', 'domain over', format_type(t.typbasetype, t.typtypmod),
                                     CASE WHEN t.typnotnull THEN 'NOT NULL' END, 'DEFAULT ' || t.typdefault,
                                     (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
                                        FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n'))
                   WHEN 'r' THEN 'range over ' || (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r
                                                     WHERE r.rngtypid = t.oid)
                   ELSE 'composite (' || (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod),
                                                            ', ' ORDER BY a.attnum)
                                            FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0
                                             AND NOT a.attisdropped) || ')' END
          FROM pg_type t
          JOIN pg_namespace n ON n.oid = t.typnamespace
          LEFT JOIN pg_class c ON c.oid = t.typrelid
         WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {SCHEMAS} AND {no_extension("pg_type", "t.oid")}
    """,
    "trigger": f"""
        SELECT {SCHEMA} || c.relname || '.' || g.tgname,
               concat_ws(', ', regexp_replace(pg_get_triggerdef(g.oid, true), '^CREATE (OR REPLACE )?', ''),
                   CASE g.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
          FROM pg_trigger g
          JOIN pg_class c ON c.oid = g.tgrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND {TABLES}
    """,
    "rule": f"""
        SELECT {SCHEMA} || c.relname || '.' || r.rulename, pg_get_ruledef(r.oid, true)
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE r.rulename <> '_RETURN' AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "policy": f"""
        SELECT {SCHEMA} || c.relname || '.' || p.polname,
               concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for',
                   CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                                 WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                   'to', (SELECT string_agg(coalesce(a.rolname, 'public'), ', ' ORDER BY a.rolname)
                            FROM unnest(p.polroles) o LEFT JOIN pg_roles a ON a.oid = o),
                   'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                   'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {TABLES}
    """,
    "statistics": f"""
        SELECT {SCHEMA} || s.stxname, substr(pg_get_statisticsobjdef(s.oid),
                                              strpos(pg_get_statisticsobjdef(s.oid), s.stxname) + length(s.stxname) + 1)
          FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
         WHERE {SCHEMAS}
    """,
    "collation": f"""
        SELECT {SCHEMA} || o.collname,
               concat_ws(' ', CASE o.collprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END,
                   o.collcollate, CASE WHEN NOT o.collisdeterministic THEN 'nondeterministic' END)
          FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_collation", "o.oid")}
    """,
    "event trigger": f"""
        SELECT t.evtname, concat_ws(' ', 'on', t.evtevent, array_to_string(t.evttags, ', '), 'runs',
                   t.evtfoid::regproc, CASE t.evtenabled WHEN 'D' THEN 'disabled' END)
          FROM pg_event_trigger t WHERE {no_extension("pg_event_trigger", "t.oid")}
    """,
    "text search configuration": f"""
        SELECT {SCHEMA} || g.cfgname, ''
          FROM pg_ts_config g JOIN pg_namespace n ON n.oid = g.cfgnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_ts_config", "g.oid")}
    """,
}


def _comment(catalog: str, row: str) -> str:
    return f"FROM pg_description t JOIN {catalog} {row} ON {row}.oid = t.objoid AND t.classoid = '{catalog}'::regclass"


def _sorted(grants: str) -> str:
    return f"(SELECT string_agg(g::text, ', ' ORDER BY g::text) FROM unnest({grants}) g)"


_DETAILS = {
    "body of function": f"""
        SELECT {_FUNCTION}, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prokind <> 'a' AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
    """,
    "comment on": f"""
        SELECT {SCHEMA} || c.relname || coalesce('.' || a.attname, ''), quote_literal(t.description)
          {_comment("pg_class", "c")}
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = t.objsubid AND t.objsubid > 0
         WHERE {TABLES} AND {no_extension("pg_class", "c.oid")}
        UNION ALL
        SELECT {_FUNCTION}, quote_literal(t.description)
          {_comment("pg_proc", "p")}
          JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
        UNION ALL
        SELECT {SCHEMA} || y.typname, quote_literal(t.description)
          {_comment("pg_type", "y")}
          JOIN pg_namespace n ON n.oid = y.typnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_type", "y.oid")}
        UNION ALL
        SELECT {SCHEMA} || c.relname || '.' || k.conname, quote_literal(t.description)
          {_comment("pg_constraint", "k")}
          JOIN pg_class c ON c.oid = k.conrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {TABLES}
        UNION ALL
        SELECT {SCHEMA} || c.relname || '.' || g.tgname, quote_literal(t.description)
          {_comment("pg_trigger", "g")}
          JOIN pg_class c ON c.oid = g.tgrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {TABLES}
    """,
    "grants on": f"""
        SELECT {SCHEMA} || c.relname, {_sorted("c.relacl")}
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relacl IS NOT NULL AND {TABLES} AND {no_extension("pg_class", "c.oid")}
        UNION ALL
        SELECT {SCHEMA} || c.relname || '.' || a.attname, {_sorted("a.attacl")}
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND {TABLES} AND {no_extension("pg_class", "c.oid")}
        UNION ALL
        SELECT {_FUNCTION}, {_sorted("p.proacl")}
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.proacl IS NOT NULL AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
        UNION ALL
        SELECT {SCHEMA} || y.typname, {_sorted("y.typacl")}
          FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
         WHERE y.typacl IS NOT NULL AND {SCHEMAS} AND {no_extension("pg_type", "y.oid")}
        UNION ALL
        SELECT 'schema ' || n.nspname, {_sorted("n.nspacl")}
          FROM pg_namespace n
         WHERE n.nspacl IS NOT NULL AND n.nspname <> 'public' AND {SCHEMAS}
    """,
}


_NAMES = f"""
SELECT {SCHEMA} || c.relname AS name, 1 AS rank
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid
                      AND c.relkind = 'S' AND o.deptype IN ('a', 'i'))
   AND {TABLES} AND {no_extension("pg_class", "c.oid")}
UNION ALL
SELECT {_FUNCTION}, 2
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
UNION ALL
SELECT {SCHEMA} || y.typname, 3
  FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
 WHERE y.typtype IN ('d', 'e', 'r') AND {SCHEMAS} AND {no_extension("pg_type", "y.oid")}
 ORDER BY rank, name
"""


def names(connection: psycopg.Connection[Any]) -> list[str]:
    """Everything that has a name of its own, in one question: tables, views and sequences, then functions, then types.

    A sequence of a column is left out, and so are a partition and the row type of a table.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [str(name) for name, _ in cursor.execute(_NAMES.encode(), LEFT_OUT)]


def read(connection: psycopg.Connection[Any]) -> Catalogue:
    """Read the whole catalogue in the caller's transaction. Changes the search_path of that transaction."""
    connection.execute(SEARCH_PATH)
    objects = dict(_read(connection, {**_OBJECTS, **_DETAILS}))
    return Catalogue(objects, open=_OPEN, details=frozenset(_DETAILS))


def _read(connection: psycopg.Connection[Any], queries: dict[str, str]) -> Iterator[tuple[Key, str]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        for kind, query in queries.items():
            for name, definition in cursor.execute(query.encode(), LEFT_OUT):
                text = " ".join(str(definition).split())
                yield (kind, str(name)), _unqualified(text) if kind == "view" else text


def _unqualified(query: str) -> str:
    """The query of a view as PostgreSQL 16 and later write it: with one table, its name is not before the columns."""
    names = set(re.findall(r"(?<![\w.\"'])(\w+|\"[^\"]+\")\.(?=[\w\"*])", query))
    if len(names) != 1:
        return query
    return re.sub(rf"(?<![\w.\"']){re.escape(names.pop())}\.(?=[\w\"*])", "", query)


__all__ = [
    "HAS_RECORD",
    "LEFT_OUT",
    "ONLY_RECORDS",
    "SCHEMA",
    "SCHEMAS",
    "SEARCH_PATH",
    "TABLES",
    "names",
    "no_extension",
    "read",
]
