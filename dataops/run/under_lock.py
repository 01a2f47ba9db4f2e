"""Work under the lock of one database that is not part of a plan: resolve, prune, approve, wait for a running step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime

from dataops.backends import Database, Locked, opened
from dataops.backends.locking import begin_under_lock
from dataops.errors import DataopsError, LockNotObtained, Stopped
from dataops.events import Emit, LockAwaited, Warned
from dataops.model import Author, Direction, Entry, JournalEvent, Plan, Service, State
from dataops.planning import approvals, background, planner, recovery
from dataops.planning.decisions import Decision, decide
from dataops.run.reading import Readings, read_all, side_by_side, sorted_out
from dataops.run.stop import StopSignal
from dataops.text import visible


@contextmanager
def hold_lock(
    database: Database, author: Author, *, emit: Emit, stop: StopSignal, timeout: float | None = None
) -> Iterator[Locked]:
    """Hold the lock of one database while the scope lasts, and emit who keeps us waiting for it, and what the
    operator has to know.

    `timeout` (seconds) is by default that of the service. While another process of our own run holds the lock, which
    does what we would do, it is waited for as long as it does. `stop.abort()` aborts what runs in this scope. Raises
    LockNotObtained, Stopped.
    """
    service = database.service
    stop.begin_work()
    with ExitStack() as scope:
        locked = _entered(scope, database, author, emit=emit, stop=stop, timeout=timeout)
        scope.enter_context(stop.aborting(locked.abort))
        for note in locked.notes:
            emit(Warned(service.name, message=f"{service.name}: {note}"))
        yield locked


def _entered(
    scope: ExitStack, database: Database, author: Author, *, emit: Emit, stop: StopSignal, timeout: float | None
) -> Locked:
    """Take the lock, for as long as the scope lasts."""
    service, told = database.service, False
    while True:
        try:
            return scope.enter_context(
                database.lock(
                    author,
                    timeout=service.timeouts.lock if timeout is None else timeout,
                    waiting=lambda holder: emit(LockAwaited(service.name, holder=str(holder or "somebody"))),
                    stop=stop,
                )
            )
        except LockNotObtained as error:
            if error.held_by != author.run:
                raise
        if not told:
            twin = "another process of this run is at work here, and is waited for"
            emit(Warned(service.name, message=f"{service.name}: {twin}"))
        told = True


def read_at_rest(
    services: Sequence[Service],
    author: Author,
    *,
    emit: Emit,
    stop: StopSignal,
    timeout: float | None = None,
    wait_seconds: float = 0.0,
    leaving_background: bool = False,
    jobs: int | None = None,
) -> Readings:
    """Read every service like `read_all`, for a run: where a step is running, wait for its end and read again.

    With `leaving_background`, a step that runs in the background is not waited for.

    Until then, the record does not show what the step does, and a run that has died looks like one that is at work.
    Whoever gets the lock knows: either the step has ended, or it is half done. `timeout` is that of `hold_lock`, whose
    errors are raised.
    """

    def at_rest(state: State) -> State | DataopsError:
        try:
            return rested(state)
        except DataopsError as error:
            if isinstance(error, Stopped):
                raise
            return error

    def rested(state: State) -> State:
        while recovery.running_step(state) is not None:
            if leaving_background and background.left(state) is not None:
                break
            with opened(state.service) as database:
                with hold_lock(database, author, emit=emit, stop=stop, timeout=timeout):
                    pass
                state = database.read()
        return state

    found = read_all(services, emit=emit, wait_seconds=wait_seconds, stop=stop, jobs=jobs)
    try:
        rest = sorted_out([state.service for state in found.states], side_by_side(at_rest, found.states, jobs))
        return replace(rest, troubles={**found.troubles, **rest.troubles})
    finally:
        stop.end_work()


def resolve(
    database: Database, author: Author, id_: str, *, applied: bool, reason: str, emit: Emit, stop: StopSignal
) -> Decision:
    """Record under the lock what a person decided about a migration, whose file may be missing.

    Raises UsageError when nothing about it is undecided, or when the record would get a gap.
    """

    def examine(state: State) -> tuple[State, Decision]:
        return state, decide(state, id_, applied=applied, history=database.history(None))

    def entry(id_: str, direction: Direction, reason: str) -> Entry:
        return _entry(state, author, id_, direction, JournalEvent.RESOLVED, reason)

    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        state, decision = begin_under_lock(locked, examine, resolving=id_)
        # Most important first: after a crash, the same command does the rest.
        if not decision.recorded:
            direction = Direction.APPLY if applied else Direction.ROLLBACK
            locked.resolve(entry(id_, direction, reason), applied=applied)
        for other in decision.replaced:
            locked.check()
            locked.resolve(entry(other, Direction.ROLLBACK, f"replaced by {id_}: {reason}"), applied=False)
        return decision


def prune(database: Database, author: Author, migrations: Sequence[str], *, emit: Emit, stop: StopSignal) -> None:
    """Drop the stash entries of these migrations under the lock, and journal each.

    Raises InterruptedStep: an interrupted step may need its stash, and our entries would hide that it was interrupted.
    """
    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        state = begin_under_lock(locked, lambda state: state)
        for id_ in migrations:
            locked.check()
            direction = Direction.APPLY if id_ in state.recorded_ids else Direction.ROLLBACK
            entry = _entry(state, author, id_, direction, JournalEvent.PRUNED, "what it had put aside was pruned")
            locked.prune(id_, entry)


def approve(
    database: Database,
    author: Author,
    plan: Plan,
    sha256: str,
    *,
    what: str,
    since: datetime | None,
    emit: Emit,
    stop: StopSignal,
) -> bool:
    """Journal under the lock that a person has approved the plan file with this SHA-256. False: they had before.

    `what` is said as the reason. An approval before `since` counts no more. Raises StalePlan, InterruptedStep and
    HistoryError as an apply of the plan would.
    """

    def examine(state: State) -> State:
        planner.confirm(plan, state)
        return state

    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        state = begin_under_lock(locked, examine)
        name = database.service.name
        before = approvals.given(sha256, 0, {name: database.history(None)}, since=since)
        if approvals.is_among(visible(author.actor), before.people):
            return False
        entry = _entry(state, author, "", plan.direction, JournalEvent.APPROVED, what)
        locked.write(replace(entry, checksum=sha256, raw_checksum=sha256))
        return True


def _entry(state: State, author: Author, id_: str, direction: Direction, event: JournalEvent, reason: str) -> Entry:
    """A journal entry for a migration whose file may be missing by now."""
    migration = state.service.by_id.get(id_)
    return Entry(
        run=author.run,
        migration=id_,
        direction=direction,
        event=event,
        actor=author.actor,
        host=author.host,
        version=author.version,
        checksum=migration.checksum if migration else "",
        raw_checksum=migration.raw_checksum if migration else "",
        reason=reason,
    )


__all__ = ["approve", "hold_lock", "prune", "resolve"]
