"""How far a long migration is: for migration files.

    from dataops.progress import track

    for batch in track(batches, total=12_000, unit="documents"):
        ...

Outside of a run (a test, `pymongo-migrate`, `alembic`) `track` only iterates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Report = Callable[[int, int | None, str], None]

_report: ContextVar[Report | None] = ContextVar("dataops_progress", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """While this scope lasts, `track` in this thread tells `report(done, total, unit)`."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def track(iterable: Iterable[T], total: int | None = None, unit: str = "documents") -> Iterator[T]:
    """Hand on every item and report how many are done.

    An item that is a list or tuple counts as its length (a batch), anything else as one. `total` is in the same
    unit; None when it is not known, then there is a count and no time left.
    """
    report = _report.get()
    done = 0
    for item in iterable:
        yield item
        done += len(item) if isinstance(item, Sized) and isinstance(item, (list, tuple)) else 1
        if report is not None:
            report(done, total, unit)
