"""Runs a plan: it takes the locks, confirms the plan under them, and runs the steps.

First every service of the plan is locked, in the order of their names, and its steps are confirmed. No step starts as
long as a service might still refuse. Then services run side by side, each after the services that it depends on, and
each with its own steps in order. One failure stops the whole run at the next step. Steps that succeeded stay applied,
and the result lists them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeVar

from dataops import backends
from dataops.backends import Database, HalfDone, Locked, Mirrors, RolledBack, Tells, connect
from dataops.backends.loading import load_module, place_of, traceback_from
from dataops.backends.locking import begin_under_lock
from dataops.backfill.around import Around, surrounded
from dataops.durations import Stopwatch
from dataops.errors import (
    DataopsError,
    InterruptedStep,
    LockLost,
    LockNotObtained,
    MigrationFailed,
    PermissionDenied,
    Stopped,
    Unreachable,
)
from dataops.events import (
    BackfillPaused,
    BackfillResumed,
    Emit,
    LockTaken,
    NothingLeft,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgressed,
    StepRetried,
    StepStarted,
    Warned,
)
from dataops.files import imports
from dataops.model import (
    HALF_DONE,
    MIRRORED_TO,
    Author,
    Backfill,
    Details,
    Direction,
    Entry,
    Failure,
    JournalEvent,
    Plan,
    Result,
    Service,
    State,
    Step,
)
from dataops.othertools.mirror import rows_missing
from dataops.othertools.refusals import refuse_running
from dataops.planning import planner
from dataops.planning.recovery import decisions
from dataops.progress import reporting
from dataops.redaction import redact
from dataops.run import retry
from dataops.run.reading import side_by_side
from dataops.run.stop import StopSignal
from dataops.run.under_lock import hold_lock
from dataops.run.watching import Running, Watcher

_WAKE_SECONDS = 0.5
_POLL_SECONDS = 0.3

T = TypeVar("T")


def execute(
    plan: Plan,
    author: Author,
    *,
    emit: Emit,
    stop: StopSignal,
    lock_timeout: float | None = None,
    jobs: int | None = None,
) -> Result:
    """Run the steps of a plan. Raises an error when it refuses before the first step; a failed step is in the result.

    `lock_timeout` (seconds) replaces the timeout of every service. `jobs` is how many services run at once, by default
    all of them.
    """
    return _Execution(plan, author, emit, stop, lock_timeout, jobs).run()


class _Execution:
    """One run of one plan."""

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
        self._scopes = {service.name: ExitStack() for service in self._services}
        self._done: list[Step] = []
        self._failures: list[Failure] = []
        self._running: dict[str, Running] = {}

    def run(self) -> Result:
        stopwatch = Stopwatch()
        self._emit(RunStarted(run=self._author.run, steps=len(self._plan.steps), plan=self._plan))
        self._stop.begin_work()
        with ExitStack() as everything:
            for scope in self._scopes.values():
                everything.enter_context(scope)
            # The order is always that of the names, so that two runs never wait for each other.
            by_name = sorted(self._services, key=lambda service: service.name)
            locked = [self._lock(service) for service in by_name]
            steps = side_by_side(self._confirm, locked)
            left = {service.name: mine for service, mine in zip(by_name, steps, strict=True)}
            self._run_services({one.database.service.name: one for one in locked}, left)
        remaining = tuple(step for mine in left.values() for step in mine if step not in self._done)
        failed = {failure.step for failure in self._failures}
        result = Result(
            run=self._author.run,
            plan=self._plan,
            done=tuple(self._done),
            failures=tuple(self._failures),
            left=tuple(step for step in remaining if step not in failed),
            seconds=stopwatch.seconds,
            stopped=self._stop() and bool(remaining) and (self._stop.aborted or not self._failures),
        )
        self._emit(RunFinished(result=result))
        return result

    def _lock(self, service: Service) -> Locked:
        if self._stop():
            raise Stopped("stopped before the first step", service=service.name)
        scope, database = self._scopes[service.name], connect(service)
        scope.callback(database.close)
        locked = scope.enter_context(
            hold_lock(database, self._author, emit=self._emit, stop=self._stop, timeout=self._lock_timeout)
        )
        self._emit(LockTaken(service.name))
        return locked

    def _confirm(self, locked: Locked) -> tuple[Step, ...]:
        """The steps of the plan that are left to do in this service, now that nobody else can change it."""
        service = locked.database.service

        def examine(state: State) -> tuple[State, tuple[Step, ...]]:
            refuse_running(state)
            left = planner.confirm(self._plan, state)
            for step in left:
                load_module(service, step.migration)  # a file that cannot be imported stops the run before it begins
            return state, left

        state, left = self._until_others_rest(service, lambda: begin_under_lock(locked, examine, goes_on=True))
        if service.mirror:
            assert isinstance(locked, Mirrors)  # the configuration allows `mirror` only where there is such a tool
            locked.complete_mirror(rows_missing(state))
        if not left and self._plan.of(service.name):
            self._emit(NothingLeft(service.name))
        return left

    def _until_others_rest(self, service: Service, begin: Callable[[], T]) -> T:
        """Call `begin` until no other tool is migrating the database, for as long as we wait for our own lock.

        Raises LockNotObtained, Stopped, and what `begin` raises.
        """
        seconds = service.timeouts.lock if self._lock_timeout is None else self._lock_timeout
        deadline = time.monotonic() + seconds
        told = False
        while True:
            try:
                return begin()
            except LockNotObtained as error:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    self._emit(Warned(service.name, message=f"{service.name}: waiting: {error.message}"))
                told = True
            self._stop.pause(_POLL_SECONDS)
            if self._stop():
                raise Stopped("stopped while another tool was migrating", service=service.name)

    def _run_services(self, locked: Mapping[str, Locked], left: Mapping[str, tuple[Step, ...]]) -> None:
        waiting = {name: self._after(name) & set(left) for name in left}
        finished: set[str] = set()
        services = {service.name: service for service in self._services}
        with (
            Watcher(self._running, services, self._emit),
            ThreadPoolExecutor(max_workers=max(1, self._jobs or len(left))) as pool,
        ):
            running: dict[Future[None], str] = {}
            while waiting or running:
                for name in [name for name, others in waiting.items() if others <= finished]:
                    del waiting[name]
                    running[pool.submit(self._run_service, locked[name], left[name])] = name
                # Wake up now and then, to handle signals and to report what is still running.
                for future in wait(running, timeout=_WAKE_SECONDS, return_when=FIRST_COMPLETED).done:
                    finished.add(running.pop(future))
                    future.result()
                for step in list(self._running.values()):
                    step.report(self._emit)

    def _after(self, name: str) -> set[str]:
        """The services that have to finish first: those that this one depends on, or, in a rollback, the dependents."""
        by_name = {service.name: service for service in self._services}
        if self._plan.direction is Direction.APPLY:
            return set(by_name[name].depends_on)
        return {other.name for other in self._services if name in other.depends_on}

    def _run_service(self, locked: Locked, steps: tuple[Step, ...]) -> None:
        name = locked.database.service.name
        with self._scopes[name]:  # releases the lock when this service is done, not when the slowest one is
            before = len(self._plan.of(name)) - len(steps)
            if self._plan.direction is Direction.APPLY:
                before += len(self._plan.state(name).applied)
            for at, step in enumerate(steps):
                if self._stop() or self._failed.is_set():
                    return
                if not self._attempt(locked, step, before + at):
                    return
            if steps:
                self._verify(locked, steps)

    def _attempt(self, locked: Locked, step: Step, applied_before: int) -> bool:
        """Run one step. If it does not succeed, write that into the journal and the result, and return False."""
        stopwatch = Stopwatch()
        try:
            locked.check()
            self._run_step(locked, step)
        except BaseException as error:  # noqa: BLE001  whatever a file raises: signals come to the main thread only
            stopped = error.cause if isinstance(error, backends.StepFailed) else error
            if isinstance(stopped, Stopped) and self._stop():  # and not one that a file has made
                half = step.half or (HALF_DONE if isinstance(error, HalfDone) else "")
                self._note_failure(locked, step, stopwatch, stopped.message, half)
                sent = Details(sent=locked.sent())
                self._emit(StepFailed(step.service, step, stopwatch.seconds, stopped.message, sent, stopped=True))
                return False
            self._failed.set()
            text = _text_of(error, locked.database)
            details = _details(locked, step, error)
            half = step.half or (HALF_DONE if isinstance(error, HalfDone) else "")
            noted = self._note_failure(locked, step, stopwatch, text, half)
            explained = _explained(step, error, text, details) if noted else _journal_out_of_reach(step, error, text)
            self._failures.append(Failure(step.service, step, explained, applied_before, details))
            self._emit(StepFailed(step.service, step, stopwatch.seconds, text, details))
            return False
        return True

    def _run_step(self, locked: Locked, step: Step) -> None:
        locked.write(self._author.entry(step.migration, step.direction, JournalEvent.STARTED, reason=step.start_reason))
        self._emit(StepStarted(step.service, step))
        running = self._running[step.service] = Running(step, tell=locked.tell if isinstance(locked, Tells) else None)
        mirror = locked.database.service.mirror
        imported = imports.recorded(locked.database.service, step)  # before the file can take as long as it takes

        def report(count: int, total: int | None, unit: str) -> None:
            running.progressed(count, total, unit)
            self._emit(StepProgressed(step.service, step, count, total, unit))

        def end() -> Entry:
            return self._author.entry(
                step.migration,
                step.direction,
                JournalEvent.SUCCEEDED,
                seconds=running.stopwatch.seconds,
                reason=f"{MIRRORED_TO}{mirror}" if mirror else "",
                imports=imported,
                statements=locked.sent().slowest,
            )

        try:
            with reporting(report), surrounded(self._around(locked, step, running)):
                entry = self._until_done(locked, step, end)
        finally:
            del self._running[step.service]
        self._done.append(step)
        self._emit(StepFinished(step.service, step, entry.seconds or 0.0))

    def _around(self, locked: Locked, step: Step, running: Running) -> Around:
        """What the backfills of a step need of this run."""

        def tell(progress: Backfill) -> None:
            running.backfills(progress)
            done = StepProgressed(step.service, step, progress.looked, progress.total, progress.unit, progress.changed)
            self._emit(done)

        def paused(why: str) -> None:
            self._emit(BackfillPaused(step.service, step, why))
            note(self._author.entry(step.migration, step.direction, JournalEvent.PAUSED, reason=why))

        def resumed(why: str, seconds: float) -> None:
            self._emit(BackfillResumed(step.service, step, why, seconds))
            ended = JournalEvent.RESUMED
            note(self._author.entry(step.migration, step.direction, ended, seconds=seconds, reason=why))

        def note(entry: Entry) -> None:
            try:
                locked.write(entry)
            except PermissionDenied as error:  # an old journal that this user may not change: it is told all the same
                self._emit(Warned(step.service, message=f"{step.service}: {error.message}"))

        return Around(locked.database.service.limits, self._stop, self._stop.pause, locked.check, tell, paused, resumed)

    def _until_done(self, locked: Locked, step: Step, end: Callable[[], Entry]) -> Entry:
        """Run the step, and run it again as long as dataops.run.retry allows it. Returns the last journal entry."""
        attempt = 1
        while True:
            try:
                return locked.run(step, end)
            except RolledBack as error:
                rolled_back = error
            if not retry.may_try_again(rolled_back, attempt):
                raise rolled_back
            self._await_retry(step, attempt, rolled_back.text)
            attempt += 1

    def _await_retry(self, step: Step, attempt: int, why: str) -> None:
        pause = retry.pause_after(attempt)
        self._emit(StepRetried(step.service, step, attempt, pause, why))
        self._stop.pause(pause)
        if self._stop():
            raise Stopped("stopped before it was tried again", service=step.service)

    def _note_failure(self, locked: Locked, step: Step, stopwatch: Stopwatch, text: str, half: str) -> bool:
        """Write the failure into the journal. Returns False when that is not possible."""
        failed = self._author.entry(
            step.migration,
            step.direction,
            JournalEvent.FAILED,
            seconds=stopwatch.seconds,
            error=text,
            reason=half,
            statements=locked.sent().slowest,
        )
        try:
            locked.write(failed)
        except (LockLost, Unreachable):
            return False
        return True

    def _verify(self, locked: Locked, steps: Sequence[Step]) -> None:
        """Read the record again when all is committed: a step may only count as done if the record really shows it.

        A trigger on the record may have discarded the row, or a backup that was restored meanwhile may lack it.
        """
        name = locked.database.service.name
        try:
            applied = locked.read().applied_ids
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


def _text_of(error: BaseException, database: Database) -> str:
    """The error in one line, for people and for the journal, without secrets."""
    cause = _redacted(error.cause if isinstance(error, backends.StepFailed) else error)
    if isinstance(cause, DataopsError):
        return cause.message
    return error.text if isinstance(error, backends.StepFailed) else database.error_text(error)


def _redacted(cause: BaseException) -> BaseException:
    """The same error. A file may raise one of our classes too, with a text of its own, which is redacted here."""
    if isinstance(cause, DataopsError):
        cause.message, cause.hint = redact(cause.message), redact(cause.hint)
    return cause


def _details(locked: Locked, step: Step, error: BaseException) -> Details:
    cause = error.cause if isinstance(error, backends.StepFailed) else error
    return Details(place_of(cause, step), traceback_from(cause, step.migration), locked.sent())


def _explained(step: Step, error: BaseException, text: str, details: Details) -> DataopsError:
    """Our error for a failed step. It says what is left of the step in the database."""
    cause = error.cause if isinstance(error, backends.StepFailed) else error
    left, decision = _what_is_left(step, error)
    if isinstance(cause, DataopsError):
        cause.service = cause.service or step.service
        if isinstance(error, HalfDone | RolledBack):
            cause.message += f"\n  {left}"
            cause.hint += f"; then: {decision}" if decision else ""
        return cause
    lines = [f"{step.direction.value} {step.migration.id} failed", text, f"at {details.place}", str(details.sent), left]
    cut_off = isinstance(error, HalfDone) and error.cut_off and not step.migration.repeatable
    failed = (InterruptedStep if cut_off else MigrationFailed)(
        "\n  ".join(lines),
        service=step.service,
        migration=step.migration.id,
        hint=decision or "mend the cause and run again",
    )
    failed.__cause__ = cause
    return failed


def _what_is_left(step: Step, error: BaseException) -> tuple[str, str]:
    """What is left of a failed step in the database, and what a person has to decide; "" when it is nothing."""
    id_ = step.migration.id
    if step.half or isinstance(error, HalfDone):
        done = "is committed" if step.migration.kind.transactional else "is done"
        left = f"Part of it {done} and stays; {id_} is half done, and has to be brought to an end before all else."
        if step.migration.repeatable:
            return left, ""
        return (
            left,
            f"look at the database, then say which: {decisions(step.id)}; "
            "more: dataops docs operations an-interrupted-step",
        )
    if isinstance(error, RolledBack):
        return f"The change was rolled back. {id_} is as it was before.", ""
    return f"It had changed nothing; {id_} is as it was before.", ""


def _journal_out_of_reach(step: Step, error: BaseException, text: str) -> DataopsError:
    """Our error for a failed step whose end cannot be written, so that the journal goes on saying *started*."""
    if isinstance(error, LockLost | Unreachable):
        error.service = error.service or step.service
        return error
    lost = LockLost(
        f"{step.direction.value} {step.migration.id} failed, and the journal cannot be written\n  {text}",
        service=step.service,
        migration=step.migration.id,
    )
    lost.__cause__ = error
    return lost


__all__ = ["execute"]
