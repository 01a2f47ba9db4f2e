"""One table or collection of the stash, as `dataops stash list` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class StashEntry:
    """Something that a migration has put into the stash, so that a rollback can bring it back.

    `place` is where it is kept, and `source` where it came from. `count` (rows or documents) and `bytes` may be
    estimates. `at` is when it was put there, by the server's clock; None when that is not recorded.
    """

    migration: str
    place: str
    source: str
    count: int
    bytes: int
    at: datetime | None
