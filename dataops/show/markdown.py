"""Markdown for a pull request's comment, in GitHub's dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from dataops.errors import DataopsError
from dataops.model import Direction, Rendering, State, Step, StepMeasured
from dataops.model.effect import together
from dataops.othertools import mirror, watch
from dataops.planning import planner, rehearsals, risks
from dataops.show import grouped
from dataops.show.rehearsing import STRONG
from dataops.show.reports import (
    DriftReport,
    Look,
    PlanReport,
    ProofReport,
    RehearsalReport,
    StatusReport,
    rendering_remarks,
)
from dataops.text import counted, listed, on_one_line, shortened, visible

if TYPE_CHECKING:
    from dataops.dumping import Change
    from dataops.rehearsal import Rehearsal

LONGEST = 60_000
"""Characters of a report. GitHub refuses a comment of more than 65,536."""

_LONGEST_TEXT = 2_000  # characters of one title, error or hint; a table has many of them
_CLOSING = 400  # characters for what says how much was left out, and for the last lines


def status(report: StatusReport) -> str:
    """A table of the services, and a list of what is pending, as far as they fit."""
    looks = grouped.looks(report.looks, datetime.now(UTC))
    page = _Page("### Migrations\n")
    headers = ["service", "revision", "applied", "pending", "state"]
    page.table(headers, [_status_row(look) for look in looks], "services", LONGEST * 3 // 4)
    details = [f"{line}\n" for look in looks for line in _status_details(look)]
    page.add("\n" if details else "", details, "lines: `dataops status` shows them")
    return page.text


def plan(report: PlanReport) -> str:
    """Tables of the databases and of the steps, and the commands of each step, folded, as far as they fit."""
    report = report.told
    planned = report.plan
    verb = "to apply" if planned.direction is Direction.APPLY else "to roll back"
    databases = [
        [
            _plain(s.service.name),
            _plain(f"{s.server}, {s.identity.address}"),
            str(len(s.applied)),
            str(len(planned.of(s.service.name))),
        ]
        for s in planned.states
    ]
    page = _Page(f"### {report.summary}\n")
    troubles = [f"- :x: {_plain(f'{name}: {error.message}')}\n" for name, error in grouped.troubles(planned)]
    page.add("\n" if troubles else "", troubles, "databases that cannot be planned: `dataops plan -v` shows them")
    page.table(["service", "database", "applied", verb], databases, "services", LONGEST // 3)
    if not planned.steps:
        return page.text
    rows = [_step_row(number, step, rendering) for number, (step, rendering) in enumerate(report.steps, 1)]
    page.table(["#", "service", "migration", "what it does", "risk"], rows, "steps", LONGEST * 3 // 4)
    folded = [_folded(step, rendering) for step, rendering in report.steps]
    refused = [f"- :x: the policy would refuse it now: {_plain(str(one))}\n" for one in report.forbidden]
    if report.approvals is not None and report.approvals.enough:
        page.text += f"\n:white_check_mark: {_plain(report.approvals.words)}\n"
    page.add("\n" if refused else "", refused, "rules of the policy: `dataops plan` shows them")
    page.add("", folded, "are too long for here: `dataops plan -v` shows them", "The commands of ")
    for state in planned.states:
        steps = [step.migration for step in planned.of(state.service.name)]
        if deploy := mirror.to_deploy(state.service, steps, planned.direction):
            page.text += f"\n{_plain(f'{state.service.name}: {deploy}')}\n"
    schemas = [_change(one) for one in report.changes if one.diff or one.problem]
    page.add("\n" if schemas else "", schemas, "are too long for here: `git diff` shows them", "The schemas of ")
    if planned.direction is Direction.APPLY:
        page.text += "\nUndo: `dataops rollback`\n"
    return page.text


def proof(report: ProofReport) -> str:
    """A table of the services, and a list of the differences, as far as they fit."""
    rows = []
    for one in report.proofs:
        state = ":white_check_mark:"
        if one.error:
            state = f":x: {_plain(one.error.message)}"
        elif one.disproved:
            state = f":x: {len(one.disproved)}"
        rows.append([_plain(one.service.name), str(len(one.migrations)), "yes" if one.seeded else "no", state])
    page = _Page("### There and back\n")
    page.table(["service", "migrations", "with data", "differences"], rows, "services", LONGEST // 2)
    found = [f"- {_plain(str(found))}\n" for one in report.proofs for found in one.disproved]
    page.add("", found, "differences: `dataops prove` shows them")
    return page.text


def drifted(report: DriftReport) -> str:
    """A table of the services, and a list of what differs, as far as they fit."""
    rows = []
    for one in report.found:
        state = f":x: {len(one.differences)}" if one.differences else ":white_check_mark:"
        state = f":x: {_plain(one.error.message)}" if one.error else state
        rows.append([_plain(one.service.name), _code(one.head) if one.head else "none", state])
    page = _Page("### Drift\n")
    page.table(["service", "applied up to", "differences"], rows, "services", LONGEST // 2)
    found = [f"- {_plain(one.service.name)}: {_plain(str(of))}\n" for one in report.found for of in one.differences]
    page.add("\n" if found else "", found, "differences: `dataops drift` shows them")
    return page.text


def rehearsal(report: RehearsalReport) -> str:
    """A table of the steps that were rehearsed, and lists of what went wrong and what to know, as far as they fit."""
    rows = [
        [
            _plain(one.service.name),
            _code(step.migration),
            f"{step.seconds:.2f} s",
            live,
            locks,
            _result(one, step.migration),
        ]
        for one in report.found
        for step in one.steps
        if step.direction is Direction.APPLY
        for live, locks in [_rehearsed(one, step, report)]
    ]
    page = _Page(f"### {counted(len(rows), 'step')} rehearsed\n")
    page.table(["service", "migration", "here", "live", "strong locks", "result"], rows, "steps", LONGEST // 2)
    wrong = [
        f"- :x: {_plain(f'{one.service.name}: {text}')}\n"
        for one in report.found
        for text in [
            *([f"{one.failed.error.message} {one.failed.statement}".strip()] if one.failed else []),
            *(f"{when}: {difference}" for when, difference in one.different),
        ]
    ]
    notes = [f"- {_plain(f'{one.service.name}: {remark}')}\n" for one in report.found for remark in one.remarks]
    page.add("\n" if wrong else "", wrong, "things that went wrong: `dataops rehearse` shows them")
    page.add("\n" if notes else "", notes, "notes: `dataops rehearse` shows them")
    return page.text


def _rehearsed(one: Rehearsal, step: StepMeasured, report: RehearsalReport) -> tuple[str, str]:
    """How long a step may take live, and its strong locks."""
    effects = rehearsals.effects_of(step, report.renderings.get(f"{one.service.name}/{step.migration}"))
    span = together(
        rehearsals.carried(statement, effects.get(at), one.tables) for at, statement in enumerate(step.statements)
    )
    locks = {name for part in step.statements for name, mode in part.observed.locks if mode in STRONG}
    return _plain(span.told if span else ""), _plain(listed(sorted(locks)))


def _result(one: Rehearsal, migration: str) -> str:
    if one.failed is not None and one.failed.step.migration.id == migration:
        return ":x: failed"
    return ":white_check_mark:"


def refusal(command: str, error: DataopsError) -> str:
    """What was refused, why, and the remedy."""
    hint = f"\n\n{_plain(error.hint)}" if error.hint else ""
    return f"### {command}: refused\n\n**{_plain(str(error))}**{hint}\n"


class _Page:
    """A text of at most LONGEST characters. What does not fit is left out, and a line says how much that is."""

    def __init__(self, head: str) -> None:
        self.text = head

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], what: str, longest: int) -> None:
        """Add a table of cells that are Markdown already, until the text has `longest` characters."""
        head = "\n" + _line(headers) + _line(["---"] * len(headers))
        self.add(head, [_line(row) for row in rows], what, longest=longest)

    def add(self, head: str, parts: Sequence[str], what: str, before: str = "… and ", longest: int = LONGEST) -> None:
        """Add a head and as many of the parts as fit, and `{before}{number} more {what}.` for the others."""
        self.text += head
        for at, part in enumerate(parts):
            if len(self.text) + len(part) > longest - _CLOSING:
                self.text += f"\n{before}{len(parts) - at:,} more {what}.\n"
                return
            self.text += part


def _status_row(look: Look) -> list[str]:
    state, wrong, name = look.state, look.wrong, _plain(look.service.name)
    if isinstance(state, DataopsError):
        return [name, "?", "?", "?", f":x: {_plain(str(state))}"]
    if look.service.observe:
        return _observed_row(look, state)
    condition = f":x: {_plain(wrong.message)}" if wrong else ("pending" if state.pending else ":white_check_mark:")
    revision = state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else "")
    counts = [str(len(state.applied)), str(len(state.pending))]
    return [name, _code(revision) if revision else "none", *counts, condition]


def _observed_row(look: Look, state: State) -> list[str]:
    watched = watch.watch(state)
    condition = f":x: {_plain(look.wrong.message)}" if look.wrong else _plain(watched.waiting) or ":white_check_mark:"
    newest = _code(watched.newest.name) if watched.newest else "none"
    count = len(watched.record.rows) if watched.record else 0
    return [_plain(f"{look.service.name} ({look.service.observe})"), newest, str(count), "", condition]


def _status_details(look: Look) -> Iterable[str]:
    name, state = _plain(look.service.name), look.state
    if isinstance(state, DataopsError) or look.service.observe:
        return
    if look.wrong and look.wrong.hint:
        yield f"- {name}: {_plain(look.wrong.hint)}"
    for migration in state.pending:
        yield f"- [ ] {name}: {_code(migration.id)} {_plain(migration.title)}"


def _step_row(number: int, step: Step, rendering: Rendering | None) -> list[str]:
    found = [name for name in risks.names(risks.to_decide(step, rendering)) if name != "irreversible"]
    found += [flag for flag in planner.flags(step) if flag not in ("transactional", "reversible", "repeatable")]
    found += ["opaque"] if rendering and rendering.opaque else []
    found += (
        sorted({one.code for one in rendering.remarks if one.severity == "error" and one.code.isalnum()})
        if rendering
        else []
    )
    found += ["puts data aside"] if rendering and rendering.puts_aside else []
    risk = _plain(", ".join(found)) or ("none known" if rendering else "not looked at")
    return [str(number), _plain(step.service), _code(step.migration.id), _plain(step.migration.title), risk]


def _folded(step: Step, rendering: Rendering | None) -> str:
    if rendering is None:
        return ""
    nothing = "-- not known without running it" if rendering.opaque else "-- no commands"
    commands = visible(";\n".join(rendering.commands)) or nothing
    remarks = "".join(f"\n- {_plain(remark)}" for remark in rendering_remarks(rendering))
    return (
        f"\n<details><summary>{escape(step.service)}: <code>{escape(step.migration.id)}</code></summary>\n{remarks}\n\n"
        f"{_fenced(step.migration.kind.language, commands)}\n\n</details>\n"
    )


def _change(change: Change) -> str:
    if change.problem:
        return f"- {_plain(change.service)}: {_plain(change.problem)}\n"
    summary = f"<summary>{escape(change.service)}: the schema after it</summary>"
    return f"\n<details>{summary}\n\n{_fenced('diff', visible(change.diff).rstrip())}\n\n</details>\n"


def _fenced(language: str, text: str) -> str:
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in cells) + " |\n"


_ACTIVE = re.compile(
    r"""
    (?P<comment> [@\#](?=\w) | GH-(?=\d) | :(?=//) | :(?=[\w+-]+:) | www(?=\.) )  # links and emoji
  | (?P<html> [<&$] )
  | (?P<escape> [\\`*\[\]~|] | (?<![^\W_])_ | _(?![^\W_]) | ^[-+>=\#](?=\s|$|[-=>]) | (?<=^\d)[.)] | (?<=^\d\d)[.)] )
    """,
    re.VERBOSE,
)


def _plain(text: str) -> str:
    """The text on one line, escaped so that Markdown shows it as it is: no link, mention, emoji, formula or HTML."""
    words = shortened(" ".join(visible(text).split()), _LONGEST_TEXT)
    return " ".join(_ACTIVE.sub(_inert, words).split())


def _inert(found: re.Match[str]) -> str:
    if found["comment"]:
        return f"{found[0]}<!-- -->"
    return {"<": "&lt;", "&": "&amp;", "$": "<span>$</span>"}.get(found[0], f"\\{found[0]}")


def _code(text: str) -> str:
    """The text as code, on one line."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{on_one_line(text)}{space}{fence}"


__all__ = ["drifted", "plan", "proof", "refusal", "status"]
