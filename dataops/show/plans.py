"""Plans as lines for a person, each with its style: what needs a decision, then where, what and in which order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from dataops.durations import clock
from dataops.fleet.waves import Course
from dataops.hazards import HAZARDS
from dataops.model import AppliedMigration, Direction, Effect, Held, Plan, Remark, Rendering, Risk, State, Step, fleet
from dataops.model.effect import together
from dataops.othertools import mirror
from dataops.planning import background, grouping, planner, recovery, risks
from dataops.planning.approvals import Approvals
from dataops.planning.policies import Violation
from dataops.show import grouped
from dataops.show.paragraphs import fitted
from dataops.show.progress import Line
from dataops.text import counted, listed

SHOWN_STEPS = 100
"""Of a very long plan so many steps of each service are shown, unless a person wants to see all."""
_SHOWN_COMMANDS = 2
_SHOWN_DECISIONS = 12
_SHOWN_MEMBERS = 3
_HEADS = {Direction.APPLY: "+", Direction.ROLLBACK: "-"}


def plan_lines(
    plan: Plan,
    renderings: Mapping[str, Rendering],
    forbidden: Sequence[Violation] = (),
    approvals: Approvals | None = None,
    *,
    courses: Mapping[str, Course] | None = None,
    verbose: bool,
    width: int | None = None,
) -> list[Line]:
    """The plan, as a person reads it: what to decide, where, what, in which order, how to undo, and a summary.

    `width` is that of the terminal, None for a pipe. Databases of a fleet for which the plan is the same are told as
    one, unless all is to be shown. `courses` are the waves of fleets.
    """
    whole = plan
    if not verbose:
        plan, renderings = grouping.told(plan, renderings)
    lines = _decisions(plan, renderings) + _trouble_lines(plan, verbose=verbose)
    common = _common(plan.states, verbose=verbose)
    lines += [(f"{listed(names)}: {text}", "yellow") for text, names in common.items()]
    lines += [("", "")] if common else []
    for state in plan.states:
        steps = plan.of(state.service.name)
        lines += _service_lines(state, steps, plan.direction, common, renderings, verbose=verbose)
        shown = steps if verbose else steps[:SHOWN_STEPS]
        for step in shown:
            lines += _step_lines(step, renderings.get(step.id), verbose=verbose)
        if left := steps[len(shown) :]:
            more = f"  … and {len(left)} more, up to {left[-1].migration.id}"
            unseen = not all(step.id in renderings for step in left)
            told = ": what they do was not looked at (-v looks at all)" if unseen else " (-v shows all)"
            lines.append((more + told, "yellow" if unseen else "dim"))
        lines.append(("", ""))
    unit = {state.service.name: state.service.unit for state in plan.states}
    order = list(dict.fromkeys(unit[step.service] for step in plan.steps))
    if len(order) > 1:
        after = "; ".join(f"{name} after {', '.join(others)}" for name, others in _waiting(plan, order))
        lines.append((f"Order: {', '.join(order)}, side by side" + (f", but {after}" if after else ""), ""))
    lines += _wave_lines(whole, courses or {})
    if plan.steps and plan.direction is Direction.APPLY:
        stuck = next((step for step in reversed(plan.steps) if not step.migration.reversible), None)
        undo = "Undo: dataops rollback" if stuck is None else f"Undo: only back to {stuck.id}, which is irreversible"
        lines.append((undo, ""))
    if approvals is not None and approvals.enough:
        lines.append((approvals.words, "green"))
    lines += [(f"the policy would refuse it now: {one}", "bold red") for one in forbidden]
    lines.append((planner.summary(whole), "bold"))
    return fitted(lines, width, whole=verbose)


def _decisions(plan: Plan, renderings: Mapping[str, Rendering]) -> list[Line]:
    """Which steps need a decision, and why: the worst first, as many as a person reads."""
    found = risks.undecided(plan, renderings)
    if len(found) > _SHOWN_DECISIONS:
        order = list(HAZARDS)
        found = sorted(found, key=lambda one: min(map(order.index, one[1])))
    if not found:
        return []
    verb = "needs" if len(found) == 1 else "need"
    lines: list[Line] = [(f"{counted(len(found), 'step')} {verb} a decision:", "bold yellow")]
    lines += [(f"  {step.id}: {', '.join(hazards)}", "yellow") for step, hazards in found[:_SHOWN_DECISIONS]]
    if more := len(found) - _SHOWN_DECISIONS:
        lines += [(f"  … and {more} more, below", "yellow")] if more > 0 else []
    return [*lines, ("  what they mean: dataops explain HAZARD", "dim"), ("", "")]


def _wave_lines(plan: Plan, courses: Mapping[str, Course]) -> Iterator[Line]:
    """In which waves the databases of each fleet are changed that have something to do."""
    for course in courses.values():
        if course.service.member is None or not any(plan.of(name) for wave in course.waves for name in wave):
            continue
        parts = []
        for rule, wave in zip(course.rules, course.waves, strict=True):
            first = [f"after {clock(rule.pause)}"] if rule.pause else []
            first += ["a check"] if rule.check or rule.query else []
            first += ["a question"] if rule.ask else []
            names = [fleet.database_of(name) for name in wave]
            which = ", ".join(names) if len(names) <= _SHOWN_MEMBERS else counted(len(names), "database")
            which = which or "none here"  # but in other processes
            told = f"({', '.join(first)}) " if first else ""
            parts.append(told + which)
        at_once = "all at once" if len(parts) == 1 else "; then ".join(parts)
        halts = counted(course.halt_after, "failure")
        yield f"Waves of {course.unit}: {at_once}; halts after {halts}", ""


def _trouble_lines(plan: Plan, *, verbose: bool) -> list[Line]:
    """The databases of fleets that have no plan, and why: the same reason once."""
    if not plan.troubles:
        return []
    reasons = list(plan.troubles.items()) if verbose else grouped.troubles(plan)
    verb = "has" if len(plan.troubles) == 1 else "have"
    lines: list[Line] = [(f"{counted(len(plan.troubles), 'database')} {verb} no plan:", "bold red")]
    shown = reasons[: None if verbose else _SHOWN_DECISIONS]
    for name, error in shown:
        lines.append((f"  ✗ {name}: {error.message}", "red"))
        lines += [(f"    hint: {error.hint}", "yellow")] if error.hint else []
    if more := len(reasons) - len(shown):
        lines.append((f"  … and {more} more (-v shows all)", "red"))
    return [*lines, ("", "")]


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
    needs = {state.service.unit: state.service.depends_on for state in plan.states}
    for name in order:
        if plan.direction is Direction.APPLY:
            others = [other for other in order if other in needs[name]]
        else:
            others = [other for other in order if name in needs[other]]
        if others:
            yield name, others


def _service_lines(
    state: State,
    steps: Sequence[Step],
    direction: Direction,
    said: Collection[str],
    renderings: Mapping[str, Rendering],
    *,
    verbose: bool,
) -> list[Line]:
    verb = "to apply" if direction is Direction.APPLY else "to roll back"
    name = state.service.name
    lines: list[Line] = [(f"{name}: {state.server}, {state.identity.address}", "bold")]
    work = f"{len(steps)} {verb}" if steps else f"nothing {verb}"
    more = len(state.pending) - len(steps) if direction is Direction.APPLY else 0
    leaves = background.left(state) if direction is Direction.APPLY else None
    leaves = None if leaves is not None and leaves.first in [step.migration for step in steps] else leaves
    later = f", {more} more pending" if more > 0 and leaves is None else ""
    lines.append((f"  {len(state.applied)} applied{_newest(state.applied)}, {work}{later}", ""))
    if long := together(risks.span_of(renderings.get(step.id)) for step in steps):
        lines.append((f"  {long.told}, on data of this size", ""))
    if state.ahead:
        lines.append((f"  ahead of this code by {', '.join(state.unknown)}", "yellow"))
    if leaves is not None:
        lines.append((f"  {leaves.words}: dataops apply --background", "yellow"))
    lines += [(f"  {one.words}", "yellow") for one in state.backfills]
    if state.pause:
        lines.append((f"  backfills are {state.pause}: dataops resume {name}", "yellow"))
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
    effects = {effect.command: effect for effect in rendering.effects}
    if verbose:
        for at, command in enumerate(rendering.commands):
            lines += _command(command, whole=True) + _effect_lines(effects.get(at))
    else:
        lines += _folded(rendering, effects)
    if not rendering.commands and not rendering.opaque and not rendering.fails:
        lines.append(("      no commands", "dim"))
    if rendering.fails:
        lines.append((f"      FAILS HERE: {rendering.fails}", "bold red"))
    if rendering.opaque:
        lines.append((f"      opaque: {rendering.opaque}", "yellow"))
    lines += [(f"      puts aside: {what}", "dim") for what in rendering.puts_aside]
    lines += [(f"      note: {note}", "dim") for note in rendering.notes]
    lines += [(f"      not known: {text}", "dim") for text in rendering.unforeseen]
    lines += _remark_lines(rendering.remarks, verbose=verbose)
    return lines


def _remark_lines(remarks: Sequence[Remark], *, verbose: bool) -> list[Line]:
    """What lint says of the file; its own rules first, since the plan knows better than squawk how big a table is."""
    if verbose:
        return [(f"      {one}", "red" if one.severity == "error" else "yellow") for one in remarks]
    codes = list(dict.fromkeys(one.code for one in remarks))
    if not codes:
        return []
    codes.sort(key=lambda code: code.startswith("squawk/"))
    number = counted(len(remarks), "finding")
    return [(f"      lint: {number}, {listed(codes)} (-v shows all)", "yellow")]


def _folded(rendering: Rendering, effects: Mapping[int, Effect]) -> list[Line]:
    """Every command that is a hazard, and of the others the first ones."""
    dangerous = {at for at, effect in effects.items() if _shown_risks(effect)}
    lines: list[Line] = []
    left = _SHOWN_COMMANDS
    shown = set[int]()
    for at, command in enumerate(rendering.commands):
        harmless = at not in dangerous
        if harmless and (at in rendering.stash or not left):
            continue
        left -= harmless
        shown.add(at)
        lines += _command(command, whole=False)
        if at in effects:
            lines += [(f"        {work}", "dim") for work in effects[at].work] + _risk_lines(effects[at])
    if more := len(rendering.commands) - len(shown):
        of_stash = len(rendering.stash - shown)
        which = ", all" if of_stash == more else f", {of_stash} of them"
        why = f"{which} for what is put aside" if of_stash else ""
        lines.append((f"      … and {more} more{why} (-v shows all)", "dim"))
    briefly = [held.object for effect in effects.values() for risk, held in _brief(effect)]
    if briefly:
        lines.append((f"      locked for a moment: {listed(list(dict.fromkeys(briefly)), 6)}", "dim"))
    return lines


def _command(command: str, *, whole: bool) -> list[Line]:
    parts = command.split("\n") if whole else [" ".join(command.split())]
    return [(f"      {'| ' if at else '> '}{part}", "") for at, part in enumerate(parts)]


def _shown_risks(effect: Effect) -> list[Risk]:
    """What is never folded away: every hazard but a short lock, of which one line says what is locked."""
    return [risk for risk in effect.risks if risk.hazard != "exclusive-lock"]


def _brief(effect: Effect) -> Iterator[tuple[Risk, Held]]:
    """The locks that are held for a moment."""
    for risk in effect.risks:
        if risk.hazard == "exclusive-lock":
            yield from ((risk, held) for held in effect.held if risk.text.startswith(held.object))


def _risk_lines(effect: Effect) -> list[Line]:
    lines: list[Line] = []
    for risk in _shown_risks(effect):
        if HAZARDS[risk.hazard].decides:
            style = "bold red" if risk.hazard in _WORST else "yellow"
            lines.append((f"        ! {risk.hazard}: {risk.text}", style))
        else:
            lines.append((f"        {risk.hazard}: {risk.text}", "dim"))
    return lines


_WORST = ("will-fail", "destroys-data")


def _effect_lines(effect: Effect | None) -> list[Line]:
    """All that is known of one command."""
    if effect is None:
        return []
    lines: list[Line] = [(f"        locks {held}", "dim") for held in effect.held]
    lines += [(f"        {work}", "dim") for work in effect.work]
    lines += [(f"        {effect.span.told}", "dim")] if effect.span else []
    lines += _risk_lines(effect)
    others = [risk for risk in effect.risks if risk.hazard == "exclusive-lock"]
    return lines + [(f"        {risk.hazard}: {risk.text}", "dim") for risk in others]
