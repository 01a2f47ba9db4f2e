"""Asks a run to stop, at the next safe point or at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopSignal:
    """Asks a run to stop: `stop()` at the next safe point, `abort()` at once. Every thread may use it.

    Calling the signal, as in `if stop():`, returns whether the run was asked to stop at all.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._aborts: list[Callable[[], None]] = []
        self._working = False
        self._aborted = False

    def __call__(self) -> bool:
        return self._event.is_set()

    @property
    def working(self) -> bool:
        """Whether work has begun that must only stop at safe points. Until then, the program may stop anywhere."""
        return self._working

    @property
    def aborted(self) -> bool:
        """Whether the run was asked to stop at once."""
        return self._aborted

    def begin_work(self) -> None:
        """Say that from now on, work must only stop at safe points."""
        self._working = True

    def end_work(self) -> None:
        """Say that nothing is being done, so that the program may stop anywhere again."""
        self._working = False

    def stop(self) -> None:
        """Ask the run to stop at the next safe point."""
        self._event.set()

    def abort(self) -> None:
        """Ask the run to stop at once: calls every `abort` of an `aborting` scope, which makes the work in it fail."""
        self._aborted = True
        self._event.set()
        for abort in list(self._aborts):
            abort()

    @contextmanager
    def aborting(self, abort: Callable[[], None]) -> Iterator[None]:
        """While this scope lasts, `StopSignal.abort` calls this function."""
        self._aborts.append(abort)
        try:
            yield
        finally:
            self._aborts.remove(abort)

    def pause(self, seconds: float) -> None:
        """Sleep, but only until the run is asked to stop."""
        self._event.wait(seconds)


__all__ = ["StopSignal"]
