"""Plans, results, proofs, adoptions and findings as lines for a person, each with its style."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dataops.errors import DataopsError
from dataops.model import AppliedMigration, Direction, Plan, Rendering, Result, State, Step
from dataops.othertools import examine, mirror
from dataops.planning import planner, recovery
from dataops.planning.native import Moved
from dataops.show.progress import Line
from dataops.show.reports import below
from dataops.text import counted, listed

if TYPE_CHECKING:
    from dataops import lint
    from dataops.proof import Proof

_SHOWN_COMMANDS = 2
_SHOWN_WIDTH = 110
SHOWN_STEPS = 100
_HEADS = {Direction.APPLY: "+", Direction.ROLLBACK: "-"}


def paragraph(text: str, style: str) -> list[Line]:
    """A text of ours that may have several lines."""
    return [(line, style) for line in text.split("\n")]


def traceback_lines(text: str) -> list[Line]:
    return paragraph(text.rstrip(), "dim") if text else []


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
    if deploy := mirror.to_deploy(state.service, [step.migration for step in steps], direction):
        lines.append((f"  {deploy}", "yellow"))
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
        lines += paragraph(f"error: {error}", "bold red")
        if verbose:
            lines += traceback_lines(failure.details.traceback)
        mine = [step for step in result.left if step.service == failure.service]
        lines.append((f"  {failure.service}: {failure.applied_before} {verb} before it, {len(mine)} not run", "red"))
        if isinstance(error, DataopsError) and error.hint:
            lines += paragraph(f"hint: {error.hint}", "yellow")
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
            lines += paragraph(f"{name}: FAILED: {proof.error.message}", "bold red")
            lines += traceback_lines(proof.error.traceback) if verbose else []
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
