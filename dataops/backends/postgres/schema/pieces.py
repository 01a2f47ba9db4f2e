"""The objects of a database that are one statement each, with the SQL that makes each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from dataops.backends.postgres import catalogue
from dataops.backends.postgres.catalogue import INDEX_METHOD, LEFT_OUT, SCHEMAS, STATISTICS_KINDS, TABLES, no_extension

Cursor = psycopg.Cursor[tuple[Any, ...]]

SCHEMA, EXTENSION, LANGUAGE, TYPE, SEQUENCE, FUNCTION, OPERATOR, SEARCH, TABLE, ROWS = range(10)
CONSTRAINT, INDEX, FOREIGN_KEY, STATISTICS, VIEW, OWNED, TRIGGER, POLICY = range(10, 18)
COMMENT, GRANT, PUBLICATION, EVENT = range(18, 22)
"""What comes first where nothing else decides: the ranks of pieces."""


@dataclass(frozen=True)
class Piece:
    """What makes one object. `catalog` and `oid` are its address on the server, or that of the object it belongs to.

    It comes after what its object needs; with `after`, it is not the object itself, and comes after that too.
    """

    rank: int
    name: str
    statements: tuple[str, ...]
    catalog: str
    oid: int
    after: bool = False


QUALIFIED = "CASE WHEN n.nspname = current_schema() THEN '' ELSE quote_ident(n.nspname) || '.' END"
"""What stands before the name of an object in schema `n`."""
RELATION = f"{QUALIFIED} || quote_ident(c.relname)"
TYPE_NAME = f"{QUALIFIED} || quote_ident(t.typname)"
ROUTINE = f"{QUALIFIED} || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')'"
ROUTINE_KIND = "CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END"
NOT_A_PART = f"{no_extension('pg_class', 'c.oid')} AND c.relkind <> 't'"
_COLLATED = """CASE WHEN {column} <> 0 AND {column} <> {usual} THEN ' COLLATE ' || (
                   SELECT CASE WHEN on_.nspname IN ('pg_catalog', current_schema()) THEN ''
                               ELSE quote_ident(on_.nspname) || '.' END || quote_ident(o.collname)
                     FROM pg_collation o JOIN pg_namespace on_ ON on_.oid = o.collnamespace WHERE o.oid = {column})
               ELSE '' END"""


def collated(column: str, usual: str) -> str:
    """SQL for a COLLATE clause, "" where it is the usual one."""
    return _COLLATED.format(column=column, usual=usual)


SEQUENCE_OPTIONS = """
    CASE WHEN s.seqincrement <> 1 THEN ' INCREMENT BY ' || s.seqincrement ELSE '' END
    || CASE WHEN s.seqmin <> CASE WHEN s.seqincrement > 0 THEN 1 ELSE CASE s.seqtypid
                WHEN 'int2'::regtype THEN -32768 WHEN 'int4'::regtype THEN -2147483648
                ELSE -9223372036854775808 END END THEN ' MINVALUE ' || s.seqmin ELSE '' END
    || CASE WHEN s.seqmax <> CASE WHEN s.seqincrement < 0 THEN -1 ELSE CASE s.seqtypid
                WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
                ELSE 9223372036854775807 END END THEN ' MAXVALUE ' || s.seqmax ELSE '' END
    || CASE WHEN s.seqstart <> CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END
            THEN ' START WITH ' || s.seqstart ELSE '' END
    || CASE WHEN s.seqcache <> 1 THEN ' CACHE ' || s.seqcache ELSE '' END
    || CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END
"""

# Each query gives the rank, the name, the statement, and the address of the object (catalog, oid).
_QUERIES = {
    (SCHEMA, "pg_namespace", False): f"""
        SELECT n.nspname, 'CREATE SCHEMA ' || CASE WHEN {catalogue.HAS_RECORD} THEN 'IF NOT EXISTS ' ELSE '' END
                              || quote_ident(n.nspname), n.oid
          FROM pg_namespace n
         WHERE {SCHEMAS} AND n.nspname NOT IN ('public', current_schema()) AND {no_extension("pg_namespace", "n.oid")}
           AND NOT {catalogue.ONLY_RECORDS}
    """,
    (EXTENSION, "pg_extension", False): """
        SELECT e.extname, 'CREATE EXTENSION IF NOT EXISTS ' || quote_ident(e.extname)
               || CASE WHEN n.nspname IN (current_schema(), 'pg_catalog') OR NOT e.extrelocatable THEN ''
                       ELSE ' WITH SCHEMA ' || quote_ident(n.nspname) END, e.oid
          FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql'
    """,
    (TYPE, "pg_collation", False): f"""
        SELECT {QUALIFIED} || quote_ident(o.collname),
               'CREATE COLLATION ' || {QUALIFIED} || quote_ident(o.collname) || ' (PROVIDER = '
               || CASE o.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END
               || CASE WHEN o.collprovider = 'c' AND o.collcollate <> o.collctype
                       THEN ', LC_COLLATE = ' || quote_literal(o.collcollate)
                            || ', LC_CTYPE = ' || quote_literal(o.collctype)
                       ELSE ', LOCALE = ' || quote_literal(coalesce(
                            to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate)) END
               || CASE WHEN NOT o.collisdeterministic THEN ', DETERMINISTIC = false' ELSE '' END
               || coalesce(', RULES = ' || quote_literal(to_jsonb(o) ->> 'collicurules'), '') || ')', o.oid
          FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_collation", "o.oid")}
    """,
    (TYPE, "pg_type", False): f"""
        SELECT {TYPE_NAME}, CASE t.typtype
                   WHEN 'e' THEN 'CREATE TYPE ' || {TYPE_NAME} || ' AS ENUM ('
                       || coalesce((SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                                      FROM pg_enum e WHERE e.enumtypid = t.oid), '') || ')'
                   WHEN 'd' THEN 'CREATE DOMAIN ' || {TYPE_NAME} || ' AS ' || format_type(t.typbasetype, t.typtypmod)
                       || {collated("t.typcollation", "b.typcollation")}
                       || coalesce(' DEFAULT ' || pg_get_expr(t.typdefaultbin, 0), '')
                       || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END
                       || coalesce((SELECT string_agg(' CONSTRAINT ' || quote_ident(k.conname) || ' '
                                                      || pg_get_constraintdef(k.oid), '' ORDER BY k.conname)
                                      FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'), '')
                   WHEN 'r' THEN 'CREATE TYPE ' || {TYPE_NAME} || ' AS RANGE (SUBTYPE = '
                       || (SELECT concat_ws(', ', format_type(r.rngsubtype, NULL),
                                      CASE WHEN NOT k.opcdefault
                                           THEN 'SUBTYPE_OPCLASS = ' || quote_ident(k.opcname) END,
                                      'COLLATION = ' || CASE WHEN r.rngcollation <> s.typcollation
                                                             THEN r.rngcollation::regcollation::text END,
                                      'SUBTYPE_DIFF = ' || nullif(r.rngsubdiff::regproc::text, '-'),
                                      'MULTIRANGE_TYPE_NAME = ' || quote_ident(m.typname))
                             FROM pg_range r JOIN pg_opclass k ON k.oid = r.rngsubopc
                             JOIN pg_type s ON s.oid = r.rngsubtype JOIN pg_type m ON m.oid = r.rngmultitypid
                            WHERE r.rngtypid = t.oid) || ')'
                   ELSE 'CREATE TYPE ' || {TYPE_NAME} || ' AS ('
                       || coalesce((SELECT string_agg(quote_ident(a.attname) || ' '
                                             || format_type(a.atttypid, a.atttypmod)
                                             || {collated("a.attcollation", "y.typcollation")}, ', ' ORDER BY a.attnum)
                             FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
                            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')' END,
               t.oid
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
          LEFT JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_class c ON c.oid = t.typrelid
         WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {SCHEMAS} AND {no_extension("pg_type", "t.oid")}
    """,
    (SEQUENCE, "pg_class", False): f"""
        SELECT {RELATION}, 'CREATE SEQUENCE ' || {RELATION}
               || CASE WHEN s.seqtypid <> 'int8'::regtype THEN ' AS ' || format_type(s.seqtypid, NULL) ELSE '' END
               || {SEQUENCE_OPTIONS}, c.oid
          FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                              AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i')
           AND {TABLES} AND {NOT_A_PART}
    """,
    (FUNCTION, "pg_proc", False): f"""
        SELECT {ROUTINE}, CASE WHEN p.prokind <> 'a' THEN
                   'CREATE ' || {ROUTINE_KIND} || ' ' || {QUALIFIED} || quote_ident(p.proname)
                   || substr(d.text, strpos(d.text, quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(')
                                     + length(quote_ident(n.nspname) || '.' || quote_ident(p.proname)))
               ELSE 'CREATE AGGREGATE ' || {QUALIFIED} || quote_ident(p.proname) || '('
                   || coalesce(nullif(pg_get_function_identity_arguments(p.oid), ''), '*') || ') ('
                   || (SELECT concat_ws(', ', 'SFUNC = ' || g.aggtransfn::regproc,
                                  'STYPE = ' || format_type(g.aggtranstype, NULL),
                                  'FINALFUNC = ' || nullif(g.aggfinalfn::regproc::text, '-'),
                                  'COMBINEFUNC = ' || nullif(g.aggcombinefn::regproc::text, '-'),
                                  'INITCOND = ' || quote_literal(g.agginitval),
                                  'MSFUNC = ' || nullif(g.aggmtransfn::regproc::text, '-'),
                                  'MINVFUNC = ' || nullif(g.aggminvtransfn::regproc::text, '-'),
                                  'MSTYPE = ' || CASE WHEN g.aggmtranstype <> 0
                                                      THEN format_type(g.aggmtranstype, NULL) END,
                                  'MINITCOND = ' || quote_literal(g.aggminitval),
                                  'MFINALFUNC = ' || nullif(g.aggmfinalfn::regproc::text, '-'),
                                  'SORTOP = ' || nullif(g.aggsortop::regoper::text, '0'),
                                  CASE p.proparallel WHEN 's' THEN 'PARALLEL = SAFE'
                                                     WHEN 'r' THEN 'PARALLEL = RESTRICTED' END)
                         FROM pg_aggregate g WHERE g.aggfnoid = p.oid) || ')' END, p.oid
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         CROSS JOIN LATERAL (SELECT CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE '' END AS text) d
         WHERE {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
    """,
    (INDEX, "pg_class", False): f"""
        SELECT {QUALIFIED} || quote_ident(i.relname),
               'CREATE ' || CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || quote_ident(i.relname)
               || ' ON ' || {RELATION} || ' USING ' || {INDEX_METHOD}, i.oid
          FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
           AND NOT i.relispartition AND c.relkind IN ('r', 'p', 'm') AND {TABLES} AND {NOT_A_PART}
    """,
    (STATISTICS, "pg_statistic_ext", False): f"""
        SELECT {QUALIFIED} || quote_ident(s.stxname), 'CREATE STATISTICS ' || {QUALIFIED} || quote_ident(s.stxname)
               || ' ' || {STATISTICS_KINDS}, s.oid
          FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_statistic_ext", "s.oid")}
    """,
    (OWNED, "pg_class", True): f"""
        SELECT {RELATION}, 'ALTER SEQUENCE ' || {RELATION} || ' OWNED BY ' || o.name, o.oid
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN LATERAL (
               SELECT t.oid, CASE WHEN tn.nspname = current_schema() THEN '' ELSE quote_ident(tn.nspname) || '.' END
                             || quote_ident(t.relname) || '.' || quote_ident(a.attname) AS name
                 FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
                 JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
                  AND d.deptype = 'a') o
         WHERE c.relkind = 'S' AND {TABLES} AND {NOT_A_PART}
    """,
    (OWNED, "pg_index", True): f"""
        SELECT {RELATION}, array_remove(ARRAY[
                   CASE WHEN x.indisclustered THEN 'ALTER TABLE ' || {RELATION} || ' CLUSTER ON '
                                                   || quote_ident(i.relname) END,
                   CASE WHEN x.indisreplident THEN 'ALTER TABLE ONLY ' || {RELATION} || ' REPLICA IDENTITY USING INDEX '
                                                   || quote_ident(i.relname) END], NULL), i.oid
          FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE (x.indisclustered OR x.indisreplident AND c.relreplident = 'i') AND {TABLES} AND {NOT_A_PART}
    """,
    (TRIGGER, "pg_rewrite", False): f"""
        SELECT {RELATION} || '.' || r.rulename, ARRAY[rtrim(pg_get_ruledef(r.oid, true), ';')]
               || CASE r.ev_enabled WHEN 'O' THEN '{{}}' ELSE ARRAY['ALTER TABLE ' || {RELATION} || CASE r.ev_enabled
                       WHEN 'D' THEN ' DISABLE' WHEN 'R' THEN ' ENABLE REPLICA' ELSE ' ENABLE ALWAYS' END
                       || ' RULE ' || quote_ident(r.rulename)] END, r.oid
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE r.rulename <> '_RETURN' AND {TABLES} AND {NOT_A_PART}
    """,
    (TRIGGER, "pg_trigger", False): f"""
        SELECT {RELATION} || '.' || g.tgname, pg_get_triggerdef(g.oid, true), g.oid
          FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND {TABLES} AND {NOT_A_PART}
    """,
    (TRIGGER, "pg_trigger", True): f"""
        SELECT {RELATION} || '.' || g.tgname, 'ALTER TABLE ' || {RELATION} || CASE g.tgenabled
                   WHEN 'D' THEN ' DISABLE' WHEN 'R' THEN ' ENABLE REPLICA' ELSE ' ENABLE ALWAYS' END
               || ' TRIGGER ' || quote_ident(g.tgname), g.oid
          FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'O' AND {TABLES} AND {NOT_A_PART}
    """,
    (POLICY, "pg_policy", False): f"""
        SELECT {RELATION} || '.' || p.polname,
               'CREATE POLICY ' || quote_ident(p.polname) || ' ON ' || {RELATION}
               || CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
               || CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE'
                                WHEN 'd' THEN ' FOR DELETE' ELSE '' END
               || coalesce(' TO ' || (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                                        FROM pg_roles r WHERE r.oid = ANY (p.polroles)), '')
               || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
               || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''), p.oid
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {TABLES} AND {NOT_A_PART}
    """,
    (POLICY, "pg_class", True): f"""
        SELECT {RELATION}, array_remove(ARRAY[
                   CASE WHEN c.relrowsecurity THEN 'ALTER TABLE ' || {RELATION} || ' ENABLE ROW LEVEL SECURITY' END,
                   CASE WHEN c.relforcerowsecurity
                        THEN 'ALTER TABLE ' || {RELATION} || ' FORCE ROW LEVEL SECURITY' END], NULL), c.oid
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE (c.relrowsecurity OR c.relforcerowsecurity) AND {TABLES} AND {NOT_A_PART}
    """,
}


def _constraints(kinds: str) -> str:
    return f"""
        SELECT {RELATION} || '.' || k.conname,
               'ALTER TABLE ' || {RELATION} || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' '
               || pg_get_constraintdef(k.oid), k.oid
          FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE k.contype IN ({kinds}) AND k.conparentid = 0 AND k.conislocal AND {TABLES} AND {NOT_A_PART}
    """


def read(cursor: Cursor) -> Iterator[Piece]:
    """Every object that is one statement, or few."""
    queries: dict[tuple[int, str, bool], str] = {
        **_QUERIES,
        (CONSTRAINT, "pg_constraint", False): _constraints("'c', 'p', 'u', 'x'"),
        (FOREIGN_KEY, "pg_constraint", False): _constraints("'f'"),
    }
    for (rank, catalog, after), query in queries.items():
        yield from pieces(cursor, query, rank, catalog, after=after)


def pieces(cursor: Cursor, query: str, rank: int, catalog: str, *, after: bool) -> Iterator[Piece]:
    """The pieces that a query gives: the name, the statement or statements, and the oid of each."""
    for name, made, oid in cursor.execute(query.encode(), LEFT_OUT).fetchall():
        statements = tuple(str(one).strip() for one in (made if isinstance(made, list) else [made]))
        yield Piece(rank, str(name), statements, catalog, int(oid), after)


__all__ = ["Cursor", "Piece", "collated", "pieces", "read"]
