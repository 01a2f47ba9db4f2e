"""Writes the SQL that makes a PostgreSQL database again, in the order of dependencies, equal from version 14 to 18.

The server writes the definitions: its functions pg_get_*def know every option. `pieces` asks for them, and `rare` for
those that few databases have; `tables` puts CREATE TABLE together, `order` asks the server what needs what, and `rows`
writes data. What belongs to an extension, to a migration tool or to us is left out, as in `catalogue`. Names have no
schema where the search_path of the connection finds them without one, as in the history that made them.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import tuple_row

from dataops.backends.postgres.schema import comments, grants, order, pieces, rare, rows, tables, unwritten
from dataops.schema import Schema

_FIRST = "SET LOCAL check_function_bodies = off"  # a function may name a table that comes after it


def read(connection: psycopg.Connection[Any], *, most_rows: int | None) -> Schema:
    """The schema of the database, and its rows where there are at most so many in all. Changes settings.

    With None for `most_rows`, neither rows nor rights are written, and not where sequences stand.

    It runs in the caller's transaction, and with the search_path of that.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(rows.SETTINGS)
        found = [*pieces.read(cursor), *rare.read(cursor), *tables.read(cursor), *comments.read(cursor)]
        written = rows.Written()
        if most_rows is not None:
            found += grants.read(cursor)
            written = rows.read(cursor, most_rows)
        ordered = order.sort(cursor, [*found, *written.pieces])
        statements = tuple(statement for piece in ordered for statement in piece.statements)
        return Schema(
            (_FIRST, *statements) if any(piece.rank == pieces.FUNCTION for piece in ordered) else statements,
            written.counts,
            written.left_out,
            tuple(unwritten.read(cursor, rights=most_rows is not None)),
            unwritten.roles(cursor),
            verbatim=tuple(tables.verbatim(cursor)),
        )


def around_rows(connection: psycopg.Connection[Any]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The schema as the statements before the rows and those after them; and what of it cannot be written.

    What comes after needs the rows, or would look at each: indexes, constraints, triggers; and rights. As
    `read`, it runs in the caller's transaction, with the search_path of that.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(rows.SETTINGS)
        here = pieces.Piece(pieces.ROWS, "", ("",), "", 0)
        found = [*pieces.read(cursor), *rare.read(cursor), *tables.read(cursor), *comments.read(cursor)]
        found += [*grants.read(cursor), here]
        ordered = order.sort(cursor, found)
        at = ordered.index(here)
        before, after = (
            tuple(statement for piece in part for statement in piece.statements)
            for part in (ordered[:at], ordered[at + 1 :])
        )
        return (_FIRST, *before), after, tuple(unwritten.read(cursor, rights=False, settings=False))


__all__ = ["around_rows", "read"]
