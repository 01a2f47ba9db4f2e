"""The statements that migrations send, for traces and for the count of changed rows and documents.

`report` hands each statement to whoever is `listening`. Usually nobody is, and then backends do not watch statements at
all. A statement contains no data: SQL is without its literals, and of a MongoDB command there are only its name and its
collection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dataops.redaction import redact

_LONGEST = 1000
_VALUES = r"""
    (?P<name>"[^"]*")
  | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<body>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))  # body of a function or of a DO block
  | (?:\b[Ee]'(?:[^'\\]|\\.|'')*|'(?:[^']|'')*)(?:'|\Z)
  | (?<![\w$])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b
"""


@dataclass(frozen=True)
class Statement:
    """One statement that has ended. `changed` is how many rows or documents it changed, None if that is not known."""

    service: str
    operation: str
    target: str = ""
    text: str = ""
    began: int = 0  # nanoseconds since the epoch
    seconds: float = 0.0
    changed: int | None = None
    unit: str = "rows"
    error: str = ""


OnStatement = Callable[[Statement], None]

_listeners: list[OnStatement] = []


@contextmanager
def listening(*listeners: OnStatement) -> Iterator[None]:
    """While this scope lasts, call each of `listeners` with every statement of connections that are opened in it."""
    _listeners.extend(listeners)
    try:
        yield
    finally:
        for listener in listeners:
            if listener in _listeners:
                _listeners.remove(listener)


def has_listeners() -> bool:
    """Whether anybody is `listening`. Backends ask this before they watch the statements of a connection."""
    return bool(_listeners)


def report(statement: Statement) -> None:
    """Call every listener. One that raises is removed, because listening must never stop a migration."""
    for listener in list(_listeners):
        try:
            listener(statement)
        except Exception:  # noqa: BLE001
            _listeners.remove(listener)


def without_values(sql: str) -> str:
    """SQL without secrets on one line of at most 1,000 characters, with ? for each literal and each function body."""
    text = " ".join(re.sub(_VALUES, _instead, redact(sql)[: 4 * _LONGEST], flags=re.VERBOSE | re.DOTALL).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _instead(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"]
    return " " if found["comment"] else ("$$?$$" if found["body"] else "?")
