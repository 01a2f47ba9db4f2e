"""GitHub's annotations, which it shows beside lines of files: `::error file=...,line=...,title=...::message`.

GitHub shows ten of each level for each step of a job, and the rest in its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataops.errors import DataopsError
from dataops.model import Rendering, Step
from dataops.othertools import watch
from dataops.planning import risks
from dataops.show import grouped
from dataops.show.reports import (
    DriftReport,
    LintReport,
    Look,
    PlanReport,
    ProofReport,
    StatusReport,
    below,
    step_remarks,
)
from dataops.text import visible

if TYPE_CHECKING:
    from dataops.proof import Proof


def status(report: StatusReport) -> str:
    """An annotation for each thing that is wrong, and for each pending migration, on its file."""
    return lines(note for look in report.looks for note in _looked(look, report.root, check=report.check))


def plan(report: PlanReport) -> str:
    """An annotation for each step, on its file. What will fail is an error, at its line; what needs care a warning.

    What the policy would refuse is an error too, and so is why a database of a fleet has no plan.
    """
    report = report.told
    refused = [Annotation("error", f"the policy would refuse it now: {one}") for one in report.forbidden]
    steps = [
        Annotation(
            _level(step, rendering),
            "\n".join(step_remarks(step, rendering)),
            f"{step.service}/{step.migration.id}",
            below(step.migration.path, report.root),
            rendering.line if rendering else 1,
        )
        for step, rendering in report.steps
    ]
    unplanned = [_error(error, name) for name, error in grouped.troubles(report.plan)]
    return lines([*unplanned, *refused, *steps])


def _level(step: Step, rendering: Rendering | None) -> str:
    if risks.will_fail(step, rendering):
        return "error"
    careful = bool(risks.to_decide(step, rendering)) or not step.migration.atomic or (rendering and rendering.opaque)
    return "warning" if careful else "notice"


def proof(report: ProofReport) -> str:
    """An annotation for each difference and each error, on the file of its migration."""
    return lines(note for proof in report.proofs for note in _proved(proof, report.root))


def drifted(report: DriftReport) -> str:
    """An annotation for each object that differs, and for each error."""
    notes = []
    for one in report.found:
        notes += [Annotation("error", str(of), title=one.service.name) for of in one.differences]
        notes += [_error(one.error, one.service.name)] if one.error is not None else []
    return lines(notes)


def refusal(command: str, error: DataopsError) -> str:
    """One annotation. It does not name the command, because GitHub shows the name of the job's step."""
    return lines([_error(error)])


def lint(report: LintReport) -> str:
    """An annotation for each finding, on its line."""
    return lines(
        Annotation(
            finding.rule.severity.value,
            f"{finding.message}\nhint: {finding.fix}",
            finding.rule.code,
            below(finding.path, report.root),
            finding.line,
        )
        for finding in report.found.findings
    )


@dataclass(frozen=True)
class Annotation:
    """A remark beside a line. `level` is error, warning or notice; without a line it is about the whole file."""

    level: str
    message: str
    title: str = ""
    file: str = ""
    line: int = 0


def lines(annotations: Iterable[Annotation]) -> str:
    """One line for each annotation, in GitHub's syntax."""
    return "".join(_line(one) + "\n" for one in annotations)


def _line(one: Annotation) -> str:
    about = {"file": one.file, "line": str(one.line) if one.file and one.line else "", "title": one.title}
    properties = ",".join(f"{key}={_property(value)}" for key, value in about.items() if value)
    return f"::{one.level}{' ' if properties else ''}{properties}::{_data(one.message)}"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _error(error: DataopsError, service: str = "") -> Annotation:
    name = service or error.service
    text = f"{error.message}\n{error.hint}".rstrip()
    return Annotation("error", text, title=f"dataops: {name}" if name else "dataops")


def _looked(look: Look, root: Path, *, check: bool) -> Iterator[Annotation]:
    name, state = look.service.name, look.state
    if look.wrong is not None:
        yield _error(look.wrong, name)
    if isinstance(state, DataopsError):
        return
    level = "error" if check else "notice"
    if look.service.observe and (waiting := watch.watch(state).waiting):
        yield Annotation(level, waiting, title=name)
    for migration in state.pending:
        text = f"pending on {state.identity.address}: {migration.title}"
        yield Annotation(level, text, f"{name}/{migration.id}", below(migration.path, root), 1)


def _proved(proof: Proof, root: Path) -> Iterator[Annotation]:
    name = proof.service.name
    paths = {migration.id: below(migration.path, root) for migration in proof.migrations}
    if proof.error is not None:
        yield replace(_error(proof.error, name), file=paths.get(proof.error.migration or "", ""), line=1)
    for one in proof.disproved:
        title = f"{name}/{one.migration or 'the whole way'}"
        yield Annotation("error", f"{one.when}: {one.difference}", title, paths.get(one.migration, ""), 1)


__all__ = ["Annotation", "drifted", "lines", "lint", "plan", "proof", "refusal", "status"]
