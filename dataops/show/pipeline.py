"""`status`, `plan` and `prove` as a pipeline reads them: JUnit, GitHub's annotations, Markdown for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataops.errors import DataopsError
from dataops.model import Direction, Migration, Plan, Rendering, Service, State, Step
from dataops.othertools import watch
from dataops.planning import planner
from dataops.show import formats
from dataops.show.formats import Annotation, Case, Failed

if TYPE_CHECKING:
    from dataops.proof import Proof

FORMATS = ("github", "junit", "markdown")
_COMMENT = 60_000
"""Characters of a Markdown report. GitHub refuses a comment of more than 65,536."""

Looked = tuple[Service, State | DataopsError, DataopsError | None]
"""A service, what was found there, and what would refuse an apply."""


def status(form: str, looked: Sequence[Looked], root: Path, *, check: bool) -> str:
    """Where every service stands. With `check` a pending migration is a failure, as it is for the exit code."""
    if form == "junit":
        return formats.junit("dataops status", [case for one in looked for case in _status_cases(one, check=check)])
    if form == "github":
        return formats.github(note for one in looked for note in _status_notes(one, root, check=check))
    return _status_markdown(looked)


def plan(form: str, planned: Plan, renderings: Mapping[str, Rendering], root: Path) -> str:
    """What would be done."""
    if form == "junit":
        return formats.junit("dataops plan", [_step_case(step, renderings.get(step.id)) for step in planned.steps])
    if form == "github":
        return formats.github(_step_note(step, renderings.get(step.id), root) for step in planned.steps)
    return _plan_markdown(planned, renderings)


def proof(form: str, proofs: Sequence[Proof], root: Path) -> str:
    """What `dataops prove` found."""
    if form == "junit":
        return formats.junit("dataops prove", [case for one in proofs for case in _proof_cases(one)])
    if form == "github":
        return formats.github(note for one in proofs for note in _proof_notes(one, root))
    rows = []
    for one in proofs:
        said = (
            f":x: {one.error.message}"
            if one.error
            else f":x: {len(one.disproved)}"
            if one.disproved
            else ":white_check_mark:"
        )
        rows.append([one.service.name, str(len(one.migrations)), "yes" if one.seeded else "no", said])
    text = "### There and back\n\n" + _table(["service", "migrations", "with data", "differences"], rows)
    return text + "".join(f"- {_plain(str(d))}\n" for one in proofs for d in one.disproved)


def refusal(form: str, name: str, error: DataopsError) -> str:
    """Why there is no plan."""
    if form == "junit":
        failed = Failed(type(error).__name__, error.message, error.hint)
        return formats.junit(name, [Case(error.service or "dataops", error.migration or "history", (failed,))])
    if form == "github":
        return formats.github([_error_note(error)])
    hint = f"\n\n{_plain(error.hint)}" if error.hint else ""
    return f"### {name}: refused\n\n**{_plain(str(error))}**{hint}\n"


# --- status


def _status_cases(one: Looked, *, check: bool) -> Iterable[Case]:
    service, state, problem = one
    wrong = state if isinstance(state, DataopsError) else problem
    failed = (Failed(type(wrong).__name__, wrong.message, wrong.hint),) if wrong else ()
    if isinstance(state, DataopsError):
        yield Case(service.name, "database", failed)
        return
    if service.observe:
        watched = watch.watch(state)
        late = (Failed("waiting", watched.waiting),) if check and watched.waiting else ()
        newest = watched.newest.name if watched.newest else "none"
        yield Case(service.name, f"{service.observe}: {newest}", failed or late, said=watched.waiting)
        return
    yield Case(service.name, "history", failed)
    for applied in state.applied:
        yield Case(
            service.name, applied.id, said=f"applied {applied.at:%Y-%m-%d %H:%M:%S} UTC" if applied.at else "applied"
        )
    for migration in state.pending:
        late = (Failed("pending", f"{migration.id} is not applied", migration.title),) if check else ()
        yield Case(service.name, migration.id, late, said="pending")


def _status_notes(one: Looked, root: Path, *, check: bool) -> Iterable[Annotation]:
    service, state, problem = one
    wrong = state if isinstance(state, DataopsError) else problem
    if wrong is not None:
        yield _error_note(wrong, service)
    if isinstance(state, DataopsError):
        return
    level = "error" if check else "notice"
    if service.observe:
        waiting = watch.watch(state).waiting
        if waiting:
            yield Annotation(level, waiting, title=service.name)
    for migration in state.pending:
        yield Annotation(
            level,
            f"pending on {state.identity.address}: {migration.title}",
            _title(service.name, migration),
            _path(migration, root),
            1,
        )


def _status_markdown(looked: Sequence[Looked]) -> str:
    rows = []
    details = []
    for service, state, problem in looked:
        wrong = state if isinstance(state, DataopsError) else problem
        if isinstance(state, DataopsError):
            rows.append([service.name, "?", "?", "?", f":x: {wrong}"])
            continue
        if service.observe:
            watched = watch.watch(state)
            said = f":x: {wrong.message}" if wrong else watched.waiting or ":white_check_mark:"
            count = len(watched.record.rows) if watched.record else 0
            newest = f"`{watched.newest.name}`" if watched.newest else "none"
            rows.append([f"{service.name} ({service.observe})", newest, str(count), "", said])
            continue
        revision = state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else "")
        said = f":x: {wrong.message}" if wrong else ("pending" if state.pending else ":white_check_mark:")
        rows.append(
            [
                service.name,
                f"`{revision}`" if revision else "none",
                str(len(state.applied)),
                str(len(state.pending)),
                said,
            ]
        )
        if wrong and wrong.hint:
            details.append(f"- {service.name}: {_plain(wrong.hint)}")
        details += [f"- [ ] {service.name}: `{m.id}` {_plain(m.title)}" for m in state.pending]
    text = "### Migrations\n\n" + _table(["service", "revision", "applied", "pending", "state"], rows)
    return text + ("\n" + "\n".join(details) + "\n" if details else "")


# --- plan


def _step_case(step: Step, rendering: Rendering | None) -> Case:
    told = [f"{step.direction.value}: {step.migration.title}", ", ".join(planner.flags(step)), *_remarks(rendering)]
    told += list(rendering.commands) if rendering else []
    return Case(step.service, step.migration.id, said="\n".join(told))


def _step_note(step: Step, rendering: Rendering | None, root: Path) -> Annotation:
    migration = step.migration
    careful = not migration.reversible or not migration.atomic or bool(rendering and rendering.opaque)
    told = [f"{step.direction.value}: {migration.title}", ", ".join(planner.flags(step)), *_remarks(rendering)]
    return Annotation(
        "warning" if careful else "notice", "\n".join(told), _title(step.service, migration), _path(migration, root), 1
    )


def _plan_markdown(planned: Plan, renderings: Mapping[str, Rendering]) -> str:
    lines = [f"### {planner.summary(planned)}", ""]
    rows = [
        [s.service.name, f"{s.server}, {s.identity.address}", str(len(s.applied)), str(len(planned.of(s.service.name)))]
        for s in planned.states
    ]
    verb = "to apply" if planned.direction is Direction.APPLY else "to roll back"
    lines += [_table(["service", "database", "applied", verb], rows)]
    if not planned.steps:
        return "\n".join(lines)
    lines += [
        _table(
            ["#", "service", "migration", "what it does", "risk"],
            [_row(at, step, renderings) for at, step in enumerate(planned.steps, 1)],
        )
    ]
    text = "\n".join(lines)
    left = 0
    for step in planned.steps:
        part = _folded(step, renderings.get(step.id))
        if left or len(text) + len(part) > _COMMENT:
            left += 1
        else:
            text += part
    if left:
        text += f"\nThe commands of {left} more are too long for here: `dataops plan -v` shows them.\n"
    if planned.direction is Direction.APPLY:
        text += "\nUndo: `dataops rollback`\n"
    return text


def _row(at: int, step: Step, renderings: Mapping[str, Rendering]) -> list[str]:
    rendering = renderings.get(step.id)
    risks = [flag for flag in planner.flags(step) if flag not in ("transactional", "reversible", "repeatable")]
    risks += ["opaque"] if rendering and rendering.opaque else []
    risks += ["puts data aside"] if rendering and rendering.puts_aside else []
    return [str(at), step.service, f"`{step.migration.id}`", step.migration.title, ", ".join(risks) or "none known"]


def _folded(step: Step, rendering: Rendering | None) -> str:
    if rendering is None:
        return ""
    language = step.migration.kind.language
    commands = ";\n".join(rendering.commands) or (
        "-- not known without running it" if rendering.opaque else "-- no commands"
    )
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", commands)), default=2)
    fence = "`" * (longest + 1)
    remarks = "".join(f"\n- {_plain(remark)}" for remark in _remarks(rendering))
    return (
        f"\n<details><summary>{step.service}: <code>{step.migration.id}</code></summary>\n{remarks}\n\n"
        f"{fence}{language}\n{commands}\n{fence}\n\n</details>\n"
    )


def _remarks(rendering: Rendering | None) -> list[str]:
    if rendering is None:
        return []
    opaque = [f"opaque: {rendering.opaque}"] if rendering.opaque else []
    return [
        *opaque,
        *(f"puts aside: {what}" for what in rendering.puts_aside),
        *(f"note: {n}" for n in rendering.notes),
    ]


# --- prove


def _proof_cases(one: Proof) -> Iterable[Case]:
    for migration in one.migrations:
        failed = [Failed(d.when, d.difference) for d in one.disproved if d.migration == migration.id]
        if one.error is not None and one.error.migration == migration.id:
            failed.append(Failed(type(one.error).__name__, one.error.message, one.error.hint))
        yield Case(one.service.name, migration.id, tuple(failed))
    rest = [Failed(d.when, d.difference) for d in one.disproved if not d.migration]
    if one.error is not None and one.error.migration is None:
        rest.append(Failed(type(one.error).__name__, one.error.message, one.error.hint))
    yield Case(one.service.name, "the whole way", tuple(rest))


def _proof_notes(one: Proof, root: Path) -> Iterable[Annotation]:
    paths = {migration.id: _path(migration, root) for migration in one.migrations}
    if one.error is not None:
        yield replace(_error_note(one.error, one.service), file=paths.get(one.error.migration or "", ""), line=1)
    for disproved in one.disproved:
        told = f"{disproved.when}: {disproved.difference}"
        file = paths.get(disproved.migration, "")
        yield Annotation("error", told, f"{one.service.name}/{disproved.migration or 'the whole way'}", file, 1)


# --- shared


def _error_note(error: DataopsError, service: Service | None = None) -> Annotation:
    name = error.service or (service.name if service else "")
    return Annotation(
        "error", f"{error.message}\n{error.hint}".rstrip(), title=f"dataops: {name}" if name else "dataops"
    )


def _title(service: str, migration: Migration) -> str:
    return f"{service}/{migration.id}"


def _path(migration: Migration, root: Path) -> str:
    path = migration.path.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(headers), ["---"] * len(headers), *([_cell(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """One line that Markdown takes for text."""
    return " ".join(text.split()).replace("<", "&lt;")


__all__ = ["FORMATS", "plan", "proof", "refusal", "status"]
