"""The database of one service, as two types: `Database` asks and cannot write, `Locked` holds the lock and writes.

    with database.lock(author, timeout=120.0, waiting=report, stop=stop) as locked:
        locked.write(started)
        locked.run(step, end)

There is one implementation for each kind of database, in a package of its own that is imported when a database of that
kind is first connected to. Such a package has the function `connect(service) -> Database` and the context manager
`driver(service)`, which gives the driver's own connection. What is the same for every kind is in `journal` and
`locking`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from dataops.contents import EACH
from dataops.errors import NotBuilt
from dataops.model import (
    Adopted,
    Author,
    Doing,
    Entry,
    Holder,
    Mark,
    Migration,
    Observed,
    Rendering,
    Sampled,
    Sent,
    Service,
    State,
    Step,
)
from dataops.planning.evidence import Link
from dataops.stash.entry import StashEntry
from dataops.toolrecords import ToolRecord

if TYPE_CHECKING:
    from dataops.backends.sandbox import Sandbox
    from dataops.catalogue import Catalogue
    from dataops.checkup import Check
    from dataops.contents import Contents
    from dataops.documents import Looked
    from dataops.inspection import Inspection, Place
    from dataops.schema import Schema
    from dataops.statements import Statement

Waiting = Callable[[Holder | None], None]
"""Called once for each holder that keeps us waiting for the lock, with None when we cannot see who holds it."""


class StepFailed(Exception):
    """A step failed, and the database knows what is left of it. `cause` is the error that was raised in the step.

    `text` describes that error in one line, without secrets. If `Locked.run` raises any other error, then the database
    does not know what is left of the step.
    """

    def __init__(self, cause: BaseException, text: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text


class RolledBack(StepFailed):
    """A step failed, and the server has taken all of it back: nothing of it is left.

    `sqlstate` is the server's code of the error, or "" if the error did not come from the server. dataops.run.retry
    decides whether the step is tried again.
    """

    def __init__(self, cause: BaseException, text: str, sqlstate: str = "") -> None:
        super().__init__(cause, text)
        self.sqlstate = sqlstate


class HalfDone(StepFailed):
    """A step failed, and a part of it is done, or may be: it is not one transaction.

    The next run has to bring it to an end before it does anything else. `cut_off`: the connection was lost, so that
    nobody knows whether the server has done the last command.
    """

    def __init__(self, cause: BaseException, text: str, *, cut_off: bool = False) -> None:
        super().__init__(cause, text)
        self.cut_off = cut_off


class Database(Protocol):
    """The database of one service, to ask questions. No method writes, and a user that may only read is enough.

    Two threads must not use it at once. Every question raises Unreachable when the server does not answer, and
    PermissionDenied when this user may not ask it.
    """

    service: Service

    def read(self) -> State:
        """The state of the database now, all of it from one moment. Creates nothing, not even our own tables."""

    def render(self, step: Step, sandbox: Sandbox) -> Rendering:
        """The commands of a step, as far as they are known without running it. Its file runs in the sandbox."""

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        """The newest `limit` entries of the journal (None: all), newest first; none if there is no journal."""

    def links(self) -> tuple[Link, ...]:
        """How all entries of the journal are bound to each other, oldest first; none if there is no journal."""

    def checkup(self) -> Iterator[Check]:
        """What is well, and what is not, with the server, the connection and the rights of this user, one by one."""

    def stash_entries(self) -> tuple[StashEntry, ...]:
        """What migrations have put aside here, oldest first."""

    def catalogue(self) -> Catalogue:
        """What the database is made of, including its details (see `Catalogue.details`)."""

    def contents(self, *, each: int = EACH) -> Contents:
        """A digest of each table or collection. Reads all data of the database.

        Of those with at most `each` rows or documents, every one gets a digest.

        PostgreSQL digests one moment; digests of two servers can be compared if both have the same byte order. In
        MongoDB, what others write meanwhile may be included or not. Raises PermissionDenied when rows are hidden from
        this user.
        """

    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> AbstractContextManager[Locked]:
        """Hold the migration lock of this database while the scope lasts. Creates our own tables if they are missing.

        Polls for at most `timeout` seconds, and calls `waiting` while somebody else holds the lock. Raises
        LockNotObtained when the time is over, and Stopped when `stop()` returns True.
        """

    def error_text(self, error: BaseException) -> str:
        """One line for a person: what the server or the migration said, without secrets."""

    def close(self) -> None:
        """Close every connection. It may be called twice."""


class Locked(Protocol):
    """A database while we hold its lock, to write into it. It must not be used after the scope of `Database.lock`.

    Two threads must not use it at once, except for `abort`. Every method raises LockLost once the lock is lost or may
    be lost.
    """

    @property
    def database(self) -> Database:
        """The same database, to ask it questions."""

    @property
    def notes(self) -> Sequence[str]:
        """What the operator has to know about this database before anything is done. Each is told once a run."""

    def read(self) -> State:
        """What the database says now, asked over what is open already: a password may have ended meanwhile.

        Only what is committed counts, also of our own.
        """

    def check(self) -> None:
        """Raise LockLost unless the lock is still ours."""

    def write(self, entry: Entry) -> None:
        """Append an entry to the journal. It is durable when this returns."""

    def run(self, step: Step, end: Callable[[], Entry]) -> Entry:
        """Run a step, write it into the native record, append `end()` to the journal, and return that entry.

        All of this is one transaction if the migration is atomic. `end` is called as soon as the change is made, so
        that the seconds in its entry are those of the change. Raises StepFailed when the database knows what is left of
        a failed step: RolledBack when nothing is left, HalfDone when something is or may be. Any other error of
        the migration is raised as it is, and what the step did before it stays.
        """

    def sent(self) -> Sent:
        """What the running step has sent to the database; after a failed `run`, what that step had sent."""

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        """Carry out a person's decision: set the native record to `applied` or not, and journal the decision."""

    def adopt(self, record: ToolRecord | None, adopted: Sequence[Adopted]) -> None:
        """Take over what another tool did: make the native record agree with `adopted`, and journal it, all or nothing.

        `record` is the other tool's record, or None when there is none. It is not changed, and where the tool has a
        lock, the tool waits meanwhile. Raises StalePlan when the record has changed since it was read, and
        LockNotObtained when the other tool is migrating.
        """

    def prune(self, migration: str, entry: Entry) -> None:
        """Drop the stash entries of one migration, and journal that."""

    def abort(self) -> None:
        """Make the step that runs now fail soon. Called from another thread, at the second Ctrl-C."""


@runtime_checkable
class Mirrors(Protocol):
    """A `Locked` that can also write into the record of another tool (see `Service.mirror`)."""

    def complete_mirror(self, missing: Sequence[Migration]) -> None:
        """Add the `missing` migrations to the mirrored record, before the first step. Creates the record if needed."""


@dataclass(frozen=True)
class Lent:
    """What a migration is lent in a scratch database: collections by `names`, all collections, and all their indexes.

    `dropped` are indexes that the history wants to drop: the collection, and the name of the index, or its keys as the
    server writes them. `but` are names of collections and indexes that are not lent, because the history makes them
    itself. `plain` are names that are a view today, and have to be a collection for the history.
    """

    names: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    dropped: frozenset[tuple[str, str]] = frozenset()
    collections: bool = False
    indexes: bool = False
    but: frozenset[str] = frozenset()


@runtime_checkable
class Borrows(Protocol):
    """A `Database` that can copy objects which an application created by itself (see `Kind.application_creates`)."""

    def more_to_lend(self, error: NotBuilt, before: Lent) -> Lent:
        """What the migration that has failed may need beside what it was lent `before`, by the words of the server."""

    def in_the_way(self, error: BaseException) -> frozenset[str]:
        """The collections and indexes that a migration could not make because they were there already."""

    def borrow(self, other: Database | None, lent: Lent) -> None:
        """Create objects of `other` in this scratch database, unless they are there already, without any data.

        What is lent by its name is made whether `other` has it or not. So are the collections that the configuration
        of the service names, where all collections are lent.

        Of collections, what may refuse a write is left out, such as a validator.
        """


@runtime_checkable
class Counts(Protocol):
    """A `Database` whose counters, such as sequences, go on counting when what they have numbered is undone."""

    def counters(self) -> Mapping[str, int | None]:
        """The number that each counter gave last, by its name; None for one that has given none."""

    def turn_back(self, counters: Mapping[str, int | None]) -> None:
        """Set the counters of a scratch database, as far as they are still there, to what `counters` said once."""


@runtime_checkable
class Watches(Protocol):
    """A `Database` whose server says how far it is with what it does for the holder of the lock."""

    def doing(self) -> Doing | None:
        """What the server does for that run, as far as it says so and this user may see it: the building of indexes."""

    def told(self) -> Doing | None:
        """What that run has told of its present step with `Tells.tell`; None if it has told nothing."""


@runtime_checkable
class Tells(Protocol):
    """A `Locked` that can let other processes know how far its step is, for as long as this step runs."""

    def tell(self, doing: Doing) -> None:
        """Leave `doing` where `Watches.told` finds it. Called now and then, from another thread than the step's.

        It touches neither the connection of the step nor its transaction. Raises DataopsError if it cannot be told.
        """


@runtime_checkable
class WritesSchema(Protocol):
    """A `Database` that can write what makes it again, as text (see `dataops.schema`)."""

    def schema(self, *, most_rows: int | None) -> Schema:
        """The schema of the database, and its rows or documents where there are at most so many in all.

        With None, only what the database is made of: no row, no position of a sequence, and no rights.
        """


@dataclass(frozen=True)
class Sampling:
    """What a copy for a rehearsal takes: about `rows` of each table or collection (0: no data).

    `masks` are columns and fields as TABLE.COLUMN, whose values do not leave the live database. `ours` says that the
    scratch server is one that dataops has started, on which roles may be made. `stop` is asked now and then.
    """

    rows: int
    masks: tuple[str, ...] = ()
    ours: bool = True
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Copied:
    """What a copy has: its tables or collections by name, and what a person has to know of it, each as a sentence.

    `masked` are the masks of something that is there.
    """

    tables: Mapping[str, Sampled]
    remarks: tuple[str, ...] = ()
    masked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Example:
    """A row or document that a step has changed, added or removed: its values by column, as texts; None for no row.

    Only what differs is in it.
    """

    table: str
    key: str
    before: Mapping[str, str] | None
    after: Mapping[str, str] | None


@runtime_checkable
class Rehearses(Protocol):
    """A `Database` of which a copy can be made, as it is and with a sample of its data, to run a plan on."""

    def copy_into(self, scratch: Service, sampling: Sampling) -> Copied:
        """Copy the schema and a sample of the data into the empty scratch database. The live database is only read.

        The sample is of one moment. It is read in small pieces, and none may take long: a table that would take too
        long, or that this user may not read, is left empty, and a remark says so. Nothing is written to a file. Raises
        UsageError for a mask of a column that is not there or cannot be masked, ServerUnavailable where the scratch
        server lacks something that the schema needs, and Stopped.
        """

    def observing(self) -> AbstractContextManager[Callable[[Statement], Observed]]:
        """In this scope, what the server says of each statement that a step has sent to this scratch database.

        The function is called in the thread and, where there is one, in the transaction of the step.
        """

    def rows(self, name: str, keys: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Rows or documents of a scratch database by their keys, as they stand in `contents`, and values as texts."""


@runtime_checkable
class HoldsDocuments(Protocol):
    """A `Database` with validators, which may have documents that do not fit them (see `dataops.documents`)."""

    def hold(self, expected: Catalogue, sample: int | None) -> list[Looked]:
        """Hold documents against the validators of `expected`: so many of each collection, or all (None).

        Collections that are not there are left out.
        """


@runtime_checkable
class Inspects(Protocol):
    """A `Database` that can say what is in it (see `dataops.inspection`). It shows no value of a row or document."""

    def places(self) -> list[Place]:
        """The tables, collections and views of the application, by their names."""

    def inspect(self, name: str, sample: int) -> Inspection:
        """One of `places` in detail. About `sample` rows are looked at, and never a big table as a whole."""


def connect(service: Service) -> Database:
    """The database of a service. The driver is imported now; a connection is opened at the first question."""
    database: Database = importlib.import_module(service.kind.module).connect(service)
    return database


def driver(service: Service) -> AbstractContextManager[Any]:
    """The driver's own connection, which can write, for filling scratch databases with data.

    It is a pymongo Database or a psycopg Connection in autocommit.
    """
    connection: AbstractContextManager[Any] = importlib.import_module(service.kind.module).driver(service)
    return connection


def pause(service: Service, author: Author, reason: str) -> None:
    """Ask that backfills of this database wait, also those of later runs, until `resume`. It needs no lock.

    Whoever has asked first stays written down. Raises UsageError where nothing has ever run.
    """
    importlib.import_module(service.kind.module).pause(service, author, reason)


def resume(service: Service) -> bool:
    """Let backfills of this database go on. Returns whether they were paused."""
    resumed: bool = importlib.import_module(service.kind.module).resume(service)
    return resumed


def names(service: Service, like: str) -> list[str]:
    """The databases of the server of this service that fit a pattern of SQL's LIKE, in the order of their names."""
    found: list[str] = _listing(service).names(service, like)
    return found


def sizes(service: Service, databases: Sequence[str]) -> dict[str, int]:
    """The sizes in bytes of those of these databases, on the server of this service, that the server tells."""
    found: dict[str, int] = _listing(service).sizes(service, databases)
    return found


def rows(service: Service, query: str) -> list[Mapping[str, Any]]:
    """What a query answers in the database of this service, which it cannot write to: SQL, or a command as JSON."""
    found: list[Mapping[str, Any]] = _listing(service).rows(service, query)
    return found


def _listing(service: Service) -> Any:
    return importlib.import_module(f"{service.kind.module}.listing")


class Rollouts(Protocol):
    """Where processes that share a rollout write down, in a control database, how far they are: dataops.fleet.control.

    A rollout may be attempted again. What is written down stays, and is written once: the second one changes nothing.
    """

    def prepare(self, service: Service) -> None:
        """Make sure that it can be used, and make what is missing."""

    def newest(self, service: Service, rollout: str) -> tuple[int, str] | None:
        """The newest attempt of a rollout, and what was written down of it when it began; None where there is none."""

    def begin(self, service: Service, rollout: str, attempt: int, content: str) -> None:
        """Begin an attempt, unless another process has begun it."""

    def mark(self, service: Service, rollout: str, attempt: int, made: Mark) -> None:
        """Write down a mark."""

    def marks(self, service: Service, rollout: str, attempt: int) -> list[Mark]:
        """All marks of an attempt, oldest first, with their age by the clock of the server."""


def rollouts(service: Service) -> Rollouts:
    """Where processes keep their rollouts, for the kind of this control database."""
    module: Any = importlib.import_module(f"{service.kind.module}.rollouts")
    return cast(Rollouts, module)


@contextmanager
def opened(service: Service) -> Iterator[Database]:
    """The database of a service, closed at the end of the scope."""
    database = connect(service)
    try:
        yield database
    finally:
        database.close()


__all__ = [
    "Borrows",
    "Copied",
    "Counts",
    "Database",
    "Example",
    "HalfDone",
    "HoldsDocuments",
    "Inspects",
    "Lent",
    "Locked",
    "Mirrors",
    "Rehearses",
    "RolledBack",
    "Rollouts",
    "Sampling",
    "StepFailed",
    "Tells",
    "Waiting",
    "Watches",
    "WritesSchema",
    "connect",
    "driver",
    "names",
    "opened",
    "pause",
    "resume",
    "rollouts",
    "rows",
    "sizes",
]
