"""Whether a database does less for others while a backfill works than while it rests. Pure, but for the clock.

Nobody knows how many queries an application would send without us. So the backfill rests for a moment now and then, and
compares: with few queries nothing can be seen, and nothing is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_REST_EVERY = 10.0
_REST_SECONDS = 1.0
_SMOOTH = 0.5
_LEAST_RATE = 20.0  # a second
_NOBODY_RATE = 5.0  # a second: what we ask ourselves counts too
_LEAST_SECONDS = 1.0


class Slowing:
    """Compares how fast `counter`, of what the database does for others, goes up in work and in rest."""

    def __init__(self, counter: Callable[[], int | None], slowdown: float, clock: Callable[[], float] = time.monotonic):
        """`counter` returns None where it cannot be known."""
        self._counter = counter
        self._slowdown = slowdown
        self._clock = clock
        self._resting: float | None = None  # queries a second while we rest
        self._since = (clock(), counter())
        self._rested_at: float | None = None

    @property
    def alone(self) -> bool:
        """Whether nobody else used the database in the last rest."""
        return self._resting is not None and self._resting < _NOBODY_RATE

    @property
    def others(self) -> bool:
        """Whether others used the database in the last rest, so much that it can be compared."""
        return self._resting is not None and self._resting >= _LEAST_RATE

    def rest_due(self) -> float:
        """How many seconds it is to rest now, so that there is something to compare with; 0 for not now."""
        if not self._slowdown or self._since[1] is None:
            return 0.0
        if self._rested_at is None or self._clock() - self._rested_at >= _REST_EVERY:
            return _REST_SECONDS
        return 0.0

    def begin_rest(self) -> str:
        """The work pauses now. Returns how much slower others were in it, "" where that is within the limit."""
        rate = self._rate()
        if rate is None or self._resting is None or not self.others:
            return ""
        if rate * self._slowdown >= self._resting:
            return ""
        return f"the database does {rate:,.0f} queries a second for others, of {self._resting:,.0f} without it"

    def end_rest(self) -> None:
        """The work goes on: what others did since `begin_rest` is what they do without us."""
        rate = self._rate()
        if rate is not None:
            before = rate if self._resting is None else self._resting
            self._resting = _SMOOTH * rate + (1 - _SMOOTH) * before
        self._rested_at = self._clock()

    def _rate(self) -> float | None:
        """How many a second since the last call; None where the time was too short to say."""
        now, count = self._clock(), self._counter()
        began, before = self._since
        if count is None or before is None or now - began < _LEAST_SECONDS / 2:
            return None
        self._since = (now, count)
        return max(0, count - before) / (now - began)


__all__ = ["Slowing"]
