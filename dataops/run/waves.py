"""Runs the plan of a fleet wave after wave.

In a wave each database is locked, confirmed, changed and released by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from dataops.backends import opened
from dataops.durations import Stopwatch
from dataops.errors import DataopsError, StalePlan, Stopped
from dataops.events import WaveFinished, WaveStarted
from dataops.fleet.control import Shared
from dataops.fleet.waves import Course
from dataops.model import Failure, Service, Wave
from dataops.run.confirming import confirm, taken
from dataops.run.gates import Ask, Gate
from dataops.run.steps import run_steps
from dataops.run.work import Work

_WAKE_SECONDS = 0.5


@dataclass
class Waves:
    """One fleet in a run. `services` are those of its databases in which something is to do, by name.

    `shared` is what it shares with other processes, None where it does all by itself.
    """

    work: Work
    course: Course
    services: Mapping[str, Service]
    pool: ThreadPoolExecutor
    ask: Ask | None = None
    shared: Shared | None = None
    _told: set[str] = field(default_factory=set, init=False)

    def run(self) -> None:
        """Run the waves. What comes of it is in `work`: an error of one database is a failure of that one only.

        Raises Stopped where a signal comes between two waves, and what the control database raises.
        """
        self._tell()  # what could not even be planned
        last: float | None = None
        for at, (wave, rule) in enumerate(zip(self.course.waves, self.course.rules, strict=True)):
            failed = self.work.failures.of(self.course.unit)  # also in a process whose place this one takes
            mine = [name for name in wave if name in self.services and name not in failed]
            if self.shared is None and not mine:
                continue
            if self.work.ends():
                return
            since = self._since_earlier_runs(at, rule) if last is None else time.monotonic() - last
            if not self._may_begin(at, rule, since):
                return
            if mine and not (self.shared is not None and self.shared.has_ended(self.course.unit, at)):
                self._run_wave(at, mine)
            if self.work.ends():
                return
            if self.shared is not None:
                if any(later.pause for later in self.course.rules[at + 1 :]):
                    self.shared.changed(self.course.unit, at, self._since_any(wave))
                self.shared.end(self.course.unit, at, sum(name in self.work.confirmed for name in mine))
            last = time.monotonic() if mine else last

    def _since_earlier_runs(self, at: int, rule: Wave) -> float | None:
        """How many seconds ago an earlier run has changed a wave before `at`: its end may have cut a pause short."""
        return self._since_any([name for wave in self.course.waves[:at] for name in wave]) if rule.pause else None

    def _since_any(self, names: Sequence[str]) -> float | None:
        """How many seconds ago one of these databases was changed last, by this run or an earlier one."""
        wanted = frozenset(names)
        if any(step.service in wanted for step in list(self.work.done.values())):
            return 0.0
        states = [state for state in self.work.plan.states if state.service.name in wanted]
        times = [applied.at.timestamp() for state in states for applied in state.applied if applied.at is not None]
        return max(0.0, time.time() - max(times)) if times else None

    def _may_begin(self, at: int, rule: Wave, since: float | None) -> bool:
        """Come back when wave `at` may begin. False where it does not: that is a failure, or it was stopped."""
        unit = self.course.unit

        def opens(since: float | None) -> None:
            before = self.shared.waves[unit][:at] if self.shared is not None else self.course.waves[:at]
            changed = [name for wave in before for name in wave]
            seconds = self.shared.timeout if self.shared is not None else 0.0
            gate = Gate(self.course.service, self.work.author.run, self.work.emit, self.work.stop, self.ask, seconds)
            gate.open(at + 1, rule, changed, since)

        try:
            if self.shared is not None:
                self.shared.await_wave(unit, at, opens)
            else:
                opens(since)
        except Stopped as error:
            if self.work.stop():
                raise
            self.work.failures.add(Failure(unit, None, error))  # a person has said no
            self.work.failures.stop_all()
            return False
        except DataopsError as error:
            self.work.failures.add(Failure(unit, None, error))
            self.work.failures.stop_all()
            return False
        return True

    def _run_wave(self, at: int, names: Sequence[str]) -> None:
        number, of, stopwatch = at + 1, len(self.course.waves), Stopwatch()
        self.work.emit(WaveStarted(self.course.unit, number, of, len(names)))
        begun = [self.pool.submit(self._run_one, self.services[name]) for name in names]
        while wait(begun, timeout=_WAKE_SECONDS).not_done:
            self._tell()
        for future in begun:
            future.result()
        self._tell()
        failed = self.work.failures.of(self.course.unit) & set(names)
        done = sum(all(step.id in self.work.done for step in self.work.confirmed[n]) for n in names if self._ran(n))
        self.work.emit(WaveFinished(self.course.unit, number, of, done, len(failed), stopwatch.seconds))

    def _ran(self, name: str) -> bool:
        return name in self.work.confirmed and name not in self.work.failures.of(self.course.unit)

    def _tell(self) -> None:
        """Tell the other processes what has failed here, and stop where they have had enough."""
        if self.shared is None:
            return
        # What fails for the unit as a whole, such as that the others have had enough, is no failure of a database.
        for name in self.work.failures.of(self.course.unit) - self._told - {self.course.unit}:
            self.shared.failed(name)
            self._told.add(name)
        halted = self.shared.halted()
        if halted is not None and not self.work.failures.enough:
            self.work.failures.add(Failure(self.course.unit, None, halted))
            self.work.failures.stop_all()

    def _refuse_vanished(self, service: Service) -> None:
        """Raise StalePlan for a database that is gone, where the first write would make it again."""
        before = self.work.plan.state(service.name)
        if service.kind.application_creates and before.applied:
            with opened(service) as database:
                if not database.read().applied:
                    raise StalePlan(
                        "nothing is applied here any more: was the database dropped after it was planned?",
                        service=service.name,
                        hint="nothing was done to it; if it is gone, take it out of the list, and run again",
                    )

    def _run_one(self, service: Service) -> None:
        if self.work.ends():
            return
        try:
            self._refuse_vanished(service)
            with taken(self.work, service) as locked:
                run_steps(self.work, locked, confirm(self.work, locked))
        except Stopped as error:
            if not self.work.stop():
                self.work.failures.add(Failure(service.name, None, error))
        except DataopsError as error:
            error.service = error.service or service.name
            self.work.failures.add(Failure(service.name, None, error))
        except BaseException:
            self.work.failures.stop_all()  # a bug: whatever still runs ends its step
            raise


__all__ = ["Waves"]
