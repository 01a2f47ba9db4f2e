"""The values with which the whole program works, all of them frozen.

Nothing here does I/O. The words are those of the table in docs/architecture.md.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from dataops import source
from dataops.alembicini import AlembicIni
from dataops.errors import BrokenFile
from dataops.kinds import Kind
from dataops.text import counted
from dataops.toolrecords import ToolAliases, ToolRecord


class Direction(enum.Enum):
    """Whether a step makes a change or undoes it."""

    APPLY = "apply"
    ROLLBACK = "rollback"


class JournalEvent(enum.Enum):
    """What a journal entry says about its step."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RESOLVED = "resolved"
    ADOPTED = "adopted"
    PRUNED = "pruned"


class Ahead(enum.Enum):
    """What to do with a database that has migrations for which this code has no file."""

    REFUSE = "refuse"
    ALLOW = "allow"


@dataclass(frozen=True)
class Pinned:
    """A file of the project that a migration names in `depends`: its name there, and where it is.

    `digest` is the SHA-256 of its code, or of its bytes where it is not Python; None when there is no such file.
    """

    name: str
    path: Path
    digest: str | None


@dataclass(frozen=True)
class Migration:
    """One migration file. Its text is analysed only when somebody asks for a fact, and only once.

    `parents` are the ids of the migrations that it comes after: none for a first one, several for one that joins
    branches. `needs` are others that have to be applied before it (Alembic's `depends_on`). `pinned` are the files that
    it names in `depends`: an edit of one of them is an edit of the migration. `replaces` are the migrations of which a
    squashed file was made, oldest first and with their checksums. The last one has its own id.
    """

    id: str
    parents: tuple[str, ...]
    path: Path
    kind: Kind
    text: bytes = field(repr=False)
    needs: tuple[str, ...] = ()
    pinned: tuple[Pinned, ...] = ()
    replaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False, hash=False)

    @property
    def parent(self) -> str | None:
        """The first of its parents; None for a first migration."""
        return self.parents[0] if self.parents else None

    @cached_property
    def raw_checksum(self) -> str:
        """SHA-256 of the bytes of the file, and of what it pins."""
        return self._with_pinned(source.raw_checksum(self.text))

    @cached_property
    def facts(self) -> source.Facts:
        """What the file promises about itself. Raises BrokenFile when it is not Python."""
        try:
            return source.facts(self.text)
        except source.Unreadable as error:
            raise broken(self.path, error) from error

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the code without comments, docstrings and formatting, and of what it pins. Raises BrokenFile."""
        try:
            return self._with_pinned(source.semantic_checksum(self.text))
        except source.Unreadable as error:
            raise broken(self.path, error) from error

    def _with_pinned(self, checksum: str) -> str:
        pinned = "".join(f"\n{one.digest} {one.name}" for one in self.pinned)
        return hashlib.sha256((checksum + pinned).encode()).hexdigest() if pinned else checksum

    @property
    def title(self) -> str:
        """The first line of its docstring, or else the name of the file."""
        return self.facts.title or self.path.stem

    @property
    def reversible(self) -> bool:
        """Whether it can be undone."""
        return source.surely_reversible(self.text) or self.facts.reversible

    @property
    def atomic(self) -> bool:
        """Whether the change and its record are one transaction: both happen, or neither."""
        return self.kind.transactional and not self.facts.autocommit and not self.facts.may_commit

    @property
    def repeatable(self) -> bool:
        """Whether it may be stopped at any command and run again, with the same data in the end."""
        return self.facts.repeatable

    @property
    def both_ways(self) -> bool:
        """Whether it may be stopped at any command in one direction, and then be run in the other."""
        return self.facts.both_ways


def broken(path: Path, error: source.Unreadable, service: str | None = None) -> BrokenFile:
    """The error for a migration file that cannot be read, with its line where that is known."""
    where = f"{path}:{error.line}" if error.line else str(path)
    return BrokenFile(f"{where}: {error}", service=service, hint="mend the file; nothing was run")


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, all in seconds.

    `connect` is for reaching a server, `lock` for the migration lock (0: do not wait), `table_lock` for the locks of
    one step (0: no limit) and `statement` for one statement (0: no limit). After `lease`, a dead run's lock is free.
    """

    connect: float = 5.0
    lock: float = 120.0
    table_lock: float = 5.0
    statement: float = 0.0
    lease: float = 15.0


@dataclass(frozen=True)
class Service:
    """One configured database with its own history. The URL is a secret, and `repr` does not show it.

    `observe` names the tool that migrates the database instead of us: then there are no files of ours, nothing is ever
    written there, and `expect` is the migration to wait for. `mirror` names the tool whose record is to have all that
    we do. `coexist` are tools whose record in this database is about something else. `ignore` are tables and other
    objects that the application makes, so that they count as no difference. With `onto_existing`, the first apply may
    find a database that is not empty. `aliases` is what adopt.toml says, by tool. `alembic` is the section of an
    alembic.ini that has this folder as its script location. `renamed_record` is the native record's name where
    dataops.toml gives it another one than usual. `top` is the folder of dataops.toml.
    """

    name: str
    kind: Kind
    url: str = field(repr=False)
    folder: Path
    migrations: tuple[Migration, ...] = field(
        default=(), repr=False, hash=False
    )  # not in the hash, which othertools.match computes often
    depends_on: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    ahead: Ahead = Ahead.REFUSE
    session_pooler: bool = False
    observe: str = ""
    expect: str = ""
    mirror: str = ""
    coexist: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    onto_existing: bool = False
    aliases: Mapping[str, ToolAliases] = field(default_factory=dict, repr=False, hash=False)
    alembic: AlembicIni | None = None
    renamed_record: str = ""
    top: Path = Path()

    @property
    def record(self) -> str:
        """The name of the native record, where the kind of database lets dataops.toml say it."""
        return self.renamed_record or self.kind.record

    @property
    def ours(self) -> frozenset[str]:
        """The names of what holds the record, the journal and the lock: no migration may change them."""
        return (self.kind.ours - {self.kind.record}) | {self.record} if self.renamed_record else self.kind.ours

    @property
    def sys_path(self) -> tuple[Path, ...]:
        """The folders from which its files import modules of the project, before those of Python itself."""
        return self.alembic.sys_path if self.alembic is not None else ()

    @cached_property
    def by_id(self) -> dict[str, Migration]:
        """The migrations by id."""
        return {migration.id: migration for migration in self.migrations}

    @cached_property
    def replaced_by(self) -> dict[str, Migration]:
        """The squashed file that took the place of each migration, by the ids of those that have no file any more."""
        return {id_: one for one in self.migrations for id_ in one.replaces if id_ != one.id}

    @cached_property
    def forked(self) -> bool:
        """Whether the history has branches. Otherwise each migration comes after the one before it, and that is all."""
        return any(m.needs or m.parents != (before.id,) for before, m in pairwise(self.migrations))

    def heads(self, applied: Collection[str]) -> tuple[str, ...]:
        """Those of these migrations after which none of them comes: what Alembic's record has when they are applied."""
        before = {id_ for m in self.migrations if m.id in applied for id_ in (*m.parents, *m.needs)}
        return tuple(m.id for m in self.migrations if m.id in applied and m.id not in before)

    def up_to(self, heads: Collection[str]) -> tuple[Migration, ...]:
        """These migrations and all that come before them, in the order of the history."""
        if not self.forked:
            return self.migrations[: 1 + max((self.position[head] for head in heads), default=-1)]
        found, left = set[str](), list(heads)
        while left:
            id_ = left.pop()
            if id_ not in found:
                found.add(id_)
                left += [*self.by_id[id_].parents, *self.by_id[id_].needs]
        return tuple(m for m in self.migrations if m.id in found)

    @cached_property
    def position(self) -> dict[str, int]:
        """The position of each migration in the history, by id; 0 for the first one."""
        return {migration.id: at for at, migration in enumerate(self.migrations)}


NOT_ONE_TRANSACTION = "it is not one transaction"
"""The reason of a *started* entry in a database that has transactions: a part of the step may be committed.

It is written first where the file says so, and as a second entry where it turns out. The file may be another one later.
"""
HALF_DONE = "a part of it is done"
"""The reason of a *failed* entry: the step is no transaction, and has to be brought to an end before all else."""
ENDS_HALF_DONE = "it ends a step that was half done the other way"
"""The reason of a *started* or *failed* entry: the record showed what this step brings about before it began."""


Imports = tuple[tuple[str, str], ...]
"""The project's own files that a migration imports, each with the digest of its code: (name, digest), by name."""


@dataclass(frozen=True)
class Doing:
    """How far a step has come: `done` of `total` (None: unknown) `unit`s.

    `what` is what the server says that it is busy with, such as `index on users: scanning table`; "" if the file says
    how far it is.
    """

    what: str = ""
    done: int = 0
    total: int | None = None
    unit: str = ""

    def __str__(self) -> str:
        if self.total is not None:
            amount = f"{self.done:,} of {self.total:,} {self.unit}"
        else:
            amount = f"{self.done:,} {self.unit}" if self.done else ""
        return ", ".join(part for part in (self.what, amount) if part)


@dataclass(frozen=True)
class Spent:
    """A statement that took long: its text without values, how often it did, and the seconds of all these times."""

    text: str
    seconds: float
    count: int = 1


@dataclass(frozen=True)
class Entry:
    """One line of a journal. The database fills in `seq`, and `at` by its own clock.

    `imports` is known for an apply that succeeded, and `statements` are the slowest ones of a step that has ended;
    both are only in a journal that has room for them.
    """

    run: str
    migration: str
    direction: Direction
    event: JournalEvent
    seq: int = 0
    at: datetime | None = None
    seconds: float | None = None
    actor: str = ""
    host: str = ""
    version: str = ""
    checksum: str = ""
    raw_checksum: str = ""
    error: str = ""
    reason: str = ""
    imports: Imports = ()
    statements: tuple[Spent, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the step may be half done, as far as this entry alone can say: it has no end, or a bad one."""
        if self.event is JournalEvent.FAILED:
            return self.reason in (HALF_DONE, ENDS_HALF_DONE)
        return self.event is JournalEvent.STARTED


@dataclass(frozen=True)
class Adopted:
    """An entry about what another tool did, and when that tool did it, as far as its record says."""

    entry: Entry
    at: datetime | None = None


@dataclass(frozen=True)
class Author:
    """Who writes journal entries: one run of the program, the person who started it, and the machine."""

    run: str
    actor: str
    host: str
    version: str

    def entry(
        self,
        migration: Migration,
        direction: Direction,
        event: JournalEvent,
        *,
        seconds: float | None = None,
        error: str = "",
        reason: str = "",
        imports: Imports = (),
        statements: tuple[Spent, ...] = (),
    ) -> Entry:
        """A journal entry about this migration, by this author."""
        return Entry(
            run=self.run,
            migration=migration.id,
            direction=direction,
            event=event,
            seconds=seconds,
            actor=self.actor,
            host=self.host,
            version=self.version,
            checksum=migration.checksum,
            raw_checksum=migration.raw_checksum,
            error=error,
            reason=reason,
            imports=imports,
            statements=statements,
        )


@dataclass(frozen=True)
class AppliedMigration:
    """A migration that the native record has, with what the journal knows about it; None where it knows nothing.

    `adopted` names the tool that applied it, if that was not us. Then nothing that it deleted is in the stash.
    `author` is who started the run, as `person@machine`.
    """

    id: str
    at: datetime | None = None
    checksum: str | None = None
    raw_checksum: str | None = None
    run: str | None = None
    adopted: str = ""
    author: str = ""
    imports: Imports = ()


@dataclass(frozen=True)
class Holder:
    """Who has the migration lock now."""

    run: str
    who: str
    since: datetime | None = None

    def __str__(self) -> str:
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{self.who} (run {self.run}){since}"


@dataclass(frozen=True)
class Identity:
    """Which database this is, as far as it can be known, and without any secret.

    `server` is the system identifier of a PostgreSQL cluster, or the name and members of a replica set. `database` is
    the database's name and internal id, and `address` is where we reached it. `marks` are the ids of a MongoDB's
    collections. They are random, so they distinguish two databases of the same name. Collections are often added and
    seldom removed.
    """

    server: str
    database: str
    address: str
    marks: frozenset[str] = frozenset()

    @property
    def name(self) -> tuple[str, str, str]:
        """All but the marks, which change over time."""
        return (self.server, self.database, self.address)

    def still(self, before: Identity) -> bool:
        """Whether this may be the same database as `before`, some time later.

        No collection of `before` may be gone. A database that had no collection then must have none now, because
        otherwise nothing shows that it is the same one.
        """
        if self.name != before.name or not before.marks <= self.marks:
            return False
        return bool(before.marks) or not self.marks


@dataclass(frozen=True)
class State:
    """What one database says now, together with the service and its files. It was read without writing anything.

    `applied` is in the order of the history, and `unknown` are applied ids for which there is no file. `last` is the
    newest journal entry; `planning.recovery` says what it means. `claims` is what the journal says about each migration
    whose newest entry ended well: True for applied, False for rolled back. The native record is the truth, so a claim
    that differs from it is a reason to stop. `tool_records` are the records of other tools in the same database.
    `notes` are for a person who wants to see everything, and `warnings` for everybody. `elsewhere` is the native record
    where the project gives it a name of its own, "" otherwise.
    `replaced` are the migrations that the record says are applied, and of which a squashed file took the place.
    `unexplained` are the tables and other objects, or collections, that a first apply finds: record and journal are
    empty, and neither an extension nor the configuration explains them. `id_room` is how many characters an id may
    have in the record, None where that has no limit.
    """

    service: Service
    identity: Identity
    server: str
    applied: tuple[AppliedMigration, ...] = ()
    unknown: tuple[str, ...] = ()
    replaced: tuple[AppliedMigration, ...] = ()
    last: Entry | None = None
    holder: Holder | None = None
    claims: Mapping[str, bool] = field(default_factory=dict)
    tool_records: tuple[ToolRecord, ...] = ()
    notes: tuple[str, ...] = ()
    elsewhere: str = ""
    warnings: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()
    id_room: int | None = None

    @cached_property
    def applied_ids(self) -> frozenset[str]:
        """The ids of the applied migrations for which there is a file."""
        return frozenset(applied.id for applied in self.applied)

    @cached_property
    def recorded_ids(self) -> frozenset[str]:
        """The ids of everything that the record says is applied, with a file or without one."""
        return self.applied_ids | set(self.unknown) | {one.id for one in self.replaced}

    @cached_property
    def pending(self) -> tuple[Migration, ...]:
        """The migrations that are not applied, oldest first."""
        return tuple(m for m in self.service.migrations if m.id not in self.applied_ids)

    @property
    def ahead(self) -> bool:
        """Whether the database has migrations for which this code has no file."""
        return bool(self.unknown)


@dataclass(frozen=True)
class Step:
    """One migration to apply or to roll back, in one service.

    `half` is "" for a step that begins. HALF_DONE means that an earlier run has left it half done, in this direction.
    ENDS_HALF_DONE means that it was left half done in the other direction, which this step takes back.
    """

    service: str
    migration: Migration
    direction: Direction
    half: str = ""

    @property
    def id(self) -> str:
        """SERVICE/MIGRATION, as a person writes it."""
        return f"{self.service}/{self.migration.id}"

    @property
    def start_reason(self) -> str:
        """The reason of its *started* entry: what the next run has to know if this one ends here."""
        migration = self.migration
        return self.half or (NOT_ONE_TRANSACTION if migration.kind.transactional and not migration.atomic else "")


@dataclass(frozen=True)
class Plan:
    """The steps to do over one or more services, in their order. A plan without steps is a success.

    `states` are what it was made from. A `saved` plan is only carried out when the databases are in exactly these
    states. For any other plan, another run may have done some of the steps meanwhile.
    """

    direction: Direction
    steps: tuple[Step, ...]
    states: tuple[State, ...]
    saved: bool = False

    def of(self, service: str) -> tuple[Step, ...]:
        """The steps of one service."""
        return tuple(step for step in self.steps if step.service == service)

    def state(self, service: str) -> State:
        """The state of one service from which the plan was made."""
        return next(state for state in self.states if state.service.name == service)


@dataclass(frozen=True)
class Rendering:
    """The commands of a step, as far as they can be known without running it.

    `opaque` says why some are not known, and `fails` with which error the step will end, wherever it is run; `commands`
    then ends before that. `line` is the line of the file at which it fails. `notes` are facts for the reader, such as
    about how many documents a command will change. `puts_aside` says what goes into the stash, and about how much.
    `stash` are the positions of the commands that only fill or empty the stash. `harms` are the commands that change
    something that is ours, such as the journal: such a step is refused.
    """

    commands: tuple[str, ...] = ()
    opaque: str = ""
    notes: tuple[str, ...] = ()
    puts_aside: tuple[str, ...] = ()
    stash: frozenset[int] = frozenset()
    harms: tuple[str, ...] = ()
    fails: str = ""
    line: int = 1


@dataclass(frozen=True)
class Sent:
    """What a step has sent to its database.

    `writes` counts statements and commands that were sent and are not certainly reads, also those that failed or were
    rolled back. `changed` is how many rows or documents (`unit`) the server says they changed. `last` is the newest
    statement or command, without values: SQL with ? for its literals, or the name of a command and its collection.
    `slowest` are those in which the step has spent most of its time.
    """

    writes: int = 0
    changed: int = 0
    unit: str = "rows"
    last: str = ""
    slowest: tuple[Spent, ...] = ()

    def __str__(self) -> str:
        if not self.last:
            return "nothing was sent to the database"
        changed = f"{self.changed:,} {self.unit.removesuffix('s') if self.changed == 1 else self.unit}"
        return f"{counted(self.writes, 'write')} sent, {changed} changed; last sent: {self.last}"


@dataclass(frozen=True)
class Details:
    """Where a step failed, and what it had sent by then. No text contains a secret.

    `place` is the innermost line of the migration's own files, such as `003_add_x.py:12 in helper`. `traceback` is
    Python's own, from the migration's function on.
    """

    place: str = ""
    traceback: str = ""
    sent: Sent = Sent()


@dataclass(frozen=True)
class Failure:
    """Which step failed, and with which error. The error contains no secret.

    If there is no step, something else failed for the service, such as reading the record at the end. `applied_before`
    is how many migrations of the service were applied before an apply failed, or rolled back before a rollback failed.
    """

    service: str
    step: Step | None
    error: Exception
    applied_before: int = 0
    details: Details = Details()


@dataclass(frozen=True)
class Result:
    """How a run ended. The steps that are `done` stay done, whatever failed after them.

    `left` are the steps that were not started. `stopped` says that a signal, and no failure, ended the run.
    """

    run: str
    plan: Plan
    done: tuple[Step, ...] = ()
    failures: tuple[Failure, ...] = ()
    left: tuple[Step, ...] = ()
    seconds: float = 0.0
    stopped: bool = False
