"""The nouns, as frozen values. Nothing here does I/O; the words are those of docs/architecture.md."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from dataops import source
from dataops.errors import BrokenFile
from dataops.kinds import Kind


class Direction(enum.Enum):
    APPLY = "apply"
    ROLLBACK = "rollback"


class JournalEvent(enum.Enum):
    """What a journal entry says of its step."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RESOLVED = "resolved"
    ADOPTED = "adopted"
    PRUNED = "pruned"


class Outcome(enum.Enum):
    """What another tool's record says of one of its migrations."""

    APPLIED = "applied"
    FAILED = "failed"
    HALF_DONE = "half-done"


class Ahead(enum.Enum):
    """What to do when the database knows more than this code."""

    REFUSE = "refuse"
    ALLOW = "allow"


@dataclass(frozen=True)
class Migration:
    """One file. What follows from its text is worked out when it is asked for, and kept."""

    id: str
    parent: str | None
    path: Path
    kind: Kind
    text: bytes = field(repr=False)

    @cached_property
    def raw_checksum(self) -> str:
        return source.raw_checksum(self.text)

    @cached_property
    def facts(self) -> source.Facts:
        """Raises BrokenFile when the file is not Python."""
        try:
            return source.facts(self.text)
        except source.Unreadable as error:
            raise broken(self.path, error) from error

    @cached_property
    def checksum(self) -> str:
        """The semantic one: comments, docstrings and formatting do not count. Raises BrokenFile."""
        try:
            return source.semantic_checksum(self.text)
        except source.Unreadable as error:
            raise broken(self.path, error) from error

    @property
    def title(self) -> str:
        return self.facts.title or self.path.stem

    @property
    def reversible(self) -> bool:
        return source.surely_reversible(self.text) or self.facts.reversible

    @property
    def atomic(self) -> bool:
        """Whether the step and its record happen together or not at all."""
        return self.kind.transactional and not self.facts.autocommit

    @property
    def repeatable(self) -> bool:
        """Whether running it again after a stop at any command ends in the same data."""
        return self.facts.repeatable


def broken(path: Path, error: source.Unreadable, service: str | None = None) -> BrokenFile:
    where = f"{path}:{error.line}" if error.line else str(path)
    return BrokenFile(f"{where}: {error}", service=service, hint="mend the file; nothing was run")


@dataclass(frozen=True)
class Timeouts:
    """All in seconds; 0 for `statement` means no limit."""

    connect: float = 5.0
    lock: float = 120.0
    table_lock: float = 5.0
    statement: float = 0.0
    lease: float = 15.0


@dataclass(frozen=True)
class ToolRow:
    """One migration in another tool's record. `names` are what may identify it, the first as that tool writes it."""

    names: tuple[str, ...]
    at: datetime | None = None
    outcome: Outcome = Outcome.APPLIED
    checksum: str = ""

    @property
    def name(self) -> str:
        return self.names[0]


@dataclass(frozen=True)
class ToolRecord:
    """What another tool wrote down in a database, in the order in which it applied.

    `locked` says who keeps others from migrating, as far as that tool records it. A record that is not `readable` is
    there, but hidden from this user.
    """

    tool: str
    place: str
    rows: tuple[ToolRow, ...] = ()
    locked: str = ""
    readable: bool = True


@dataclass(frozen=True)
class Alias:
    """What adopt.toml says of one of our migrations under another tool: how it is called there, and its checksums.

    `checksum` is what that tool has to find (its newest release), `earlier` are those of releases before.
    """

    name: str = ""
    also: tuple[str, ...] = ()
    description: str = ""
    checksum: str = ""
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolAliases:
    """One tool's part of adopt.toml: its file extension, names that are history, and our migrations by id."""

    tool: str
    extension: str = ""
    retired: tuple[str, ...] = ()
    migrations: Mapping[str, Alias] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """One configured database with its own history. The URL is a secret and hides itself.

    With `observe` somebody else's tool migrates it: it has no files of ours, and nothing is ever written there.
    `expect` is then the migration to wait for. With `mirror` what we do is written into the record of the tool of that
    name too. `beside` are tools whose record in this database is about something else; `ignore` are tables and other
    objects that no migration makes, and that are no difference.
    """

    name: str
    kind: Kind
    url: str = field(repr=False)
    folder: Path
    migrations: tuple[Migration, ...] = field(default=(), repr=False, hash=False)  # a quick hash: see othertools.match
    depends_on: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    ahead: Ahead = Ahead.REFUSE
    session_pooler: bool = False
    observe: str = ""
    expect: str = ""
    mirror: str = ""
    coexist: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    aliases: Mapping[str, ToolAliases] = field(default_factory=dict, repr=False, hash=False)

    @cached_property
    def by_id(self) -> dict[str, Migration]:
        return {migration.id: migration for migration in self.migrations}

    @cached_property
    def position(self) -> dict[str, int]:
        return {migration.id: at for at, migration in enumerate(self.migrations)}


@dataclass(frozen=True)
class Entry:
    """One line of a journal. `seq` and `at` (the server's clock) are filled in by the database."""

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


@dataclass(frozen=True)
class Author:
    """Who writes journal entries: one invocation by somebody somewhere."""

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
    ) -> Entry:
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
        )


@dataclass(frozen=True)
class AppliedMigration:
    """A migration that the native record has, with what the journal knows of it (None: nothing).

    An `adopted` one was applied by the tool of that name: what it threw away was never put aside.
    """

    id: str
    at: datetime | None = None
    checksum: str | None = None
    raw_checksum: str | None = None
    run: str | None = None
    adopted: str = ""


@dataclass(frozen=True)
class Holder:
    """Who has the lock now."""

    run: str
    who: str
    since: datetime | None = None

    def __str__(self) -> str:
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{self.who} (run {self.run}){since}"


@dataclass(frozen=True)
class Identity:
    """Which database this is, as far as it can be told; no secret in it.

    `server` is the system identifier of a PostgreSQL cluster, or the name and members of a replica set; `database` its
    name and internal id; `address` where we reached it. `marks` are the ids of a MongoDB's collections, which are
    random and so tell two databases of the same name apart; collections come and seldom go.
    """

    server: str
    database: str
    address: str
    marks: frozenset[str] = frozenset()

    @property
    def name(self) -> tuple[str, str, str]:
        return (self.server, self.database, self.address)

    def still(self, before: Identity) -> bool:
        """Whether this may be the database that `before` was, some time later."""
        if self.name != before.name or not before.marks <= self.marks:
            return False
        return bool(before.marks) or not self.marks


@dataclass(frozen=True)
class State:
    """What one database says now, beside what is on disk. One read, no writes.

    `applied` is in the order of the history; `unknown` are applied ids without a file. `last` is the newest journal
    entry; whether it means an interruption is the planner's to say. `claims` is what the journal believes of the
    migrations whose newest entry ended well: True for applied. The native record is the truth, so a claim that differs
    from it is a reason to stop. `foreign` are the records of other tools in the same database.
    """

    service: Service
    identity: Identity
    server: str
    applied: tuple[AppliedMigration, ...] = ()
    unknown: tuple[str, ...] = ()
    last: Entry | None = None
    holder: Holder | None = None
    claims: Mapping[str, bool] = field(default_factory=dict)
    tool_records: tuple[ToolRecord, ...] = ()

    @cached_property
    def applied_ids(self) -> frozenset[str]:
        return frozenset(applied.id for applied in self.applied)

    @cached_property
    def pending(self) -> tuple[Migration, ...]:
        return tuple(m for m in self.service.migrations if m.id not in self.applied_ids)

    @property
    def ahead(self) -> bool:
        return bool(self.unknown)


@dataclass(frozen=True)
class StashEntry:
    """Something that a migration has put aside. `count` (rows or documents) and `bytes` may be estimates.

    `at` is when it was put aside, by the server's clock; None when that is not recorded.
    """

    migration: str
    place: str
    source: str
    count: int
    bytes: int
    at: datetime | None


@dataclass(frozen=True)
class Step:
    """A migration and a direction."""

    service: str
    migration: Migration
    direction: Direction

    @property
    def id(self) -> str:
        return f"{self.service}/{self.migration.id}"


@dataclass(frozen=True)
class Plan:
    """Ordered work over one or more services. Empty is a success.

    `states` are what it was made from. A `saved` plan is held to exactly those; a fresh one may find less left to do.
    """

    direction: Direction
    steps: tuple[Step, ...]
    states: tuple[State, ...]
    saved: bool = False

    def of(self, service: str) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.service == service)

    def state(self, service: str) -> State:
        return next(state for state in self.states if state.service.name == service)


@dataclass(frozen=True)
class Rendering:
    """The commands of a step, as far as they are known without running it.

    `opaque` says why they are not (then `commands` may be a beginning); `notes` are facts for the reader: a read that
    was cut short, about how many documents a command will touch. `puts_aside` says what goes into the stash, and about
    how much; `stash` are the positions of the commands that serve nothing else.
    """

    commands: tuple[str, ...] = ()
    opaque: str = ""
    notes: tuple[str, ...] = ()
    puts_aside: tuple[str, ...] = ()
    stash: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Failure:
    """Which step failed and how; `error` is already free of secrets. No step: the check at the end failed."""

    service: str
    step: Step | None
    error: Exception
    applied_before: int = 0


@dataclass(frozen=True)
class Result:
    """What a run came to: done, failed, left. What stands, stands."""

    run: str
    plan: Plan
    done: tuple[Step, ...] = ()
    failures: tuple[Failure, ...] = ()
    left: tuple[Step, ...] = ()
    seconds: float = 0.0
    stopped: bool = False
