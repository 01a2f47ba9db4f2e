"""COMMENT ON: what was written about each object."""

from __future__ import annotations

from collections.abc import Iterator

from dataops.backends.postgres.catalogue import SCHEMAS, TABLES, no_extension
from dataops.backends.postgres.schema import rare
from dataops.backends.postgres.schema.pieces import (
    COMMENT,
    NOT_A_PART,
    QUALIFIED,
    RELATION,
    ROUTINE,
    ROUTINE_KIND,
    TYPE_NAME,
    Cursor,
    Piece,
    pieces,
)

_RELATION_KIND = """CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                                   WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END"""


def _in_schema(catalog: str, row: str, column: str, word: str) -> tuple[str, ...]:
    prefix = column.removesuffix("name")
    joined = f"JOIN pg_namespace n ON n.oid = {row}.{prefix}namespace"
    return catalog, row, f"{QUALIFIED} || quote_ident({row}.{column})", joined, word


_OTHERS = (
    _in_schema("pg_collation", "o", "collname", "COLLATION"),
    _in_schema("pg_statistic_ext", "s", "stxname", "STATISTICS"),
    _in_schema("pg_conversion", "v", "conname", "CONVERSION"),
    _in_schema("pg_ts_config", "g", "cfgname", "TEXT SEARCH CONFIGURATION"),
    _in_schema("pg_ts_dict", "g", "dictname", "TEXT SEARCH DICTIONARY"),
    _in_schema("pg_ts_parser", "g", "prsname", "TEXT SEARCH PARSER"),
    _in_schema("pg_ts_template", "g", "tmplname", "TEXT SEARCH TEMPLATE"),
    ("pg_operator", "o", rare.OPERATOR_NAME, "JOIN pg_namespace n ON n.oid = o.oprnamespace", "OPERATOR"),
    ("pg_cast", "k", rare.CAST_NAME, "", "CAST"),
    (
        "pg_opfamily",
        "f",
        rare.FAMILY_NAME,
        "JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod",
        "OPERATOR FAMILY",
    ),
    (
        "pg_opclass",
        "q",
        rare.CLASS_NAME,
        "JOIN pg_namespace n ON n.oid = q.opcnamespace JOIN pg_am m ON m.oid = q.opcmethod",
        "OPERATOR CLASS",
    ),
    *(
        (catalog, "b", f"quote_ident(b.{column})", "", word)
        for catalog, column, word in (
            ("pg_language", "lanname", "LANGUAGE"),
            ("pg_am", "amname", "ACCESS METHOD"),
            ("pg_publication", "pubname", "PUBLICATION"),
            ("pg_event_trigger", "evtname", "EVENT TRIGGER"),
        )
    ),
)
"""For each kind: the catalog, the name of its row in the query, the name of the object, what to join, the keyword."""


def read(cursor: Cursor) -> Iterator[Piece]:
    """Every comment."""
    for catalog, query in _queries():
        yield from pieces(cursor, query, COMMENT, catalog, after=True)


def _queries() -> Iterator[tuple[str, str]]:
    """Queries for comments, by the catalog of what they are about."""
    relation = f"""
        SELECT {RELATION} || coalesce('.' || a.attname, ''),
               'COMMENT ON ' || CASE WHEN a.attname IS NULL THEN {_RELATION_KIND} ELSE 'COLUMN' END || ' ' || {RELATION}
               || coalesce('.' || quote_ident(a.attname), '') || ' IS ' || quote_literal(d.description), c.oid
          FROM pg_description d JOIN pg_class c ON c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
         WHERE d.classoid = 'pg_class'::regclass AND {TABLES} AND {NOT_A_PART}
    """
    yield "pg_class", relation
    yield (
        "pg_proc",
        f"""
        SELECT {ROUTINE}, 'COMMENT ON ' || {ROUTINE_KIND} || ' ' || {ROUTINE} || ' IS '
               || quote_literal(d.description), p.oid
          FROM pg_description d JOIN pg_proc p ON p.oid = d.objoid JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE d.classoid = 'pg_proc'::regclass AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
    """,
    )
    yield (
        "pg_type",
        f"""
        SELECT {TYPE_NAME}, 'COMMENT ON ' || CASE t.typtype WHEN 'd' THEN 'DOMAIN ' ELSE 'TYPE ' END || {TYPE_NAME}
               || ' IS ' || quote_literal(d.description), t.oid
          FROM pg_description d JOIN pg_type t ON t.oid = d.objoid JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE d.classoid = 'pg_type'::regclass AND {SCHEMAS} AND {no_extension("pg_type", "t.oid")}
    """,
    )
    yield (
        "pg_namespace",
        f"""
        SELECT n.nspname, 'COMMENT ON SCHEMA ' || quote_ident(n.nspname) || ' IS ' || quote_literal(d.description),
               n.oid
          FROM pg_description d JOIN pg_namespace n ON n.oid = d.objoid
         WHERE d.classoid = 'pg_namespace'::regclass AND {SCHEMAS} AND {no_extension("pg_namespace", "n.oid")}
           AND NOT (n.nspname = 'public' AND d.description = 'standard public schema')
    """,
    )
    for catalog, row, name, joined, word in _OTHERS:
        yield (
            catalog,
            f"""
            SELECT {name}, 'COMMENT ON {word} ' || {name} || ' IS ' || quote_literal(d.description), {row}.oid
              FROM pg_description d JOIN {catalog} {row} ON {row}.oid = d.objoid {joined}
             WHERE d.classoid = '{catalog}'::regclass AND {row}.oid >= 16384 AND {no_extension(catalog, f"{row}.oid")}
        """,
        )
    for catalog, name, word, relation_of in (
        ("pg_constraint", "conname", "CONSTRAINT", "conrelid"),
        ("pg_trigger", "tgname", "TRIGGER", "tgrelid"),
        ("pg_policy", "polname", "POLICY", "polrelid"),
        ("pg_rewrite", "rulename", "RULE", "ev_class"),
    ):
        yield (
            catalog,
            f"""
            SELECT {RELATION} || '.' || k.{name}, 'COMMENT ON {word} ' || quote_ident(k.{name}) || ' ON ' || {RELATION}
                   || ' IS ' || quote_literal(d.description), k.oid
              FROM pg_description d JOIN {catalog} k ON k.oid = d.objoid
              JOIN pg_class c ON c.oid = k.{relation_of} JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE d.classoid = '{catalog}'::regclass AND {TABLES} AND {NOT_A_PART}
        """,
        )


__all__ = ["read"]
