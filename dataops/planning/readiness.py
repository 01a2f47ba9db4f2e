"""Whether a database is where this code wants it: for `status` and `wait`. Pure."""

from __future__ import annotations

from dataops.errors import DatabaseAhead, DataopsError, EditedAfterApply, ExitCode, WaitTimedOut
from dataops.model import Ahead, Direction, Entry, State
from dataops.othertools import watch
from dataops.planning import background, checks, recovery
from dataops.text import counted


def problem(state: State) -> DataopsError | None:
    """What would refuse an apply now, or what is wrong with a database that we only observe."""
    if state.service.observe:
        return watch.watch(state).problem
    try:
        checks.check(state)
    except DataopsError as error:
        return error
    return _half_done(state)


def is_behind(state: State) -> bool:
    """Whether something is still to be applied, by us or by the tool that we only observe, or a step is running.

    What is only left for the background does not count.
    """
    if state.service.observe:
        return bool(watch.watch(state).waiting)
    return bool(to_do(state) or _running_step(state))


def to_do(state: State) -> int:
    """How many migrations an apply has to do."""
    leaves = background.left(state)
    return len(state.pending) if leaves is None else state.pending.index(leaves.first)


def waiting_for(state: State | DataopsError, *, allow_ahead: bool) -> DataopsError | None:
    """Why this service is not ready yet; None when it is. Raises the error that no waiting can mend."""
    if isinstance(state, DataopsError):
        if state.exit_code not in (ExitCode.UNREACHABLE, ExitCode.LOCKED):
            raise state
        return state
    if state.service.observe:
        watched = watch.watch(state)
        if watched.problem is not None:
            raise watched.problem
        return WaitTimedOut(watched.waiting, service=state.service.name) if watched.waiting else None
    if state.ahead and not state.pending and (allow_ahead or state.service.ahead is Ahead.ALLOW):
        found = _half_done(state)
    else:
        found = problem(state)
    if isinstance(found, DatabaseAhead | EditedAfterApply):
        raise found
    if found is None and (number := to_do(state)):
        return WaitTimedOut(f"{counted(number, 'migration')} pending", service=state.service.name)
    running = _running_step(state)
    if found is None and running is not None:  # a rollback, of a step that the record still shows
        what = f"{running.direction.value} of {running.migration} is running"
        return WaitTimedOut(f"{what}, or its run has died: locked by {state.holder}", service=state.service.name)
    return found


def _half_done(state: State) -> DataopsError | None:
    if background.left(state) is not None:  # whatever is half done then goes on in the background
        return None
    try:
        recovery.refuse_half_done(state)
    except DataopsError as error:
        return error
    return None


def _running_step(state: State) -> Entry | None:
    """The step that is running and concerns this code, which does not need what newer code applies."""
    running = recovery.running_step(state)
    if running is not None and background.left(state) is not None:
        return None
    if running is None or (running.direction is Direction.APPLY and running.migration not in state.service.by_id):
        return None
    return running
