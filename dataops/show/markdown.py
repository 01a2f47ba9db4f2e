"""Markdown for a pull request's comment, in GitHub's dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dataops.errors import DataopsError
from dataops.model import Direction, Rendering, State, Step
from dataops.othertools import watch
from dataops.planning import planner
from dataops.show.reports import Look, PlanReport, ProofReport, StatusReport, rendering_remarks

LONGEST = 60_000
"""Characters of a report. GitHub refuses a comment of more than 65,536."""


def status(report: StatusReport) -> str:
    """A table of the services, and a list of what is pending."""
    rows = [_status_row(look) for look in report.looks]
    details = [line for look in report.looks for line in _status_details(look)]
    text = "### Migrations\n\n" + _table(["service", "revision", "applied", "pending", "state"], rows)
    return text + ("\n" + "\n".join(details) + "\n" if details else "")


def plan(report: PlanReport) -> str:
    """Tables of the databases and of the steps, and the commands of each step, folded, as far as they fit."""
    planned = report.plan
    verb = "to apply" if planned.direction is Direction.APPLY else "to roll back"
    databases = [
        [s.service.name, f"{s.server}, {s.identity.address}", str(len(s.applied)), str(len(planned.of(s.service.name)))]
        for s in planned.states
    ]
    text = f"### {planner.summary(planned)}\n\n" + _table(["service", "database", "applied", verb], databases)
    if not planned.steps:
        return text
    rows = [_step_row(number, step, rendering) for number, (step, rendering) in enumerate(report.steps, 1)]
    text += "\n" + _table(["#", "service", "migration", "what it does", "risk"], rows)
    left = 0
    for step, rendering in report.steps:
        part = _folded(step, rendering)
        if left or len(text) + len(part) > LONGEST:
            left += 1
        else:
            text += part
    if left:
        text += f"\nThe commands of {left} more are too long for here: `dataops plan -v` shows them.\n"
    if planned.direction is Direction.APPLY:
        text += "\nUndo: `dataops rollback`\n"
    return text


def proof(report: ProofReport) -> str:
    """A table of the services, and a list of the differences."""
    rows = []
    for one in report.proofs:
        state = ":white_check_mark:"
        if one.error:
            state = f":x: {one.error.message}"
        elif one.disproved:
            state = f":x: {len(one.disproved)}"
        rows.append([one.service.name, str(len(one.migrations)), "yes" if one.seeded else "no", state])
    text = "### There and back\n\n" + _table(["service", "migrations", "with data", "differences"], rows)
    return text + "".join(f"- {_plain(str(found))}\n" for one in report.proofs for found in one.disproved)


def refusal(command: str, error: DataopsError) -> str:
    """What was refused, why, and the remedy."""
    hint = f"\n\n{_plain(error.hint)}" if error.hint else ""
    return f"### {command}: refused\n\n**{_plain(str(error))}**{hint}\n"


def _status_row(look: Look) -> list[str]:
    state, wrong = look.state, look.wrong
    if isinstance(state, DataopsError):
        return [look.service.name, "?", "?", "?", f":x: {state}"]
    if look.service.observe:
        return _observed_row(look, state)
    condition = f":x: {wrong.message}" if wrong else ("pending" if state.pending else ":white_check_mark:")
    revision = state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else "")
    counts = [str(len(state.applied)), str(len(state.pending))]
    return [look.service.name, f"`{revision}`" if revision else "none", *counts, condition]


def _observed_row(look: Look, state: State) -> list[str]:
    watched = watch.watch(state)
    condition = f":x: {look.wrong.message}" if look.wrong else watched.waiting or ":white_check_mark:"
    newest = f"`{watched.newest.name}`" if watched.newest else "none"
    count = len(watched.record.rows) if watched.record else 0
    return [f"{look.service.name} ({look.service.observe})", newest, str(count), "", condition]


def _status_details(look: Look) -> Iterable[str]:
    name, state = look.service.name, look.state
    if isinstance(state, DataopsError) or look.service.observe:
        return
    if look.wrong and look.wrong.hint:
        yield f"- {name}: {_plain(look.wrong.hint)}"
    for migration in state.pending:
        yield f"- [ ] {name}: `{migration.id}` {_plain(migration.title)}"


def _step_row(number: int, step: Step, rendering: Rendering | None) -> list[str]:
    risks = [flag for flag in planner.flags(step) if flag not in ("transactional", "reversible", "repeatable")]
    risks += ["opaque"] if rendering and rendering.opaque else []
    risks += ["puts data aside"] if rendering and rendering.puts_aside else []
    return [str(number), step.service, f"`{step.migration.id}`", step.migration.title, ", ".join(risks) or "none known"]


def _folded(step: Step, rendering: Rendering | None) -> str:
    if rendering is None:
        return ""
    nothing = "-- not known without running it" if rendering.opaque else "-- no commands"
    commands = ";\n".join(rendering.commands) or nothing
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", commands)), default=2)
    fence = "`" * (longest + 1)
    remarks = "".join(f"\n- {_plain(remark)}" for remark in rendering_remarks(rendering))
    return (
        f"\n<details><summary>{step.service}: <code>{step.migration.id}</code></summary>\n{remarks}\n\n"
        f"{fence}{step.migration.kind.language}\n{commands}\n{fence}\n\n</details>\n"
    )


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(headers), ["---"] * len(headers), *([_cell(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """One line that Markdown takes for text."""
    return " ".join(text.split()).replace("<", "&lt;")


__all__ = ["plan", "proof", "refusal", "status"]
