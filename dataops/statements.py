"""The statements that migrations send: a tally for messages and the journal, and reports for traces and metrics.

A backend always keeps a `Tally`, which costs next to nothing. `report` hands each statement to whoever is `listening`.
Usually nobody is, and then backends make no reports. A statement contains no data: SQL is without its literals, and of
a MongoDB command there are only its name and its collection.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dataops.model import Sent, Spent
from dataops.redaction import redact

_LONGEST = 1000
_SLOW_SECONDS = 0.01
_SLOWEST = 5
_SLOWEST_LONGEST = 300
_MOST_TEXTS = 100
_VALUES = r"""
    (?P<name>"[^"]*")
  | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<body>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))  # body of a function or of a DO block
  | (?:\b[Ee]'(?:[^'\\]|\\.|'')*|'(?:[^']|'')*)(?:'|\Z)
  | (?<![\w$])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b
"""
_PARAMETER = re.compile(r"%\(\w+\)s(?:::\w+(?: PRECISION| VARYING| WITH(?:OUT)? TIME ZONE)?(?:\([?, ]+\))?(?:\[\])*)?")
"""A parameter as SQLAlchemy sends it, with the type that it gives it."""


@dataclass(frozen=True)
class Statement:
    """One statement that has ended. `changed` is how many rows or documents it changed, None if that is not known.

    `names` are the indexes of its target that it makes or drops, as far as it names them, or the new name of that.
    `connection` is the driver's own, for a listener that asks the server about the transaction that is open on it.
    """

    service: str
    operation: str
    target: str = ""
    text: str = ""
    began: int = 0  # nanoseconds since the epoch
    seconds: float = 0.0
    changed: int | None = None
    unit: str = "rows"
    error: str = ""
    names: tuple[str, ...] = ()
    connection: Any = field(default=None, repr=False, compare=False)


class Tally:
    """Counts what the running step sends. A migration may send from several threads."""

    def __init__(self, unit: str, told: Callable[[str], str]) -> None:
        """`told` makes text without values and secrets of what was sent. It is only called for what is told."""
        self._unit = unit
        self._told = told
        self._mutex = threading.Lock()
        self._forget()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """The scope of one step. Only after a failure the count stays."""
        self._forget()
        yield
        self._forget()

    def send(self, what: str, *, writes: bool) -> None:
        """Count a statement or command that is sent now. `writes`: it is not certainly a read."""
        with self._mutex:
            self._last = what
            self._writes += writes

    def change(self, number: int) -> None:
        """Add rows or documents that the server says were changed."""
        with self._mutex:
            self._changed += number

    def spend(self, what: str, seconds: float) -> None:
        """Note how long a statement or command took. What took less than 10 ms is forgotten at once."""
        if seconds < _SLOW_SECONDS:
            return
        text = _shortened(self._told(what))
        with self._mutex:
            before = self._slow.pop(text, Spent(text, 0.0, 0))
            self._slow[text] = Spent(text, before.seconds + seconds, before.count + 1)
            if len(self._slow) > _MOST_TEXTS:  # a step may send very many that all differ
                del self._slow[min(self._slow.values(), key=lambda spent: spent.seconds).text]

    def sent(self) -> Sent:
        """What was counted in the running step, or in the last one if that failed."""
        slowest = sorted(self._slow.values(), key=lambda spent: spent.seconds, reverse=True)[:_SLOWEST]
        return Sent(self._writes, self._changed, self._unit, self._told(self._last), tuple(slowest))

    def _forget(self) -> None:
        self._writes = self._changed = 0
        self._last = ""
        self._slow: dict[str, Spent] = {}


OnStatement = Callable[[Statement], None]

_listeners: list[OnStatement] = []


@contextmanager
def listening(*listeners: OnStatement) -> Iterator[None]:
    """While this scope lasts, call each of `listeners` with every statement that migrations send."""
    _listeners.extend(listeners)
    try:
        yield
    finally:
        for listener in listeners:
            if listener in _listeners:
                _listeners.remove(listener)


def has_listeners() -> bool:
    """Whether anybody is `listening`. Backends ask this before they make a report."""
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


def comparable(told: str) -> str:
    """SQL without values, to be compared with that of a plan: a parameter is a value, and the driver has %% for %."""
    return _PARAMETER.sub("?", told).replace("%%", "%").rstrip("; ")


def _shortened(text: str) -> str:
    return text if len(text) <= _SLOWEST_LONGEST else text[: _SLOWEST_LONGEST - 1] + "…"


def _instead(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"]
    return " " if found["comment"] else ("$$?$$" if found["body"] else "?")
