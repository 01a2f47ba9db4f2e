"""How long a MongoDB server may take, in seconds. The rates are wide on purpose; `script/bench/foresight.py` holds them
against real runs."""

from __future__ import annotations

from dataops.model import Span

SIZE = "the size of the collection"

_READ = (2e-7, 4e-6)
_WRITE = (2e-6, 3e-5)
_WRITE_INDEX = (5e-7, 1.2e-5)
_BUILD = (3e-7, 5e-6)


def read(documents: int | None) -> Span:
    """Reading so many documents."""
    return _span((_READ, documents or 0))


def write(documents: int | None, indexes: int) -> Span:
    """Updating, inserting or deleting so many documents of a collection with so many indexes."""
    return _span((_WRITE, documents or 0), (_WRITE_INDEX, (documents or 0) * indexes))


def build(documents: int, indexes: int) -> Span:
    """Building indexes in one pass."""
    return _span((_BUILD, documents * indexes))


def both(finding: Span, writing: Span, counted: int | None) -> Span:
    """Finding documents and writing them. Where nobody has counted them, it may be that none is written."""
    return Span(finding.low + (writing.low if counted is not None else 0.0), finding.high + writing.high, SIZE)


def _span(*parts: tuple[tuple[float, float], float]) -> Span:
    return Span(
        sum(low * amount for (low, _), amount in parts),
        sum(high * amount for (_, high), amount in parts) + 0.1,
        SIZE,
    )
