"""Runs a plan: it takes the locks, confirms the plan under them, and runs the steps.

First every service of the plan that is no fleet is locked, in the order of their names, and its steps are confirmed.
No step starts as long as one of them might still refuse. Then units run side by side, each after those that it depends
on: a service with its own steps in order, a fleet wave after wave (see `waves`). One failure stops the whole run at the
next step, unless it is in a fleet, which may allow more of them. Steps that succeeded stay applied, and the result
lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from dataops.backends import Locked
from dataops.durations import Stopwatch
from dataops.errors import DataopsError, MigrationFailed, Stopped
from dataops.events import Emit, RunFinished, RunStarted
from dataops.fleet.control import Shared
from dataops.fleet.waves import Course
from dataops.model import Author, Direction, Failure, Plan, Result, Service, Step
from dataops.planning import planner
from dataops.run.confirming import confirm, taken
from dataops.run.gates import Ask
from dataops.run.reading import AT_ONCE, side_by_side
from dataops.run.steps import run_steps
from dataops.run.stop import StopSignal
from dataops.run.watching import Watcher
from dataops.run.waves import Waves
from dataops.run.work import Failures, Work

_WAKE_SECONDS = 0.5


def execute(
    plan: Plan,
    author: Author,
    *,
    emit: Emit,
    stop: StopSignal,
    lock_timeout: float | None = None,
    jobs: int | None = None,
    courses: Mapping[str, Course] | None = None,
    ask: Ask | None = None,
    shared: Shared | None = None,
) -> Result:
    """Run the steps of a plan. Raises an error when it refuses before the first step; a failed step is in the result.

    `lock_timeout` (seconds) replaces the timeout of every service. `jobs` is how many databases are changed at once, by
    default 16. `courses` are the waves of fleets by their names, of which `shared` says what this process does; a
    database of a fleet that is not in them is a service like any other. `ask` asks a person between waves.
    """
    limits = {unit: course.halt_after for unit, course in (courses or {}).items()}
    work = Work(plan, author, emit, stop, lock_timeout, Failures(limits))
    return _Execution(work, courses or {}, jobs or AT_ONCE, ask, shared).run()


class _Execution:
    """One run of one plan."""

    def __init__(
        self, work: Work, courses: Mapping[str, Course], jobs: int, ask: Ask | None, shared: Shared | None
    ) -> None:
        self._work = work
        self._courses = courses
        self._jobs = jobs
        self._ask = ask
        self._shared = shared
        plan = work.plan
        names = {*(step.service for step in plan.steps), *planner.to_complete(plan)}
        self._services = {state.service.name: state.service for state in plan.states if state.service.name in names}
        self._alone = {name: one for name, one in sorted(self._services.items()) if not self._is_in_waves(one)}
        self._scopes = {name: ExitStack() for name in self._alone}
        self._waited_in_vain = False
        self._held: list[Failure] = []

    def run(self) -> Result:
        work, stopwatch = self._work, Stopwatch()
        work.emit(RunStarted(run=work.author.run, steps=len(work.plan.steps), plan=work.plan))
        work.stop.begin_work()
        for name, error in work.plan.troubles.items():
            work.failures.add(Failure(name, None, error))
        if self._shared is not None:
            self._remember(self._shared)
        with ExitStack() as everything:
            for scope in self._scopes.values():
                everything.enter_context(scope)
            # The order is always that of the names, so that two runs never wait for each other.
            locked = {name: self._scopes[name].enter_context(taken(work, one)) for name, one in self._alone.items()}
            side_by_side(lambda one: confirm(work, one), list(locked.values()))
            self._run_units(locked)
        failures = (*work.failures.found, *self._held)
        remaining = [step for step in self._wanted() if step.id not in work.done]
        failed = {failure.step for failure in failures}
        result = Result(
            run=work.author.run,
            plan=work.plan,
            done=tuple(work.done.values()),
            failures=failures,
            left=tuple(step for step in remaining if step not in failed),
            seconds=stopwatch.seconds,
            stopped=work.stop() and (bool(remaining) or self._waited_in_vain) and (work.stop.aborted or not failures),
        )
        work.emit(RunFinished(result=result))
        return result

    def _wanted(self) -> Iterator[Step]:
        """The steps to do: those that were left under the lock, or of the plan where it did not come to that."""
        planned: dict[str, list[Step]] = {name: [] for name in (*self._alone, *self._services)}
        for step in self._work.plan.steps:
            planned[step.service].append(step)
        for name, steps in planned.items():
            yield from self._work.confirmed.get(name, steps)

    def _is_in_waves(self, service: Service) -> bool:
        return service.member is not None and service.unit in self._courses

    def _remember(self, shared: Shared) -> None:
        """What has failed in a process whose place this one takes has failed in this one too."""
        for name in shared.failed_here:
            lost = MigrationFailed(
                "it has failed in an earlier process of this shard",
                service=name,
                hint="it is tried again when all shards run again, after this rollout has ended",
            )
            self._work.failures.add(Failure(name, None, lost))

    def _run_units(self, locked: Mapping[str, Locked]) -> None:
        units = dict.fromkeys(self._courses) if self._shared is not None else {}
        units |= dict.fromkeys(one.unit if self._is_in_waves(one) else name for name, one in self._services.items())
        waiting = {unit: self._after(unit) & set(units) for unit in units}
        ended: set[str] = set()
        with (
            Watcher(self._work.running, self._services, self._work.emit),
            ThreadPoolExecutor(max_workers=self._jobs) as pool,
            ThreadPoolExecutor(max_workers=max(1, len(units))) as overseers,
        ):
            running: dict[Future[None], str] = {}
            while waiting or running:
                for unit in [unit for unit, others in waiting.items() if others <= ended]:
                    del waiting[unit]
                    running[overseers.submit(self._run_unit, unit, locked, pool)] = unit
                # Wake up now and then, to handle signals and to report what is still running.
                for future in wait(running, timeout=_WAKE_SECONDS, return_when=FIRST_COMPLETED).done:
                    ended.add(running.pop(future))
                    future.result()
                for step in list(self._work.running.values()):
                    step.report(self._work.emit)

    def _after(self, unit: str) -> set[str]:
        """The units that have to end first: those that this one depends on, or, in a rollback, the dependents."""
        if unit in self._courses:
            return set(self._courses[unit].after)
        if self._work.plan.direction is Direction.APPLY:
            return set(self._services[unit].depends_on)
        return {other.name for other in self._services.values() if unit in other.depends_on}

    def _run_unit(self, unit: str, locked: Mapping[str, Locked], pool: ThreadPoolExecutor) -> None:
        try:
            if not self._may_begin(unit):
                return
            if unit in locked:
                work = pool.submit(self._run_service, locked[unit])
                while self._shared is not None and wait([work], timeout=_WAKE_SECONDS).not_done:
                    if self._shared.halted() is not None:  # by another process: the running step is the last one
                        self._work.failures.stop_all()
                work.result()
            elif unit in self._courses and self._courses[unit].service.member is not None:
                mine = {name: one for name, one in self._services.items() if one.unit == unit}
                Waves(self._work, self._courses[unit], mine, pool, self._ask, self._shared).run()
            if self._shared is not None and unit in self._courses and self._courses[unit].service.member is None:
                self._tell(self._shared, unit)
                halted = self._shared.halted()
                if halted is not None and self._work.failures.enough and not self._work.failures.found:
                    self._work.failures.add(Failure(unit, None, halted))
        except Stopped:  # between two waves, where other processes may go on although nothing is left here
            self._waited_in_vain = True
        except DataopsError as error:  # the control database, or the others, for too long
            self._work.failures.add(Failure(unit, None, error))
            self._work.failures.stop_all()
        except BaseException:
            self._work.failures.stop_all()  # a bug: whatever still runs ends its step
            raise

    def _may_begin(self, unit: str) -> bool:
        """Whether all is done on which this unit depends, also by the processes that share the run."""
        after = self._after(unit)
        if self._shared is None:
            return not any(self._work.failures.of(other) for other in after)
        for other in after & set(self._courses):
            self._shared.await_unit(other)
        failed = [error for other in sorted(after) if (error := self._shared.held_by(other, unit)) is not None]
        if failed:
            self._shared.skip(unit)
            # A failure of this run, where something is left to do and it has none of its own, but not one that halts.
            if any(one.unit == unit for one in self._services.values()) and not self._work.failures.found:
                self._held.append(Failure(unit, None, failed[0]))
            return False
        return True

    def _tell(self, shared: Shared, unit: str) -> None:
        """Let the other processes know how a service ended that is no fleet, and that only one of them has."""
        for name in self._work.failures.of(unit):
            shared.failed(name)
        if not self._work.ends():
            shared.end(unit, 0, int(unit in self._work.confirmed))

    def _run_service(self, locked: Locked) -> None:
        name = locked.database.service.name
        try:
            with self._scopes[name]:  # releases the lock when this service is done, not when the slowest one is
                run_steps(self._work, locked, self._work.confirmed[name])
        except DataopsError as error:  # of the lock: the processes that share the run have to know
            self._work.failures.add(Failure(name, None, error))


__all__ = ["execute"]
