"""Work under the lock of one database that is not a plan's: resolve and prune."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dataops.backends import Database, Locked
from dataops.backends.locking import begin_under_lock
from dataops.events import Emit, LockAwaited
from dataops.model import Author, Direction, Entry, JournalEvent, State, Step
from dataops.planning import checks
from dataops.run.stop import StopSignal


@contextmanager
def hold_lock(
    database: Database, author: Author, *, emit: Emit, stop: StopSignal, timeout: float | None = None
) -> Iterator[Locked]:
    """Hold the lock of one database, and tell who keeps us waiting. `timeout` is the service's own unless one is given.

    A second signal aborts what runs in this scope. Raises LockNotObtained, Stopped.
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
        yield locked


def resolve(
    database: Database, author: Author, step: Step, *, applied: bool, reason: str, emit: Emit, stop: StopSignal
) -> None:
    """Record a person's answer, under the lock. Raises UsageError when the record would lose its order."""
    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        id_ = step.migration.id
        begin_under_lock(
            locked, lambda state: checks.check_resolvable(state, step.migration, applied=applied), resolving=id_
        )
        direction = Direction.APPLY if applied else Direction.ROLLBACK
        locked.resolve(author.entry(step.migration, direction, JournalEvent.RESOLVED, reason=reason), applied=applied)


def prune(database: Database, author: Author, migrations: Sequence[str], *, emit: Emit, stop: StopSignal) -> None:
    """Drop what these migrations have put aside, under the lock, each journalled.

    Raises InterruptedStep: an interrupted step may need what it put aside, and our entries would hide it.
    """
    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        state = begin_under_lock(locked, lambda state: state)
        for id_ in migrations:
            locked.check()
            locked.prune(id_, _pruned(state, author, id_))


def _pruned(state: State, author: Author, id_: str) -> Entry:
    """The entry for a migration, which may have lost its file since it put something aside."""
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
