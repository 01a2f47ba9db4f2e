"""Runs the steps of one database, of which the lock is held: each is journalled before it begins, and its end after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dataops import backends
from dataops.backends import HalfDone, Locked, RolledBack, Tells
from dataops.backfill.around import Around, surrounded
from dataops.durations import Stopwatch
from dataops.errors import DataopsError, LockLost, MigrationFailed, PermissionDenied, Stopped, Unreachable
from dataops.events import (
    BackfillPaused,
    BackfillResumed,
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
    Backfill,
    Details,
    Direction,
    Entry,
    Failure,
    JournalEvent,
    Step,
)
from dataops.progress import reporting
from dataops.run import retry
from dataops.run.explaining import details_of, explained, journal_out_of_reach, text_of
from dataops.run.watching import Running
from dataops.run.work import Work


def run_steps(work: Work, locked: Locked, steps: Sequence[Step]) -> None:
    """Run the steps one after the other, until one fails or nothing more may begin. What comes of it is in `work`."""
    _Steps(work).run(locked, steps)


class _Steps:
    """The steps of one database."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def run(self, locked: Locked, steps: Sequence[Step]) -> None:
        name, plan = locked.database.service.name, self._work.plan
        before = len(plan.of(name)) - len(steps)
        if plan.direction is Direction.APPLY:
            before += len(plan.state(name).applied)
        for at, step in enumerate(steps):
            if self._work.ends() or not self._attempt(locked, step, before + at):
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
            if isinstance(stopped, Stopped) and self._work.stop():  # and not one that a file has made
                half = step.half or (HALF_DONE if isinstance(error, HalfDone) else "")
                self._note_failure(locked, step, stopwatch, stopped.message, half)
                sent = Details(sent=locked.sent())
                self._work.emit(StepFailed(step.service, step, stopwatch.seconds, stopped.message, sent, stopped=True))
                return False
            self._work.failures.count(step.service)  # now, because writing it down may take long
            text = text_of(error, locked.database)
            details = details_of(locked, step, error)
            half = step.half or (HALF_DONE if isinstance(error, HalfDone) else "")
            noted = self._note_failure(locked, step, stopwatch, text, half)
            told = explained(step, error, text, details) if noted else journal_out_of_reach(step, error, text)
            self._work.failures.add(Failure(step.service, step, told, applied_before, details))
            self._work.emit(StepFailed(step.service, step, stopwatch.seconds, text, details))
            return False
        return True

    def _run_step(self, locked: Locked, step: Step) -> None:
        locked.write(
            self._work.author.entry(step.migration, step.direction, JournalEvent.STARTED, reason=step.start_reason)
        )
        self._work.emit(StepStarted(step.service, step))
        running = self._work.running[step.service] = Running(
            step, tell=locked.tell if isinstance(locked, Tells) else None
        )
        mirror = locked.database.service.mirror
        imported = imports.recorded(locked.database.service, step)  # before the file can take as long as it takes

        def report(count: int, total: int | None, unit: str) -> None:
            running.progressed(count, total, unit)
            self._work.emit(StepProgressed(step.service, step, count, total, unit))

        def end() -> Entry:
            return self._work.author.entry(
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
            del self._work.running[step.service]
        self._work.done[step.id] = step
        self._work.emit(StepFinished(step.service, step, entry.seconds or 0.0))

    def _around(self, locked: Locked, step: Step, running: Running) -> Around:
        """What the backfills of a step need of this run."""

        def tell(progress: Backfill) -> None:
            running.backfills(progress)
            done = StepProgressed(step.service, step, progress.looked, progress.total, progress.unit, progress.changed)
            self._work.emit(done)

        def paused(why: str) -> None:
            self._work.emit(BackfillPaused(step.service, step, why))
            note(self._work.author.entry(step.migration, step.direction, JournalEvent.PAUSED, reason=why))

        def resumed(why: str, seconds: float) -> None:
            self._work.emit(BackfillResumed(step.service, step, why, seconds))
            ended = JournalEvent.RESUMED
            note(self._work.author.entry(step.migration, step.direction, ended, seconds=seconds, reason=why))

        def note(entry: Entry) -> None:
            try:
                locked.write(entry)
            except PermissionDenied as error:  # an old journal that this user may not change: it is told all the same
                self._work.emit(Warned(step.service, message=f"{step.service}: {error.message}"))

        return Around(
            locked.database.service.limits, self._work.stop, self._work.stop.pause, locked.check, tell, paused, resumed
        )

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
        self._work.emit(StepRetried(step.service, step, attempt, pause, why))
        self._work.stop.pause(pause)
        if self._work.stop():
            raise Stopped("stopped before it was tried again", service=step.service)

    def _note_failure(self, locked: Locked, step: Step, stopwatch: Stopwatch, text: str, half: str) -> bool:
        """Write the failure into the journal. Returns False when that is not possible."""
        failed = self._work.author.entry(
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
            self._work.failures.add(Failure(name, None, error, len(steps)))
            return
        wrong = [
            s
            for s in steps
            if s.id in self._work.done and (s.migration.id in applied) is not (s.direction is Direction.APPLY)
        ]
        if wrong:
            lost = MigrationFailed(
                f"{wrong[0].migration.id} was run, but the record does not show it",
                service=name,
                migration=wrong[0].migration.id,
                hint="was the record changed by another tool meanwhile? see dataops history",
            )
            self._work.failures.add(Failure(name, wrong[0], lost))
            for step in wrong:
                del self._work.done[step.id]


__all__ = ["run_steps"]
