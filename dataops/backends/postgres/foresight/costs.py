"""How long the server may take, in seconds, from the size of what it has to go through.

The least is a big machine with all in memory, the most a small virtual machine with a cold cache and a disk that reads
125 MB in a second. `script/bench/foresight.py` holds them against real runs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from dataops.model import Span

STATISTICS = "the size of the table"


class Rate(NamedTuple):
    """The least and the most that one unit takes."""

    low: float
    high: float


_READ_BYTE = Rate(1 / 3e9, 1 / 125e6)
_READ_ROW = Rate(1e-8, 2e-7)
_REWRITE_BYTE = Rate(1 / 800e6, 1 / 50e6)
_REWRITE_ROW = Rate(1e-7, 2e-6)
_INDEX_ROW = Rate(4e-9, 6e-8)
"""For each row and each step of the sort, of which there are log2(rows)."""
_CHANGE_ROW = Rate(2e-7, 1e-5)
_CHANGE_INDEX_ROW = Rate(1e-7, 5e-6)
_CHECK_KEY_ROW = Rate(3e-8, 1e-6)
_SLOW_METHODS = ("gin", "gist", "spgist")
_SLOWER = 12


def read(rows: int | None, size: int) -> Span:
    """Passing over a table once."""
    return _span((_READ_BYTE, size), (_READ_ROW, rows or 0))


def rewrite(rows: int | None, size: int, indexes: int) -> Span:
    """Writing a table anew, with all of its indexes."""
    build = index(rows, 0)
    whole = _span((_REWRITE_BYTE, size), (_REWRITE_ROW, rows or 0))
    return Span(whole.low + indexes * build.low, whole.high + indexes * build.high, STATISTICS)


def index(rows: int | None, size: int, method: str = "btree") -> Span:
    """Building one index over a table of so many rows and bytes."""
    steps = (rows or 0) * max(1.0, math.log2(max(2, rows or 2)))
    factor = _SLOWER if method in _SLOW_METHODS else 1
    built = _span((_INDEX_ROW, steps), (_READ_BYTE, size))
    return Span(built.low, built.high * factor, STATISTICS)


def change(rows: int | None, indexes: int) -> Span:
    """Updating, deleting or inserting so many rows of a table with so many indexes."""
    return _span((_CHANGE_ROW, rows or 0), (_CHANGE_INDEX_ROW, (rows or 0) * indexes))


def check_keys(rows: int | None, size: int) -> Span:
    """Looking up every row of one table in another."""
    return _span((_READ_BYTE, size), (_CHECK_KEY_ROW, rows or 0))


def nothing() -> Span:
    """A change of the catalogue alone."""
    return Span(0.0, 0.1, "no data is touched")


def _span(*parts: tuple[Rate, float]) -> Span:
    low = sum(rate.low * amount for rate, amount in parts)
    high = sum(rate.high * amount for rate, amount in parts)
    return Span(low, high + 0.1, STATISTICS)
