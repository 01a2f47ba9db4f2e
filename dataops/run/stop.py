"""Asking a run to stop: at the next safe point, or now."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StopSignal:
    """Asked to stop? Once: at the next safe point. Twice: now."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._abort: Callable[[], None] | None = None
        self._aborted = False

    def __call__(self) -> bool:
        return self._event.is_set()

    @property
    def working(self) -> bool:
        """Whether something has begun that has safe points to stop at. Until then, anywhere is one."""
        return self._abort is not None

    @property
    def aborted(self) -> bool:
        return self._aborted

    def stop(self) -> None:
        self._event.set()

    def on_abort(self, abort: Callable[[], None]) -> None:
        self._abort = abort

    def abort(self) -> None:
        self._aborted = True
        self._event.set()
        if self._abort is not None:
            self._abort()

    def pause(self, seconds: float) -> None:
        """Sleep, but not longer than until somebody says stop."""
        self._event.wait(seconds)
