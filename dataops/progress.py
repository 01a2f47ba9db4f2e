"""Lets a migration file report how far a long migration has come. The display is in dataops.show.progress.

    from dataops.progress import track

    for batch in track(batches, total=12_000, unit="documents"):
        ...

Outside of a run, in a test, in `pymongo-migrate` or in `alembic`, `track` only iterates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Report = Callable[[int, int | None, str], None]

_report: ContextVar[Report | None] = ContextVar("dataops_progress", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """While this scope lasts, `track` in this thread calls `report(done, total, unit)`."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def track(iterable: Iterable[T], total: int | None = None, unit: str = "documents") -> Iterator[T]:
    """Yield every item, and report how many are done.

    A list or tuple is a batch and counts as many as it has items; anything else counts as one. `total` is in the same
    unit. Without it, a person sees how many are done, but not how much time is left.
    """
    report = _report.get()
    done = 0
    for item in iterable:
        yield item
        done += len(item) if isinstance(item, (list, tuple)) else 1
        if report is not None:
            report(done, total, unit)
