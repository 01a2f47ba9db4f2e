"""A change of very many rows or documents that is made in batches: when it gives way, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dataops.durations import clock
from dataops.model.migration import Direction


@dataclass(frozen=True)
class Limits:
    """How a backfill goes easy on a live database.

    Seconds: a `batch` is steered to take so long; with more than `lag` it waits for the slowest replica, and while
    MongoDB's oplog holds less than `oplog`. `unarchived` are bytes of WAL of PostgreSQL that are not archived yet.
    With `slowdown`, it works less while the database does so many times fewer queries for others than without it, or
    while their slowest queries take so many times longer than usual; in PostgreSQL, which does not say how long they
    take, while others are there at all.
    It waits while `pause_while` (SQL, or a command of MongoDB as JSON) answers something that is true, and while there
    is a `pause_file`. 0, and None for the last two, mean no limit.
    """

    batch: float = 0.5
    lag: float = 10.0
    oplog: float = 3600.0
    unarchived: float = 1 << 30
    slowdown: float = 2.0
    pause_while: str = ""
    pause_file: Path | None = None


@dataclass(frozen=True)
class Backfill:
    """How far the backfill of a step is, as it is written down in the database together with its last batch.

    `place` is the table or collection, and `key` the last key that it has come to, as text; "" before the first batch.
    `looked` rows or documents (`unit`) of about `total` (None: unknown) are behind it in this pass, and it has
    `changed` so many in all, `rate` of them looked at in a second of work. `paused` says why it waits, "" while it does
    not. `checksum` is that of the migration with which it began, and `at` is when it was written, by the server's
    clock.
    """

    place: str
    direction: Direction
    checksum: str = ""
    key: str = ""
    looked: int = 0
    total: int | None = None
    changed: int = 0
    unit: str = "rows"
    rate: float | None = None
    paused: str = ""
    at: datetime | None = None

    @property
    def share(self) -> int | None:
        """How much of it is done, in percent; None where the total is not known."""
        return None if not self.total else min(99, 100 * self.looked // self.total)

    @property
    def left(self) -> float | None:
        """How many seconds of work it will still take; None where that is not known."""
        return max(0, self.total - self.looked) / self.rate if self.rate and self.total is not None else None

    @property
    def waits(self) -> str:
        """That it waits, and why; "" while it does not."""
        return f"waits: {self.paused}" if self.paused else ""

    @property
    def words(self) -> str:
        """How far it is, for a person."""
        share = "begun" if self.share is None else f"{self.share} % done"
        at = f", goes on after key {self.key}" if self.key else ""
        return f"{self.place}: {share}, {self.changed:,} {self.unit} changed{at}"

    @property
    def running_words(self) -> str:
        """How far it is while a run is at it, for a person."""
        share = "begun" if self.share is None else f"{self.share} %"
        of = "" if self.total is None else f" of {self.total:,}"
        rate = f", {self.rate:,.0f} a second" if self.rate else ""
        left = f", {clock(self.left)} left" if self.left is not None else ""
        waits = f", {self.waits}" if self.paused else ""
        return f"{self.place}: {share}, {self.looked:,}{of} {self.unit}{rate}{left}{waits}"


@dataclass(frozen=True)
class Pause:
    """Somebody has asked that backfills of a database wait: who, when by the server's clock, and why."""

    who: str
    at: datetime | None = None
    reason: str = ""

    def __str__(self) -> str:
        at = f" at {self.at:%Y-%m-%d %H:%M:%S} UTC" if self.at else ""
        return f"paused by {self.who}{at}" + (f": {self.reason}" if self.reason else "")


__all__ = ["Backfill", "Limits", "Pause"]
