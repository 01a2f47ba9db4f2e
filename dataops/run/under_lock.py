"""Work under the lock of one database that is not part of a plan: resolve and prune."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dataops.backends import Database, Locked
from dataops.backends.locking import begin_under_lock
from dataops.events import Emit, LockAwaited, Warned
from dataops.model import Author, Direction, Entry, JournalEvent, State, Step
from dataops.planning import checks
from dataops.run.stop import StopSignal


@contextmanager
def hold_lock(
    database: Database, author: Author, *, emit: Emit, stop: StopSignal, timeout: float | None = None
) -> Iterator[Locked]:
    """Hold the lock of one database while the scope lasts, and emit who keeps us waiting for it, and what the
    operator has to know.

    `timeout` (seconds) is by default that of the service. `stop.abort()` aborts what runs in this scope. Raises
    LockNotObtained, Stopped.
    """
    service = database.service
    stop.begin_work()
    with (
        database.lock(
            author,
            timeout=service.timeouts.lock if timeout is None else timeout,
            waiting=lambda holder: emit(LockAwaited(service.name, holder=str(holder or "somebody"))),
            stop=stop,
        ) as locked,
        stop.aborting(locked.abort),
    ):
        for note in locked.notes:
            emit(Warned(service.name, message=f"{service.name}: {note}"))
        yield locked


def resolve(
    database: Database, author: Author, step: Step, *, applied: bool, reason: str, emit: Emit, stop: StopSignal
) -> None:
    """Record under the lock what a person decided about a step. Raises UsageError when the record would get a gap."""
    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        id_ = step.migration.id
        begin_under_lock(
            locked, lambda state: checks.check_resolvable(state, step.migration, applied=applied), resolving=id_
        )
        direction = Direction.APPLY if applied else Direction.ROLLBACK
        locked.resolve(author.entry(step.migration, direction, JournalEvent.RESOLVED, reason=reason), applied=applied)


def prune(database: Database, author: Author, migrations: Sequence[str], *, emit: Emit, stop: StopSignal) -> None:
    """Drop the stash entries of these migrations under the lock, and journal each.

    Raises InterruptedStep: an interrupted step may need its stash, and our entries would hide that it was interrupted.
    """
    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        state = begin_under_lock(locked, lambda state: state)
        for id_ in migrations:
            locked.check()
            locked.prune(id_, _pruned(state, author, id_))


def _pruned(state: State, author: Author, id_: str) -> Entry:
    """The journal entry for a migration whose stash is pruned. Its file may be missing by now."""
    migration = state.service.by_id.get(id_)
    return Entry(
        run=author.run,
        migration=id_,
        direction=Direction.APPLY if id_ in state.applied_ids else Direction.ROLLBACK,
        event=JournalEvent.PRUNED,
        actor=author.actor,
        host=author.host,
        version=author.version,
        checksum=migration.checksum if migration else "",
        raw_checksum=migration.raw_checksum if migration else "",
        reason="what it had put aside was pruned",
    )


__all__ = ["hold_lock", "prune", "resolve"]
