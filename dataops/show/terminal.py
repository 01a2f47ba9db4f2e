"""What a person reads: two streams, and plans, results, proofs, adoptions and findings as lines.

A terminal gets colours and tables by Rich, everything else gets the same text, plain. Rich is imported only for a
terminal, because the commands that pods and pipelines run all day have none. Rows of tables are in `tables`, what
changes while a run works is in `progress`.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dataops import events
from dataops.errors import DataopsError
from dataops.model import AppliedMigration, Direction, Plan, Rendering, Result, State, Step
from dataops.othertools import examine
from dataops.planning import planner, recovery
from dataops.planning.native import Moved
from dataops.show import grid
from dataops.show.grid import Table
from dataops.show.progress import Line, LiveProgress, PlainProgress
from dataops.show.reports import below
from dataops.text import counted, listed, on_one_line

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from rich.console import Console as RichConsole

    from dataops import lint
    from dataops.proof import Proof

_SHOWN_COMMANDS = 2
_SHOWN_WIDTH = 110
SHOWN_STEPS = 100
_HEADS = {Direction.APPLY: "+", Direction.ROLLBACK: "-"}


class Console:
    """Two streams: data goes to stdout, messages go to stderr. `quiet` drops the messages: JSON logs take their place.

    A stream that cannot be written never stops what the command does. For stdout, `lost` says why. If stderr is closed,
    there is nowhere to report that.

    Each line is written as one line, with escapes for what a terminal would obey or hide. Secrets were taken out of the
    text where it entered. An answer is a whole document, in which its format has escaped whatever has to be.
    """

    def __init__(self, out: IO[str] | None = None, err: IO[str] | None = None, *, quiet: bool = False) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.lost: OSError | None = None
        self._quiet = quiet
        self._rich: dict[int, RichConsole] = {}

    def data(self, lines: Iterable[Line]) -> None:
        """Write to stdout."""
        self._put(lambda: self._write(self.out, lines))

    def answer(self, text: str) -> None:
        """Write to stdout a text that is a whole document."""
        self._put(lambda: self.out.write(text))

    def messages(self, lines: Iterable[Line]) -> None:
        """Write to stderr."""
        if not self._quiet:
            with suppress(OSError):
                self._write(self.err, lines)

    def say(self, text: str, style: str = "") -> None:
        """Write one message to stderr."""
        self.messages([(text, style)])

    def table(self, table: Table, form: str = "table") -> None:
        """Write a table to stdout: on a terminal fitted to its width, elsewhere, and as `wide`, in full.

        `csv` and `name` are for programs: everything with commas between, and only the names of the rows.
        """
        if form in ("csv", "name"):
            self.answer(grid.comma_separated(table) if form == "csv" else grid.names(table))
        elif form == "wide" or not self._terminal(self.out):
            self.data(grid.whole(table))
        else:
            self.data(grid.fitted(table, self._console(self.out).width))

    @property
    def draws(self) -> bool:
        """Whether stdout is a terminal that can draw something again."""
        return self._terminal(self.out)

    @contextmanager
    def redrawing(self) -> Iterator[Callable[[Table, str], None]]:
        """While this scope lasts, draw a table and a line below it in the place of the last ones, on the terminal."""
        from rich.live import Live
        from rich.text import Text

        console = self._console(self.out)

        def draw(table: Table, below: str) -> None:
            drawn = Text()
            for text, style in [*grid.fitted(table, console.width), ("", ""), (below, "dim")]:
                drawn.append(f"{on_one_line(text)}\n", style=style or None)
            drawn.rstrip()
            live.update(drawn, refresh=True)

        with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            yield draw

    def page(self, markdown: str, plain: str) -> None:
        """Write a page of the documentation to stdout: drawn on a terminal, elsewhere its plain text."""
        if self._terminal(self.out):
            self._put(lambda: self._draw_page(markdown))
        else:
            self.answer(f"{plain}\n")

    def error(self, error: DataopsError, *, verbose: bool = False) -> None:
        """Write an error and its hint to stderr; `verbose` adds the traceback of a migration file."""
        lines = _paragraph(f"error: {error}", "bold red")
        if verbose:
            lines += _traceback(error.traceback)
        if error.hint:
            lines += _paragraph(f"hint: {error.hint}", "yellow")
        self.messages(lines)

    def errors(self, errors: Iterable[DataopsError]) -> None:
        """Write what is wrong with many services to stderr. What is the same for several of them is written once."""
        by_hint: dict[str, dict[str, list[str]]] = {}
        for error in errors:
            by_hint.setdefault(error.hint, {}).setdefault(error.message, []).append(error.service or "")
        for hint, messages in by_hint.items():
            for message, services in messages.items():
                names = listed([name for name in services if name])
                self.messages(_paragraph(f"error: {names}: {message}" if names else f"error: {message}", "bold red"))
            self.messages(_paragraph(f"hint: {hint}", "yellow") if hint else [])

    def progress(self) -> events.Emit:
        """A sink for the events of a run, which shows them on stderr."""
        if self._quiet:
            return lambda event: None
        if self._terminal(self.err):
            return LiveProgress(self.messages, self._console(self.err))
        return PlainProgress(self.messages)

    def _put(self, write: Callable[[], object]) -> None:
        if self.lost is None:
            try:
                write()
                self.out.flush()
            except OSError as error:
                self.lost = error

    def _write(self, stream: IO[str], lines: Iterable[Line]) -> None:
        lines = [(on_one_line(text), style) for text, style in lines]
        if self._terminal(stream) or _colour_is_forced():
            console = self._console(stream)
            for text, style in lines:
                console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)
        else:
            stream.write("".join(f"{text}\n" for text, _ in lines))
            stream.flush()

    def _terminal(self, stream: IO[str]) -> bool:
        try:
            return stream.isatty() and os.environ.get("TERM") != "dumb"
        except ValueError:  # closed
            return False

    def _console(self, stream: IO[str]) -> RichConsole:
        from rich.console import Console as RichConsole

        if id(stream) not in self._rich:
            # Rich honours NO_COLOR, also before FORCE_COLOR; it finds no colours where TERM is not set
            colours: Any = "standard" if _colour_is_forced() and not self._terminal(stream) else "auto"
            self._rich[id(stream)] = RichConsole(file=stream, emoji=False, color_system=colours)
        return self._rich[id(stream)]

    def _draw_page(self, markdown: str) -> None:
        from rich.markdown import Markdown

        self._console(self.out).print(Markdown(markdown, hyperlinks=False, code_theme="ansi_dark"))


def _colour_is_forced() -> bool:
    """Whether colours are wanted also where no terminal is: FORCE_COLOR with any value, unless NO_COLOR has one."""
    return bool(os.environ.get("FORCE_COLOR")) and not os.environ.get("NO_COLOR")


class Printed(io.TextIOBase):
    """Stands in for stdout and stderr while migration files run, and calls `tell` with each whole line they print.

    A carriage return ends a line too: bars of progress write nothing else. With `has_descriptor`, what is written to
    descriptor 1 comes here too, so that a file may pass its sys.stdout on to a child process.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    has_descriptor = False

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._begun: dict[int, str] = {}
        self.buffer = _Bytes(self)

    def fileno(self) -> int:
        return 1 if self.has_descriptor else super().fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        thread = threading.get_ident()  # services run side by side; each line is one service's
        whole = self._begun.get(thread, "") + text
        *lines, self._begun[thread] = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def finish(self) -> None:
        """Pass on the lines that were begun and never ended."""
        for thread in list(self._begun):
            if line := self._begun.pop(thread):
                self._tell(line)


class _Bytes(io.RawIOBase):
    """What `sys.stdout.buffer` is in a migration file."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        self._printed.write(bytes(data).decode(errors="backslashreplace"))
        return len(bytes(data))


def _paragraph(text: str, style: str) -> list[Line]:
    """A text of ours that may have several lines."""
    return [(line, style) for line in text.split("\n")]


def _traceback(text: str) -> list[Line]:
    return _paragraph(text.rstrip(), "dim") if text else []


# Plans


def plan_lines(plan: Plan, renderings: Mapping[str, Rendering], *, verbose: bool) -> list[Line]:
    """The plan, as a person reads it: where, what, in which order, how risky, how to undo. The summary comes last."""
    common = _common(plan.states, verbose=verbose)
    lines: list[Line] = [(f"{listed(names)}: {text}", "yellow") for text, names in common.items()]
    lines += [("", "")] if lines else []
    for state in plan.states:
        steps = plan.of(state.service.name)
        lines += _service_lines(state, steps, plan.direction, common, verbose=verbose)
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
        after = "; ".join(f"{name} after {', '.join(others)}" for name, others in _waiting(plan, order))
        lines.append((f"Order: {', '.join(order)}, side by side" + (f", but {after}" if after else ""), ""))
    if plan.steps and plan.direction is Direction.APPLY:
        stuck = next((step for step in reversed(plan.steps) if not step.migration.reversible), None)
        undo = "Undo: dataops rollback" if stuck is None else f"Undo: only back to {stuck.id}, which is irreversible"
        lines.append((undo, ""))
    lines.append((planner.summary(plan), "bold"))
    return lines


def _remarks(state: State, *, verbose: bool) -> list[str]:
    notes = [f"note: {note}" for note in state.notes] if verbose else []
    return [*(f"warning: {warning}" for warning in state.warnings), *notes]


def _common(states: Iterable[State], *, verbose: bool) -> dict[str, list[str]]:
    """What is to be said of several services, each with their names: it is said once."""
    found: dict[str, list[str]] = {}
    for state in states:
        for remark in _remarks(state, verbose=verbose):
            found.setdefault(remark, []).append(state.service.name)
    return {remark: names for remark, names in found.items() if len(names) > 1}


def _waiting(plan: Plan, order: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Which services of the plan come after which others: after those they depend on, and before them to roll back."""
    needs = {state.service.name: state.service.depends_on for state in plan.states}
    for name in order:
        if plan.direction is Direction.APPLY:
            others = [other for other in needs[name] if other in order]
        else:
            others = [other for other in order if name in needs[other]]
        if others:
            yield name, others


def _service_lines(
    state: State, steps: Sequence[Step], direction: Direction, said: Collection[str], *, verbose: bool
) -> list[Line]:
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
        running = recovery.running_step(state)
        what = f"{running.direction.value} of {running.migration} is running, or its run has died: " if running else ""
        lines.append((f"  {what}locked now by {state.holder}", "yellow"))
    if state.elsewhere:
        lines.append((f"  recorded in {state.elsewhere}", ""))
    lines += [(f"  {remark}", "yellow") for remark in _remarks(state, verbose=verbose) if remark not in said]
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
        text = command.split("\n") if verbose else [" ".join(command.split())]
        cut = [part if verbose or len(part) <= _SHOWN_WIDTH else part[: _SHOWN_WIDTH - 1] + "…" for part in text]
        lines += [(f"      {'| ' if at else '> '}{part}", "") for at, part in enumerate(cut)]
    if more := len(rendering.commands) - len(shown):
        hidden = len(rendering.commands) - len(main)
        which = "" if not hidden else (", all" if hidden == more else f", {hidden} of them") + " for what is put aside"
        lines.append((f"      … and {more} more{which} (-v shows all)", "dim"))
    if not rendering.commands and not rendering.opaque and not rendering.fails:
        lines.append(("      no commands", "dim"))
    if rendering.fails:
        lines.append((f"      FAILS HERE: {rendering.fails}", "bold red"))
    if rendering.opaque:
        lines.append((f"      opaque: {rendering.opaque}", "yellow"))
    lines += [(f"      puts aside: {what}", "dim") for what in rendering.puts_aside]
    lines += [(f"      note: {note}", "dim") for note in rendering.notes]
    return lines


# Results


def result_lines(result: Result, *, verbose: bool = False) -> list[Line]:
    """What was done, what failed and what is left. The last line is the summary. `verbose` adds the tracebacks."""
    verb = "applied" if result.plan.direction is Direction.APPLY else "rolled back"
    lines: list[Line] = []
    for failure in result.failures:
        error = failure.error
        lines += _paragraph(f"error: {error}", "bold red")
        if verbose:
            lines += _traceback(failure.details.traceback)
        mine = [step for step in result.left if step.service == failure.service]
        lines.append((f"  {failure.service}: {failure.applied_before} {verb} before it, {len(mine)} not run", "red"))
        if isinstance(error, DataopsError) and error.hint:
            lines += _paragraph(f"hint: {error.hint}", "yellow")
    services = counted(len({step.service for step in result.done}), "service")
    text = f"{len(result.done)} {verb} in {services}" if result.done else f"nothing {verb}"
    if result.failures or result.left:
        text += f", {len(result.failures)} failed, {len(result.left)} left"
    style = "bold red" if result.failures else ("yellow" if result.left else "bold green")
    lines.append((f"Run {result.run}: {text} ({result.seconds:.1f} s)", style))
    return lines


def proof_lines(proofs: Sequence[Proof], *, verbose: bool = False) -> list[Line]:
    """What was proved, and what was not, service by service. `verbose` adds the tracebacks."""
    lines: list[Line] = []
    for proof in proofs:
        name, count = proof.service.name, counted(len(proof.migrations), "migration")
        irreversible = [migration for migration in proof.migrations if not migration.reversible]
        if proof.error is not None:
            lines += _paragraph(f"{name}: FAILED: {proof.error.message}", "bold red")
            lines += _traceback(proof.error.traceback) if verbose else []
        elif proof.disproved:
            lines.append((f"{name}: {counted(len(proof.disproved), 'difference')} in {count}", "bold red"))
        else:
            data = "" if proof.seeded else ", without data: see --seed"
            only = f", {len(irreversible)} of them only there" if irreversible else ""
            lines.append((f"{name}: {count} there and back{only}{data}", "green"))
        lines += [(f"  {disproved}", "yellow") for disproved in proof.disproved]
    return lines


def moved_lines(service: str, address: str, moved: Moved) -> list[Line]:
    """What the record's own tool has done by itself, one line a migration."""
    words = {Direction.APPLY: ("applied", "green"), Direction.ROLLBACK: ("rolled back", "yellow")}
    lines: list[Line] = [(f"{service}: {moved.tool} has moved its record by itself, on {address}", "bold")]
    for migration, direction in moved.lines:
        word, style = words[direction]
        lines.append((f"  {word:<11}  {migration.id}", style))
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


def lint_lines(found: lint.Report, root: Path) -> list[Line]:
    """A few lines for each finding, with paths relative to `root`. The last line is the summary."""
    lines: list[Line] = []
    for finding in found.findings:
        severity = finding.rule.severity.value
        where = f"{below(finding.path, root)}:{finding.line}"
        style = "red" if severity == "error" else "yellow"
        lines.append((f"{where}: {severity} {finding.rule.code} {finding.message}", style))
        lines += [(f"  {finding.sql}", "")] if finding.sql else []
        lines.append((f"  hint: {finding.fix}", ""))
    return [*lines, (lint_summary(found), "bold")]


def lint_summary(found: lint.Report) -> str:
    parts = [counted(len(found.files), "file")]
    parts += [counted(found.errors, "error")] if found.errors else ["no errors"]
    parts += [counted(found.warnings, "warning")] if found.warnings else []
    parts += [f"{len(found.ignored)} ignored for a reason"] if found.ignored else []
    parts += [f"{found.left_out} left out"] if found.left_out else []
    return ", ".join(parts)
