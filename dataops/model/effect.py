"""What the commands of a step will do to the database as it is now, as far as it is known beforehand."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from dataops.text import counted, listed, size_text

MEASURED = "measured on a sample of "
"""How the basis of a time begins that was measured in a rehearsal."""


class Verb(enum.Enum):
    """What the server does with a table, an index or a collection."""

    READS = "reads"
    REWRITES = "rewrites"
    BUILDS = "builds"
    CHANGES = "changes"
    DELETES = "deletes"
    ADDS = "adds"


@dataclass(frozen=True)
class Held:
    """A lock, which the step holds to its end. `waits` says whom it keeps waiting: reads, writes, schema changes."""

    object: str
    mode: str
    waits: tuple[str, ...] = ()

    def __str__(self) -> str:
        waits = f"; {listed(self.waits)} wait" if self.waits else ""
        return f"{self.object} ({self.mode}{waits})"


@dataclass(frozen=True)
class Work:
    """What the server has to go through. `rows` (or documents) and `bytes` are those of now; None where unknown.

    Of a partitioned table, all partitions count. `exact` says that the rows were counted, and not estimated.
    """

    verb: Verb
    object: str
    rows: int | None = None
    bytes: int | None = None
    exact: bool = False
    unit: str = "rows"

    @property
    def place(self) -> str:
        """The table or collection, also where an index is built on it."""
        return self.object.rpartition(" on ")[2]

    def __str__(self) -> str:
        unit = self.unit.removesuffix("s") if self.rows == 1 else self.unit
        size = [f"{'' if self.exact else 'about '}{self.rows:,} {unit}"] if self.rows is not None else []
        size += [size_text(self.bytes)] if self.bytes is not None else []
        return f"{self.verb.value} {self.object}" + (f" ({', '.join(size)})" if size else "")


@dataclass(frozen=True)
class Span:
    """Between how many seconds and how many something takes. `basis` says what that was made from.

    That of a rehearsal begins with MEASURED.
    """

    low: float
    high: float
    basis: str

    def __str__(self) -> str:
        if self.high < 1:
            return "under 1 s"
        high = _seconds(self.high)
        if self.low < 1:
            return f"up to {high}"
        low = _seconds(self.low)
        return f"about {high}" if low == high else f"{low} to {high}"

    @property
    def told(self) -> str:
        """It with its basis, for a person."""
        return f"{self}, {self.basis}" if self.basis.startswith(MEASURED) else f"{self}, by {self.basis}"


@dataclass(frozen=True)
class Risk:
    """A hazard, by its name in dataops.hazards, and one sentence about this case, without values of the data."""

    hazard: str
    text: str


@dataclass(frozen=True)
class Effect:
    """What one command does: `command` is its position among the commands of the step."""

    command: int
    held: tuple[Held, ...] = ()
    work: tuple[Work, ...] = ()
    span: Span | None = None
    risks: tuple[Risk, ...] = ()


@dataclass(frozen=True)
class Remark:
    """What `dataops lint` says of a line of a migration's file. `severity` is "error" or "warning"."""

    code: str
    severity: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code} in line {self.line}: {self.message}"


def together(spans: Iterable[Span | None]) -> Span | None:
    """How long several take one after the other; None if nothing is known of any."""
    known = [span for span in spans if span is not None]
    if not known:
        return None
    each = dict.fromkeys(part for span in known for part in span.basis.split(", "))
    rehearsed = [part for part in each if part.startswith(MEASURED)]
    roughest = [max(rehearsed, key=lambda part: int(part.rpartition(" ")[2]))] if rehearsed else []
    basis = ", ".join([*(part for part in each if part not in rehearsed), *roughest])
    return Span(sum(span.low for span in known), sum(span.high for span in known), basis)


def _seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds < 10 else f"{round(seconds, -1) or 10:.0f} s"
    if seconds < 6000:
        return counted(round(seconds / 60), "minute")
    return counted(round(seconds / 3600), "hour")


__all__ = ["MEASURED", "Effect", "Held", "Remark", "Risk", "Span", "Verb", "Work", "together"]
