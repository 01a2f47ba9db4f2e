"""What a backfill needs of the run that it is a part of: when to stop, how to tell how far it is, and its limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from dataops.model import Backfill, Limits


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Around:
    """One run, for its backfills.

    `stopping` says whether it is asked to stop, and `sleep` sleeps so many seconds, or until then. `check` raises
    LockLost. `tell` is called after each batch, and whenever it begins or ends to wait. `paused` is called once
    for a wait that lasts, with the reason, and `resumed` at its end, with the reason and its seconds.
    """

    limits: Limits = field(default_factory=Limits)
    stopping: Callable[[], bool] = lambda: False
    sleep: Callable[[float], None] = time.sleep
    check: Callable[[], None] = _nothing
    tell: Callable[[Backfill], None] = _nothing
    paused: Callable[[str], None] = _nothing
    resumed: Callable[[str, float], None] = _nothing


_around: ContextVar[Around | None] = ContextVar("dataops_backfills_around", default=None)


@contextmanager
def surrounded(around: Around) -> Iterator[None]:
    """In this scope, the backfills of this thread belong to the run `around`."""
    token = _around.set(around)
    try:
        yield
    finally:
        _around.reset(token)


def present(limits: Limits) -> Around:
    """The run of this thread; outside of one, a run that nobody stops and that nobody looks at."""
    return _around.get() or Around(limits)


__all__ = ["Around", "present", "surrounded"]
