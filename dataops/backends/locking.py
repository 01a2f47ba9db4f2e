"""The lock, for every kind of database: the loop that waits for it, and what has to be done first under it."""

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
    """Call `take` until it returns True, which means that the lock is ours, for at most `timeout` seconds.

    `waiting` is called once for each holder. Raises Stopped when `stop()` returns True, and LockNotObtained when the
    time is over. The pause between two tries is random, up to `poll_seconds`, so that waiters do not all ask at once.
    """
    deadline = time.monotonic() + timeout
    reported: Holder | None = None
    first = True
    while not take():
        found = holder()
        if first or (found is not None and found != reported):
            waiting(found)
            reported, first = found, False
        if stop():
            raise Stopped("stopped while waiting for the lock", service=service.name)
        if time.monotonic() >= deadline:
            error = LockNotObtained(
                f"the migration lock is held by {reported or 'somebody'}; gave up after {timeout:g} s",
                service=service.name,
            )
            error.held_by = found.run if found is not None else ""
            raise error
        time.sleep(poll_seconds * random.uniform(0.5, 1.0))


def begin_under_lock(
    locked: Locked, examine: Callable[[State], T], *, goes_on: bool = False, resolving: str | None = None
) -> T:
    """Do what has to come first under every lock, and return what `examine` returned.

    It reads the state, calls `examine`, which may raise to refuse, refuses while a step is half done, and writes the
    missing end of a step if a crash left one. With `goes_on`, `examine` has made sure that the half-done step is run
    first. `resolving` is the migration whose half-done step a person resolves with this call: for this one, nothing is
    refused and no end is written. Raises InterruptedStep, and what `examine` raises. Nothing is written when it raises.
    """
    state = locked.read()
    result = examine(state)
    if not goes_on:
        recovery.refuse_half_done(state, locked=True, except_of=resolving)
    end = recovery.missing_end(state)
    if end is not None and end.migration != resolving:
        locked.write(end)
    return result


__all__ = ["begin_under_lock", "wait_for"]
