"""The rows of a small database as INSERT, and where its sequences stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.sql import SQL, Composable, Identifier

from dataops.backends.postgres import catalogue
from dataops.backends.postgres.catalogue import LEFT_OUT, TABLES, no_extension
from dataops.backends.postgres.schema.pieces import OWNED, RELATION, ROWS, Cursor, Piece

SETTINGS = catalogue.EQUAL_TEXTS
_TABLES = f"""
SELECT c.oid, {RELATION}, n.nspname, c.relname, c.relkind = 'p', {catalogue.SCHEMA} || c.relname,
       (SELECT json_agg(json_build_array(a.attname, t.typcategory = 'N', a.attidentity = 'a', quote_ident(a.attname))
                        ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
       ARRAY(SELECT a.attname::text FROM pg_index x JOIN pg_attribute a ON a.attrelid = c.oid
                AND a.attnum = ANY (x.indkey) WHERE x.indrelid = c.oid AND x.indisprimary
              ORDER BY array_position(x.indkey::int2[], a.attnum))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {TABLES} AND {no_extension("pg_class", "c.oid")}
 ORDER BY 2
"""
_SEQUENCES = f"""
SELECT c.oid, {RELATION}, n.nspname, c.relname, s.seqstart
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE {TABLES} AND {no_extension("pg_class", "c.oid")}
   AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_class o ON o.oid = d.refobjid
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                      AND o.relname = ANY (%(records)s))
 ORDER BY 2
"""
_NUMBER = re.compile(r"'(-?\d+(?:\.\d+)?)'")


@dataclass
class Written:
    """The pieces that write rows; how many rows they write, and how many they do not write, by table."""

    pieces: list[Piece] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def read(cursor: Cursor, most: int) -> Written:
    """All rows, the smallest tables first, for as long as they are at most `most` together; and the sequences."""
    written = Written()
    tables = cursor.execute(_TABLES.encode(), LEFT_OUT).fetchall()
    counted = []
    for table in tables:
        oid, name, schema, relation, parted, label, columns, key = table
        place = SQL("{}" if parted else "ONLY {}").format(Identifier(schema, relation))
        found = cursor.execute(SQL("SELECT count(*) FROM {}").format(place)).fetchone()
        if found is not None and found[0]:
            counted.append((int(found[0]), label, oid, name, place, columns, key))
    left = most
    for count, label, oid, name, place, columns, key in sorted(counted, key=lambda one: one[:2]):
        if count > left or not columns:
            written.left_out[label] = count
            continue
        left -= count
        written.counts[label] = count
        written.pieces.append(Piece(ROWS, name, (_insert(cursor, name, place, columns, key),), "pg_class", oid, True))
    for oid, name, schema, relation, start in cursor.execute(_SEQUENCES.encode(), LEFT_OUT).fetchall():
        stands = cursor.execute(
            SQL("SELECT last_value, is_called FROM {}").format(Identifier(schema, relation))
        ).fetchone()
        if stands is not None and stands != (start, False):
            quoted = name.replace("'", "''")
            statement = f"SELECT setval('{quoted}', {stands[0]}, {str(stands[1]).lower()})"
            written.pieces.append(Piece(OWNED, name, (statement,), "pg_class", oid, after=True))
    return written


def _insert(cursor: Cursor, name: str, place: Composable, columns: Sequence[Any], key: Sequence[str]) -> str:
    names = [str(column[0]) for column in columns]
    texts = [SQL("quote_nullable({}::text)").format(Identifier(column)) for column in names]
    order: list[Composable] = [Identifier(column) for column in key]
    order = order or [SQL("{}::text").format(Identifier(column)) for column in names]
    query = SQL("SELECT {} FROM {} ORDER BY {}").format(SQL(", ").join(texts), place, SQL(", ").join(order))
    lines = []
    for row in cursor.execute(query).fetchall():
        values = (
            _NUMBER.sub(r"\1", value) if numeric and _NUMBER.fullmatch(value) else value
            for value, (_, numeric, *_) in zip(row, columns, strict=True)
        )
        lines.append(f"({', '.join(values)})")
    overriding = " OVERRIDING SYSTEM VALUE" if any(column[2] for column in columns) else ""
    into = f"{name} ({', '.join(str(column[3]) for column in columns)})"
    return f"INSERT INTO {into}{overriding} VALUES\n    " + ",\n    ".join(lines)


__all__ = ["SETTINGS", "Written", "read"]
