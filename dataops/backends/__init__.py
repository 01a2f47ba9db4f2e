"""What the rest of the program may ask of a database: few methods, each a promise. One implementation per kind."""

from __future__ import annotations

import importlib
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol

from dataops.catalogue import Catalogue
from dataops.contents import Contents
from dataops.errors import BrokenFile
from dataops.model import (
    Author,
    Entry,
    Holder,
    JournalEvent,
    Migration,
    Rendering,
    Service,
    StashEntry,
    State,
    Step,
    ToolRecord,
)
from dataops.progress import Report
from dataops.redaction import describe

Waiting = Callable[[Holder | None], None]
StillHeld = Callable[[], None]
Retrying = Callable[[int, float, str], None]


class Backend(Protocol):
    """One database of one service. Not for two threads at once, except `abort`."""

    service: Service

    def read(self) -> State:
        """Look, and write nothing: not even our own tables. Works for a read-only user.

        Raises Unreachable, PermissionDenied.
        """

    def render(self, step: Step) -> Rendering:
        """The commands of a step, as far as they can be known without running it. Writes nothing."""

    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> AbstractContextManager[StillHeld]:
        """Hold the one migration lock of this database; our own tables exist afterwards.

        Polls for at most `timeout` seconds, calls `waiting(holder)` when it has to wait and gives up with Stopped
        when `stop()` says so. Yields `still_held()`, which raises LockLost once the lock is, or may be, lost. Raises
        LockNotObtained.
        """

    def write(self, entry: Entry) -> None:
        """Append to the journal, durably, now. Only under the lock; raises LockLost."""

    def run(self, step: Step, done: Entry, *, report: Report, retrying: Retrying) -> float:
        """Make the change, record it natively, append `done` with the seconds it took, which are returned.

        In one transaction where the migration is atomic. Raises whatever the migration raises; then an atomic one
        has left nothing. Where it could not get a lock on a table, it is tried again: `retrying(attempt, seconds, why)`
        waits so long in between, or raises to give up.
        """

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        """A person's answer to an interrupted step: make the native record say `applied`, and journal it."""

    def catalogue(self, *, complete: bool = False) -> Catalogue:
        """What the database is made of. Works for a read-only user and writes nothing.

        `complete` adds what may well differ between databases of one history: bodies of functions, comments, grants.
        """

    def contents(self) -> Contents:
        """Digests of everything that its tables or collections hold. Reads all of it; writes nothing.

        PostgreSQL: at one moment, and comparable between servers of one byte order. MongoDB: what is written meanwhile
        may be in it or not. Raises PermissionDenied where rows are hidden from this user.
        """

    def handle(self) -> AbstractContextManager[Any]:
        """The driver's own: a pymongo Database, a psycopg Connection in autocommit. For scratch databases."""

    def imitate(self, other: Backend, *, strictly: bool) -> None:
        """In an empty database: make what `other` has and no migration accounts for. Only collections come so.

        `strictly`: also what may refuse the documents that migrations insert, which is unique indexes.
        """

    def adopt(
        self, record: ToolRecord | None, entries: Sequence[Entry], at: Mapping[str, datetime], head: str | None
    ) -> None:
        """Take over what another tool did: make the native record end at `head`, and journal it. All or nothing.

        `at` is when each was applied there, as far as that is known. Only under the lock, and with the other tool kept
        out; its `record` is not touched. Raises StalePlan when that has changed meanwhile, LockNotObtained when that
        tool is migrating now.
        """

    def mirror(self, missing: Sequence[Migration]) -> None:
        """Before the first step, under the lock: add what the mirrored record lacks, which is created if need be."""

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        """The journal, newest first. Empty when there is none. Writes nothing."""

    def stash_entries(self) -> tuple[StashEntry, ...]:
        """What migrations have put aside here, oldest first. Writes nothing."""

    def prune(self, migration: str, entry: Entry) -> None:
        """Drop what one migration has put aside, and journal it. Only under the lock."""

    def abort(self) -> None:
        """From another thread: make what runs now fail soon. The second Ctrl-C."""

    def error_text(self, error: BaseException) -> str:
        """One line for a person: what the server said, without secrets."""

    def close(self) -> None:
        """Release everything. Twice is fine."""


def connect(service: Service) -> Backend:
    """The backend for a service. Imports its driver only now; connects only when asked something."""
    backend: Backend = importlib.import_module(service.kind.module).connect(service)
    return backend


@contextmanager
def opened(service: Service) -> Iterator[Backend]:
    """A backend, closed afterwards."""
    backend = connect(service)
    try:
        yield backend
    finally:
        backend.close()


def settled(look: Callable[[], State]) -> State:
    """A state in which a step that is *started* and has no lock holder is really dead, not just ending.

    The holder is looked up after the journal. If the journal still says the same at a second look, then the step's
    run had no lock in between: it is gone.
    """
    state = look()
    while state.last is not None and state.last.event is JournalEvent.STARTED and state.holder is None:
        again = look()
        if again.last == state.last and again.holder is None:
            return again
        state = again
    return state


def load_module(service: Service, migration: Migration) -> types.ModuleType:
    """Run the top level of a file, from the very text whose checksum was taken. Raises BrokenFile when it raises."""
    module = types.ModuleType(re.sub(r"\W", "_", migration.path.stem))
    module.__file__ = str(migration.path)
    try:
        # dont_inherit: the file's own __future__ imports count, not those of this one.
        exec(compile(migration.text, str(migration.path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise BrokenFile(
            f"{migration.path} raises on import: {describe(error)}",
            service=service.name,
            migration=migration.id,
            hint="mend the file; nothing of it was run",
        ) from error
    for name in ("upgrade", "downgrade"):
        if not callable(getattr(module, name, None)) and (name == "upgrade" or migration.reversible):
            raise BrokenFile(f"{migration.path} has no {name}()", service=service.name, migration=migration.id)
    return module


__all__ = ["Backend", "connect", "load_module", "opened", "settled"]
