"""Refuses to change anything unless there is a new backup. The backup itself writes the file that says so."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dataops.errors import Blocked

MAX_AGE = 3600.0
_SKEW = 60.0  # seconds by which the clock that dated the file may be ahead of ours
_HINT = (
    "make a backup that writes this file when it is complete, then run again; "
    "more: dataops docs operations a-backup-first"
)


@dataclass(frozen=True)
class Backup:
    """The marker file of a backup, and how many seconds old it may be."""

    marker: Path
    max_age: float = MAX_AGE

    def refuse_unless_new(self, now: Callable[[], float] = time.time) -> None:
        """Raise Blocked unless the marker is a file with something in it, younger than `max_age`."""
        try:
            found = self.marker.stat()
        except OSError as error:
            raise self._blocked(error.strerror or str(error)) from error
        age = now() - found.st_mtime
        if not stat.S_ISREG(found.st_mode):
            raise self._blocked("it is not a file")
        if found.st_size == 0:
            raise self._blocked("it is empty")
        if age < -_SKEW:
            raise self._blocked(f"it is from the future, by {_span(-age)}: is a clock wrong?")
        if age > self.max_age:
            old, most = _span(age), _span(self.max_age)
            if old == most:
                old, most = f"{age:.0f} s", f"{self.max_age:.0f} s"
            raise self._blocked(f"it is {old} old, and {most} is the most (--backup-max-age)")

    def _blocked(self, why: str) -> Blocked:
        return Blocked(f"no backup, nothing was done: {self.marker}: {why}", hint=_HINT)


def _span(seconds: float) -> str:
    """`45 s`, `60 min`, `3.5 h`, `2.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} days"
