"""What happened, as values. Told once, heard by every sink: console, log, tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from dataops.model import Result, Step


@dataclass(frozen=True)
class Event:
    """The base: which service, "" for the run as a whole."""

    service: str = ""


@dataclass(frozen=True)
class RunStarted(Event):
    run: str = ""
    steps: int = 0


@dataclass(frozen=True)
class ServerAwaited(Event):
    """The server does not answer yet; we go on trying."""

    reason: str = ""


@dataclass(frozen=True)
class LockAwaited(Event):
    """Somebody else holds the lock; we poll. Told once per holder."""

    holder: str = ""


@dataclass(frozen=True)
class LockTaken(Event):
    pass


@dataclass(frozen=True)
class NothingLeft(Event):
    """Under the lock there was nothing left to do: another run did it."""


@dataclass(frozen=True)
class StepStarted(Event):
    step: Step | None = None


@dataclass(frozen=True)
class StepProgressed(Event):
    """`done` of `total` (None: unknown) `unit`s of the running step."""

    step: Step | None = None
    done: int = 0
    total: int | None = None
    unit: str = "documents"


@dataclass(frozen=True)
class StillRunning(Event):
    """Told once a minute while a step runs."""

    step: Step | None = None
    seconds: float = 0.0
    done: int = 0
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True)
class StepRetried(Event):
    """The step was rolled back because it could not get a table lock in time; tried again after `seconds`."""

    step: Step | None = None
    attempt: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class StepFinished(Event):
    step: Step | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class StepFailed(Event):
    step: Step | None = None
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Warned(Event):
    message: str = ""


@dataclass(frozen=True)
class StopRequested(Event):
    """A signal arrived; `now` when it was the second one."""

    signal: str = ""
    now: bool = False


@dataclass(frozen=True)
class RunFinished(Event):
    result: Result | None = None


Emit = Callable[[Event], None]


class Broadcast:
    """Tells every sink. One that raises is reported once and dropped: a closed pipe never stops a migration."""

    def __init__(self, *sinks: Emit, report: Callable[[str], None] = lambda _: None) -> None:
        self._sinks = list(sinks)
        self._report = report
        self._mutex = threading.RLock()

    def __call__(self, event: Event) -> None:
        with self._mutex:
            for sink in list(self._sinks):
                try:
                    sink(event)
                except Exception as error:  # noqa: BLE001
                    if sink in self._sinks:  # else it told an event itself, and that one failed before this one
                        self._sinks.remove(sink)
                        self._drop(f"output dropped: {type(error).__name__}: {error}")

    def _drop(self, message: str) -> None:
        try:
            self._report(message)
        except (OSError, ValueError):  # ValueError: the stream is closed
            return  # the report goes where the sink went; there is nobody left to tell
