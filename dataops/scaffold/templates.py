"""`dataops new --template`: the files of changes that are easy to get wrong on a big, busy database.

Each is a recipe of docs/recipes.md, for a table and a column of one's own. A recipe may have several files, because
each part takes a lock of another kind, or because it is for the background.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dataops.errors import UsageError
from dataops.kinds import ALEMBIC, Kind
from dataops.scaffold import mongo, postgres
from dataops.scaffold.part import Part, Place

Make = Callable[[Place], Sequence[Part]]

_OF_POSTGRES: dict[str, Make] = {
    "backfill": postgres.backfill,
    "expand": postgres.expand,
    "contract": postgres.contract,
    "rename": postgres.rename,
    "index": postgres.index,
    "not-null": postgres.not_null,
}
_OF_MONGO: dict[str, Make] = {
    "backfill": mongo.backfill,
    "expand": mongo.expand,
    "contract": mongo.contract,
    "rename": mongo.rename,
    "index": mongo.index,
    "not-null": mongo.not_null,
}
NAMES = tuple(_OF_POSTGRES)
_NAME = re.compile(r"[A-Za-z_][\w$-]*")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. Texts that were not given are ""."""

    template: str
    on: str
    to: str = ""
    type: str = ""
    value: str = ""


def parts(kind: Kind, wanted: Wanted) -> Sequence[Part]:
    """The files, in their order. Raises UsageError for what is missing or is no name."""
    table, _, column = wanted.on.rpartition(".")
    if not table or not all(_NAME.fullmatch(part) for part in (*table.split("."), column)):
        raise UsageError(
            f"--template {wanted.template} needs the column or field that it is about",
            hint=f"say it as TABLE.COLUMN: --template {wanted.template} --on orders.customer",
        )
    if wanted.template == "rename" and not wanted.to:
        raise UsageError("--template rename needs the new name", hint="--to NAME")
    if wanted.to and not _NAME.fullmatch(wanted.to):
        raise UsageError("--to is not the name of a column or field", hint="letters, digits and _")
    place = Place(table, column, wanted.to, wanted.type, wanted.value)
    return (_OF_POSTGRES if kind.format is ALEMBIC else _OF_MONGO)[wanted.template](place)


__all__ = ["NAMES", "Part", "Wanted", "parts"]
