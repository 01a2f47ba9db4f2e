"""Work under the lock of one database that is not a plan's: resolve and prune."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dataops.backends import Backend, StillHeld
from dataops.events import (
    Emit,
    LockAwaited,
)
from dataops.model import Author, Direction, Entry, JournalEvent, Step
from dataops.planning import checks, recovery
from dataops.run.stop import StopSignal


@contextmanager
def locked(backend: Backend, author: Author, *, emit: Emit, stop: StopSignal) -> Iterator[StillHeld]:
    """The lock of one database, for work that is not a plan's. The second signal aborts what runs in it."""
    service = backend.service
    stop.on_abort(backend.abort)
    with backend.lock(
        author,
        timeout=service.timeouts.lock,
        waiting=lambda holder: emit(LockAwaited(service.name, holder=str(holder or "somebody"))),
        stop=stop,
    ) as still_held:
        yield still_held


def resolve(
    backend: Backend, author: Author, step: Step, *, applied: bool, reason: str, emit: Emit, stop: StopSignal
) -> None:
    """Record a person's answer, under the lock. Raises UsageError when the record would lose its order."""
    with locked(backend, author, emit=emit, stop=stop):
        checks.check_resolvable(backend.read(), step.migration, applied=applied)
        direction = Direction.APPLY if applied else Direction.ROLLBACK
        entry = author.entry(step.migration, direction, JournalEvent.RESOLVED, reason=reason)
        backend.resolve(entry, applied=applied)


def prune(backend: Backend, author: Author, migrations: Sequence[str], *, emit: Emit, stop: StopSignal) -> None:
    """Drop what these migrations have put aside, under the lock, each journalled. Raises InterruptedStep."""
    service = backend.service
    with locked(backend, author, emit=emit, stop=stop) as still_held:
        state = backend.read()
        recovery.refuse_interrupted(state, locked=True)  # it may need what it put aside; and our entry would hide it
        ended = recovery.missing_end(state)
        if ended is not None:
            backend.write(ended)
        for id_ in migrations:
            still_held()
            direction = Direction.APPLY if id_ in state.applied_ids else Direction.ROLLBACK
            migration = service.by_id.get(id_)
            checksum, raw = (migration.checksum, migration.raw_checksum) if migration else ("", "")
            entry = Entry(
                run=author.run,
                migration=id_,
                direction=direction,
                event=JournalEvent.PRUNED,
                actor=author.actor,
                host=author.host,
                version=author.version,
                checksum=checksum,
                raw_checksum=raw,
                reason="what it had put aside was pruned",
            )
            backend.prune(id_, entry)
