"""What a person sees: plans, tables, progress, errors. The only place that draws.

On a terminal with Rich, in colour and with progress bars; elsewhere the same text, plain, a line an event. Rich is
imported only for a terminal: pods and pipelines ask all day and have none.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from dataops import events
from dataops.errors import DataopsError
from dataops.events import counted as counted
from dataops.model import (
    AppliedMigration,
    Direction,
    Entry,
    JournalEvent,
    Plan,
    Rendering,
    Result,
    StashEntry,
    State,
    Step,
)
from dataops.othertools import drift, examine, watch
from dataops.planning import planner, recovery
from dataops.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress, TaskID

    from dataops.proof import Proof

_SHOWN_COMMANDS = 2
_SHOWN_WIDTH = 110
SHOWN_STEPS = 100
_HEADS = {Direction.APPLY: "+", Direction.ROLLBACK: "-"}

Line = tuple[str, str]
"""A line of text and the style of the whole line, "" for none."""


class Console:
    """Two streams: data goes to stdout, talk to stderr. `quiet` drops the talk (JSON logs take its place).

    Neither ever stops what the command does. Why data could not be written is in `lost`; of talk that nobody reads
    there is nobody to tell.
    """

    def __init__(self, out: IO[str] | None = None, err: IO[str] | None = None, *, quiet: bool = False) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.lost: OSError | None = None
        self._quiet = quiet
        self._rich: dict[int, RichConsole] = {}

    def data(self, lines: Iterable[Line]) -> None:
        self._put(lambda: self._write(self.out, lines))

    def answer(self, text: str) -> None:
        """To stdout as it is: it is free of secrets already."""
        self._put(lambda: self.out.write(text))

    def talk(self, lines: Iterable[Line]) -> None:
        if not self._quiet:
            with suppress(OSError):
                self._write(self.err, lines)

    def say(self, text: str, style: str = "") -> None:
        self.talk([(text, style)])

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
        """To stdout; on a terminal fitted to its width, elsewhere as wide as it needs to be."""
        rows = [[redact(cell) for cell in row] for row in rows]
        if self._terminal(self.out):
            self._put(lambda: self._draw_table(headers, rows, styles))
            return
        widths = [max(len(row[at]) for row in [headers, *rows]) for at in range(len(headers))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [headers, *rows]
        ]
        self.answer("\n".join(lines) + "\n")

    def error(self, error: DataopsError) -> None:
        if self._quiet:
            return
        lines: list[Line] = [(f"error: {error}", "bold red")]
        if error.hint:
            lines.append((f"hint: {error.hint}", "yellow"))
        self.talk(lines)

    def progress(self) -> events.Emit:
        """A sink for a run's events."""
        if self._quiet:
            return lambda event: None
        return _Live(self, self._console(self.err)) if self._terminal(self.err) else _Talk(self)

    def _put(self, write: Callable[[], object]) -> None:
        if self.lost is None:
            try:
                write()
                self.out.flush()
            except OSError as error:
                self.lost = error

    def _write(self, stream: IO[str], lines: Iterable[Line]) -> None:
        if self._terminal(stream):
            console = self._console(stream)
            for text, style in lines:
                console.print(redact(text), style=style or None, markup=False, highlight=False, soft_wrap=True)
        else:
            stream.write(redact("".join(f"{text}\n" for text, _ in lines)))
            stream.flush()

    def _terminal(self, stream: IO[str]) -> bool:
        try:
            return stream.isatty() and os.environ.get("TERM") != "dumb"
        except ValueError:  # closed
            return False

    def _console(self, stream: IO[str]) -> RichConsole:
        from rich.console import Console as RichConsole

        if id(stream) not in self._rich:
            self._rich[id(stream)] = RichConsole(file=stream, emoji=False)  # honours NO_COLOR
        return self._rich[id(stream)]

    def _draw_table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for header in headers:
            table.add_column(header, overflow="fold")
        for at, row in enumerate(rows):
            table.add_row(*[Text(cell) for cell in row], style=styles[at] if at < len(styles) else None)
        self._console(self.out).print(table)


class Printed(io.TextIOBase):
    """Stands in for stdout and stderr while migration files run: what they print is told by whole lines."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._begun: dict[int, str] = {}

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        thread = threading.get_ident()  # services run side by side; each line is one service's
        *lines, self._begun[thread] = (self._begun.get(thread, "") + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def finish(self) -> None:
        """Tell what was begun and never ended."""
        for thread in list(self._begun):
            if line := self._begun.pop(thread):
                self._tell(line)


# Plans


def plan_lines(plan: Plan, renderings: Mapping[str, Rendering], *, verbose: bool) -> list[Line]:
    """The plan as a letter: where, what, in which order, how risky, how to undo; the summary is the last line."""
    lines: list[Line] = []
    for state in plan.states:
        steps = plan.of(state.service.name)
        lines += _service_lines(state, steps, plan.direction, verbose=verbose)
        shown = steps if verbose else steps[:SHOWN_STEPS]
        for step in shown:
            lines += _step_lines(step, renderings.get(step.id), verbose=verbose)
        if len(steps) > len(shown):
            lines.append(
                (f"  … and {len(steps) - len(shown)} more, up to {steps[-1].migration.id} (-v shows all)", "dim")
            )
        lines.append(("", ""))
    order = list(dict.fromkeys(step.service for step in plan.steps))
    if len(order) > 1:
        depending = [s.service for s in plan.states if s.service.name in order and set(s.service.depends_on) & {*order}]
        after = "; ".join(f"{s.name} after {', '.join(o for o in s.depends_on if o in order)}" for s in depending)
        lines.append((f"Order: {', '.join(order)}, side by side" + (f", but {after}" if after else ""), ""))
    if plan.steps and plan.direction is Direction.APPLY:
        stuck = next((step for step in reversed(plan.steps) if not step.migration.reversible), None)
        undo = "Undo: dataops rollback" if stuck is None else f"Undo: only back to {stuck.id}, which is irreversible"
        lines.append((undo, ""))
    lines.append((planner.summary(plan), "bold"))
    return lines


def _service_lines(state: State, steps: Sequence[Step], direction: Direction, *, verbose: bool) -> list[Line]:
    verb = "to apply" if direction is Direction.APPLY else "to roll back"
    name = state.service.name
    lines: list[Line] = [(f"{name}: {state.server}, {state.identity.address}", "bold")]
    work = f"{len(steps)} {verb}" if steps else f"nothing {verb}"
    more = len(state.pending) - len(steps) if direction is Direction.APPLY else 0
    later = f", {more} more pending" if more > 0 else ""
    lines.append((f"  {len(state.applied)} applied{_newest(state.applied)}, {work}{later}", ""))
    if state.ahead:
        lines.append((f"  ahead of this code by {', '.join(state.unknown)}", "yellow"))
    if state.holder:
        lines.append((f"  locked now by {state.holder}", "yellow"))
    if verbose:
        lines += [(f"    {applied.id}{_when(applied.at)}", "dim") for applied in state.applied]
    return lines


def _newest(applied: Sequence[AppliedMigration]) -> str:
    return f", newest {applied[-1].id}{_when(applied[-1].at)}" if applied else ""


def _when(at: datetime | None) -> str:
    return f" ({at:%Y-%m-%d %H:%M} UTC)" if at else ""


def _step_lines(step: Step, rendering: Rendering | None, *, verbose: bool) -> list[Line]:
    migration = step.migration
    style = "yellow" if not migration.reversible else ("green" if step.direction is Direction.APPLY else "cyan")
    title = f"  {migration.title}" if migration.title != migration.path.stem else ""
    lines: list[Line] = [(f"  {_HEADS[step.direction]} {migration.id}{title}", style)]
    lines.append((f"      {', '.join(planner.flags(step))}", "dim"))
    if rendering is None:
        return lines
    main = [text for at, text in enumerate(rendering.commands) if at not in rendering.stash]
    shown = rendering.commands if verbose else main[:_SHOWN_COMMANDS]
    for command in shown:
        text = command.splitlines() if verbose else [" ".join(command.split())]
        cut = [part if verbose or len(part) <= _SHOWN_WIDTH else part[: _SHOWN_WIDTH - 1] + "…" for part in text]
        lines += [(f"      {'| ' if at else '> '}{part}", "") for at, part in enumerate(cut)]
    if more := len(rendering.commands) - len(shown):
        hidden = len(rendering.commands) - len(main)
        which = "" if not hidden else (", all" if hidden == more else f", {hidden} of them") + " for what is put aside"
        lines.append((f"      … and {more} more{which} (-v shows all)", "dim"))
    if not rendering.commands and not rendering.opaque:
        lines.append(("      no commands", "dim"))
    if rendering.opaque:
        lines.append((f"      opaque: {rendering.opaque}", "yellow"))
    lines += [(f"      puts aside: {what}", "dim") for what in rendering.puts_aside]
    lines += [(f"      note: {note}", "dim") for note in rendering.notes]
    return lines


# Results


def result_lines(result: Result) -> list[Line]:
    """What stands, what failed, what is left."""
    verb = "applied" if result.plan.direction is Direction.APPLY else "rolled back"
    lines: list[Line] = []
    for failure in result.failures:
        error = failure.error
        lines.append((f"error: {error}", "bold red"))
        mine = [step for step in result.left if step.service == failure.service]
        lines.append((f"  {failure.service}: {failure.applied_before} {verb} before it, {len(mine)} not run", "red"))
        if isinstance(error, DataopsError) and error.hint:
            lines.append((f"hint: {error.hint}", "yellow"))
    services = len({step.service for step in result.done})
    plural = "service" if services == 1 else "services"
    text = f"{len(result.done)} {verb} in {services} {plural}" if result.done else f"nothing {verb}"
    if result.failures or result.left:
        text += f", {len(result.failures)} failed, {len(result.left)} left"
    style = "bold red" if result.failures else ("yellow" if result.left else "bold green")
    lines.append((f"Run {result.run}: {text} ({result.seconds:.1f} s)", style))
    return lines


# Status and history

STATUS_HEADERS = ("service", "revision", "applied", "pending", "last run", "who", "when", "state")
HISTORY_HEADERS = ("when", "service", "migration", "direction", "event", "seconds", "run", "who", "note")


def status_row(name: str, state: State | DataopsError, problem: DataopsError | None) -> tuple[list[str], str]:
    """One row and its style. `problem` is what would refuse an apply now."""
    if isinstance(state, DataopsError):
        return [name, "?", "?", "?", "", "", "", state.message], "red"
    if state.service.observe:
        return _watched_row(name, state)
    revision = state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else "none")
    last = state.last
    return [
        name,
        revision,
        str(len(state.applied)),
        str(len(state.pending)),
        last.run if last else "",
        f"{last.actor}@{last.host}" if last else "",
        f"{last.at:%Y-%m-%d %H:%M:%S}" if last and last.at else "",
        *(text := [_condition(state, problem)]),
    ], _condition_style(text[0])


def _watched_row(name: str, state: State) -> tuple[list[str], str]:
    watched = watch.watch(state)
    record, newest = watched.record, watched.newest
    at = newest.at if newest else None
    words = watched.problem.message if watched.problem else watched.waiting or "up to date"
    tool = f"by {state.service.observe}"
    return [
        name,
        newest.name if newest else "none",
        str(len(record.rows)) if record else "0",
        "",
        tool,
        "",
        f"{at:%Y-%m-%d %H:%M:%S}" if at else "",
        words + (f", {_age(at)} old" if at else ""),
    ], "bold yellow" if watched.problem else ("yellow" if watched.waiting else "green")


def _age(at: datetime) -> str:
    days = (datetime.now(UTC) - at).days
    return counted(days, "day") if days else "less than a day"


def proof_lines(proofs: Sequence[Proof]) -> list[Line]:
    """What was proved, and what was not, service by service."""
    lines: list[Line] = []
    for proof in proofs:
        name, count = proof.service.name, counted(len(proof.migrations), "migration")
        irreversible = [migration for migration in proof.migrations if not migration.reversible]
        if proof.error is not None:
            lines.append((f"{name}: FAILED: {proof.error.message}", "bold red"))
        elif proof.disproved:
            lines.append((f"{name}: {counted(len(proof.disproved), 'difference')} in {count}", "bold red"))
        else:
            data = "" if proof.seeded else ", without data: see --seed"
            only = f", {len(irreversible)} of them only there" if irreversible else ""
            lines.append((f"{name}: {count} there and back{only}{data}", "green"))
        lines += [(f"  {disproved}", "yellow") for disproved in proof.disproved]
    return lines


def adoption_lines(found: examine.Adoption) -> list[Line]:
    """What the other tool's record says, one line a migration."""
    state, record = found.state, found.record
    rows = counted(len(record.rows), "row")
    lines: list[Line] = [
        (f"{state.service.name}: {record.tool}, {record.place}, {rows}, on {state.identity.address}", "bold")
    ]
    width = max((len(line.finding.value) for line in found.lines), default=0)
    for line in found.lines:
        there = f"applied there {line.at:%Y-%m-%d %H:%M:%S} UTC" if line.at else ""
        told = "; ".join(part for part in (there, line.note) if part)
        text = f"  {line.finding.value:<{width}}  {line.name}" + (f"  ({told})" if told else "")
        lines.append((text, _FINDING_STYLES.get(line.finding, "yellow")))
    return lines


_FINDING_STYLES = {
    examine.Finding.ADOPTED: "green",
    examine.Finding.RECORDED: "dim",
    examine.Finding.RETIRED: "dim",
    examine.Finding.MISSING: "",
    examine.Finding.FAILED: "bold red",
    examine.Finding.HALF_DONE: "bold red",
    examine.Finding.UNKNOWN: "bold red",
}


def _condition(state: State, problem: DataopsError | None) -> str:
    words = []
    if state.holder:
        words.append(f"locked by {state.holder}")
    if state.ahead:
        words.append("ahead")
    words += [
        f"{record.tool} is {len(behind)} behind"
        for record in state.tool_records
        if record.tool == state.service.mirror and (behind := drift.find_drift(state, record).behind)
    ]
    entry = recovery.interrupted(state)
    if entry:
        words.append(f"interrupted: {entry.direction.value} {entry.migration}")
    elif problem and not state.ahead:
        words.append(problem.message)
    elif state.last and state.last.event is JournalEvent.FAILED and state.pending:
        words.append(f"failed: {state.last.direction.value} {state.last.migration}")
    if state.pending:
        words.append(f"{len(state.pending)} pending")
    return ", ".join(words) or "up to date"


def _condition_style(text: str) -> str:
    if text == "up to date":
        return "green"
    return "yellow" if text.endswith("pending") and "," not in text else "bold yellow"


def history_rows(entries: Iterable[tuple[str, Entry]]) -> list[list[str]]:
    return [
        [
            f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else "",
            service,
            entry.migration,
            entry.direction.value,
            entry.event.value,
            "" if entry.seconds is None else f"{entry.seconds:.2f}",
            entry.run,
            f"{entry.actor}@{entry.host}",
            entry.error or entry.reason,
        ]
        for service, entry in entries
    ]


STASH_HEADERS = ("service", "migration", "of", "kept in", "about", "size", "since")


def stash_rows(found: Iterable[tuple[str, StashEntry]]) -> list[list[str]]:
    return [
        [
            service,
            kept.migration,
            kept.source,
            kept.place,
            f"{kept.count:,}",
            _size(kept.bytes),
            f"{kept.at:%Y-%m-%d %H:%M:%S}" if kept.at else "unknown",
        ]
        for service, kept in found
    ]


def _size(amount: float) -> str:
    for unit in ("B", "kB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"


# Events


class _Talk:
    """A line an event, for a pipe or a log collector."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, event: events.Event) -> None:
        line = event_line(event)
        if line is not None:
            self._console.talk([line])


class _Live:
    """Progress bars under the lines, for a terminal."""

    def __init__(self, console: Console, rich: RichConsole) -> None:
        self._console = console
        self._rich = rich
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._mutex = threading.RLock()

    def __call__(self, event: events.Event) -> None:
        with self._mutex:
            if isinstance(event, events.RunStarted):
                self._start()
            elif isinstance(event, events.StillRunning):
                return  # the bar shows it
            elif isinstance(event, events.StepProgressed):
                self._advance(event)
                return
            elif isinstance(event, events.StepStarted) and event.step and self._progress:
                text = f"{event.service} {event.step.migration.id}"
                self._tasks[event.service] = self._progress.add_task(text, total=None, amount="")
                return
            elif isinstance(event, events.StepFinished | events.StepFailed) and self._progress:
                task = self._tasks.pop(event.service, None)
                if task is not None:
                    self._progress.remove_task(task)
            elif isinstance(event, events.RunFinished) and self._progress:
                self._progress.stop()
                self._progress = None
            line = event_line(event)
            if line is not None:
                self._console.talk([line])

    def _start(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._rich,
            transient=True,
            redirect_stdout=False,  # what a migration prints comes through Printed
            redirect_stderr=False,
        )
        self._progress.start()

    def _advance(self, event: events.StepProgressed) -> None:
        if self._progress and event.service in self._tasks:
            amount = events.amount(event.done, event.total, event.unit)
            self._progress.update(self._tasks[event.service], completed=event.done, total=event.total, amount=amount)


_SILENT = (events.LockTaken, events.StepProgressed, events.RunFinished)
_STYLES: dict[type[events.Event], str] = {
    events.RunStarted: "dim",
    events.ServerAwaited: "yellow",
    events.LockAwaited: "yellow",
    events.NothingLeft: "dim",
    events.StepRetried: "yellow",
    events.StepFinished: "green",
    events.StepFailed: "red",
    events.Warned: "yellow",
    events.StopRequested: "yellow",
}


def event_line(event: events.Event) -> Line | None:
    """An event as a line; None for those that are only for machines or bars."""
    return None if isinstance(event, _SILENT) else (events.sentence(event), _STYLES.get(type(event), ""))
