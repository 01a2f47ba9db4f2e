"""Takes the lock of one database for a run, and looks again at what the plan wants there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dataops.backends import Locked, Mirrors, opened
from dataops.backends.loading import load_module
from dataops.backends.locking import begin_under_lock
from dataops.errors import LockNotObtained, Stopped
from dataops.events import LockTaken, NothingLeft, Warned
from dataops.model import Service, State, Step
from dataops.othertools.mirror import rows_missing
from dataops.othertools.refusals import refuse_running
from dataops.planning import planner
from dataops.run.under_lock import hold_lock
from dataops.run.work import Work

_POLL_SECONDS = 0.3
T = TypeVar("T")


@contextmanager
def taken(work: Work, service: Service) -> Iterator[Locked]:
    """Hold the lock of a service of the plan while the scope lasts. Raises LockNotObtained and Stopped."""
    if work.stop():
        raise Stopped("stopped before the first step", service=service.name)
    with (
        opened(service) as database,
        hold_lock(database, work.author, emit=work.emit, stop=work.stop, timeout=work.lock_timeout) as locked,
    ):
        work.emit(LockTaken(service.name))
        yield locked


def confirm(work: Work, locked: Locked) -> tuple[Step, ...]:
    """The steps of the plan that are left to do in this service, now that nobody else can change it."""
    service = locked.database.service

    def examine(state: State) -> tuple[State, tuple[Step, ...]]:
        refuse_running(state)
        left = planner.confirm(work.plan, state)
        for step in left:
            load_module(service, step.migration)  # a file that cannot be imported stops the run before it begins
        return state, left

    state, left = _until_others_rest(work, service, lambda: begin_under_lock(locked, examine, goes_on=True))
    if service.mirror:
        assert isinstance(locked, Mirrors)  # the configuration allows `mirror` only where there is such a tool
        locked.complete_mirror(rows_missing(state))
    if not left and work.plan.of(service.name):
        work.emit(NothingLeft(service.name))
    work.confirmed[service.name] = left
    return left


def _until_others_rest(work: Work, service: Service, begin: Callable[[], T]) -> T:
    """Call `begin` until no other tool is migrating the database, for as long as we wait for our own lock.

    Raises LockNotObtained, Stopped, and what `begin` raises.
    """
    seconds = service.timeouts.lock if work.lock_timeout is None else work.lock_timeout
    deadline = time.monotonic() + seconds
    told = False
    while True:
        try:
            return begin()
        except LockNotObtained as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                work.emit(Warned(service.name, message=f"{service.name}: waiting: {error.message}"))
            told = True
        work.stop.pause(_POLL_SECONDS)
        if work.stop():
            raise Stopped("stopped while another tool was migrating", service=service.name)


__all__ = ["confirm", "taken"]
