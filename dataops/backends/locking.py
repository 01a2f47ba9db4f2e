"""The lock, the same for every kind of database: how one waits for it, and what comes first once it is held."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from dataops.backends import Locked, Waiting
from dataops.errors import LockNotObtained, Stopped
from dataops.model import Holder, Service, State
from dataops.planning import recovery

T = TypeVar("T")


def wait_for(
    take: Callable[[], bool],
    holder: Callable[[], Holder | None],
    *,
    service: Service,
    timeout: float,
    waiting: Waiting,
    stop: Callable[[], bool],
    poll_seconds: float,
) -> None:
    """Call `take` until it says that the lock is ours, for at most `timeout` seconds.

    `waiting` is told once of each holder. Raises Stopped when `stop()` says so, LockNotObtained at the end. The pause
    between two tries is up to `poll_seconds`, a different one each time, so that many waiters do not come together.
    """
    deadline = time.monotonic() + timeout
    told: Holder | None = None
    first = True
    while not take():
        found = holder()
        if first or (found is not None and found != told):
            waiting(found)
            told, first = found, False
        if stop():
            raise Stopped("stopped while waiting for the lock", service=service.name)
        if time.monotonic() >= deadline:
            raise LockNotObtained(
                f"the migration lock is held by {told or 'somebody'}; gave up after {timeout:g} s",
                service=service.name,
            )
        time.sleep(poll_seconds * random.uniform(0.5, 1.0))


def examined(locked: Locked, examine: Callable[[State], T], *, resolving: str | None = None) -> T:
    """What comes first under every lock: read, let `examine` look and refuse, refuse a step that was interrupted, and
    write the end that a crash kept out of the journal. Returns what `examine` returned.

    `resolving` is the migration whose interrupted step a person is deciding just now: that one is neither refused nor
    ended. Raises InterruptedStep, and what `examine` raises; then nothing was written.
    """
    state = locked.database.read()
    result = examine(state)
    recovery.refuse_interrupted(state, locked=True, except_of=resolving)
    end = recovery.missing_end(state)
    if end is not None and end.migration != resolving:
        locked.write(end)
    return result


__all__ = ["examined", "wait_for"]
