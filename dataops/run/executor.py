"""Runs a plan: lock, confirm under the lock, then step, step, step.

First every service of the plan is locked, in the order of their names, and confirmed: nothing starts while any of them
might refuse. Then services run side by side, each its own steps in order and after those it depends on. One failure
stops the whole run at the next step. Steps that succeeded stay applied, and the result lists them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field

from dataops.backends import Backend, StillHeld, connect, load_module
from dataops.errors import DataopsError, LockLost, MigrationFailed, Stopped, Unreachable
from dataops.events import (
    Emit,
    LockAwaited,
    LockTaken,
    NothingLeft,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgressed,
    StepRetried,
    StepStarted,
    StillRunning,
)
from dataops.model import Author, Direction, Failure, JournalEvent, Plan, Result, Service, Step
from dataops.othertools import mirror
from dataops.planning import planner, recovery
from dataops.run.reading import _WAKE_SECONDS, side_by_side
from dataops.run.stop import StopSignal

_TELL_SECONDS = 60.0


def execute(
    plan: Plan,
    author: Author,
    *,
    emit: Emit,
    stop: StopSignal,
    lock_timeout: float | None = None,
    jobs: int | None = None,
) -> Result:
    """Do what the plan says. Raises what refuses it before anything was done; a failing step is in the Result."""
    return _Execution(plan, author, emit, stop, lock_timeout, jobs).run()


class _Execution:
    def __init__(
        self,
        plan: Plan,
        author: Author,
        emit: Emit,
        stop: StopSignal,
        lock_timeout: float | None,
        jobs: int | None,
    ) -> None:
        self._plan = plan
        self._author = author
        self._emit = emit
        self._stop = stop
        self._lock_timeout = lock_timeout
        self._jobs = jobs
        self._failed = threading.Event()
        names = {*(step.service for step in plan.steps), *planner.to_complete(plan)}
        self._services = [state.service for state in plan.states if state.service.name in names]
        self._backends = {service.name: connect(service) for service in self._services}
        self._done: list[Step] = []
        self._failures: list[Failure] = []
        self._running: dict[str, _Running] = {}
        self._scopes = {service.name: ExitStack() for service in self._services}

    def run(self) -> Result:
        began = time.monotonic()
        self._emit(RunStarted(run=self._author.run, steps=len(self._plan.steps), plan=self._plan))
        self._stop.on_abort(self._abort)
        with ExitStack() as everything:
            for name, backend in self._backends.items():
                everything.callback(backend.close)
                everything.enter_context(self._scopes[name])
            # In the order of their names, whatever was chosen: two runs never wait for each other.
            by_name = sorted(self._services, key=lambda service: service.name)
            held = {service.name: self._locked(service) for service in by_name}
            left = dict(zip(held, side_by_side(self._confirmed, by_name), strict=True))
            self._run_services(held, left)
        remaining = tuple(step for steps in left.values() for step in steps if step not in self._done)
        failed = {failure.step for failure in self._failures}
        result = Result(
            run=self._author.run,
            plan=self._plan,
            done=tuple(self._done),
            failures=tuple(self._failures),
            left=tuple(step for step in remaining if step not in failed),
            seconds=time.monotonic() - began,
            stopped=self._stop() and bool(remaining) and (self._stop.aborted or not self._failures),
        )
        self._emit(RunFinished(result=result))
        return result

    def _locked(self, service: Service) -> StillHeld:
        if self._stop():
            raise Stopped("stopped before the first step", service=service.name)
        timeout = service.timeouts.lock if self._lock_timeout is None else self._lock_timeout
        held = self._scopes[service.name].enter_context(
            self._backends[service.name].lock(
                self._author,
                timeout=timeout,
                waiting=lambda holder: self._emit(LockAwaited(service.name, holder=str(holder or "somebody"))),
                stop=self._stop,
            )
        )
        self._emit(LockTaken(service.name))
        return held

    def _confirmed(self, service: Service) -> tuple[Step, ...]:
        backend = self._backends[service.name]
        state = backend.read()
        left = planner.confirm(self._plan, state)
        for step in left:
            load_module(service, step.migration)  # a file that cannot be imported stops the run before it begins
        ended = recovery.missing_end(state)
        if ended is not None:
            backend.write(ended)
        if service.mirror:
            backend.mirror(mirror.rows_missing(state))
        if not left and self._plan.of(service.name):
            self._emit(NothingLeft(service.name))
        return left

    def _run_services(self, held: Mapping[str, StillHeld], left: Mapping[str, tuple[Step, ...]]) -> None:
        waiting = {name: self._after(name) & set(left) for name in left}
        finished: set[str] = set()
        with ThreadPoolExecutor(max_workers=max(1, self._jobs or len(left))) as pool:
            running: dict[Future[None], str] = {}
            while waiting or running:
                for name in [name for name, others in waiting.items() if others <= finished]:
                    del waiting[name]
                    running[pool.submit(self._run_service, name, held[name], left[name])] = name
                # Wake up now and then, to take signals and to tell what is running.
                for future in wait(running, timeout=_WAKE_SECONDS, return_when=FIRST_COMPLETED).done:
                    finished.add(running.pop(future))
                    future.result()
                for step in list(self._running.values()):
                    step.tell(self._emit)

    def _after(self, name: str) -> set[str]:
        """The services whose steps come before this one's: what it depends on, or the other way round to undo."""
        by_name = {service.name: service for service in self._services}
        if self._plan.direction is Direction.APPLY:
            return set(by_name[name].depends_on)
        return {other.name for other in self._services if name in other.depends_on}

    def _run_service(self, name: str, still_held: StillHeld, steps: tuple[Step, ...]) -> None:
        with self._scopes[name]:  # the lock goes when this service is done, not when the slowest one is
            self._run_steps(name, still_held, steps)

    def _run_steps(self, name: str, still_held: StillHeld, steps: tuple[Step, ...]) -> None:
        backend = self._backends[name]
        before = len(self._plan.of(name)) - len(steps)
        if self._plan.direction is Direction.APPLY:
            before += len(self._plan.state(name).applied)
        for at, step in enumerate(steps):
            if self._stop() or self._failed.is_set():
                return
            began = time.monotonic()
            try:
                still_held()
                self._run_step(backend, step)
            except Stopped as error:
                self._note_failure(backend, step, time.monotonic() - began, error.message)
                self._emit(StepFailed(name, step, time.monotonic() - began, error.message))
                return
            except (Exception, SystemExit) as error:  # noqa: BLE001
                self._failed.set()
                seconds = time.monotonic() - began
                text = error.message if isinstance(error, DataopsError) else backend.error_text(error)
                noted = self._note_failure(backend, step, seconds, text)
                explained = self._explain(step, error, text) if noted else self._unnoted(step, error, text)
                self._failures.append(Failure(name, step, explained, before + at))
                self._emit(StepFailed(name, step, seconds, text))
                return
        if steps:
            self._verify(backend, name, steps)

    def _run_step(self, backend: Backend, step: Step) -> None:
        name, author = step.service, self._author
        backend.write(author.entry(step.migration, step.direction, JournalEvent.STARTED))
        self._emit(StepStarted(name, step))
        running = self._running[name] = _Running(step)

        def report(count: int, total: int | None, unit: str) -> None:
            running.done, running.total, running.unit = count, total, unit
            self._emit(StepProgressed(name, step, count, total, unit))

        try:
            seconds = backend.run(
                step,
                author.entry(step.migration, step.direction, JournalEvent.SUCCEEDED),
                report=report,
                retrying=lambda attempt, pause, why: self._await_retry(step, attempt, pause, why),
            )
        finally:
            del self._running[name]
        self._done.append(step)
        self._emit(StepFinished(name, step, seconds))

    def _await_retry(self, step: Step, attempt: int, pause: float, why: str) -> None:
        self._emit(StepRetried(step.service, step, attempt, pause, why))
        self._stop.pause(pause)
        if self._stop():
            raise Stopped("stopped before it was tried again", service=step.service)

    def _explain(self, step: Step, error: BaseException, text: str) -> DataopsError:
        if isinstance(error, DataopsError):
            error.service = error.service or step.service
            return error
        happened = (
            f"The change was rolled back. {step.migration.id} is as it was before."
            if step.migration.atomic
            else f"What {step.migration.id} did before the error stays; it counts as not {_done(step)}."
        )
        failed = MigrationFailed(
            f"{step.direction.value} {step.migration.id} failed\n  {text}\n  {happened}",
            service=step.service,
            migration=step.migration.id,
            hint="mend the cause and run again",
        )
        failed.__cause__ = error
        return failed

    def _unnoted(self, step: Step, error: BaseException, text: str) -> DataopsError:
        """The database is out of reach, so that its journal goes on saying *started*: nobody can say what is true."""
        if isinstance(error, LockLost | Unreachable):
            error.service = error.service or step.service
            return error
        lost = LockLost(
            f"{step.direction.value} {step.migration.id} failed, and the journal cannot be told\n  {text}",
            service=step.service,
            migration=step.migration.id,
        )
        lost.__cause__ = error
        return lost

    def _note_failure(self, backend: Backend, step: Step, seconds: float, text: str) -> bool:
        """Whether the journal could be told."""
        entry = self._author.entry(
            step.migration, step.direction, JournalEvent.FAILED, seconds=round(seconds, 3), error=text
        )
        try:
            backend.write(entry)
        except (LockLost, Unreachable):
            return False
        return True

    def _verify(self, backend: Backend, name: str, steps: tuple[Step, ...]) -> None:
        """Read the record back on a fresh connection: a change that was never committed must not look like one."""
        try:
            applied = backend.read().applied_ids
        except DataopsError as error:
            self._failed.set()
            self._failures.append(Failure(name, None, error, len(steps)))
            return
        wrong = [
            s for s in steps if s in self._done and (s.migration.id in applied) is not (s.direction is Direction.APPLY)
        ]
        if wrong:
            self._failed.set()
            lost = MigrationFailed(
                f"{wrong[0].migration.id} was run, but the record does not show it",
                service=name,
                migration=wrong[0].migration.id,
                hint="was the record changed by another tool meanwhile? see dataops history",
            )
            self._failures.append(Failure(name, wrong[0], lost))
            self._done = [step for step in self._done if step not in wrong]

    def _abort(self) -> None:
        for backend in self._backends.values():
            backend.abort()


@dataclass
class _Running:
    step: Step
    began: float = field(default_factory=time.monotonic)
    told: float = 0.0
    done: int = 0
    total: int | None = None
    unit: str = ""

    def tell(self, emit: Emit) -> None:
        seconds = time.monotonic() - self.began
        if seconds - self.told >= _TELL_SECONDS:
            self.told = seconds
            emit(StillRunning(self.step.service, self.step, seconds, self.done, self.total, self.unit))


def _done(step: Step) -> str:
    return "applied" if step.direction is Direction.APPLY else "rolled back"
