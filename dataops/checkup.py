"""What `dataops doctor` looks at: one value for each thing that is as it should be, or is not."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime

CLOCK_SECONDS = 5.0
"""How far a server's clock may be from ours before it is worth saying."""


class Level(enum.Enum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what it is, how it is, and where it is not well, the remedy. Without secrets."""

    subject: str
    found: str
    level: Level = Level.OK
    remedy: str = ""


def clock(theirs: datetime, asked: datetime, answered: datetime) -> Check:
    """Compare a server's clock with ours, which showed `asked` before the question and `answered` after it."""
    behind = (asked - theirs).total_seconds()
    ahead = (theirs - answered).total_seconds()
    apart = max(behind, ahead, 0.0)
    if apart < CLOCK_SECONDS:
        return Check("clock", f"within {max(apart, 1):.0f} s of this machine's")
    which = "behind" if behind > ahead else "ahead of"
    return Check(
        "clock",
        f"{apart:.0f} s {which} this machine's",
        Level.NOTE,
        "times in the journal are the server's: set both by NTP; locks are safe all the same",
    )


def now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


__all__ = ["CLOCK_SECONDS", "Check", "Level", "clock", "now"]
