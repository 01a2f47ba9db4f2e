"""What one database says now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from dataops.durations import clock
from dataops.model.backfill import Backfill, Pause
from dataops.model.journal import Entry, Imports
from dataops.model.migration import Migration
from dataops.model.service import Service
from dataops.toolrecords import Lookalike, ToolRecord


@dataclass(frozen=True)
class Doing:
    """How far a step has come: `done` of `total` (None: unknown) `unit`s.

    `what` is what the server says that it is busy with, such as `index on users: scanning table`; "" if the file says
    how far it is. `rate` is how many units are done in a second, None where that is not known.
    """

    what: str = ""
    done: int = 0
    total: int | None = None
    unit: str = ""
    rate: float | None = None

    @property
    def left(self) -> float | None:
        """How many seconds it will still take at this speed; None where the total or the speed is not known."""
        return max(0, self.total - self.done) / self.rate if self.rate and self.total is not None else None

    @property
    def words(self) -> str:
        """How far it is, how fast it goes and how long it will still take, as far as each is known."""
        rate = (
            ""
            if self.rate is None
            else f"{self.rate:,.0f} a second"
            if self.rate >= 10
            else f"{self.rate:.2g} a second"
        )
        left = "" if self.left is None else f"{clock(self.left)} left"
        return ", ".join(part for part in (str(self), rate, left) if part)

    def __str__(self) -> str:
        if self.total is not None:
            amount = f"{self.done:,} of {self.total:,} {self.unit}"
        else:
            amount = f"{self.done:,} {self.unit}" if self.done else ""
        return ", ".join(part for part in (self.what, amount) if part)


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A migration that the native record has, with what the journal knows about it; None where it knows nothing.

    `adopted` names the tool that applied it, if that was not us. Then nothing that it deleted is in the stash.
    `mirrored` names the tool in whose record we wrote it too, with the step or later. `author` is who started the run,
    as `person@machine`.
    """

    id: str
    at: datetime | None = None
    checksum: str | None = None
    raw_checksum: str | None = None
    run: str | None = None
    adopted: str = ""
    author: str = ""
    imports: Imports = ()
    mirrored: str = ""


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
    newest journal entry about a step (an approval is about none); `planning.recovery` says what it means. `claims` is
    what the journal says about each migration whose newest entry ended well: True for applied, False for rolled back.
    The native record is the truth, so a claim that differs from it is a reason to stop.
    `tool_records` are the records of other tools in the same database.
    `notes` are for a person who wants to see everything, and `warnings` for everybody. `elsewhere` is the native record
    where the project gives it a name of its own, "" otherwise.
    `replaced` are the migrations that the record says are applied, and of which a squashed file took the place.
    `unexplained` are the tables and other objects, or collections, that a first apply finds: record and journal are
    empty, and neither an extension nor the configuration explains them. `lookalikes` are what looks like a record of
    another tool at that time. `id_room` is how many characters an id may
    have in the record, None where that has no limit. `backfills` are those of the step that runs or is half done, and
    `pause` says that somebody has asked them to wait.
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
    lookalikes: tuple[Lookalike, ...] = ()
    id_room: int | None = None
    backfills: tuple[Backfill, ...] = ()
    pause: Pause | None = None

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


__all__ = ["AppliedMigration", "Doing", "Holder", "Identity", "State"]
