"""How far the running steps have come: what their files report, and what the servers say that they are busy with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from dataops.backends import Watches, opened
from dataops.durations import Stopwatch
from dataops.errors import DataopsError
from dataops.events import Emit, Pace, ServerBusy, StillRunning
from dataops.model import Backfill, Doing, Service, Step

_FIRST_REPORT = 5.0
_LONGEST_PAUSE = 600.0
_ASK_SECONDS = 2.0
_ASK_SELDOM_SECONDS = 10.0
_PATIENCE = 60.0


@dataclass
class Running:
    """A step that runs now, and how far it has come. `tell` lets other processes know (see dataops.backends.Tells)."""

    step: Step
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    next_report: float = _FIRST_REPORT
    pace: Pace = field(default_factory=Pace)
    tell: Callable[[Doing], None] | None = None
    _own: Pace = field(default_factory=Pace)

    def progressed(self, done: int, total: int | None, unit: str) -> None:
        """The file says how far it is."""
        self._own.set(Doing("", done, total, unit))
        self.pace.set(self._own.doing)

    def backfills(self, progress: Backfill) -> None:
        """A backfill says how far it is. It is written down with each batch, so that nobody else has to be told."""
        self.pace.set(Doing(progress.waits, progress.looked, progress.total, progress.unit))

    def busy(self, doing: Doing | None) -> None:
        """The server says what it is busy with; None where it does not, and then the file's own word counts again."""
        self.pace.set(doing or self._own.doing)

    def tell_others(self) -> None:
        """Let other processes know what the file has said of itself. Raises DataopsError."""
        if self.tell is not None and self._own.doing != Doing():
            self.tell(self._own.told)

    def report(self, emit: Emit) -> None:
        """Emit that it is still running: after 5 s, and then always after as long again, at most 10 minutes."""
        seconds = self.stopwatch.seconds
        if seconds >= self.next_report:
            self.next_report = seconds + min(max(seconds, _FIRST_REPORT), _LONGEST_PAUSE)
            emit(StillRunning(self.step.service, self.step, seconds, self.pace.doing, self.pace.rate, self.pace.left))


class Watcher:
    """Asks the servers of the running steps what they are busy with, in a thread of its own, while its scope lasts.

    It also lets other processes know how far each step is. A server that does not answer, or not to this user, is not
    asked again, and nothing more is told there: to watch must not disturb what is watched.
    """

    def __init__(self, running: Mapping[str, Running], services: Mapping[str, Service], emit: Emit) -> None:
        self._running = running
        self._services = services
        self._emit = emit
        self._over = threading.Event()
        self._silent: set[str] = set()
        self._mute: set[str] = set()
        self._databases: dict[str, Watches] = {}
        self._thread = threading.Thread(target=self._watch, name="dataops-watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=_ASK_SECONDS)  # a server that hangs does not keep the run from its end

    def _watch(self) -> None:
        with ExitStack() as scope:
            while not self._over.wait(self._pause()):
                for name, running in list(self._running.items()):
                    if running.stopwatch.seconds >= _ASK_SECONDS:
                        self._tell(name, running)
                        self._ask(scope, name, running)

    def _pause(self) -> float:
        longest = max((running.stopwatch.seconds for running in list(self._running.values())), default=0.0)
        return _ASK_SECONDS if longest < _PATIENCE else _ASK_SELDOM_SECONDS

    def _tell(self, name: str, running: Running) -> None:
        if name not in self._mute:
            try:
                running.tell_others()
            except DataopsError:
                self._mute.add(name)

    def _ask(self, scope: ExitStack, name: str, running: Running) -> None:
        if name in self._silent:
            return
        try:
            if name not in self._databases:
                database = scope.enter_context(opened(self._services[name]))
                if not isinstance(database, Watches):
                    self._silent.add(name)
                    return
                self._databases[name] = database
            doing = self._databases[name].doing()
        except DataopsError:
            self._silent.add(name)
            doing = None
        if not self._over.is_set() and self._running.get(name) is running:
            running.busy(doing)
            self._emit(ServerBusy(name, running.step, running.pace.doing))


__all__ = ["Running", "Watcher"]
