"""JUnit's XML, as the schema of Jenkins has it (`junit-10.xsd`), which GitLab and the others read too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataops.errors import DataopsError
from dataops.model import Direction
from dataops.othertools import watch
from dataops.planning import risks
from dataops.show.reports import (
    DriftReport,
    LintReport,
    Look,
    PlanReport,
    ProofReport,
    RehearsalReport,
    StatusReport,
    below,
    step_remarks,
)
from dataops.text import visible

if TYPE_CHECKING:
    from dataops.proof import Proof


def status(report: StatusReport) -> str:
    """A case for each migration, and one for whatever else may be wrong with a service."""
    return document("dataops status", [case for look in report.looks for case in _looked(look, check=report.check)])


def plan(report: PlanReport) -> str:
    """A case for each step, with its commands. A case fails where the step will fail, wherever it is run.

    A database of a fleet that has no plan is one that fails.
    """
    cases = [Case(name, "plan", (_failure(error),)) for name, error in report.plan.troubles.items()]
    for step, rendering in report.steps:
        lines = [*step_remarks(step, rendering), *(rendering.commands if rendering else ())]
        failures = tuple(
            Failure("fails", one.text) for one in risks.of_step(step, rendering) if one.hazard == "will-fail"
        )
        cases.append(Case(step.service, step.migration.id, failures, "\n".join(lines)))
    return document("dataops plan", cases)


def proof(report: ProofReport) -> str:
    """A case for each migration, and one for the whole way back and forth."""
    return document("dataops prove", [case for proof in report.proofs for case in _proved(proof)])


def drifted(report: DriftReport) -> str:
    """A case for each service, with a failure for each object that differs."""
    cases = []
    for one in report.found:
        failures = [Failure(of.how.value, str(of)) for of in one.differences]
        failures += [_failure(one.error)] if one.error is not None else []
        cases.append(Case(one.service.name, one.head or "nothing applied", tuple(failures)))
    return document("dataops drift", cases)


def rehearsal(report: RehearsalReport) -> str:
    """A case for each step, with its statements, and one for the way back and forth of each service."""
    cases = []
    for one in report.found:
        failed = one.failed
        steps = {step.migration: step for step in one.steps if step.direction is Direction.APPLY}
        for pending in one.pending:
            id_ = pending.migration.id
            here = failed is not None and failed.step.migration.id == id_
            failures = (_failure(failed.error),) if failed is not None and here else ()
            measured = steps.get(id_)
            lines = [f"{part.seconds:.3f} s: {part.text}" for part in measured.statements] if measured else ["not run"]
            cases.append(Case(one.service.name, id_, failures, "\n".join(lines)))
        differences = tuple(Failure(when, text) for when, text in one.different)
        cases.append(Case(one.service.name, "the way back and forth", differences, "\n".join(one.remarks)))
    return document("dataops rehearse", cases)


def refusal(command: str, error: DataopsError) -> str:
    """One case, which failed."""
    return document(command, [Case(error.service or "dataops", error.migration or "history", (_failure(error),))])


def lint(report: LintReport) -> str:
    """A suite for each service and a case for each file. A finding about a file that is gone gets a case too."""
    found = report.found
    by_file: dict[tuple[str, object], tuple[list[Failure], list[str]]] = {file: ([], []) for file in found.files}
    for finding in found.findings:
        failures, warnings = by_file.setdefault((finding.service, finding.path), ([], []))
        place = f"{below(finding.path, report.root)}:{finding.line}"
        if finding.rule.severity.value == "error":
            text = f"{place}: {finding.message}\nhint: {finding.fix}"
            failures.append(Failure(finding.rule.code, finding.message, text))
        else:
            warnings.append(f"{place}: warning {finding.rule.code} {finding.message}")
    cases = [
        Case(service, str(getattr(path, "name", path)), tuple(failures), "\n".join(warnings))
        for (service, path), (failures, warnings) in by_file.items()
    ]
    return document("dataops lint", cases)


@dataclass(frozen=True)
class Failure:
    """Why a case failed: a kind, one sentence, and details."""

    kind: str
    message: str
    text: str = ""


@dataclass(frozen=True)
class Case:
    """One thing that was looked at. Without failures it passed; `output` is shown with it either way."""

    group: str
    name: str
    failures: tuple[Failure, ...] = ()
    output: str = ""


def document(name: str, cases: Sequence[Case]) -> str:
    """The XML: one suite for each group, in the order in which the groups first come."""
    from xml.etree import ElementTree

    root = ElementTree.Element("testsuites", _counts(name, cases))
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    for group, members in groups.items():
        suite = ElementTree.SubElement(root, "testsuite", _counts(group, members))
        for case in members:
            attributes = {"classname": visible(case.group), "name": visible(case.name)}
            test = ElementTree.SubElement(suite, "testcase", attributes)
            for failure in case.failures:
                attributes = {"type": visible(failure.kind), "message": visible(failure.message)}
                ElementTree.SubElement(test, "failure", attributes).text = visible(failure.text)
            if case.output:
                ElementTree.SubElement(test, "system-out").text = visible(case.output)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counts(name: str, cases: Sequence[Case]) -> dict[str, str]:
    failed = sum(1 for case in cases if case.failures)
    return {"name": visible(name), "tests": str(len(cases)), "failures": str(failed), "errors": "0"}


def _failure(error: DataopsError) -> Failure:
    return Failure(type(error).__name__, error.message, error.hint)


def _looked(look: Look, *, check: bool) -> Iterable[Case]:
    name, state = look.service.name, look.state
    failures = (_failure(look.wrong),) if look.wrong else ()
    if isinstance(state, DataopsError):
        yield Case(name, "database", failures)
        return
    if look.service.observe:
        watched = watch.watch(state)
        late = (Failure("waiting", watched.waiting),) if check and watched.waiting else ()
        newest = watched.newest.name if watched.newest else "none"
        yield Case(name, f"{look.service.observe}: {newest}", failures or late, watched.waiting)
        return
    yield Case(name, "history", failures)
    for applied in state.applied:
        yield Case(name, applied.id, output=f"applied {applied.at:%Y-%m-%d %H:%M:%S} UTC" if applied.at else "applied")
    for migration in state.pending:
        late = (Failure("pending", f"{migration.id} is not applied", migration.title),) if check else ()
        yield Case(name, migration.id, late, "pending")


def _proved(proof: Proof) -> Iterable[Case]:
    error = proof.error
    for id_ in [*(migration.id for migration in proof.migrations), None]:
        failures = [Failure(one.when, one.difference) for one in proof.disproved if (one.migration or None) == id_]
        if error is not None and error.migration == id_:
            failures.append(_failure(error))
        yield Case(proof.service.name, id_ or "the whole way", tuple(failures))


__all__ = ["Case", "Failure", "document", "drifted", "lint", "plan", "proof", "refusal", "rehearsal", "status"]
