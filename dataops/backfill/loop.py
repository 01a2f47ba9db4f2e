"""Runs the batches of a backfill one after the other: it stops between two of them, gives way, and goes on.

What a batch is, only the backend knows. A batch is a transaction, and between two of them nothing is held.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dataops.backfill.around import Around
from dataops.backfill.pacing import Pacing
from dataops.backfill.sharing import Latencies, Sharing
from dataops.backfill.slowing import Slowing
from dataops.errors import Stopped
from dataops.model import Backfill

_MOST_PASSES = 5
_POLL_SECONDS = 0.5
_LASTS_SECONDS = 3.0  # a shorter wait is not worth an entry in the journal
_REST = 0.1  # of the time of a batch: so that a waiting statement of others comes first
_ASK_EVERY = 1.0
_SLOW_REST = 10.0
_LONG = 50_000

Signal = Callable[[], str]
"""Why the backfill has to wait now; "" while it need not."""


class InTheWay(Exception):
    """A batch was given up, and nothing of it is left: the text says who or what was in the way."""


@dataclass(frozen=True)
class Batch:
    """What one batch did: how many it looked at, and whether the pass is at its end.

    `progress` is what was written down with it. `waiting`: somebody else waited for what it held.
    """

    progress: Backfill
    looked: int
    last: bool
    waiting: bool = False


class Batches(Protocol):
    """The batches of one backfill, in the order of the key."""

    signals: Sequence[Signal]
    most: int
    """The largest batch."""

    def others(self) -> int | None:
        """How many queries the database has done for others up to now; None where that cannot be known."""

    def latencies(self) -> Latencies | None:
        """How long the queries of others took up to now; None where that cannot be known."""

    def begin(self) -> Backfill:
        """Look at the place, refuse what cannot be done, and return how far it is."""

    def batch(self, size: int, before: Backfill) -> Batch:
        """Do the next `size`, and write down how far it is now, in one transaction. Raises InTheWay when it gave up."""

    def note(self, progress: Backfill) -> None:
        """Write down that it waits, or does not any more. The key stays as it is."""

    def none_left(self) -> bool:
        """Whether the server says at once that nothing is left to change. False where only another pass can say it."""

    def again(self) -> None:
        """Begin another pass."""

    def finish(self) -> None:
        """All is done: nothing has to be remembered any more."""


def run(batches: Batches, around: Around) -> int:
    """Run all batches. Returns how many rows or documents were changed. Raises Stopped between two batches."""
    return _Loop(batches, around).run()


class _Loop:
    def __init__(self, batches: Batches, around: Around) -> None:
        self._batches = batches
        self._around = around
        self._progress = batches.begin()
        self._pacing = Pacing(around.limits.batch, most=batches.most)
        self._pacing.alone = not around.limits.slowdown  # then nobody looks, and others do not matter
        self._slowing = Slowing(batches.others, around.limits.slowdown)
        self._sharing = Sharing(batches.latencies, around.limits.slowdown)
        self._worked = 0.0
        self._looked = 0
        self._asked_at = 0.0
        self._waiting_since: float | None = None
        self._told = ""

    def run(self) -> int:
        for _ in range(_MOST_PASSES):
            if self._pass_finds_nothing() or self._batches.none_left():
                break
            self._batches.again()
            self._progress = replace(self._progress, key="", looked=0)
        self._batches.finish()
        return self._progress.changed

    def _pass_finds_nothing(self) -> bool:
        """One pass from the present key to the end. Whether it went over everything, and had nothing to change."""
        whole, before = not self._progress.key, self._progress.changed
        while True:
            self._give_way()
            done = self._one()
            if done is not None and done.last:
                return whole and self._progress.changed == before

    def _one(self) -> Batch | None:
        """One batch; None when it was given up, which is tried again."""
        size, began, before = self._pacing.size, time.monotonic(), self._progress.changed
        rate = self._looked / self._worked if self._worked >= 1 else self._progress.rate
        try:
            done = self._batches.batch(size, replace(self._progress, rate=rate, paused=""))
        except InTheWay as why:
            self._pacing.give_up()
            self._waits(str(why))
            self._sleep(min(_POLL_SECONDS, 0.05 + time.monotonic() - began))
            return None
        seconds = time.monotonic() - began
        self._worked += seconds
        self._looked += done.looked
        self._progress = done.progress
        self._goes_on()
        self._around.tell(self._progress)
        self._pacing.took(done.looked, seconds, waiting=done.waiting)
        if not done.last and done.progress.changed > before:
            rest = seconds * max(1 if done.waiting else _REST, 1 / self._sharing.share - 1)
            self._worked += rest  # which the next batches will need too
            self._around.sleep(rest)
        self._sharing.worked()
        self._pacing.seconds = self._around.limits.batch * self._sharing.share**2
        return done

    def _give_way(self) -> None:
        """Wait until nothing speaks against the next batch. Raises Stopped and LockLost."""
        self._stop_if_asked()
        self._around.check()
        if self._is_long and (rest := self._slowing.rest_due()):
            self._rest(rest)
        if time.monotonic() - self._asked_at >= _ASK_EVERY:
            while why := self._why():
                self._waits(why)
                self._sleep(_POLL_SECONDS)
            self._asked_at = time.monotonic()

    @property
    def _is_long(self) -> bool:
        """Whether it is worth the time to find out what the database does without us."""
        return self._progress.total is None or self._progress.total > _LONG

    def _rest(self, seconds: float) -> None:
        """Rest for a moment; for as long as the work was, where others were slower meanwhile."""
        slower = self._slowing.begin_rest()
        self._sharing.begin_rest()
        until = time.monotonic() + (_SLOW_REST * seconds if slower else seconds)
        while (left := until - time.monotonic()) > 0:
            if slower:
                self._waits(slower)
            self._sleep(min(left, _POLL_SECONDS))
        self._slowing.end_rest()
        self._sharing.end_rest(others=self._slowing.others)
        self._pacing.alone = self._slowing.alone

    def _why(self) -> str:
        limits = self._around.limits
        if limits.pause_file is not None and os.path.lexists(limits.pause_file):
            return f"the file {limits.pause_file} is there"
        return next(filter(None, (signal() for signal in self._batches.signals)), "")

    # Waiting

    def _waits(self, why: str) -> None:
        """It waits, for this reason. What lasts is written down and told, and later journalled."""
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        lasts = now - self._waiting_since
        if lasts >= _POLL_SECONDS and why != self._progress.paused:
            self._progress = replace(self._progress, paused=why)
            self._batches.note(self._progress)
            self._around.tell(self._progress)
        if lasts >= _LASTS_SECONDS and not self._told:
            self._told = why
            self._around.paused(why)

    def _goes_on(self) -> None:
        """A batch is done, so it does not wait any more."""
        if self._told and self._waiting_since is not None:
            self._around.resumed(self._told, time.monotonic() - self._waiting_since)
        self._waiting_since, self._told = None, ""

    def _sleep(self, seconds: float) -> None:
        self._around.sleep(seconds)
        self._stop_if_asked()
        self._around.check()

    def _stop_if_asked(self) -> None:
        if self._around.stopping():
            raise Stopped(f"stopped between two batches of {self._progress.words}")


__all__ = ["Batch", "Batches", "InTheWay", "Signal", "run"]
