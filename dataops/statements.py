"""The statements that migrations send, for traces and for the count of changed rows and documents.

Usually nothing listens, and then backends install nothing. A statement never holds a value: SQL comes without its
literals, and a MongoDB command comes as its name and its collection.
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
  | (?P<body>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))  # of a function, of a DO block
  | (?:\b[Ee]'(?:[^'\\]|\\.|'')*|'(?:[^']|'')*)(?:'|\Z)
  | (?<![\w$])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b
"""


@dataclass(frozen=True)
class Statement:
    """One statement that has ended. `changed` is how many rows or documents, None where the server does not say."""

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
    """While this scope lasts, every connection that is made in this process calls `listeners` with each statement."""
    _listeners.extend(listeners)
    try:
        yield
    finally:
        for listener in listeners:
            if listener in _listeners:
                _listeners.remove(listener)


def has_listeners() -> bool:
    """Whether anything listens. Backends ask before they install what `report` needs."""
    return bool(_listeners)


def report(statement: Statement) -> None:
    """Call every listener. One that raises is removed, because listening must never stop a migration."""
    for listener in list(_listeners):
        try:
            listener(statement)
        except Exception:  # noqa: BLE001
            _listeners.remove(listener)


def without_values(sql: str) -> str:
    """SQL on one line, at most 1,000 characters, with ? for each literal and without the bodies of functions."""
    text = " ".join(re.sub(_VALUES, _instead, redact(sql)[: 4 * _LONGEST], flags=re.VERBOSE | re.DOTALL).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _instead(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"]
    return " " if found["comment"] else ("$$?$$" if found["body"] else "?")
