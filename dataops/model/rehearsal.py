"""What a rehearsal of a plan has measured: how each statement went on a sample of the data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dataops.model.migration import Direction


@dataclass(frozen=True)
class Sampled:
    """A table or collection in a rehearsal: how many rows it had there, and about how many the live one has.

    `rows` are those that were taken, also those to which others refer.
    """

    rows: int
    live: int

    @property
    def one_in(self) -> float:
        """The live one has so many times the rows; 1 where all of them were taken, or where there are none."""
        return max(1.0, self.live / self.rows) if self.rows else 1.0


@dataclass(frozen=True)
class Observed:
    """What the server said when a statement was done.

    `locks` are those that its transaction holds, of each object the strongest, as name and mode. `rewritten` are the
    tables and indexes that it wrote anew.
    """

    locks: tuple[tuple[str, str], ...] = ()
    rewritten: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """One statement of a step in a rehearsal.

    `text` has no values. `seconds` is its time on the sample. `changed` is how many rows or documents it changed there,
    None where nobody knows. `digest` recognizes the statement in a plan.
    """

    text: str
    seconds: float
    digest: str
    changed: int | None = None
    observed: Observed = Observed()
    error: str = ""


@dataclass(frozen=True)
class StepMeasured:
    """A step in a rehearsal, and its statements in their order."""

    migration: str
    checksum: str
    direction: Direction
    seconds: float
    statements: tuple[Measured, ...] = ()


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal of one service that went well, as far as a plan uses it. It holds no value of a row or document.

    `database` recognizes the live database that the sample is from.
    """

    service: str
    database: str
    at: datetime
    tables: Mapping[str, Sampled] = field(default_factory=dict)
    steps: Sequence[StepMeasured] = ()


def recognized(text: str) -> str:
    """What recognizes a statement without values, without keeping its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


__all__ = ["Measured", "Observed", "Rehearsed", "Sampled", "StepMeasured", "recognized"]
