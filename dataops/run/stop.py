"""Asking a run to stop: at the next safe point, or now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopSignal:
    """Whether a run was asked to stop: `stop()` asks for the next safe point, `abort()` for now.

    Calling the signal answers whether it was asked at all. Safe from every thread.
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
        """Whether something has begun that has safe points to stop at. Until then, anywhere is one."""
        return self._working

    @property
    def aborted(self) -> bool:
        """Whether it was asked to stop now."""
        return self._aborted

    def begin_work(self) -> None:
        """Say that from now on there are safe points."""
        self._working = True

    def stop(self) -> None:
        """Ask for the next safe point."""
        self._event.set()

    def abort(self) -> None:
        """Ask to stop now: what runs inside of an `aborting` scope is made to fail."""
        self._aborted = True
        self._event.set()
        for abort in list(self._aborts):
            abort()

    @contextmanager
    def aborting(self, abort: Callable[[], None]) -> Iterator[None]:
        """While this scope lasts, `abort()` calls this too."""
        self._aborts.append(abort)
        try:
            yield
        finally:
            self._aborts.remove(abort)

    def pause(self, seconds: float) -> None:
        """Sleep, but not longer than until somebody says stop."""
        self._event.wait(seconds)


__all__ = ["StopSignal"]
