"""Writes values and SQL as Python, as a person would: for the migration files that dataops makes. Pure."""

from __future__ import annotations

import re

_COLON = re.compile(r"(?<![:\w]):(?=[\w$])|\\:")
"""What SQLAlchemy may take for the beginning of a parameter; not the colons of a cast or of 12:30."""
_ESCAPED = '.replace(":", r"\\:")'
ABOUT_COLONS = r"# In a text for op.execute, a colon that begins no parameter is written \:"
"""The comment for a file with a call that escapes its colons."""


def executes(statement: str) -> str:
    """The call of op.execute that sends a statement of SQL as it is."""
    return f"op.execute({literal(statement)}{_ESCAPED if _COLON.search(statement) else ''})"


def escapes_colons(calls: str) -> bool:
    """Whether one of these calls of op.execute escapes its colons."""
    return _ESCAPED in calls


def literal(text: str) -> str:
    """A Python literal of a text that reads as the text does, as far as that is possible."""
    if "\n" not in text and '"' not in text and "\\" not in text and text.isprintable() and len(text) < 100:
        return f'"{text}"'
    for quotes in ('"""', "'''"):
        if quotes not in text and "\r" not in text:
            return f"r{quotes}\n{text}\n{quotes}"
    escaped = text.replace("\\", "\\\\").replace("\r", "\\r").replace('"""', '\\"\\"\\"')
    return f'"""\n{escaped}\n"""'


__all__ = ["ABOUT_COLONS", "escapes_colons", "executes", "literal"]
