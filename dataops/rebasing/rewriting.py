"""Changes the parent, or the id, that the text of a migration file names, and leaves the rest of it as it is."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping, Sequence

from dataops import source

_DOCSTRING_LINE = rb"^(\s*Revises:[ \t]*)%s(?=[ \t]*\r?$)"


def with_parents(text: bytes, variable: str, before: Sequence[str], parents: Sequence[str]) -> bytes:
    """The text, whose parents were `before`, with others, which it assigns to the variable at its top level.

    The line `Revises:` that Alembic's template writes into the docstring follows. Raises Unreadable where the text is
    not Python, or does not assign the parents there.
    """
    value = _value_of(source.parse(text), variable)
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        written = f"[{', '.join(map(_quoted, parents))}]"
        written = f"({written[1:-1]}{',' * (len(parents) == 1)})" if isinstance(value, ast.Tuple) else written
    else:
        written = _quoted(parents[0]) if len(parents) == 1 else f"({', '.join(map(_quoted, parents))})"
    encoding = tokenize.detect_encoding(io.BytesIO(text).readline)[0]
    marked = text.startswith(b"\xef\xbb\xbf")  # Python's positions do not count the mark of UTF-8
    utf8 = text.decode(encoding).encode()
    if isinstance(value, ast.Constant) and utf8[_at(utf8, value)] == ord("'"):
        written = written.replace('"', "'")
    start, end = _at(utf8, value), _at(utf8, value, end=True)
    utf8 = utf8[:start] + written.encode() + utf8[end:]
    if len(before) == len(parents) == 1:
        line = re.compile(_DOCSTRING_LINE % re.escape(before[0].encode()), re.MULTILINE)
        utf8 = line.sub(lambda found: found[1] + parents[0].encode(), utf8, count=1)
    return b"\xef\xbb\xbf" * marked + utf8.decode().encode(encoding.removesuffix("-sig"))


def renamed(text: bytes, names: Mapping[str, str]) -> bytes:
    """The text with other names wherever it says one of these as a whole word."""
    if not names:
        return text
    longest_first = sorted(names, key=len, reverse=True)
    either = b"|".join(re.escape(name.encode()) for name in longest_first)
    return re.sub(rb"(?<![\w-])(?:" + either + rb")(?![\w-])", lambda found: names[found[0].decode()].encode(), text)


def _value_of(tree: ast.Module, variable: str) -> ast.expr:
    for node in reversed(tree.body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.expr) and any(isinstance(t, ast.Name) and t.id == variable for t in targets):
            return value
    raise source.Unreadable(f"it does not say {variable} = ... as a literal at the top level")


def _at(text: bytes, node: ast.expr, *, end: bool = False) -> int:
    """Where an expression begins or ends. Python counts bytes of UTF-8 in each line."""
    line, column = (node.end_lineno, node.end_col_offset) if end else (node.lineno, node.col_offset)
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: (line or 1) - 1])) + (column or 0)


def _quoted(name: str) -> str:
    return f'"{name}"'


__all__ = ["renamed", "with_parents"]
