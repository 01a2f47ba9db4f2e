"""What an environment allows a run to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Window:
    """A time of the week in which runs are allowed, on the clock of `zone`. `days` are 0 (Monday) to 6.

    A window that ends before it begins goes over midnight, and belongs to the day on which it begins.
    """

    days: frozenset[int]
    begins: time
    ends: time
    zone: ZoneInfo
    written: str

    def is_open(self, now: datetime) -> bool:
        """Whether this moment, which has a zone, is in it."""
        here = now.astimezone(self.zone)
        at, day = here.time(), here.weekday()
        if self.begins < self.ends:
            return day in self.days and self.begins <= at < self.ends
        return (day in self.days and at >= self.begins) or ((day - 1) % 7 in self.days and at < self.ends)


@dataclass(frozen=True)
class Policy:
    """What `[policy]` says of one environment. `where` is its place in the file, for messages.

    `refuse` are hazards that are never allowed, `ask` are those that need `--allow`. `rows` and `bytes` are the most
    that one command may go through, and `blocked` the most seconds for which one step may keep readers or writers
    waiting, by the upper end of the estimate; None means no limit. Without `windows`, every time is allowed. `backup`
    is the file that a backup writes, None for none, and `backup_max_age` how many seconds old it may be. `approvals` is
    how many people have to approve a saved plan, and `approvals_valid` for how many seconds, 0 for ever.
    """

    where: str = "[policy]"
    refuse: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    rows: int | None = None
    bytes: int | None = None
    blocked: float | None = None
    windows: tuple[Window, ...] = ()
    backup: Path | None = None
    backup_max_age: float | None = None
    approvals: int = 0
    approvals_valid: float = 7 * 86400.0

    def approvals_since(self, now: datetime) -> datetime | None:
        """Approvals that are older than this do not count any more; None if none is too old."""
        return now - timedelta(seconds=self.approvals_valid) if self.approvals_valid else None

    @property
    def looks(self) -> bool:
        """Whether it needs to know what the steps do."""
        return bool(self.refuse or self.ask) or (self.rows, self.bytes, self.blocked) != (None, None, None)


__all__ = ["Policy", "Window"]
