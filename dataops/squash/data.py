"""Which steps carry data, for a person to look at: by what they sent to an empty database, and by what their code says.

In an empty database a loop over rows sends nothing, so the code is read too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from dataops import source, splitting
from dataops.model import Migration
from dataops.statements import Statement

_CHANGES = re.compile(r"(WITH\b.*\b)?(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|COPY|TRUNCATE)\b")
_TARGET = re.compile(
    r'(?is)\b(insert\s+into|update(?:\s+only)?|delete\s+from|merge\s+into|copy|truncate(?:\s+table)?)\s+((?:"[^"]+"|[\w.$])+)'
)
_HIDDEN = re.compile(r"(DO|CALL)\b")
_METHODS = {
    "bulk_insert", "bulk_write", "delete_many", "delete_one", "find_one_and_delete", "find_one_and_replace",
    "find_one_and_update", "insert_many", "insert_one", "replace_one", "update_many", "update_one",
}  # fmt: skip
_STAGES = {"$merge", "$out"}
_COMMANDS = {"insert", "update", "delete", "findAndModify", "bulkWrite"}


def carried(migration: Migration, sent: Sequence[Statement]) -> tuple[str, ...]:
    """What the step does to data, each in a few words; nothing if it only makes objects."""
    return tuple(dict.fromkeys((*_sent(sent), *_written(migration))))


def _sent(statements: Sequence[Statement]) -> Iterator[str]:
    for statement in statements:
        if statement.target.startswith("dataops_"):  # the stash
            continue
        if statement.operation in _COMMANDS:
            yield f"{statement.operation} {statement.target}"
        else:
            yield from _in_sql(statement.text)


def _written(migration: Migration) -> Iterator[str]:
    """What the code says about data, also where there was nothing to change."""
    if migration.facts.puts_aside:
        yield "puts data aside"
    pieces = source.parse(migration.text).body
    for node in (inner for piece in pieces if getattr(piece, "name", "") != "downgrade" for inner in ast.walk(piece)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in _METHODS:
                yield f"{name}()"
            case ast.Call(func=ast.Attribute(attr="execute" | "text") | ast.Name(id="text"), args=[first, *_]):
                yield from _in_argument(first)
            case ast.Constant(value=str(text)) if text in _STAGES:
                yield text


def _in_argument(argument: ast.expr) -> Iterator[str]:
    for node in ast.walk(argument):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _in_sql(node.value)


def _in_sql(text: str) -> Iterator[str]:
    """What each statement of a text does to data."""
    try:
        found = [(one.words, one.text) for one in splitting.split(text)]
    except splitting.Endless:  # a piece of an f-string may end anywhere
        found = [(" ".join(text.upper().split()), text)]
    for words, statement in found:
        if _HIDDEN.match(words):
            yield "a block of code, which may change data"
        elif _CHANGES.match(words):
            yield from (f"{' '.join(one[1].upper().split())} {one[2]}" for one in _TARGET.finditer(statement))


__all__ = ["carried"]
