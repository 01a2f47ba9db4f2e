"""A database of one service, as two types: `Database` asks and cannot write, `Locked` holds the lock and does.

    with database.lock(author, timeout=120.0, waiting=tell, stop=stop) as locked:
        locked.write(started)
        locked.run(step, end)

There is one implementation for each kind of database, in a package of its own that is imported when a database of that
kind is first connected to. Such a package has the function `connect(service) -> Database` and the context manager
`driver(service)`, which gives the driver's own connection. What is the same for every kind is in `journal` and
`locking`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dataops.model import Adopted, Author, Entry, Holder, Migration, Rendering, Service, State, Step
from dataops.stash.entry import StashEntry
from dataops.toolrecords import ToolRecord

if TYPE_CHECKING:
    from dataops.catalogue import Catalogue
    from dataops.contents import Contents

Waiting = Callable[[Holder | None], None]
"""Called once for each holder that keeps us waiting for the lock; None when it cannot be seen who that is."""


class StepFailed(Exception):
    """A step that failed, where the database knows what is left of it. `cause` is what was raised in the step.

    `text` says it in one line, without secrets. Another error out of `Locked.run` means that nobody knows what is left.
    """

    def __init__(self, cause: BaseException, text: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text


class RolledBack(StepFailed):
    """The server took the whole step back: nothing of it is left.

    `sqlstate` is the server's code for the reason, "" where the reason is not the server's. Whether the step is tried
    again is decided by dataops.run.retry.
    """

    def __init__(self, cause: BaseException, text: str, sqlstate: str = "") -> None:
        super().__init__(cause, text)
        self.sqlstate = sqlstate


class PartlyCommitted(StepFailed):
    """A part of the step is committed, or may be: the file ended the transaction that it was given."""


class Database(Protocol):
    """One database of one service, as far as it can be asked. Nothing here writes, and a user who may read suffices.

    Not for two threads at once. Every question raises Unreachable or PermissionDenied where the server cannot be asked.
    """

    service: Service

    def read(self) -> State:
        """What the database says now, as one consistent look. Creates nothing, not even our own tables."""

    def render(self, step: Step) -> Rendering:
        """The commands of a step, as far as they can be known without running it."""

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        """The newest `limit` entries of the journal (None: all), newest first. Empty when there is no journal."""

    def stash_entries(self) -> tuple[StashEntry, ...]:
        """What migrations have put aside here, oldest first."""

    def catalogue(self) -> Catalogue:
        """What the database is made of, details included (`Catalogue.details`)."""

    def contents(self) -> Contents:
        """Digests of everything that its tables or collections hold. Reads all of it.

        PostgreSQL: at one moment, and comparable between servers of one byte order. MongoDB: what is written meanwhile
        may be in it or not. Raises PermissionDenied where rows are hidden from this user.
        """

    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> AbstractContextManager[Locked]:
        """Hold the one migration lock of this database. Our own tables exist from then on.

        Polls for at most `timeout` seconds, calls `waiting` while somebody else holds it, and gives up with Stopped
        when `stop()` says so. Raises LockNotObtained.
        """

    def error_text(self, error: BaseException) -> str:
        """One line for a person: what the server or the migration said, without secrets."""

    def close(self) -> None:
        """Release everything. Closing twice is fine."""


class Locked(Protocol):
    """A database while we hold its lock. Its methods do not exist outside of that scope.

    Not for two threads at once, except `abort`. Every method raises LockLost once the lock is, or may be, lost.
    """

    @property
    def database(self) -> Database:
        """What is locked, to be asked as always."""

    def check(self) -> None:
        """Raise LockLost unless the lock is still ours."""

    def write(self, entry: Entry) -> None:
        """Append to the journal; the entry is durable when this returns."""

    def run(self, step: Step, end: Callable[[], Entry]) -> Entry:
        """Make the change of a step, record it natively, and append `end()` to the journal; return that entry.

        All of it is one transaction where the migration is atomic. `end` is called when the change is made, so that
        the seconds in its entry are those of the change. Raises RolledBack when the server has taken all of an atomic
        step back, otherwise what the migration raised: then an atomic step has left nothing, any other what it did.
        """

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        """Carry out a person's answer: make the native record say `applied`, and journal the answer."""

    def adopt(self, record: ToolRecord | None, adopted: Sequence[Adopted]) -> None:
        """Take over what another tool did: make the native record agree with `adopted`, and journal it, all or nothing.

        The other tool's `record` is not touched, and that tool is kept out meanwhile; None when there is no record.
        Raises StalePlan when the record has changed since it was read, LockNotObtained while that tool is migrating.
        """

    def prune(self, migration: str, entry: Entry) -> None:
        """Drop what one migration has put aside, and journal it."""

    def abort(self) -> None:
        """From another thread: make what runs now fail soon. This is what the second Ctrl-C does."""


@runtime_checkable
class Mirrors(Protocol):
    """A locked database that can write into the records of other tools (`Service.mirror`)."""

    def complete_mirror(self, missing: Sequence[Migration]) -> None:
        """Before the first step: add what the mirrored record lacks. Creates that record where there is none."""


@runtime_checkable
class Imitates(Protocol):
    """A database of a kind in which an application creates objects by itself (`Kind.application_creates`)."""

    def imitate(self, other: Database, *, strictly: bool) -> None:
        """In an empty scratch database: make what `other` has and no migration accounts for, without any data.

        `strictly`: also what may refuse the documents that migrations insert, which is unique indexes.
        """


def connect(service: Service) -> Database:
    """The database of a service. Imports its driver only now, and connects only when it is asked something."""
    database: Database = importlib.import_module(service.kind.module).connect(service)
    return database


def driver(service: Service) -> AbstractContextManager[Any]:
    """The driver's own connection, which can write: a pymongo Database, a psycopg Connection in autocommit.

    It is for seeding scratch databases.
    """
    connection: AbstractContextManager[Any] = importlib.import_module(service.kind.module).driver(service)
    return connection


@contextmanager
def opened(service: Service) -> Iterator[Database]:
    """The database of a service, closed at the end of the scope."""
    database = connect(service)
    try:
        yield database
    finally:
        database.close()


__all__ = [
    "Database",
    "Imitates",
    "Locked",
    "Mirrors",
    "PartlyCommitted",
    "RolledBack",
    "StepFailed",
    "Waiting",
    "connect",
    "driver",
    "opened",
]
