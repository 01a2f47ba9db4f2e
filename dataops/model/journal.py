"""What a journal says of each step, and who writes it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from dataops.model.migration import Direction, Migration


class JournalEvent(enum.Enum):
    """What a journal entry says about its step."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RESOLVED = "resolved"
    ADOPTED = "adopted"
    PRUNED = "pruned"
    APPROVED = "approved"
    PAUSED = "paused"
    RESUMED = "resumed"

    @property
    def is_about_a_step(self) -> bool:
        """Whether it says that a step began or ended. Other entries do not hide that one is half done."""
        return self not in (JournalEvent.APPROVED, JournalEvent.PAUSED, JournalEvent.RESUMED)


NOT_ONE_TRANSACTION = "it is not one transaction"
"""The reason of a *started* entry in a database that has transactions: a part of the step may be committed.

It is written first where the file says so, and as a second entry where it turns out. The file may be another one later.
"""

HALF_DONE = "a part of it is done"
"""The reason of a *failed* entry: the step is no transaction, and has to be brought to an end before all else."""

ENDS_HALF_DONE = "it ends a step that was half done the other way"
"""The reason of a *started* or *failed* entry: the record showed what this step brings about before it began."""

MIRRORED_TO = "mirrored to "
"""How the reason of a *succeeded* entry begins, before the name of the tool whose record follows the step."""

Imports = tuple[tuple[str, str], ...]
"""The project's own files that a migration imports, each with the digest of its code: (name, digest), by name."""


@dataclass(frozen=True)
class Spent:
    """A statement that took long: its text without values, how often it did, and the seconds of all these times."""

    text: str
    seconds: float
    count: int = 1


@dataclass(frozen=True)
class Entry:
    """One line of a journal. The database fills in `seq`, and `at` by its own clock.

    PAUSED and RESUMED say that a backfill waits, and why, or that it has waited for so many `seconds`.
    An entry with the event APPROVED is about no step but about a plan in a file: `migration` is "", and `checksum` and
    `raw_checksum` are the SHA-256 of the bytes of that file.
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
    def was_stopped(self) -> bool:
        """Whether it is the end of a step that somebody has stopped, at a safe point: see `errors.Stopped`.

        The error of a migration begins with its class, so that no file can say this.
        """
        return self.event is JournalEvent.FAILED and self.error.startswith("stopped ")

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


__all__ = [
    "ENDS_HALF_DONE",
    "HALF_DONE",
    "MIRRORED_TO",
    "NOT_ONE_TRANSACTION",
    "Adopted",
    "Author",
    "Entry",
    "Imports",
    "JournalEvent",
    "Spent",
]
