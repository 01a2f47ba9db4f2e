"""Makes the text of our migration files, and of adopt.toml, from what was read. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from dataops.importing.naming import Named
from dataops.importing.originals import Original, Part
from dataops.kinds import FileFormat
from dataops.literals import ABOUT_COLONS, escapes_colons, executes
from dataops.text import visible


def migration(named: Named, parent: str | None, tool: str, written: FileFormat) -> str:
    """The text of the file of ours."""
    if written.id_is_file_name:
        return _mongo_draft(named, parent, tool)
    original = named.original
    down, reason = _way_back(original, tool)
    up = _body(original.up) if original.up is not None else _draft_body(original)
    lines = [
        _docstring(original, tool),
        "",
        "from alembic import op",
        "",
        f'revision = "{named.id}"',
        f"down_revision = {json.dumps(parent) if parent else None}",
        *([f"reversible = False\nirreversible_because = {json.dumps(reason)}"] if reason else []),
    ]
    if original.up is not None:
        lines.append(f"# dataops: ignore-file[squawk/*] imported from {tool}, as it has run elsewhere before")
    if escapes_colons("".join((*up, *down))):
        lines.append(ABOUT_COLONS)
    lines += ["", "", "def upgrade() -> None:", *up]
    if not reason:
        lines += ["", "", "def downgrade() -> None:", *down]
    if original.up is None:
        lines += ["", "", *_quoted_original(original)]
    return "\n".join([*lines, ""])


def adopt_toml(record: str, names: Sequence[Named], retired: Sequence[str] = ()) -> str:
    """What adopt.toml has to say about these, so that adopt finds each in the record of that tool; "" for nothing."""
    tables = [f"[{record}]\nretired = {json.dumps(list(retired))}\n"] if retired else []
    for one in names:
        alias = one.original.alias
        values = {"name": alias.name, "description": alias.description, "checksum": alias.checksum}
        lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value]
        if lines:
            tables.append("\n".join([f"[{record}.migrations.{_toml(one.id)}]", *lines, ""]))
    return "\n".join(tables)


def _docstring(original: Original, tool: str) -> str:
    title = " ".join(original.words.split()) or original.name
    text = f"{title[:1].upper()}{title[1:]}\n\nImported from {tool}: {original.name}."
    escaped = visible(text).replace("\\", "\\\\").replace('"', "'")
    return f'"""{escaped}\n"""'


def _way_back(original: Original, tool: str) -> tuple[list[str], str]:
    """The lines of downgrade(), or why there is none."""
    if original.up is None:
        return _draft_body(original), ""
    if original.down is not None and (original.down.statements or original.down.unfinished):
        return _body(original.down), ""
    if not original.up.statements and not original.up.unfinished:
        return ["    pass"], ""
    return [], f"{tool} had no way back for it"


def _body(part: Part) -> list[str]:
    lines = [f"    raise NotImplementedError({_one_line(why)})" for why in part.unfinished[:1]]
    lines += [f"    # Also to do: {visible(why)}" for why in part.unfinished[1:]]
    calls = [executes(text) for text in part.statements]
    if part.transaction or not calls:
        return [*lines, *(f"    {call}" for call in calls)] or ["    pass"]
    return [*lines, "    with op.get_context().autocommit_block():", *(f"        {call}" for call in calls)]


def _draft_body(original: Original) -> list[str]:
    return [f"    raise NotImplementedError({_one_line(f'write here what {original.name} does')})"]


def _one_line(text: str) -> str:
    return json.dumps(visible(text), ensure_ascii=False)


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _quoted_original(original: Original) -> list[str]:
    """The text of the original as a comment. A form feed or the like would end a line for some readers."""
    body = [visible(line) for line in re.split(r"\r\n|\r|\n", original.text.strip("\r\n"))]
    return [f"# {original.name}:", "#", *(f"# {line}".rstrip() for line in body)]


def _mongo_draft(named: Named, parent: str | None, tool: str) -> str:
    lines = [
        _docstring(named.original, tool),
        "",
        "from typing import Any",
        "",
        "from pymongo.database import Database",
        "",
        f'name = "{named.id}"',
        f"dependencies = [{json.dumps(parent) if parent else ''}]",
        "repeatable = False  # True promises: stopped at any command and run again, it ends in the same documents",
    ]
    for function in ("upgrade", "downgrade"):
        lines += ["", "", f"def {function}(db: Database[dict[str, Any]]) -> None:", *_draft_body(named.original)]
    return "\n".join([*lines, "", "", *_quoted_original(named.original), ""])


__all__ = ["adopt_toml", "migration"]
