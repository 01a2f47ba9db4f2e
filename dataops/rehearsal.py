"""`dataops rehearse`: runs and measures the pending steps on a copy of the live database with a sample of its data.

The copy stays as it is, and the steps run in copies of the copy: once to measure them, then rolled back and compared,
and applied again and compared. Rows and documents before and after a step are shown from there too. What fails there
would fail live. See ADR 24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from dataops import contents, statements
from dataops.backends import Example, Rehearses, Sampling, opened
from dataops.errors import DataopsError, MigrationFailed, Stopped, UsageError
from dataops.events import Event, StepFinished, StepStarted
from dataops.model import (
    Adopted,
    Author,
    Direction,
    JournalEvent,
    Measured,
    Observed,
    Plan,
    Result,
    Sampled,
    Service,
    State,
    Step,
    StepMeasured,
    recognized,
)
from dataops.planning import planner
from dataops.redaction import message_of
from dataops.run.executor import execute
from dataops.run.stop import StopSignal
from dataops.scratch import Scratch
from dataops.statements import Statement, comparable
from dataops.thereandback import APPLIED_AGAIN, ROLLED_BACK, Look, count_again_from, differences, look

EXAMPLES = 3
"""How many rows or documents of a table are shown before and after."""
_EACH = 1_000_000

Report = Callable[[str, str], None]
"""Called with the service and what is being done."""


@dataclass(frozen=True)
class Failed:
    """A step that failed in the rehearsal, and the statement with which it did, without values; "" if none did."""

    step: Step
    error: DataopsError
    statement: str = ""


@dataclass
class Rehearsal:
    """The rehearsal of one service.

    `steps` are those that were measured, in their order, to apply and to roll back. `tables` are those of the sample.
    `remarks` are what a person has to know of the copy, and `masked` the masks of something that is here. `different`
    says how the database differed after it was rolled back or applied again. `kept` are the irreversible steps and
    those before them, which were not rolled back. `examples` have values.
    """

    state: State
    pending: tuple[Step, ...]
    steps: list[StepMeasured] = field(default_factory=list)
    tables: Mapping[str, Sampled] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    failed: Failed | None = None
    masked: frozenset[str] = frozenset()
    different: list[tuple[str, str]] = field(default_factory=list)
    kept: tuple[str, ...] = ()
    examples: list[Example] = field(default_factory=list)

    @property
    def service(self) -> Service:
        return self.state.service

    @property
    def went_well(self) -> bool:
        return self.failed is None and not self.different


def rehearse(
    state: State,
    pending: Sequence[Step],
    scratch: Scratch,
    author: Author,
    *,
    sampling: Sampling,
    report: Report,
    stop: StopSignal,
) -> Rehearsal:
    """Rehearse the pending steps of one service. A step that fails there is in the result.

    Raises UsageError for a kind of database that has no rehearsals and for masks that cannot be, ServerUnavailable,
    Unreachable and Stopped.
    """
    found = Rehearsal(state, tuple(pending))
    service = state.service
    with scratch.database(service) as base:
        report(service.name, "the schema and a sample of the data are copied")
        with opened(service) as live:
            if not isinstance(live, Rehearses):
                raise UsageError(f"{service.kind.title} cannot be rehearsed", service=service.name)
            copied = live.copy_into(base, sampling)
        found.tables, found.remarks, found.masked = copied.tables, copied.remarks, copied.masked
        _set_record(base, state, author, stop)
        with scratch.copy(base) as trial:
            _Run(found, scratch, base, trial, author, report, stop).run()
    return found


def _set_record(base: Service, state: State, author: Author, stop: StopSignal) -> None:
    """Let the record of the copy say what that of the live database says."""
    entries = [
        Adopted(author.entry(base.by_id[applied.id], Direction.APPLY, JournalEvent.ADOPTED, reason="a rehearsal"))
        for applied in state.applied
        if applied.id in base.by_id
    ]
    with (
        opened(base) as database,
        database.lock(author, timeout=10.0, waiting=lambda holder: None, stop=stop) as locked,
    ):
        locked.adopt(None, entries)


class _Run:
    def __init__(
        self,
        found: Rehearsal,
        scratch: Scratch,
        base: Service,
        trial: Service,
        author: Author,
        report: Report,
        stop: StopSignal,
    ) -> None:
        self._found = found
        self._scratch = scratch
        self._base = base
        self._trial = trial
        self._author = author
        self._report = report
        self._stop = stop

    def run(self) -> None:
        name, steps = self._found.service.name, self._found.pending
        before = look(self._trial, each=_EACH)
        self._report(name, "the steps are applied")
        if not self._move(Direction.APPLY, len(steps)):
            return
        after = look(self._trial, each=_EACH)
        self._found.examples = self._examples(before, after)
        back = _reversible(steps)
        self._found.kept = tuple(step.migration.id for step in steps[: len(steps) - len(back)])
        if not back:
            return
        self._report(name, "they are rolled back, and compared")
        if not self._move(Direction.ROLLBACK, len(back)):
            return
        if not self._found.kept:
            self._compare(ROLLED_BACK, before)
            count_again_from(self._trial, before)
        self._report(name, "they are applied again, and compared")
        if self._move(Direction.APPLY, len(back), measured=False):
            self._compare(APPLIED_AGAIN, after)

    def _move(self, direction: Direction, count: int, *, measured: bool = True) -> bool:
        """Apply or roll back so many steps. Returns False where one has failed, which is in the result then."""
        plan = _plan(self._trial, direction, count)
        listener = _Listener(self._found.service.name)
        with ExitStack() as scope, opened(self._trial) as database:
            assert isinstance(database, Rehearses)
            if measured:
                listener.observe = scope.enter_context(database.observing())
            with statements.listening(listener.heard):
                result = execute(plan, self._author, emit=listener.event, stop=self._stop)
        if result.stopped:
            raise Stopped("stopped while rehearsing; nothing was changed", service=self._found.service.name, hint="")
        if listener.broken is not None:
            raise listener.broken
        if measured:
            self._found.steps += listener.steps
        if result.failures:
            self._found.failed = _failed(result, listener)
        return not result.failures

    def _compare(self, when: str, wanted: Look) -> None:
        now = look(self._trial, each=_EACH)
        different = differences(self._trial, wanted, now)
        if different and when == APPLIED_AGAIN:
            with self._scratch.copy(self._base) as twin:
                plan = _plan(twin, Direction.APPLY, len(self._found.pending))
                execute(plan, self._author, emit=lambda event: None, stop=self._stop)
                different = differences(self._trial, wanted, now, twin=twin)
        self._found.different += [(when, one) for one in different]

    def _examples(self, before: Look, after: Look) -> list[Example]:
        """A few rows of each table whose rows have changed."""
        found: dict[str, list[str]] = {}
        for change in contents.compare(before.contents, after.contents):
            keys = found.setdefault(change.name, [])
            keys += [key for key in change.ids if key not in keys]
        examples = []
        for name, keys in found.items():
            was, now = self._rows(self._base, name, keys[:EXAMPLES]), self._rows(self._trial, name, keys[:EXAMPLES])
            examples += [_example(name, key, was.get(key), now.get(key)) for key in keys[:EXAMPLES]]
        return examples

    def _rows(self, service: Service, name: str, keys: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        with opened(service) as database:
            assert isinstance(database, Rehearses)
            return database.rows(name, keys)


class _Listener:
    """Writes down the statements of each step as they end."""

    def __init__(self, service: str) -> None:
        self.steps: list[StepMeasured] = []
        self.observe: Callable[[Statement], Observed] = lambda statement: Observed()
        self.running: list[Measured] = []
        self.broken: Exception | None = None
        self._service = service

    def heard(self, statement: Statement) -> None:
        if statement.service != self._service:
            return
        text = _text(statement)
        observed = Observed()
        if not statement.error:
            try:
                observed = self.observe(statement)
            except Exception as error:  # noqa: BLE001  raised when the step is done: whoever reports does not listen
                self.broken = error
        self.running.append(
            Measured(text, statement.seconds, recognized(text), statement.changed, observed, statement.error)
        )

    def event(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self.running.clear()
        elif isinstance(event, StepFinished):
            step = event.step
            assert step is not None
            of = step.migration
            self.steps.append(StepMeasured(of.id, of.checksum, step.direction, event.seconds, tuple(self.running)))


def _text(statement: Statement) -> str:
    """What a statement is called, without values."""
    if not statement.text:
        return f"{statement.operation} {statement.target}".strip()
    return comparable(statement.text)


def _plan(service: Service, direction: Direction, count: int) -> Plan:
    with opened(service) as database:
        states = [database.read()]
    if direction is Direction.APPLY:
        return planner.plan_apply(states, steps=count)
    return planner.plan_rollback(states, steps=count)


def _reversible(steps: Sequence[Step]) -> Sequence[Step]:
    """The newest steps that can be rolled back, up to one that cannot."""
    at = max((at for at, step in enumerate(steps, 1) if not step.migration.reversible), default=0)
    return steps[at:]


def _failed(result: Result, listener: _Listener) -> Failed:
    failure = result.failures[0]
    error = failure.error
    if not isinstance(error, DataopsError):
        error = MigrationFailed(message_of(error), service=failure.service)
    error.traceback = error.traceback or failure.details.traceback
    statement = next((one.text for one in reversed(listener.running) if one.error), "")
    step = failure.step or result.plan.steps[-1]
    return Failed(step, error, statement)


def _example(table: str, key: str, before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Example:
    if before is not None and after is not None:
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        before = {name: before[name] for name in names if name in before}
        after = {name: after[name] for name in names if name in after}
    return Example(table, key, before, after)


__all__ = ["EXAMPLES", "Failed", "Rehearsal", "Report", "rehearse"]
