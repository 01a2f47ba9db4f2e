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
from dataops.backfill.slowing import Slowing
from dataops.errors import Stopped
from dataops.model import Backfill

_MOST_PASSES = 5
_POLL_SECONDS = 0.5
_LASTS_SECONDS = 3.0  # a shorter wait is not worth an entry in the journal
_REST = 0.1  # of the time of a batch: so that a waiting statement of others comes first
_ASK_EVERY = 1.0
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

    def begin(self) -> Backfill:
        """Look at the place, refuse what cannot be done, and return how far it is."""

    def batch(self, size: int, before: Backfill) -> Batch:
        """Do the next `size`, and write down how far it is now, in one transaction. Raises InTheWay when it gave up."""

    def note(self, progress: Backfill) -> None:
        """Write down that it waits, or does not any more. The key stays as it is."""

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
        self._slowing = Slowing(batches.others, around.limits.slowdown)
        self._worked = 0.0
        self._looked = 0
        self._asked_at = 0.0

    def run(self) -> int:
        for _ in range(_MOST_PASSES):
            if self._pass_finds_nothing():
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
        size, began = self._pacing.size, time.monotonic()
        rate = self._looked / self._worked if self._worked >= 1 else self._progress.rate
        try:
            done = self._batches.batch(size, replace(self._progress, rate=rate, paused=""))
        except InTheWay as why:
            self._pacing.give_up()
            self._wait(lambda: "", str(why), at_least=min(_POLL_SECONDS, 0.05 + time.monotonic() - began))
            return None
        seconds = time.monotonic() - began
        self._worked += seconds
        self._looked += done.looked
        self._progress = done.progress
        self._around.tell(self._progress)
        if done.waiting:
            self._pacing.give_up()
        else:
            self._pacing.took(done.looked, seconds)
        if not done.last:
            self._around.sleep(seconds * (1 if done.waiting else _REST))
        return done

    def _give_way(self) -> None:
        """Wait until nothing speaks against the next batch. Raises Stopped and LockLost."""
        self._stop_if_asked()
        self._around.check()
        if self._is_long and (rest := self._slowing.rest_due()):
            self._rest(rest)
        now = time.monotonic()
        if now - self._asked_at >= _ASK_EVERY:
            self._asked_at = now
            if why := self._why():
                self._wait(self._why, why)

    @property
    def _is_long(self) -> bool:
        """Whether it is worth the time to find out what the database does without us."""
        return self._progress.total is None or self._progress.total > _LONG

    def _rest(self, seconds: float) -> None:
        slower = self._slowing.begin_rest()
        if slower:  # then the rest is as long as the work was
            self._wait(lambda: "", slower, at_least=10 * seconds)
        else:
            self._around.sleep(seconds)
            self._stop_if_asked()
        self._slowing.end_rest()

    def _why(self) -> str:
        limits = self._around.limits
        if limits.pause_file is not None and os.path.lexists(limits.pause_file):
            return f"the file {limits.pause_file} is there"
        return next(filter(None, (signal() for signal in self._batches.signals)), "")

    def _wait(self, still: Signal, why: str, *, at_least: float = 0.0) -> None:
        """Wait for as long as `still` gives a reason, and at least so many seconds; tell why."""
        began, told = time.monotonic(), ""
        while True:
            lasts = time.monotonic() - began
            if why != self._progress.paused and (lasts >= _POLL_SECONDS or not at_least):
                self._progress = replace(self._progress, paused=why)
                self._batches.note(self._progress)
                self._around.tell(self._progress)
            if not told and lasts >= _LASTS_SECONDS:
                told = why
                self._around.paused(why)
            self._around.sleep(min(_POLL_SECONDS, at_least) or _POLL_SECONDS)
            self._stop_if_asked()
            self._around.check()
            left = still()
            if left:
                why = left
            elif time.monotonic() - began >= at_least:
                break
        if told:
            self._around.resumed(told, time.monotonic() - began)
        if self._progress.paused:
            self._progress = replace(self._progress, paused="")
            self._batches.note(self._progress)
            self._around.tell(self._progress)

    def _stop_if_asked(self) -> None:
        if self._around.stopping():
            raise Stopped(f"stopped between two batches of {self._progress.words}")


__all__ = ["Batch", "Batches", "InTheWay", "Signal", "run"]
