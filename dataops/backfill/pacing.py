"""How many rows or documents the next batch has, so that it takes about as long as it should. Pure.

The size follows the time of the last batch, as in GitLab's batched background migrations, but by at most a factor of
two at once. A batch that had to be given up is halved, and the next ones grow slowly: who was in the way may come
again.
"""

from __future__ import annotations

_MOST_STEP = 2.0
_SLOW_STEP = 1.1
_SLOW_BATCHES = 20
_CLOSE_ENOUGH = 0.2


class Pacing:
    """The size of the batches of one backfill, steered to a time."""

    def __init__(self, seconds: float, *, first: int = 1000, most: int = 100_000) -> None:
        self.seconds = seconds
        self._most = most
        self._careful = 0
        self.size = min(first, most)

    def took(self, looked: int, seconds: float) -> None:
        """A batch that looked at so many has taken `seconds`."""
        if not looked:
            return
        most = _SLOW_STEP if self._careful else _MOST_STEP
        self._careful = max(0, self._careful - 1)
        wanted = self.seconds / max(seconds, 0.001)
        if abs(wanted - 1) > _CLOSE_ENOUGH:
            factor = min(most, max(1 / _MOST_STEP, wanted))
            if factor > 1 and looked < self.size:
                return  # the rest of a pass says nothing about a larger batch
            grown = round(self.size * factor)
            self.size = max(1, min(self._most, grown + (factor > 1 and grown == self.size)))

    def give_up(self) -> None:
        """The batch was given up: it took too long, or somebody else was in the way."""
        self.size = max(1, self.size // 2)
        self._careful = _SLOW_BATCHES


__all__ = ["Pacing"]
