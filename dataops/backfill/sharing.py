"""Which share of the time a backfill works, so that the queries of others do not take longer because of it. Pure.

While the backfill rests, the database shows how long queries take without it. A query is slow when it takes
`slowdown` times as long as 95 of 100 take then. One in two hundred may be slow beside the backfill, or as many as are
slow without it. For each one more it works less, and while there are fewer it works more, both in proportion: so the
99th percentile is kept in the long run. Where nobody else sends queries, it works all the time.

PostgreSQL does not count how long queries take. There it works a fifth of the time while others use the database.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

Latencies = Mapping[float, int]
"""How many queries of others took so many seconds or more, and less than the next number, since the server started."""

_USUAL = 0.95  # of the queries
_SLOW = 0.005  # of the queries may be slow
_FAST = 0.005  # seconds: what takes less is never slow
_LEAST = 50  # queries in a rest: fewer say nothing
_BEGIN, _MINIMUM = 0.2, 0.05
_CHANGE = 0.1
_LESS, _MORE = 0.5, 1.25  # at most, after one batch
_SMOOTH = 0.75


class Sharing:
    """`share` is 1.0 while it may work all the time."""

    def __init__(self, latencies: Callable[[], Latencies | None], slowdown: float) -> None:
        """`latencies` returns None where it cannot be known. Without `slowdown`, it does not matter."""
        self._latencies = latencies
        self._slowdown = slowdown
        self._before = self._look()
        self._resting: dict[float, float] = {}
        self._limit: float | None = None  # seconds; None while nobody else is there
        self._may_be_slow = _SLOW
        self.share = 1.0

    def begin_rest(self) -> None:
        """The work pauses now."""
        self.worked()
        self._since()

    def end_rest(self, *, others: bool) -> None:
        """The work goes on: what was seen since `begin_rest` is how long queries take without it.

        `others` says whether somebody else uses the database, and counts where nothing is known of latencies.
        """
        seen = self._since()
        if self._before is None:
            self.share = _BEGIN if others and self._slowdown else 1.0
            return
        if sum(seen.values()) < _LEAST:
            self._limit, self._resting, self.share = None, {}, 1.0
            return
        if self._limit is None:
            self.share = _BEGIN
        ages = {*self._resting, *seen}
        self._resting = {at: _SMOOTH * self._resting.get(at, 0) + seen.get(at, 0) for at in ages}
        self._limit = max(_FAST, self._slowdown * _usual(self._resting))
        self._may_be_slow = max(_SLOW, _slower(self._resting, self._limit) / sum(self._resting.values()))

    def worked(self) -> None:
        """A batch is done, and the moment after it: look at how long others have waited meanwhile."""
        if self._limit is None:
            return
        seen = self._since()
        spare = self._may_be_slow * sum(seen.values()) - _slower(seen, self._limit)
        change = min(_MORE, max(_LESS, math.exp(min(1.0, _CHANGE * spare))))
        self.share = min(1.0, max(_MINIMUM, self.share * change))

    def _look(self) -> Latencies | None:
        return self._latencies() if self._slowdown else None

    def _since(self) -> Mapping[float, float]:
        """What has ended since the last look."""
        before, self._before = self._before, self._look()
        if before is None or self._before is None:
            return {}
        return Counter(self._before) - Counter(before)


def _usual(seen: Mapping[float, float]) -> float:
    """How long all but the slowest took at most, about."""
    slowest = (1 - _USUAL) * sum(seen.values())
    for at in sorted(seen, reverse=True):
        if seen[at] >= slowest:
            return at + (1 - slowest / seen[at]) * (_next(at) - at)
        slowest -= seen[at]
    return 0.0


def _slower(seen: Mapping[float, float], limit: float) -> float:
    """How many took longer, about."""
    return sum(count * min(1.0, max(0.0, (_next(at) - limit) / (_next(at) - at))) for at, count in seen.items() if at)


def _next(at: float) -> float:
    """About where the next number is: MongoDB's grow by a half and by a third in turn."""
    return at * 1.4


__all__ = ["Latencies", "Sharing"]
