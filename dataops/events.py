"""What happens in a run, as values. Each event is emitted once, and every sink gets it: terminal, log, traces, ..."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dataops.durations import Stopwatch, clock
from dataops.model import Details, Doing, Plan, Result, Step
from dataops.redaction import describe
from dataops.text import counted


@dataclass(frozen=True)
class Event:
    """The base of all events. `service` is "" for the run as a whole."""

    service: str = ""


@dataclass(frozen=True)
class RunStarted(Event):
    run: str = ""
    steps: int = 0
    plan: Plan | None = None


@dataclass(frozen=True)
class ServerAwaited(Event):
    """The server does not answer yet, and is asked again."""

    reason: str = ""


@dataclass(frozen=True)
class LockAwaited(Event):
    """Somebody else holds the lock, and we wait for it. Emitted once for each holder."""

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
    """`done` of `total` (None: unknown) `unit`s of the running step. `changed`, where that is another number."""

    step: Step | None = None
    done: int = 0
    total: int | None = None
    unit: str = "documents"
    changed: int | None = None


@dataclass(frozen=True)
class StillRunning(Event):
    """Emitted at growing intervals while a step runs: after 5 s, 10 s, 20 s, and at last every 10 minutes.

    `rate` is how many units are done in a second, and `left` how many seconds it will still take; None where that is
    not known.
    """

    step: Step | None = None
    seconds: float = 0.0
    doing: Doing = field(default_factory=Doing)
    rate: float | None = None
    left: float | None = None


@dataclass(frozen=True)
class ServerBusy(Event):
    """What the server of a running step was busy with when it was asked. Only for displays."""

    step: Step | None = None
    doing: Doing = field(default_factory=Doing)


@dataclass(frozen=True)
class BackfillPaused(Event):
    """A backfill of the running step gives way, for longer than a moment, for this reason."""

    step: Step | None = None
    reason: str = ""


@dataclass(frozen=True)
class BackfillResumed(Event):
    """A backfill of the running step goes on, after so many seconds."""

    step: Step | None = None
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class StepRetried(Event):
    """The server took the step back for a reason that may pass, and it is tried again after `seconds`."""

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
    """`stopped`: it ended where it could, because the run was asked to stop."""

    step: Step | None = None
    seconds: float = 0.0
    error: str = ""
    details: Details = field(default_factory=Details)
    stopped: bool = False


@dataclass(frozen=True)
class WaveAwaited(Event):
    """A wave of a fleet, `service`, does not begin yet, for this reason."""

    wave: int = 0
    reason: str = ""


@dataclass(frozen=True)
class WaveStarted(Event):
    """Wave number `wave` of `waves` begins in a fleet, `service`, with so many databases that have something to do."""

    wave: int = 0
    waves: int = 0
    databases: int = 0


@dataclass(frozen=True)
class WaveFinished(Event):
    """A wave has ended: so many databases are done, and so many failed. The others were not begun or not ended."""

    wave: int = 0
    waves: int = 0
    done: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Warned(Event):
    message: str = ""


@dataclass(frozen=True)
class StopRequested(Event):
    """A signal asks the run to stop. `now` says that it was the second one, so that the run stops at once."""

    signal: str = ""
    now: bool = False


@dataclass(frozen=True)
class RunFinished(Event):
    result: Result | None = None


Emit = Callable[[Event], None]


class Pace:
    """How far a step has come, and how fast its present phase goes: another total or unit is another phase."""

    def __init__(self) -> None:
        self.doing = self._first = Doing()
        self._clock = Stopwatch()

    def set(self, doing: Doing) -> None:
        """How far it is now."""
        if (doing.what, doing.unit, doing.total) != (self._first.what, self._first.unit, self._first.total):
            self._first, self._clock = doing, Stopwatch()
        self.doing = doing

    @property
    def rate(self) -> float | None:
        """How many a second, since this phase began; None where that cannot be seen yet."""
        seconds, done = self._clock.seconds, self.doing.done - self._first.done
        return done / seconds if done > 0 and seconds >= 1 else None

    @property
    def left(self) -> float | None:
        """How many seconds it will still take at this speed; None where the total or the speed is not known."""
        return self.told.left

    @property
    def told(self) -> Doing:
        """How far it is, with its speed."""
        return replace(self.doing, rate=self.rate)


def sentence(event: Event) -> str:
    """An event in words, for people and for logs. "" for progress, which is emitted many times a second."""
    make = _SENTENCES.get(type(event))
    return make(event) if make else ""


def name(event: Event) -> str:
    """The name of an event in logs and traces, for example `step_started`."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", type(event).__name__).lower()


def _what(event: Any) -> str:
    step = event.step
    return f"{event.service}: {step.direction.value} {step.migration.id}" if step else str(event.service)


def _end(result: Result | None) -> str:
    if result is None:
        return "run ended"
    counts = f"{len(result.done)} done, {len(result.failures)} failed, {len(result.left)} left ({result.seconds:.1f} s)"
    return f"run {result.run} {'stopped' if result.stopped else 'ended'}: {counts}"


_SENTENCES: dict[type[Event], Callable[[Any], str]] = {
    RunStarted: lambda e: f"run {e.run}: {counted(e.steps, 'step')}",
    ServerAwaited: lambda e: f"{e.service}: waiting for the server: {e.reason}",
    LockAwaited: lambda e: f"{e.service}: waiting for the lock of {e.holder}",
    LockTaken: lambda e: f"{e.service}: has the lock",
    NothingLeft: lambda e: f"{e.service}: nothing left to do, another run did it",
    StepStarted: lambda e: f"{_what(e)} …",
    StillRunning: lambda e: ", ".join(
        filter(None, (f"{_what(e)} still running", clock(e.seconds), replace(e.doing, rate=e.rate).words))
    ),
    BackfillPaused: lambda e: f"{_what(e)} waits: {e.reason}",
    BackfillResumed: lambda e: f"{_what(e)} goes on after {clock(e.seconds)}",
    StepRetried: lambda e: f"{_what(e)} rolled back, again in {e.seconds:.1f} s (attempt {e.attempt}): {e.reason}",
    StepFinished: lambda e: f"{_what(e)} done ({e.seconds:.2f} s)",
    StepFailed: lambda e: f"{_what(e)} {'stopped' if e.stopped else 'FAILED'} ({e.seconds:.2f} s)",
    WaveAwaited: lambda e: f"{e.service}: wave {e.wave} waits: {e.reason}",
    WaveStarted: lambda e: f"{e.service}: wave {e.wave} of {e.waves}: {counted(e.databases, 'database')}",
    WaveFinished: lambda e: (
        f"{e.service}: wave {e.wave} of {e.waves} ended: {e.done} done"
        f"{f', {e.failed} failed' if e.failed else ''} ({e.seconds:.1f} s)"
    ),
    Warned: lambda e: f"warning: {e.message}",
    StopRequested: lambda e: (
        f"{e.signal}: stopping now" if e.now else f"{e.signal}: stopping after the running steps; again to stop now"
    ),
    RunFinished: lambda e: _end(e.result),
}


class Broadcast:
    """Hands each event to every sink. A sink that raises is reported once and dropped: output must not stop a run."""

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
                    if sink in self._sinks:  # a sink that emits events itself may have been dropped meanwhile
                        self._sinks.remove(sink)
                        self._drop(f"output dropped: {describe(error)}")

    def _drop(self, message: str) -> None:
        try:
            self._report(message)
        except (OSError, ValueError):  # ValueError: the stream is closed
            return  # stderr is closed too, so there is nowhere to report that
