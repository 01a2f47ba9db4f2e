"""What a PostgreSQL database is made of, in the same words from version 14 to 18, whatever the search_path is.

Some objects are left out: system schemas, objects of an extension, the tables of Alembic, of dataops and of other
migration tools, and what follows from another object: the index of a constraint, what a partition inherits from its
parent. Tablespaces and owners belong to the server, and are left out too. NOT NULL is a part of its column, because
only PostgreSQL 18 lists it among the constraints. The order of columns does not count, because it depends on the past
of a database. Bodies of functions, comments and grants are details of the catalogue: they may differ between databases
that have the same history.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from dataops.backends.postgres import othertools, words
from dataops.catalogue import Catalogue, Key
from dataops.kinds import POSTGRESQL

_OPEN = frozenset({"extension", "contents of view"})
"""More of these is no difference: a person or a hosting company may have added an extension."""

# In definitions, the server writes the schema before a name only if the schema is not in the search_path. So every name
# has its schema, except those in our own: in which order a person finds schemas must not make a difference.
_ONLY_OURS = "SELECT set_config('search_path', coalesce(quote_ident(current_schema()), ''), true)"
EQUAL_TEXTS = """
SELECT set_config(name, value, true)
  FROM (VALUES ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('bytea_output', 'hex'),
               ('extra_float_digits', '1'), ('row_security', 'off'), ('standard_conforming_strings', 'on'))
       AS settings (name, value)
"""
"""With these settings, equal values have equal texts; row_security = off raises an error where rows are hidden."""
# For people who look: `public` and the schemas of extensions are in the path too.
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
    -- A schema that has our journal and nothing else
    AND NOT (starts_with(n.nspname, 'dataops_history')
             AND (SELECT coalesce(bool_and(starts_with(j.relname, 'dataops_')), false) FROM pg_class j
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

    A function or a cast must not be one that the server made for a type either, such as those of a range type.
    """
    types = "'e', 'i'" if catalog in ("pg_proc", "pg_cast") else "'e'"
    return (
        f"NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid}"
        f" AND d.deptype IN ({types}))"
    )


def _sorted(texts: str) -> str:
    return f"(SELECT string_agg(g::text, ', ' ORDER BY g::text) FROM unnest({texts}) g)"


def _digests(options: str) -> str:
    """SQL for options whose values may be secrets: a digest stands for each value."""
    return (
        "(SELECT string_agg(split_part(g, '=', 1) || ' with digest ' || left(md5(substr(g, strpos(g, '=') + 1)), 6),"
        f" ', ' ORDER BY g) FROM unnest({options}) g)"
    )


def _unusual(acl: str, kind: str, owner: str) -> str:
    """SQL for "has other rights than an object of this kind has when it is made"."""
    usual = f'acldefault(({kind})::"char", {owner})'
    return f"{acl} IS NOT NULL AND {_sorted(acl)} IS DISTINCT FROM {_sorted(usual)}"


INDEX_METHOD = """substr(pg_get_indexdef(i.oid),
    strpos(pg_get_indexdef(i.oid), '.' || quote_ident(c.relname) || ' USING ') + length(quote_ident(c.relname)) + 8)"""
"""What an index `i` of a table `c` is, from its method on. Its name may have the word USING in it, too."""
STATISTICS_KINDS = """substr(pg_get_statisticsobjdef(s.oid),
    strpos(pg_get_statisticsobjdef(s.oid), '.' || quote_ident(s.stxname)) + length(quote_ident(s.stxname)) + 2)"""
_INDEX_OPTIONS = r"""' WITH \((?:[a-z_.]+=(?:''[^'']*''|\w+)(?:, )?)+\)'"""
_SEQUENCE = """concat_ws(' ', format_type(s.seqtypid, NULL), 'from', s.seqmin, 'to', s.seqmax, 'by', s.seqincrement,
    CASE WHEN s.seqstart <> CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END
         THEN 'starting at ' || s.seqstart END,
    CASE WHEN s.seqcache <> 1 THEN 'cache ' || s.seqcache END,
    CASE WHEN s.seqcycle THEN 'cycle' END)"""
_OWNED = """SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
                AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"""
# Each version has it in another column: collcollate, then colliculocale (15), then colllocale (17).
_LOCALE = "coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate)"
_OPERATOR = (
    f"{SCHEMA} || o.oprname || '(' || coalesce(format_type(nullif(o.oprleft, 0), NULL), 'NONE') || ', '"
    " || format_type(o.oprright, NULL) || ')'"
)
_FIRST_OID = 16384  # the server's own objects have smaller ones
_ENABLED = "CASE {} WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END"

_OF_ROLE = "pg_get_userbyid(r.setrole) || '.' || s.parameter"


def _given(whose: str, name: str, *, tunes: bool) -> str:
    """SQL for what ALTER DATABASE or ALTER ROLE ... IN DATABASE has set; `tunes` for what changes speed or logs only.

    The value of a setting that the server does not know may be a secret of the application.
    """
    return f"""
        SELECT {name}, CASE WHEN strpos(s.parameter, '.') > 0 THEN 'value with digest ' || left(md5(s.value), 6)
                            ELSE s.value END
          FROM pg_db_role_setting r
         CROSS JOIN LATERAL (SELECT split_part(one, '=', 1) AS parameter, substr(one, strpos(one, '=') + 1) AS value
                               FROM unnest(r.setconfig) one) s
         WHERE r.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND {whose}
           AND {"" if tunes else "NOT"} EXISTS (
               SELECT FROM pg_settings g WHERE lower(g.name) = lower(s.parameter)
                  AND g.category ~ '^(Query Tuning|Resource Usage|Reporting and Logging|Statistics|Autovacuum|Vacuum)')
    """


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
                                      SELECT concat_ws(' ', s.srvname, {_sorted("f.ftoptions")}) FROM pg_foreign_table f
                                        JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid) END,
                   'of type ' || CASE WHEN c.reloftype <> 0 THEN c.reloftype::regtype END,
                   (SELECT 'using ' || m.amname FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap'),
                   (SELECT CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END
                           || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
                           || CASE WHEN bool_or(i.inhdetachpending) THEN ' and being detached' ELSE '' END
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
                   CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || a.attcollation::regcollation END,
                   CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                   (SELECT concat_ws(' ', CASE WHEN k.connoinherit THEN 'NO INHERIT' END,
                                          CASE WHEN NOT k.convalidated THEN 'NOT VALID' END)
                      FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
                       AND (k.connoinherit OR NOT k.convalidated)),
                   CASE WHEN a.attidentity = 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
                        WHEN a.attidentity = 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY'
                        WHEN a.attgenerated <> '' THEN 'GENERATED ALWAYS AS (' || pg_get_expr(x.adbin, x.adrelid) || ')'
                            || CASE a.attgenerated WHEN 's' THEN ' STORED' ELSE ' VIRTUAL' END
                        WHEN x.adbin IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(x.adbin, x.adrelid) END,
                   'OPTIONS ' || {_sorted("a.attfdwoptions")})
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
         WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "constraint": f"""
        SELECT {SCHEMA} || c.relname || '.' || k.conname,
               concat_ws(', ', pg_get_constraintdef(k.oid),
                   (SELECT 'INVALID' FROM pg_index x WHERE x.indexrelid = k.conindid AND x.indrelid = k.conrelid
                       AND NOT x.indisvalid),
                   'disabled by ' || off.triggers)
          FROM pg_constraint k
          JOIN pg_class c ON c.oid = k.conrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         -- The server checks it by triggers of its own, which DISABLE TRIGGER ALL switches off.
         CROSS JOIN LATERAL (
               SELECT string_agg(DISTINCT CASE g.tgenabled WHEN 'D' THEN '' WHEN 'R' THEN 'REPLICA ' ELSE 'ALWAYS ' END
                                          || 'triggers on ' || g.tgrelid::regclass, ' and ') AS triggers
                 FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgisinternal AND g.tgenabled <> 'O') off
         WHERE k.contype NOT IN ('n', 't') AND (k.conparentid = 0 OR off.triggers IS NOT NULL)
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "index": f"""
        SELECT {SCHEMA} || c.relname || '.' || i.relname,
               concat_ws(' ', CASE WHEN x.indisunique THEN 'UNIQUE' END,
                   regexp_replace({INDEX_METHOD}, {_INDEX_OPTIONS}, ''),
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
                   (SELECT 'using ' || m.amname FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap'),
                   (SELECT 'WITH (' || string_agg(o, ', ' ORDER BY o) || ')' FROM unnest(c.reloptions) o
                     WHERE c.relkind = 'v'),
                   (SELECT 'DEFAULTS (' || string_agg(a.attname || ' ' || pg_get_expr(x.adbin, x.adrelid), ', '
                                                      ORDER BY a.attname) || ')'
                      FROM pg_attrdef x JOIN pg_attribute a ON a.attrelid = x.adrelid AND a.attnum = x.adnum
                     WHERE x.adrelid = c.oid),
                   rtrim(pg_get_viewdef(c.oid), ';'))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('v', 'm') AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    # An application refreshes it by itself, so that contents of which the history knows nothing are no difference.
    "contents of view": f"""
        SELECT {SCHEMA} || c.relname, 'populated' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'm' AND c.relispopulated AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "sequence": f"""
        SELECT {SCHEMA} || c.relname, concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'unlogged' END, {_SEQUENCE})
          FROM pg_sequence s
          JOIN pg_class c ON c.oid = s.seqrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS ({_OWNED}) AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    # It may have any name; what counts is which numbers the column gets.
    "sequence of column": f"""
        SELECT {SCHEMA} || c.relname || '.' || a.attname, string_agg({_SEQUENCE}, '; ' ORDER BY s.seqrelid)
          FROM pg_sequence s
          JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = s.seqrelid
           AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i')
          JOIN pg_class c ON c.oid = o.refobjid
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.refobjsubid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {TABLES} AND {no_extension("pg_class", "c.oid")}
         GROUP BY 1
    """,
    "function": f"""
        SELECT {_FUNCTION},
               concat_ws(' ', '(' || pg_get_function_arguments(p.oid) || ')',
                   'RETURNS ' || pg_get_function_result(p.oid),
                   CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'w' THEN 'window'
                       WHEN 'a' THEN (
                           SELECT concat_ws(' ',
                                      CASE g.aggkind WHEN 'o' THEN 'ordered-set' WHEN 'h' THEN 'hypothetical-set' END,
                                      'aggregate of', g.aggtransfn::regproc, 'on',
                                      format_type(g.aggtranstype, NULL), 'from ' || g.agginitval,
                                      CASE WHEN g.aggnumdirectargs > 0 THEN 'after ' || g.aggnumdirectargs END,
                                      'finally ' || nullif(g.aggfinalfn::regproc::text, '-'),
                                      CASE WHEN g.aggfinalextra THEN 'with extra arguments' END,
                                      CASE WHEN g.aggfinalfn <> 0 THEN 'modify ' || g.aggfinalmodify::text END,
                                      'combined by ' || nullif(g.aggcombinefn::regproc::text, '-'),
                                      'written by ' || nullif(g.aggserialfn::regproc::text, '-'),
                                      'read by ' || nullif(g.aggdeserialfn::regproc::text, '-'),
                                      'moving by ' || nullif(g.aggmtransfn::regproc::text, '-'),
                                      'and ' || nullif(g.aggminvtransfn::regproc::text, '-'),
                                      'on ' || CASE WHEN g.aggmtranstype <> 0
                                                    THEN format_type(g.aggmtranstype, NULL) END,
                                      'from ' || g.aggminitval,
                                      'finally ' || nullif(g.aggmfinalfn::regproc::text, '-'),
                                      CASE WHEN g.aggmfinalextra THEN 'with extra arguments' END,
                                      CASE WHEN g.aggmfinalfn <> 0 THEN 'modify ' || g.aggmfinalmodify::text END,
                                      'sorted by ' || CASE WHEN g.aggsortop <> 0 THEN g.aggsortop::regoperator END)
                             FROM pg_aggregate g WHERE g.aggfnoid = p.oid) END,
                   'LANGUAGE ' || l.lanname,
                   CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
                   CASE WHEN p.proisstrict THEN 'STRICT' END,
                   CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
                   CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END,
                   CASE WHEN p.proleakproof THEN 'LEAKPROOF' END,
                   'SET ' || {_sorted("p.proconfig")},
                   'as ' || CASE WHEN l.lanname IN ('c', 'internal') AND p.prokind <> 'a'
                                 THEN concat_ws(' of ', quote_literal(p.prosrc), quote_literal(p.probin)) END)
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
                                     (SELECT 'COLLATE ' || t.typcollation::regcollation FROM pg_type b
                                       WHERE b.oid = t.typbasetype AND b.typcollation <> t.typcollation),
                                     CASE WHEN t.typnotnull THEN 'NOT NULL' END,
                                     'DEFAULT ' || pg_get_expr(t.typdefaultbin, 0),
                                     (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
                                        FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n'))
                   WHEN 'r' THEN (SELECT concat_ws(' ', 'range over', format_type(r.rngsubtype, NULL),
                                             'COLLATE ' || CASE WHEN r.rngcollation <> y.typcollation
                                                                THEN r.rngcollation::regcollation END,
                                             'ordered by ' || CASE WHEN NOT q.opcdefault THEN q.opcname END,
                                             'canonical by ' || nullif(r.rngcanonical::regproc::text, '-'),
                                             'subtracted by ' || nullif(r.rngsubdiff::regproc::text, '-'),
                                             'many are ' || CASE
                                                 WHEN m.typname NOT IN (t.typname || '_multirange',
                                                                        replace(t.typname, 'range', 'multirange'))
                                                 THEN m.typname END)
                                    FROM pg_range r JOIN pg_type y ON y.oid = r.rngsubtype
                                    JOIN pg_opclass q ON q.oid = r.rngsubopc JOIN pg_type m ON m.oid = r.rngmultitypid
                                   WHERE r.rngtypid = t.oid)
                   WHEN 'b' THEN concat_ws(' ', 'base of', t.typinput::regproc, 'and', t.typoutput::regproc,
                                     'length', t.typlen, 'align', t.typalign, 'storage', t.typstorage,
                                     'category', t.typcategory, 'DEFAULT ' || t.typdefault)
                   ELSE 'composite (' || (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                                                            || coalesce(' COLLATE ' || CASE
                                                                 WHEN a.attcollation <> (SELECT y.typcollation
                                                                   FROM pg_type y WHERE y.oid = a.atttypid)
                                                                 THEN a.attcollation::regcollation END, ''),
                                                            ', ' ORDER BY a.attnum)
                                            FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0
                                             AND NOT a.attisdropped) || ')' END
          FROM pg_type t
          JOIN pg_namespace n ON n.oid = t.typnamespace
          LEFT JOIN pg_class c ON c.oid = t.typrelid
         WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c'
                OR t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid))
           AND {SCHEMAS} AND {no_extension("pg_type", "t.oid")}
    """,
    "trigger": f"""
        SELECT {SCHEMA} || c.relname || '.' || g.tgname,
               concat_ws(', ', regexp_replace(pg_get_triggerdef(g.oid, true), '^CREATE (OR REPLACE )?', ''),
                   {_ENABLED.format("g.tgenabled")})
          FROM pg_trigger g
          JOIN pg_class c ON c.oid = g.tgrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_trigger u ON u.oid = g.tgparentid
         -- A trigger on a partition follows from its parent, unless it was switched off or on by itself.
         WHERE (NOT g.tgisinternal AND g.tgparentid = 0
                OR g.tgconstraint = 0 AND g.tgenabled <> u.tgenabled) AND {TABLES}
    """,
    "rule": f"""
        SELECT {SCHEMA} || c.relname || '.' || r.rulename,
               concat_ws(' ', pg_get_ruledef(r.oid, true), {_ENABLED.format("r.ev_enabled")})
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
        SELECT {SCHEMA} || s.stxname, {STATISTICS_KINDS}
          FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_statistic_ext", "s.oid")}
    """,
    "collation": f"""
        SELECT {SCHEMA} || o.collname,
               concat_ws(' ', CASE o.collprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END,
                   CASE o.collprovider WHEN 'i' THEN replace({_LOCALE}, '_', '-') ELSE {_LOCALE} END,
                   CASE WHEN o.collprovider = 'c' AND o.collctype <> o.collcollate THEN 'ctype ' || o.collctype END,
                   'rules ' || quote_literal(to_jsonb(o) ->> 'collicurules'),
                   CASE WHEN NOT o.collisdeterministic THEN 'nondeterministic' END)
          FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_collation", "o.oid")}
    """,
    "event trigger": f"""
        SELECT t.evtname, concat_ws(' ', 'on', t.evtevent, {_sorted("t.evttags")}, 'runs',
                   t.evtfoid::regproc, {_ENABLED.format("t.evtenabled")})
          FROM pg_event_trigger t WHERE {no_extension("pg_event_trigger", "t.oid")}
    """,
    "text search configuration": f"""
        SELECT {SCHEMA} || g.cfgname,
               concat_ws('; ', nullif('parser ' || p.prsname, 'parser default'), (
                   SELECT string_agg(concat_ws(' ', k.alias, 'by', m.dictionaries), '; ' ORDER BY k.alias)
                     FROM ts_token_type(g.cfgparser) k
                     JOIN (SELECT m.maptokentype,
                                  string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno) AS dictionaries
                             FROM pg_ts_config_map m WHERE m.mapcfg = g.oid GROUP BY m.maptokentype) m
                       ON m.maptokentype = k.tokid))
          FROM pg_ts_config g JOIN pg_namespace n ON n.oid = g.cfgnamespace JOIN pg_ts_parser p ON p.oid = g.cfgparser
         WHERE {SCHEMAS} AND {no_extension("pg_ts_config", "g.oid")}
    """,
    "text search dictionary": f"""
        SELECT {SCHEMA} || g.dictname, concat_ws(' ', t.tmplname, 'with ' || g.dictinitoption)
          FROM pg_ts_dict g JOIN pg_namespace n ON n.oid = g.dictnamespace
          JOIN pg_ts_template t ON t.oid = g.dicttemplate
         WHERE {SCHEMAS} AND {no_extension("pg_ts_dict", "g.oid")}
    """,
    "text search parser": f"""
        SELECT {SCHEMA} || g.prsname,
               concat_ws(' ', g.prsstart, g.prstoken, g.prsend, g.prsheadline, g.prslextype)
          FROM pg_ts_parser g JOIN pg_namespace n ON n.oid = g.prsnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_ts_parser", "g.oid")}
    """,
    "text search template": f"""
        SELECT {SCHEMA} || g.tmplname, concat_ws(' ', g.tmplinit, g.tmpllexize)
          FROM pg_ts_template g JOIN pg_namespace n ON n.oid = g.tmplnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_ts_template", "g.oid")}
    """,
    "operator": f"""
        SELECT {_OPERATOR},
               concat_ws(' ', 'is', o.oprcode::regprocedure,
                   'commutator ' || CASE WHEN o.oprcom <> 0 THEN o.oprcom::regoperator END,
                   'negator ' || CASE WHEN o.oprnegate <> 0 THEN o.oprnegate::regoperator END,
                   'restrict ' || nullif(o.oprrest::regproc::text, '-'),
                   'join ' || nullif(o.oprjoin::regproc::text, '-'),
                   CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END)
          FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
         WHERE o.oprcode <> 0 AND {SCHEMAS} AND {no_extension("pg_operator", "o.oid")}
    """,
    "operator class": f"""
        SELECT {SCHEMA} || q.opcname || ' for ' || m.amname,
               concat_ws(' ', CASE WHEN q.opcdefault THEN 'default' END, 'for', format_type(q.opcintype, NULL),
                   'of', f.opfname, 'storing ' || format_type(nullif(q.opckeytype, 0), NULL))
          FROM pg_opclass q JOIN pg_namespace n ON n.oid = q.opcnamespace
          JOIN pg_am m ON m.oid = q.opcmethod JOIN pg_opfamily f ON f.oid = q.opcfamily
         WHERE {SCHEMAS} AND {no_extension("pg_opclass", "q.oid")}
    """,
    "operator family": f"""
        SELECT {SCHEMA} || f.opfname || ' for ' || m.amname,
               concat_ws('; ',
                   (SELECT string_agg(concat_ws(' ', o.amopstrategy, o.amopopr::regoperator,
                                          'order by ' || CASE WHEN o.amopsortfamily <> 0 THEN 'a sort' END), ', '
                                      ORDER BY o.amopstrategy, o.amopopr::regoperator::text)
                      FROM pg_amop o WHERE o.amopfamily = f.oid),
                   (SELECT string_agg(concat_ws(' ', o.amprocnum, o.amproc::regprocedure), ', '
                                      ORDER BY o.amprocnum, o.amproc::regprocedure::text)
                      FROM pg_amproc o WHERE o.amprocfamily = f.oid))
          FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
         WHERE {SCHEMAS} AND {no_extension("pg_opfamily", "f.oid")}
    """,
    "cast": f"""
        SELECT format_type(k.castsource, NULL) || ' as ' || format_type(k.casttarget, NULL),
               concat_ws(' ', CASE k.castmethod WHEN 'f' THEN 'by ' || k.castfunc::regprocedure
                                                WHEN 'i' THEN 'by text' ELSE 'as it is' END,
                   CASE k.castcontext WHEN 'a' THEN 'in assignments' WHEN 'i' THEN 'everywhere' END)
          FROM pg_cast k WHERE k.oid >= {_FIRST_OID} AND {no_extension("pg_cast", "k.oid")}
    """,
    "conversion": f"""
        SELECT {SCHEMA} || v.conname,
               concat_ws(' ', CASE WHEN v.condefault THEN 'default' END, 'from', pg_encoding_to_char(v.conforencoding),
                         'to', pg_encoding_to_char(v.contoencoding), 'by', v.conproc)
          FROM pg_conversion v JOIN pg_namespace n ON n.oid = v.connamespace
         WHERE {SCHEMAS} AND {no_extension("pg_conversion", "v.oid")}
    """,
    "language": f"""
        SELECT l.lanname, concat_ws(' ', CASE WHEN l.lanpltrusted THEN 'trusted' END, 'by',
                   l.lanplcallfoid::regproc, 'inline ' || nullif(l.laninline::regproc::text, '-'),
                   'validated by ' || nullif(l.lanvalidator::regproc::text, '-'))
          FROM pg_language l WHERE l.lanispl AND {no_extension("pg_language", "l.oid")}
    """,
    "access method": f"""
        SELECT m.amname,
               concat_ws(' ', CASE m.amtype WHEN 't' THEN 'of tables' ELSE 'of indexes' END, 'by', m.amhandler)
          FROM pg_am m WHERE m.oid >= {_FIRST_OID} AND {no_extension("pg_am", "m.oid")}
    """,
    "transform": f"""
        SELECT format_type(r.trftype, NULL) || ' for ' || l.lanname,
               concat_ws(' ', 'from SQL by ' || nullif(r.trffromsql::regproc::text, '-'),
                              'to SQL by ' || nullif(r.trftosql::regproc::text, '-'))
          FROM pg_transform r JOIN pg_language l ON l.oid = r.trflang WHERE {no_extension("pg_transform", "r.oid")}
    """,
    "foreign data wrapper": f"""
        SELECT w.fdwname, concat_ws(' ', 'by ' || nullif(w.fdwhandler::regproc::text, '-'),
                              'validated by ' || nullif(w.fdwvalidator::regproc::text, '-'))
          FROM pg_foreign_data_wrapper w WHERE {no_extension("pg_foreign_data_wrapper", "w.oid")}
    """,
    "subscription": """
        SELECT b.subname, concat_ws(' ', 'to', (SELECT string_agg(p, ', ' ORDER BY p) FROM unnest(b.subpublications) p),
                   CASE WHEN NOT b.subenabled THEN 'disabled' END)
          FROM pg_subscription b
         WHERE b.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    """,
    "security label": """
        SELECT b.objname || ' by ' || b.provider, quote_literal(b.label) FROM pg_seclabels b
         WHERE b.classoid NOT IN ('pg_authid'::regclass, 'pg_database'::regclass, 'pg_tablespace'::regclass,
                                  'pg_largeobject'::regclass, 'pg_subscription'::regclass)
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = b.classoid AND d.objid = b.objoid
                              AND d.deptype = 'e')
    """,
    "setting of database": _given("r.setrole = 0", "s.parameter", tunes=False),
    "settings of database": _given("r.setrole = 0", "s.parameter", tunes=True),
    "setting of role": _given("r.setrole <> 0", _OF_ROLE, tunes=False),
    "settings of role": _given("r.setrole <> 0", _OF_ROLE, tunes=True),
    "foreign server": f"""
        SELECT s.srvname, concat_ws(' ', 'of', w.fdwname, 'type ' || s.srvtype, 'version ' || s.srvversion)
          FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
         WHERE {no_extension("pg_foreign_server", "s.oid")}
    """,
    # What a server is reached by differs between databases, so that this refuses nothing.
    "settings of foreign server": f"""
        SELECT s.srvname, {_digests("s.srvoptions")} FROM pg_foreign_server s
         WHERE s.srvoptions IS NOT NULL AND {no_extension("pg_foreign_server", "s.oid")}
    """,
    "settings of foreign data wrapper": f"""
        SELECT w.fdwname, {_digests("w.fdwoptions")} FROM pg_foreign_data_wrapper w
         WHERE w.fdwoptions IS NOT NULL AND {no_extension("pg_foreign_data_wrapper", "w.oid")}
    """,
    "settings of table": f"""
        SELECT {SCHEMA} || c.relname, settings.text
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
         CROSS JOIN LATERAL (SELECT concat_ws(', ',
               {_sorted("c.reloptions")},
               (SELECT string_agg('toast.' || o, ', ' ORDER BY o) FROM unnest(t.reloptions) o),
               CASE c.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'n' THEN 'replica identity nothing'
                    WHEN 'i' THEN 'replica identity by index ' || (
                        SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                         WHERE x.indrelid = c.oid AND x.indisreplident) END,
               (SELECT 'clustered by ' || i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                 WHERE x.indrelid = c.oid AND x.indisclustered)) AS text) settings
         WHERE c.relkind IN ('r', 'p', 'm') AND settings.text <> '' AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "settings of column": f"""
        SELECT {SCHEMA} || c.relname || '.' || a.attname, settings.text
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_type t ON t.oid = a.atttypid
         CROSS JOIN LATERAL (SELECT concat_ws(', ',
               CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || CASE a.attstorage
                    WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'x' THEN 'extended' ELSE 'main' END END,
               CASE a.attcompression WHEN 'p' THEN 'compression pglz' WHEN 'l' THEN 'compression lz4' END,
               CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END,
               {_sorted("a.attoptions")}) AS text) settings
         WHERE c.relkind IN ('r', 'p', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND settings.text <> ''
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "settings of index": f"""
        SELECT {SCHEMA} || c.relname || '.' || i.relname, settings.text
          FROM pg_index x
          JOIN pg_class i ON i.oid = x.indexrelid
          JOIN pg_class c ON c.oid = x.indrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN LATERAL (SELECT concat_ws(', ', {_sorted("i.reloptions")},
               (SELECT string_agg('statistics of column ' || a.attnum || ' ' || a.attstattarget, ', ' ORDER BY a.attnum)
                  FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attstattarget >= 0)) AS text) settings
         WHERE settings.text <> '' AND NOT i.relispartition AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "settings of statistics": f"""
        SELECT {SCHEMA} || s.stxname, 'statistics ' || s.stxstattarget
          FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
         WHERE s.stxstattarget >= 0 AND {SCHEMAS} AND {no_extension("pg_statistic_ext", "s.oid")}
    """,
    "settings of function": f"""
        SELECT {_FUNCTION}, settings.text
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
         CROSS JOIN LATERAL (SELECT concat_ws(', ',
               'cost ' || nullif(p.procost, CASE WHEN l.lanname IN ('c', 'internal') THEN 1 ELSE 100 END),
               'rows ' || CASE WHEN p.proretset THEN nullif(p.prorows, 1000) END,
               'support ' || nullif(p.prosupport::regproc::text, '-')) AS text) settings
         WHERE settings.text <> '' AND p.prokind <> 'a' AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
    """,
    "version of extension": "SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql'",
}

_PUBLISHED_BEFORE_15 = """
    (SELECT string_agg(r.prrelid::regclass::text, ', ' ORDER BY r.prrelid::regclass::text)
       FROM pg_publication_rel r WHERE r.prpubid = b.oid)"""
_PUBLISHED = """
    (SELECT string_agg(concat_ws(' ', r.prrelid::regclass,
                '(' || (SELECT string_agg(a.attname, ', ' ORDER BY a.attname) FROM pg_attribute a
                         WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)) || ')',
                'WHERE ' || pg_get_expr(r.prqual, r.prrelid)), ', ' ORDER BY r.prrelid::regclass::text)
       FROM pg_publication_rel r WHERE r.prpubid = b.oid),
    (SELECT 'schemas ' || string_agg(n.nspname, ', ' ORDER BY n.nspname)
       FROM pg_publication_namespace s JOIN pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = b.oid)"""


def _publications(version: int) -> str:
    return f"""
        SELECT b.pubname, concat_ws(' ', CASE WHEN b.puballtables THEN 'all tables' END,
                   {_PUBLISHED if version >= 150000 else _PUBLISHED_BEFORE_15},
                   CASE WHEN NOT b.pubinsert THEN 'no insert' END, CASE WHEN NOT b.pubupdate THEN 'no update' END,
                   CASE WHEN NOT b.pubdelete THEN 'no delete' END, CASE WHEN NOT b.pubtruncate THEN 'no truncate' END,
                   CASE WHEN b.pubviaroot THEN 'via root' END,
                   CASE to_jsonb(b) ->> 'pubgencols' WHEN 's' THEN 'generated columns' END)
          FROM pg_publication b WHERE {no_extension("pg_publication", "b.oid")}
    """


def _comment(catalog: str, row: str) -> str:
    return f"FROM pg_description t JOIN {catalog} {row} ON {row}.oid = t.objoid AND t.classoid = '{catalog}'::regclass"


_DETAILS = {
    # What is cast, as every literal of a restored dump is, is called by its type.
    "body of function": f"""
        SELECT {_FUNCTION},
               coalesce(regexp_replace(pg_get_function_sqlbody(p.oid), '::(\\w+) AS \\1\\M', '::\\1', 'g'), p.prosrc),
               l.lanname
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
         WHERE p.prokind <> 'a' AND l.lanname NOT IN ('c', 'internal')
           AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
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
        UNION ALL
        SELECT {SCHEMA} || c.relname || '.' || g.polname, quote_literal(t.description)
          {_comment("pg_policy", "g")}
          JOIN pg_class c ON c.oid = g.polrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {TABLES}
        UNION ALL
        SELECT {SCHEMA} || c.relname || '.' || g.rulename, quote_literal(t.description)
          {_comment("pg_rewrite", "g")}
          JOIN pg_class c ON c.oid = g.ev_class
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {TABLES}
        UNION ALL
        SELECT 'schema ' || n.nspname, quote_literal(t.description)
          {_comment("pg_namespace", "n")}
         WHERE n.nspname NOT IN ('public', current_schema()) AND {SCHEMAS} AND {no_extension("pg_namespace", "n.oid")}
        UNION ALL
        SELECT i.type || ' ' || i.identity, quote_literal(t.description)
          FROM pg_description t CROSS JOIN LATERAL pg_identify_object(t.classoid, t.objoid, 0) i
         WHERE t.objoid >= {_FIRST_OID} AND t.classoid IN ('pg_collation'::regclass, 'pg_event_trigger'::regclass,
                   'pg_publication'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_ts_config'::regclass,
                   'pg_ts_dict'::regclass, 'pg_statistic_ext'::regclass)
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = t.classoid AND d.objid = t.objoid
                              AND d.deptype = 'e')
    """,
    # A right that was given and taken back leaves the rights spelled out that the object had before.
    "grants on": f"""
        SELECT {SCHEMA} || c.relname, {_sorted("c.relacl")}
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {_unusual("c.relacl", "CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END", "c.relowner")}
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
        UNION ALL
        SELECT {SCHEMA} || c.relname || '.' || a.attname, {_sorted("a.attacl")}
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {_unusual("a.attacl", "'c'", "c.relowner")} AND NOT a.attisdropped
           AND {TABLES} AND {no_extension("pg_class", "c.oid")}
        UNION ALL
        SELECT {_FUNCTION}, {_sorted("p.proacl")}
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE {_unusual("p.proacl", "'f'", "p.proowner")} AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
        UNION ALL
        SELECT {SCHEMA} || y.typname, {_sorted("y.typacl")}
          FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
         WHERE {_unusual("y.typacl", "'T'", "y.typowner")} AND {SCHEMAS} AND {no_extension("pg_type", "y.oid")}
        UNION ALL
        SELECT 'schema ' || n.nspname, {_sorted("n.nspacl")}
          FROM pg_namespace n
         WHERE {_unusual("n.nspacl", "'n'", "n.nspowner")} AND n.nspname <> 'public' AND {SCHEMAS}
           AND {no_extension("pg_namespace", "n.oid")}
        UNION ALL
        SELECT 'language ' || l.lanname, {_sorted("l.lanacl")} FROM pg_language l
         WHERE {_unusual("l.lanacl", "'l'", "l.lanowner")} AND {no_extension("pg_language", "l.oid")}
        UNION ALL
        SELECT 'foreign server ' || v.srvname, {_sorted("v.srvacl")} FROM pg_foreign_server v
         WHERE {_unusual("v.srvacl", "'S'", "v.srvowner")} AND {no_extension("pg_foreign_server", "v.oid")}
        UNION ALL
        SELECT 'foreign data wrapper ' || w.fdwname, {_sorted("w.fdwacl")} FROM pg_foreign_data_wrapper w
         WHERE {_unusual("w.fdwacl", "'F'", "w.fdwowner")} AND {no_extension("pg_foreign_data_wrapper", "w.oid")}
    """,
    # It names a role. Its options have passwords, and only its owner sees them.
    "user mapping": f"""
        SELECT m.usename || ' for ' || m.srvname, ''
          FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid
         WHERE {no_extension("pg_foreign_server", "s.oid")}
    """,
    # Which rights an object will have that is made later.
    "default grants on": f"""
        SELECT concat_ws(' ', CASE o.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
                                   WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas'
                                   ELSE 'large objects' END,
                         'of', pg_get_userbyid(o.defaclrole), 'in ' || n.nspname), {_sorted("o.defaclacl")}
          FROM pg_default_acl o LEFT JOIN pg_namespace n ON n.oid = o.defaclnamespace
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
    """Read the whole catalogue in the caller's transaction. Changes settings of that transaction."""
    connection.execute(EQUAL_TEXTS)
    connection.execute(_ONLY_OURS)
    version = connection.info.server_version
    queries = {**_OBJECTS, "publication": _publications(version), **_DETAILS}
    found: dict[Key, list[str]] = {}
    for key, text in _read(connection, queries, words.Members.of(connection), version):
        found.setdefault(key, []).append(text)
    # A name may have a dot in it: the table "a.b" is called as the table b of the schema a is.
    objects = {key: " and ".join(sorted(texts)) for key, texts in found.items()}
    return Catalogue(objects, open=_OPEN, details=frozenset(_DETAILS), server=f"PostgreSQL {version // 10000}")


def _read(
    connection: psycopg.Connection[Any], queries: dict[str, str], members: words.Members, version: int
) -> Iterator[tuple[Key, str]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        for kind, query in queries.items():
            for name, definition, *language in cursor.execute(query.encode(), LEFT_OUT):
                text = str(definition)
                if language:
                    text = words.body(text, str(language[0]))
                elif kind == "view":
                    text = words.as_newer_versions(text, version)
                text = words.without_cast_list(words.on_one_line(text))
                yield (kind, members.unqualified(str(name))), members.unqualified(text)


__all__ = [
    "EQUAL_TEXTS",
    "HAS_RECORD",
    "INDEX_METHOD",
    "LEFT_OUT",
    "ONLY_RECORDS",
    "SCHEMA",
    "SCHEMAS",
    "SEARCH_PATH",
    "STATISTICS_KINDS",
    "TABLES",
    "names",
    "no_extension",
    "read",
]
