"""What a PostgreSQL database is made of, in the same words from version 14 to 18.

Left out: system schemas, what belongs to an extension, the tables of Alembic, of dataops and of other migration tools.
NOT NULL is told with its column: only PostgreSQL 18 lists it among the constraints. Columns are named, not numbered:
their order differs between databases with different pasts. So do the bodies of functions and the comments: those
are told only where `complete` is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from dataops.backends.postgres import records
from dataops.catalogue import Catalogue, Key

_SCHEMAS = """
    n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT starts_with(n.nspname, 'dataops_stash_') AND NOT starts_with(n.nspname, 'pg_temp')
"""
_SCHEMA = "CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname || '.' END"
_TABLES = f"{_SCHEMAS} AND c.relname <> ALL (%(records)s) AND NOT starts_with(c.relname, 'dataops_')"


def _no_extension(catalog: str, oid: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid}"
        " AND d.deptype = 'e')"
    )


_OBJECTS = {
    "schema": f"""
        SELECT n.nspname, '' FROM pg_namespace n
         WHERE {_SCHEMAS} AND n.nspname NOT IN ('public', current_schema()) AND {_no_extension("pg_namespace", "n.oid")}
    """,
    "extension": "SELECT extname, '' FROM pg_extension WHERE extname <> 'plpgsql'",
    "table": f"""
        SELECT {_SCHEMA} || c.relname,
               concat_ws(', ',
                   CASE c.relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(c.oid)
                                  WHEN 'f' THEN 'foreign' END,
                   CASE WHEN c.relispartition THEN 'partition ' || pg_get_expr(c.relpartbound, c.oid) END,
                   CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
                   CASE WHEN c.relrowsecurity THEN 'row level security' END,
                   CASE WHEN c.relforcerowsecurity THEN 'forced' END)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f') AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
    "column": f"""
        SELECT {_SCHEMA} || c.relname || '.' || a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                   CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || o.collname END,
                   CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                   CASE WHEN a.attidentity <> '' THEN 'IDENTITY ' || a.attidentity::text
                        WHEN a.attgenerated <> '' THEN 'GENERATED AS (' || pg_get_expr(x.adbin, x.adrelid) || ')'
                        WHEN x.adbin IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(x.adbin, x.adrelid) END)
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_collation o ON o.oid = a.attcollation
          LEFT JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
         WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
           AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
    "constraint": f"""
        SELECT {_SCHEMA} || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
          FROM pg_constraint k
          JOIN pg_class c ON c.oid = k.conrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE k.contype NOT IN ('n', 't') AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
    "index": f"""
        SELECT {_SCHEMA} || c.relname || '.' || i.relname,
               regexp_replace(pg_get_indexdef(i.oid), '^CREATE (UNIQUE )?INDEX .*? USING ', '\\1')
               || CASE WHEN x.indisvalid THEN '' ELSE ' INVALID' END
          FROM pg_index x
          JOIN pg_class i ON i.oid = x.indexrelid
          JOIN pg_class c ON c.oid = x.indrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
           AND c.relkind IN ('r', 'p', 'm') AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
    "view": f"""
        SELECT {_SCHEMA} || c.relname,
               CASE c.relkind WHEN 'm' THEN 'materialized ' ELSE '' END || rtrim(pg_get_viewdef(c.oid), ';')
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('v', 'm') AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
    # A sequence that a column owns is told by its default or as its identity; the name it has is not ours to check.
    "sequence": f"""
        SELECT {_SCHEMA} || c.relname,
               concat_ws(' ', format_type(s.seqtypid, NULL), 'from', s.seqmin, 'to', s.seqmax, 'by', s.seqincrement,
                         CASE WHEN s.seqcycle THEN 'cycle' END)
          FROM pg_sequence s
          JOIN pg_class c ON c.oid = s.seqrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                              AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
           AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
    "function": f"""
        SELECT {_SCHEMA} || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               concat_ws(' ', '(' || pg_get_function_arguments(p.oid) || ')',
                   'RETURNS ' || pg_get_function_result(p.oid),
                   CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' END,
                   'LANGUAGE ' || l.lanname,
                   CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
                   CASE WHEN p.proisstrict THEN 'STRICT' END,
                   CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
                   CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END,
                   'SET ' || array_to_string(p.proconfig, ', '))
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
         WHERE {_SCHEMAS} AND {_no_extension("pg_proc", "p.oid")}
    """,
    "type": f"""
        SELECT {_SCHEMA} || t.typname,
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
         WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {_SCHEMAS} AND {_no_extension("pg_type", "t.oid")}
    """,
    "trigger": f"""
        SELECT {_SCHEMA} || c.relname || '.' || g.tgname,
               regexp_replace(pg_get_triggerdef(g.oid), '^CREATE (CONSTRAINT )?TRIGGER \\S+ ', '')
               || CASE g.tgenabled WHEN 'O' THEN '' ELSE ' enabled ' || g.tgenabled::text END
          FROM pg_trigger g
          JOIN pg_class c ON c.oid = g.tgrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT g.tgisinternal AND {_TABLES}
    """,
    "rule": f"""
        SELECT {_SCHEMA} || c.relname || '.' || r.rulename, pg_get_ruledef(r.oid)
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE r.rulename <> '_RETURN' AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
    "policy": f"""
        SELECT {_SCHEMA} || c.relname || '.' || p.polname,
               concat_ws(' ', p.polcmd::text, CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
                   'USING ' || pg_get_expr(p.polqual, p.polrelid),
                   'WITH CHECK ' || pg_get_expr(p.polwithcheck, p.polrelid))
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {_TABLES}
    """,
}
_COMPLETE = {
    "body of function": f"""
        SELECT {_SCHEMA} || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', md5(p.prosrc)
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE {_SCHEMAS} AND {_no_extension("pg_proc", "p.oid")}
    """,
    "comment on": f"""
        SELECT {_SCHEMA} || c.relname || coalesce('.' || a.attname, ''), quote_literal(d.description)
          FROM pg_description d
          JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
         WHERE {_TABLES} AND {_no_extension("pg_class", "c.oid")}
        UNION ALL
        SELECT {_SCHEMA} || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               quote_literal(d.description)
          FROM pg_description d
          JOIN pg_proc p ON p.oid = d.objoid AND d.classoid = 'pg_proc'::regclass
          JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE {_SCHEMAS} AND {_no_extension("pg_proc", "p.oid")}
    """,
    "grants on": f"""
        SELECT {_SCHEMA} || c.relname, c.relacl::text
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relacl IS NOT NULL AND {_TABLES} AND {_no_extension("pg_class", "c.oid")}
    """,
}


def read(connection: psycopg.Connection[Any], *, complete: bool = False) -> Catalogue:
    """Everything, in the caller's transaction; `complete` adds bodies of functions, comments and grants."""
    return Catalogue(dict(_read(connection, {**_OBJECTS, **(_COMPLETE if complete else {})})))


def _read(connection: psycopg.Connection[Any], queries: dict[str, str]) -> Iterator[tuple[Key, str]]:
    left_out = {"records": ["alembic_version", *records.TABLES]}
    with connection.cursor(row_factory=tuple_row) as cursor:
        for kind, query in queries.items():
            for name, definition in cursor.execute(query.encode(), left_out):
                yield (kind, str(name)), " ".join(str(definition).split())


__all__ = ["read"]
