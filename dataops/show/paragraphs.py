"""Plans, results, proofs, adoptions and findings as lines for a person, each with its style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataops.errors import DataopsError
from dataops.model import Direction, Result, fleet
from dataops.othertools import examine
from dataops.planning.native import Moved
from dataops.show import grid
from dataops.show.progress import Line
from dataops.show.reports import below
from dataops.text import counted

if TYPE_CHECKING:
    from dataops import lint
    from dataops.proof import Proof


def paragraph(text: str, style: str) -> list[Line]:
    """A text of ours that may have several lines."""
    return [(line, style) for line in text.split("\n")]


def fitted(lines: Iterable[Line], width: int | None, *, whole: bool) -> list[Line]:
    """The lines for a terminal of this width, broken between words; None is for a pipe, whose lines may be long.

    Commands, which begin with ">" or "|", are copied by people and are not broken: without `whole`, they are cut.
    """
    return [(part, style) for text, style in lines for part in _fitted(text, width, whole=whole)]


def _fitted(text: str, width: int | None, *, whole: bool) -> list[str]:
    bare = text.lstrip(" ")
    if bare.startswith(("> ", "| ")):
        longest = width or _PIPED_WIDTH
        return [text] if whole or grid.cells(text) <= longest else [f"{grid.cut(text, longest - 1)}…"]
    if width is None or grid.cells(text) <= width:
        return [text]
    indent = len(text) - len(bare)
    first, *rest = grid.folded(bare, max(_NARROWEST, width - indent - 2))
    return [" " * indent + first, *(" " * (indent + 2) + part for part in rest)]


_PIPED_WIDTH = 200
_NARROWEST = 30


def traceback_lines(text: str) -> list[Line]:
    return paragraph(text.rstrip(), "dim") if text else []


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
        mine = [step for step in result.left if failure.service in (step.service, fleet.unit_of(step.service))]
        # What fails before its first step says nothing of what was done there before.
        before = [f"{failure.applied_before} {verb} before it"] if failure.step or failure.applied_before else []
        lines.append((f"  {failure.service}: {', '.join([*before, f'{len(mine)} not run'])}", "red"))
        if isinstance(error, DataopsError) and error.hint:
            lines += paragraph(f"hint: {error.hint}", "yellow")
    where = fleet.told(step.service for step in result.done)
    where = where if " " in where or fleet.is_member(where) else "1 service"
    text = f"{len(result.done)} {verb} in {where}" if result.done else f"nothing {verb}"
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
