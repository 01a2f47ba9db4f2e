"""How many rows or documents the next batch has, so that it takes about as long as it should. Pure.

The size follows the time of the last batch, as in GitLab's batched background migrations: down to a half at once, and
up slowly, so that who is in the way of a larger one is noticed before it is much larger. Where nobody else uses the
database there is nobody to notice, and they double. A batch that had to be given up is halved.

A batch that takes T seconds holds a share f of all rows that grows with T, and who wants one of them waits for T / 2
on average. The shorter it is, the fewer wait, and the less. So one that kept somebody waiting makes the next ones take
half as long, and each one that did not a little longer again: then about one batch in forty keeps somebody waiting.
"""

from __future__ import annotations

import math

_LEAST_STEP, _MOST_STEP = 0.5, 1.1
_MOST_STEP_ALONE = 2.0
_CLOSE_ENOUGH = 0.2
_LEAST_SECONDS = 0.02  # shorter ones would make the disk write more often
_LONGER = 1.02


class Pacing:
    """The size of the batches of one backfill, steered to a time.

    `alone` says that nobody else uses the database, as far as is known. It ends when somebody is kept waiting.
    """

    def __init__(self, seconds: float, *, first: int = 1000, most: int = 100_000) -> None:
        self.seconds = seconds
        self.alone = False
        self._most = most
        self._bearable = math.inf  # seconds, with which nobody has to wait
        self.size = min(first, most)

    def took(self, looked: int, seconds: float, *, waiting: bool = False) -> None:
        """A batch that looked at so many has taken `seconds`. `waiting`: it kept somebody waiting."""
        if not looked:
            return
        self._bearable = min(self._bearable, seconds) / 2 if waiting else self._bearable * _LONGER
        self._bearable = max(self._bearable, _LEAST_SECONDS)
        wanted = max(min(self.seconds, self._bearable), _LEAST_SECONDS) / max(seconds, 0.001)
        if abs(wanted - 1) > _CLOSE_ENOUGH:
            most = _MOST_STEP_ALONE if self.alone and self._bearable == math.inf else _MOST_STEP
            factor = min(most, max(_LEAST_STEP, wanted))
            if factor > 1 and looked < self.size:
                return  # the rest of a pass says nothing about a larger batch
            grown = round(self.size * factor)
            self.size = max(1, min(self._most, grown + (factor > 1 and grown == self.size)))

    def give_up(self) -> None:
        """The batch was given up: it took too long, or somebody else was in the way."""
        self.size = max(1, self.size // 2)


__all__ = ["Pacing"]
