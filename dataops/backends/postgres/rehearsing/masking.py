"""What the live server sends in the place of a value that is masked."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from psycopg.sql import SQL, Composable, Identifier, Literal

from dataops.errors import UsageError
from dataops.redaction import redact

if TYPE_CHECKING:
    from dataops.backends.postgres.rehearsing.sampling import Column

_SALT = secrets.token_hex(16)
"""Of this process: nobody can find a value again by trying."""
_HASHED = 32
"""Characters that a text gets at least, so that different values stay different."""
_CONSTANTS = {"N": "0", "D": "2000-01-01", "B": "false", "T": "0"}


def mask(table: str, column: Column) -> Composable:
    """SQL for the value instead: a text that is not shorter, a UUID, or NULL; equal values stay equal where they can.

    Of a domain that checks its values it is NULL. A column that may not be null gets 0, a day, or false. Raises
    UsageError for one where none of this is possible.
    """
    place = Identifier(column.name)
    if column.checked and not column.not_null:  # the domain may refuse every other value
        return SQL("NULL")
    if column.category == "S":
        limit = re.search(r"\((\d+)\)", column.type)
        least = Literal(min(_HASHED, int(limit[1])) if limit else _HASHED)
        hashed = SQL("left(repeat(md5({} || {}::text), length({}::text) / 32 + 1), greatest(length({}::text), {}))")
        return hashed.format(Literal(_SALT), place, place, place, least)
    if column.base == "uuid":
        return SQL("md5({} || {}::text)::uuid").format(Literal(_SALT), place)
    if not column.not_null:
        return SQL("NULL")
    if column.base in ("json", "jsonb"):
        return Literal("{}")
    if column.base == "bytea":
        return SQL("'\\x'::bytea")
    if column.category in _CONSTANTS:
        return SQL("{}::{}").format(Literal(_CONSTANTS[column.category]), SQL(column.base))
    raise UsageError(
        f"--mask {redact(table)}.{redact(column.name)}: a {redact(column.type)} that may not be null cannot be masked",
        hint="leave the data out: --no-data",
    )


__all__ = ["mask"]
