"""Pages of HTML: `report` is that of `dataops report`; the others are one answer each, as every format writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources

from dataops import __version__
from dataops.durations import clock
from dataops.errors import DataopsError
from dataops.model import Direction, Plan, Rendering, State, Step
from dataops.othertools import watch
from dataops.planning import planner, risks
from dataops.planning.story import Story, short_ids
from dataops.show import grouped, tables
from dataops.show.html import drawing
from dataops.show.html.elements import Content, Element, document, el, folded, table
from dataops.show.reports import Look, PlanReport, StatusReport, rendering_remarks
from dataops.text import counted, shortened

_LONGEST = 20_000  # characters of the commands of one step
_SHOWN = 400  # steps of a plan with their commands; a page of thousands cannot be read


def status(report: StatusReport) -> str:
    """Where every service stands."""
    return _page(
        "Migrations", [("services", "Services", el("div", _services(grouped.looks(report.looks, datetime.now(UTC)))))]
    )


def plan(report: PlanReport) -> str:
    """What would be done, step by step, with the commands folded."""
    report = report.told
    return _page(
        report.summary,
        [
            *_decisions(report),
            ("databases", "Databases", _databases(report.plan)),
            ("steps", "Steps", _steps(report.plan, report.renderings)),
        ],
    )


def _decisions(report: PlanReport) -> list[tuple[str, str, Element]]:
    """What needs a decision, what has no plan, what the policy refuses, and who has approved; often nothing."""
    lines = [
        el("li", el("code", step.id), ": ", el("span", ", ".join(hazards), class_="look"))
        for step, hazards in risks.undecided(report.plan, report.renderings)
    ]
    lines += [el("li", f"{name}: {error.message}", class_="bad") for name, error in grouped.troubles(report.plan)]
    lines += [el("li", f"the policy would refuse it now: {one}", class_="bad") for one in report.forbidden]
    if report.approvals is not None and report.approvals.enough:
        lines.append(el("li", report.approvals.words, class_="good"))
    return [("decisions", "Decisions", el("div", el("ul", lines)))] if lines else []


def refusal(command: str, error: DataopsError) -> str:
    """Why there is no plan."""
    body = el("div", el("p", str(error), class_="bad"), el("p", error.hint) if error.hint else None)
    return _page(f"{command}: refused", [("why", "Why", body)])


def report(
    looks: Sequence[Look],
    stories: Sequence[Story],
    planned: Plan | DataopsError,
    renderings: Mapping[str, Rendering],
    run: Story | None,
    now: datetime,
    *,
    older: int = 0,
) -> str:
    """Services, their histories, runs, the pending plan or why there is none, and one run in detail.

    `older` is how many runs are not among `stories`.
    """
    looks = grouped.looks(looks, now)
    sections = [
        ("services", "Services", el("div", _services(looks))),
        ("migrations", "Migrations", _histories(looks)),
        ("runs", "Runs", _runs(stories, older)),
    ]
    if isinstance(planned, DataopsError):
        hint = el("p", planned.hint) if planned.hint else None
        sections.append(("plan", "Plan: refused", el("div", el("p", str(planned), class_="bad"), hint)))
    else:
        sections.append(("plan", planner.summary(planned), _steps(planned, renderings)))
    if run is not None:
        sections.append(("run", f"Run {run.id}", _run(run, now)))
    return _page(f"Migrations, {now:%Y-%m-%d %H:%M} UTC", sections)


def _page(title: str, sections: Iterable[tuple[str, str, Element]]) -> str:
    style = (resources.files(__package__) / "style.css").read_text(encoding="utf-8")
    return document(title, sections, style, f"Written by dataops {__version__}.")


def _services(looks: Sequence[Look]) -> Element:
    headers = ("service", "database", "revision", "applied", "pending", "state")
    return table(f"Where {counted(len(looks), 'service')} stand", headers, (_service(look) for look in looks))


def _service(look: Look) -> tuple[str, list[Content]]:
    state, wrong, name = look.state, look.wrong, look.service.name
    if isinstance(state, DataopsError):
        return "bad", [name, "", "?", "?", "?", _mark("bad", f"✗ {state.message}", state.hint)]
    where = f"{state.server}, {state.identity.address}"
    if look.service.observe:
        watched = watch.watch(state)
        count = str(len(watched.record.rows)) if watched.record else "0"
        newest = watched.newest.name if watched.newest else "none"
        words = wrong.message if wrong else watched.waiting or "up to date"
        kind = "bad" if wrong else ("look" if watched.waiting else "good")
        return kind, [name, f"{where}, by {look.service.observe}", el("code", newest), count, "", _mark(kind, words)]
    revision = state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else "none")
    words, _ = tables.condition(state, look.problem, look.doing, datetime.now(UTC))
    kind = "bad" if wrong else ("good" if words.startswith("up to date") else "look")
    counts: list[Content] = [str(len(state.applied)), str(len(state.pending))]
    hint = wrong.hint if wrong else ""
    return kind, [name, where, el("code", revision), *counts, _mark(kind, words, hint)]


def _mark(kind: str, words: str, hint: str = "") -> Element:
    return el("div", el("span", words, class_=kind), el("div", hint, class_="soft") if hint else None)


def _histories(looks: Sequence[Look]) -> Element:
    made = el("div", drawing.waiting([look.service for look in looks]))
    made.append(
        el(
            "p",
            "Filled: applied. Empty: pending. Square: irreversible. Diamond: applied without a file.",
            class_="soft",
        )
    )
    for look in looks:
        if look.service.observe or isinstance(look.state, DataopsError):
            continue
        state = look.state
        made.append(el("h3", look.service.name))
        made.append(drawing.history(look.service, state.applied_ids, state.unknown))
        made.append(folded(f"All {len(look.service.migrations)}, newest first", _list(state)))
    return made


def _list(state: State) -> Element:
    by_id = {applied.id: applied for applied in state.applied}
    rows: list[tuple[str, list[Content]]] = []
    for migration in reversed(state.service.migrations):
        applied = by_id.get(migration.id)
        when = f"{applied.at:%Y-%m-%d %H:%M}" if applied and applied.at else ""
        words = "pending" if applied is None else f"applied {when}".strip()
        who = applied.author if applied else ""
        irreversible = "" if migration.reversible else "irreversible"
        rows.append(("", [el("code", migration.id), migration.title, words, who, irreversible]))
    return table(f"Migrations of {state.service.name}", ("migration", "title", "state", "who", ""), rows)


def _runs(stories: Sequence[Story], older: int) -> Element:
    if not stories:
        return el("div", el("p", "Nothing yet."))
    short = short_ids(story.id for story in stories)
    rows: list[tuple[str, list[Content]]] = []
    for story in stories:
        kind = "good" if story.outcome == "ok" else ("look" if story.well else "bad")
        mark = "" if story.well else "✗ "
        rows.append(
            (
                kind,
                [
                    el("abbr", short[story.id], title=story.id),
                    f"{story.began:%Y-%m-%d %H:%M:%S}" if story.began else "",
                    story.who,
                    story.what,
                    "" if story.seconds is None else clock(story.seconds),
                    el("span", mark + story.outcome, class_=kind),
                ],
            )
        )
    headers = ("run", "when (UTC)", "who", "what", "took", "outcome")
    more = el("p", f"{older} older ones are not shown.", class_="soft") if older else None
    return el("div", drawing.timeline(stories), table("Runs, newest first", headers, rows), more)


def _run(story: Story, now: datetime) -> Element:
    began = f"{story.began:%Y-%m-%d %H:%M:%S} UTC" if story.began else "at a time that nothing says"
    steps = tables.steps(story, now)
    rows: list[tuple[str, list[Content]]] = [("", [el("code", row[0]), *row[1:]]) for row in steps.texts()]
    headers = [column.header for column in steps.columns]
    about = el("p", f"{story.who}, {began}: {story.what}, {story.outcome}")
    return el("div", about, table("Steps of the run, in order", headers, rows))


def _databases(planned: Plan) -> Element:
    verb = "to apply" if planned.direction is Direction.APPLY else "to roll back"
    rows: list[tuple[str, list[Content]]] = []
    for state in planned.states:
        where = f"{state.server}, {state.identity.address}"
        number = str(len(planned.of(state.service.name)))
        remarks = (
            el("ul", [el("li", warning) for warning in state.warnings], class_="plain") if state.warnings else None
        )
        rows.append(("", [state.service.name, where, str(len(state.applied)), number, remarks]))
    return table("Where the plan runs", ("service", "database", "applied", verb, "warnings"), rows)


def _steps(planned: Plan, renderings: Mapping[str, Rendering]) -> Element:
    if not planned.steps:
        return el("div", el("p", "Nothing to do.", class_="good"))
    made = el("div", el("ol", [el("li", _step(step, renderings.get(step.id))) for step in planned.steps[:_SHOWN]]))
    if len(planned.steps) > _SHOWN:
        made.append(el("p", f"{len(planned.steps) - _SHOWN} more: dataops plan -v shows them.", class_="look"))
    if planned.direction is Direction.APPLY:
        made.append(el("p", "To undo it: ", el("code", "dataops rollback")))
    return made


def _step(step: Step, rendering: Rendering | None) -> Element:
    migration = step.migration
    made = el("div", el("strong", step.service, " ", el("code", migration.id)), " ", shortened(migration.title, 500))
    kind = "soft" if migration.reversible else "look"
    made.append(el("div", f"{step.direction.value}: {', '.join(planner.flags(step))}", class_=kind))
    if rendering is None:
        return made
    if rendering.fails:
        made.append(el("div", f"✗ FAILS HERE: {rendering.fails}", class_="bad"))
    if remarks := list(rendering_remarks(rendering)):
        made.append(el("ul", [el("li", remark) for remark in remarks], class_="plain"))
    if rendering.commands:
        commands = shortened(";\n".join(rendering.commands), _LONGEST)
        made.append(folded(counted(len(rendering.commands), "command"), el("pre", el("code", commands))))
    elif not rendering.opaque and not rendering.fails:
        made.append(el("div", "no commands", class_="soft"))
    return made


__all__ = ["plan", "refusal", "report", "status"]
