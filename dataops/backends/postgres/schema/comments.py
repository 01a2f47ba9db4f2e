"""COMMENT ON: what was written about each object."""

from __future__ import annotations

from collections.abc import Iterator

from dataops.backends.postgres.catalogue import SCHEMAS, TABLES, no_extension
from dataops.backends.postgres.schema.pieces import (
    COMMENT,
    NOT_A_PART,
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
