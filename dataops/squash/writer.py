"""Makes the text of a squashed file. Pure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from dataops import source
from dataops.kinds import ALEMBIC
from dataops.literals import ABOUT_COLONS, escapes_colons, executes
from dataops.model import Migration, Service
from dataops.schema import Schema
from dataops.text import counted, visible


@dataclass(frozen=True)
class Carrier:
    """A step that carries data, and what it does to them, in words."""

    migration: Migration
    does: tuple[str, ...]


def text_of(service: Service, chosen: Sequence[Migration], schema: Schema, carriers: Sequence[Carrier]) -> str:
    """The text of the file that takes the place of the chosen migrations."""
    to = chosen[-1]
    written = _alembic if service.kind.format is ALEMBIC else _mongo
    reason = f"it stands for {len(chosen)} migrations, whose files are gone"
    lines = [_docstring(chosen, schema, carriers), "", *written(to.id, chosen, schema, reason)]
    return "\n".join([*lines, ""])


def replaces_of(chosen: Sequence[Migration]) -> dict[str, tuple[str, ...]]:
    """The ids of what is replaced, oldest first, each with its checksums; also what a squashed file has replaced."""
    found: dict[str, tuple[str, ...]] = {}
    for migration in chosen:
        found |= migration.replaces
        found[migration.id] = (*migration.replaces.get(migration.id, ()), migration.checksum)
    return found


def _docstring(chosen: Sequence[Migration], schema: Schema, carriers: Sequence[Carrier]) -> str:
    lines = [
        f"All of the history up to {chosen[-1].id}, squashed",
        "",
        f"Written by dataops squash from {counted(len(chosen), 'migration')}, which `replaces` names.",
        "An empty database runs it. A database that has all of them has it already.",
    ]
    if carriers:
        lines += ["", "These steps changed data, too; here are only the rows that they left in an empty database:", ""]
        for one in carriers:
            lines += textwrap.wrap(
                f"- {one.migration.id}: {', '.join(one.does)}", 110, subsequent_indent="  ", break_long_words=False
            )
    if schema.left_out:
        lines += ["", "Not in here, because there are too many:", ""]
        lines += [f"- {name}: {count:,}" for name, count in sorted(schema.left_out.items())]
    text = "\n".join(visible(line) for line in lines).replace("\\", "\\\\").replace('"', "'")
    return f'"""{text}\n"""'


def _alembic(id_: str, chosen: Sequence[Migration], schema: Schema, reason: str) -> list[str]:
    calls = [f"    {executes(statement)}" for statement in schema.statements]
    labels = sorted({label for migration in chosen for label in source.labels(migration.text)})
    lines = [
        "from alembic import op",
        "",
        f"revision = {_text(id_)}",
        "down_revision = None",
        *([f"branch_labels = ({', '.join(map(_text, labels))},)"] if labels else []),
        *_promises(chosen, reason),
        *([ABOUT_COLONS] if escapes_colons("".join(calls)) else []),
    ]
    return [*lines, "", "", "def upgrade() -> None:", *(calls or ["    pass"]), "", "", *_way_back("")]


def _mongo(id_: str, chosen: Sequence[Migration], schema: Schema, reason: str) -> list[str]:
    # Python's own modules come first, then a line, then those of the libraries.
    imports = [*schema.imports, "from typing import Any", "from pymongo.database import Database"]
    own = [one for one in imports if not one.startswith(("from bson", "from pymongo"))]
    libraries = sorted(one for one in imports if one not in own)
    body = "\n".join(schema.statements) or "pass"
    lines = [
        *sorted(own, key=lambda one: (one.startswith("from"), one)),
        "",
        *libraries,
        "",
        f"name = {_text(id_)}",
        "dependencies: list[str] = []",
        "repeatable = True",
        *_promises(chosen, reason),
    ]
    typed = "db: Database[dict[str, Any]]"
    return [*lines, "", "", f"def upgrade({typed}) -> None:", textwrap.indent(body, "    "), "", "", *_way_back(typed)]


def _promises(chosen: Sequence[Migration], reason: str) -> list[str]:
    return [
        "reversible = False",
        f"irreversible_because = {_text(reason)}",
        "replaces = {  # what this file stands for: each migration, with the checksum of its code",
        *(f"    {_text(id_)}: {_checksums(checksums)}," for id_, checksums in replaces_of(chosen).items()),
        "}",
    ]


def _checksums(checksums: tuple[str, ...]) -> str:
    return _text(checksums[0]) if len(checksums) == 1 else f"[{', '.join(map(_text, checksums))}]"


def _way_back(argument: str) -> list[str]:
    return [f"def downgrade({argument}) -> None:", "    raise NotImplementedError(irreversible_because)"]


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


__all__ = ["Carrier", "replaces_of", "text_of"]
