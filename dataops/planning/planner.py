"""What an apply or a rollback has to do, from what the databases say. Pure: no I/O, no clock.

A plan is made without the lock, by `plan_apply` or `plan_rollback`, and shown to a person. Under the lock `confirm`
looks at the same plan again. What cannot be done is refused, with the migration and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dataops.errors import Blocked, DatabaseAhead, DataopsError, StalePlan
from dataops.model import (
    ENDS_HALF_DONE,
    HALF_DONE,
    Ahead,
    AppliedMigration,
    Direction,
    Migration,
    Plan,
    Service,
    State,
    Step,
    fleet,
)
from dataops.othertools import mirror
from dataops.planning import runs
from dataops.planning.background import left
from dataops.planning.checks import check, refuse_lossy, refuse_same_database, refuse_undone_elsewhere
from dataops.planning.recovery import first_step, refuse_half_done
from dataops.text import counted


def plan_apply(
    states: Sequence[State],
    *,
    to: Migration | None = None,
    steps: int | None = None,
    background: bool = True,
    waves: Mapping[str, int] | None = None,
) -> Plan:
    """Plan to apply everything that is pending, in the order of dependencies.

    Without `background`, what is for the background is left, with all that comes after it, unless `to` names it.
    `to` is the last migration to apply, and then there is only one history. `steps` is the largest number in all: of a
    fleet, of the databases in the earliest of its `waves`, which are their numbers by the names of services. A target
    that is applied already makes an empty plan, because an apply never goes backwards. Raises HistoryError,
    DatabaseAhead and InterruptedStep; what is so of a database of a fleet is one of the plan's `troubles`.
    """
    states = _ordered(states)
    refuse_same_database(states)
    planned, fit, troubles = _each(states, lambda state: _to_apply(state, to, background=background))
    if steps is not None:
        planned = _wave_by_wave(planned, waves or {})[:steps]
    return Plan(Direction.APPLY, tuple(planned), tuple(fit), troubles=troubles)


def _wave_by_wave(planned: Sequence[Step], waves: Mapping[str, int]) -> list[Step]:
    """The same steps, those of each fleet in the order of its waves."""
    units = list(dict.fromkeys(fleet.unit_of(step.service) for step in planned))
    return sorted(planned, key=lambda one: (units.index(fleet.unit_of(one.service)), waves.get(one.service, 0)))


def _each(
    states: Sequence[State], plan: Callable[[State], Sequence[Step]]
) -> tuple[list[Step], list[State], dict[str, DataopsError]]:
    """The steps of each database; those that could be planned; and why others could not, where those are of fleets."""
    planned: list[Step] = []
    fit: list[State] = []
    troubles: dict[str, DataopsError] = {}
    for state in states:
        try:
            planned += plan(state)
        except DataopsError as error:
            if state.service.member is None:
                raise
            troubles[state.service.name] = error
        else:
            fit.append(state)
    return planned, fit, troubles


def _to_apply(state: State, to: Migration | None, *, background: bool) -> list[Step]:
    check(state)
    half = first_step(state, Direction.APPLY)
    wanted: Iterable[Migration] = state.pending
    leaves = None if background or to is not None else left(state)
    if leaves is not None:
        half = None if half is not None and half.migration == leaves.first else half
        wanted = state.pending[: state.pending.index(leaves.first)]
    if to is not None:
        limit = state.service.position[to.id]
        wanted = [m for m in state.pending if state.service.position[m.id] <= limit]
        if half is not None and state.service.position[half.migration.id] > limit:
            refuse_half_done(state)
    if state.service.mirror:
        wanted = list(wanted)
        mirror.refuse_unknown_rows(state, wanted)
    return _with_half_done(half, [Step(state.service.name, one, Direction.APPLY) for one in wanted])


def _with_half_done(half: Step | None, steps: Sequence[Step]) -> list[Step]:
    """The steps of one service, of which the half-done one comes first."""
    return [*([half] if half else []), *(step for step in steps if half is None or step.migration != half.migration)]


def to_complete(plan: Plan) -> tuple[str, ...]:
    """The services whose mirrored record lacks something that is applied: an apply adds it, even without a step."""
    if plan.direction is Direction.ROLLBACK:
        return ()
    return tuple(s.service.name for s in plan.states if s.service.mirror and mirror.rows_missing(s))


def plan_rollback(
    states: Sequence[State],
    *,
    of_runs: runs.Wanted | None = None,
    to: Migration | None = None,
    to_base: bool = False,
    steps: int | None = None,
) -> Plan:
    """Plan to undo migrations, newest first. Every file is unedited and every step is reversible, or it is refused.

    One argument says how far: `of_runs` means the steps of runs on all services; `to` is the migration that stays as
    the newest one, and `to_base` undoes all (for both, there is only one history); `steps` is a number of migrations,
    the newest over all services. Raises HistoryError, DatabaseAhead, InterruptedStep, Blocked and UsageError.
    """
    every = _ordered(states)
    refuse_same_database(every)
    half: dict[str, Step | None] = {}

    def begin(state: State) -> list[Step]:
        _check_to_undo(state)
        half[state.service.name] = first_step(state, Direction.ROLLBACK)
        return []

    _, states, troubles = _each(every, begin)
    if to is not None or to_base:
        limit = every[0].service.position[to.id] if to is not None else -1
        for state in states:
            step = half[state.service.name]
            if step is not None and state.service.position[step.migration.id] <= limit:
                refuse_half_done(state)
        chosen = {state.service.name: state.applied[limit + 1 :] for state in states}
    elif steps is not None:
        chosen = _newest_steps(states, steps, half)
    elif of_runs is not None and not of_runs.ids and (taken_back := _runs_taken_back(half, of_runs)):
        stand = {run.id for run in runs.standing(states)} & taken_back
        chosen = runs.chosen(states, replace(of_runs, ids=tuple(stand))) if stand else {}
    else:
        assert of_runs is not None
        chosen = runs.chosen(states, of_runs)
    planned = []
    for state in reversed(states):
        name = state.service.name
        undone = [Step(name, state.service.by_id[one.id], Direction.ROLLBACK) for one in reversed(chosen.get(name, ()))]
        planned += _with_half_done(half[name] if undone or _means(of_runs, half[name]) else None, undone)
    planned = planned[:steps]
    for state in states:
        refuse_lossy(state, chosen.get(state.service.name, ()))
    stuck = [step for step in planned if not step.migration.reversible]
    if stuck:
        reasons = "; ".join(f"{step.id}: {step.migration.facts.irreversible_because}" for step in stuck)
        raise Blocked(
            f"{len(stuck)} of {len(planned)} steps cannot be undone: {reasons}",
            service=stuck[0].service,
            migration=stuck[0].migration.id,
            hint="nothing was rolled back; stop before it with --to, or restore a backup",
        )
    return Plan(Direction.ROLLBACK, tuple(planned), tuple(states), troubles=troubles)


def _check_to_undo(state: State) -> None:
    try:
        check(replace(state, service=replace(state.service, ahead=Ahead.REFUSE)), Direction.ROLLBACK)
    except DatabaseAhead as error:
        error.hint = "roll back with the newer code: only that knows how to undo what is newest here"
        raise


def confirm(plan: Plan, state: State) -> tuple[Step, ...]:
    """What is left to do of a plan for one service, when the database is read again under the lock.

    It may be less than was planned, because another run did the rest. A saved plan requires the exact state in which it
    was made. Raises StalePlan for any other change, HistoryError, DatabaseAhead and InterruptedStep.
    """
    name = state.service.name
    steps = plan.of(name)
    before = plan.state(name)
    if state.identity.name != before.identity.name:
        raise StalePlan("this is another database than the one that was planned for", service=name)
    if plan.saved and state.applied_ids != before.applied_ids:
        raise StalePlan(_changed(before, state), service=name)
    check(state, plan.direction)
    half = first_step(state, plan.direction, locked=True)
    if plan.direction is Direction.APPLY:
        left = [step for step in steps if step.migration.id not in state.applied_ids]
        expected = [migration.id for migration in state.pending]
    else:
        left = [step for step in steps if step.migration.id in state.applied_ids]
        expected = [applied.id for applied in reversed(state.applied)]
        _refuse_applied_again(before, state, left)
        refuse_undone_elsewhere(state, [step.migration for step in left])
    if half is not None:
        if half.migration not in [step.migration for step in steps]:
            refuse_half_done(state, locked=True)
        left = _with_half_done(half, left)
        expected = [half.migration.id, *(id_ for id_ in expected if id_ != half.migration.id)]
    if [step.migration.id for step in left] != expected[: len(left)]:
        raise StalePlan(_changed(before, state), service=name, hint="another run changed it meanwhile: plan again")
    return tuple(left)


def summary(plan: Plan) -> str:
    """The last line of a plan, for a person."""
    if not plan.steps:
        return f"Plan: nothing to {_verb(plan)}{_told_troubles(plan)}"
    irreversible = sum(not step.migration.reversible for step in plan.steps)
    note = f" ({irreversible} irreversible)" if irreversible else ""
    where = fleet.told(step.service for step in plan.steps)
    where = where if " " in where or fleet.is_member(where) else "1 service"
    return f"Plan: {len(plan.steps)} to {_verb(plan)} in {where}{note}{_told_troubles(plan)}"


def _told_troubles(plan: Plan) -> str:
    number = len(plan.troubles)
    return f"; {counted(number, 'database')} cannot be planned" if number else ""


def flags(step: Step) -> list[str]:
    """What a person has to know about a step before agreeing to it."""
    migration = step.migration
    found = [_HALF[step.half]] if step.half else []
    found.append("transactional" if migration.atomic else "not transactional")
    if not migration.atomic:
        found.append("repeatable" if migration.repeatable else "not repeatable")
    found.append("reversible" if migration.reversible else f"IRREVERSIBLE: {migration.facts.irreversible_because}")
    return found


_HALF = {
    HALF_DONE: "HALF DONE by an earlier run, which it goes on with",
    ENDS_HALF_DONE: "HALF DONE the other way by an earlier run, which is taken back first",
}


def order(services: Sequence[Service]) -> list[Service]:
    """The services, each after those that it depends on, otherwise in the order of the configuration.

    The configuration has refused cycles.
    """
    units: dict[str, list[Service]] = {}
    for service in services:
        units.setdefault(service.unit, []).append(service)
    done: dict[str, list[Service]] = {}

    def visit(unit: str) -> None:
        if unit not in done:
            for other in units[unit][0].depends_on:
                if other in units:
                    visit(other)
            done[unit] = units[unit]

    for unit in units:
        visit(unit)
    return [service for unit in done.values() for service in unit]


def _verb(plan: Plan) -> str:
    return "apply" if plan.direction is Direction.APPLY else "roll back"


def _ordered(states: Sequence[State]) -> list[State]:
    by_name = {state.service.name: state for state in states}
    return [by_name[service.name] for service in order([state.service for state in states])]


def _newest_steps(
    states: Sequence[State], steps: int, half: Mapping[str, Step | None]
) -> dict[str, tuple[AppliedMigration, ...]]:
    """The migrations that were applied last over all services, by service; with the half-done ones, at most so many."""
    left = {state.service.name: list(state.applied) for state in states}
    begun = [step for step in half.values() if step is not None]
    for step in begun:
        left[step.service] = [applied for applied in left[step.service] if applied.id != step.migration.id]
    chosen: dict[str, list[AppliedMigration]] = {}
    for _ in range(steps - len(begun)):
        tops = [(_applied_at(applied[-1]), name) for name, applied in left.items() if applied]
        if not tops:
            break
        name = max(tops)[1]
        chosen.setdefault(name, []).insert(0, left[name].pop())
    return {name: tuple(applied) for name, applied in chosen.items()}


def _applied_at(applied: AppliedMigration) -> float:
    return applied.at.timestamp() if applied.at else 0.0


def _runs_taken_back(half: Mapping[str, Step | None], wanted: runs.Wanted) -> set[str]:
    """The runs of half-done steps that a rollback takes back."""
    taken_back = [step for step in half.values() if step is not None and step.half == ENDS_HALF_DONE]
    return {run for step in taken_back for run in wanted.runs_of_half_done(step.service, step.migration.id)}


def _means(of_runs: runs.Wanted | None, half: Step | None) -> bool:
    """Whether a rollback means this half-done step of a service of which nothing else is undone."""
    if half is None or of_runs is None or not of_runs.ids:
        return True
    found = of_runs.runs_of_half_done(half.service, half.migration.id)
    return any(run.startswith(id_) for run in found for id_ in of_runs.ids)


def _refuse_applied_again(before: State, now: State, left: Sequence[Step]) -> None:
    """Raise StalePlan for a migration that was rolled back meanwhile and applied again by a run that nobody chose."""
    runs_before = {applied.id: applied.run for applied in before.applied}
    ids = {step.migration.id for step in left}
    for applied in now.applied:
        if applied.id in ids and applied.run != runs_before.get(applied.id):
            raise StalePlan(
                f"{applied.id} was rolled back meanwhile, and applied again by run {applied.run or 'unknown'}",
                service=now.service.name,
                migration=applied.id,
            )


def _changed(before: State, now: State) -> str:
    added = [a.id for a in now.applied if a.id not in before.applied_ids]
    removed = [a.id for a in before.applied if a.id not in now.applied_ids]
    parts = [f"{', '.join(ids)} {what} since" for ids, what in ((added, "applied"), (removed, "rolled back")) if ids]
    return f"the database changed after the plan: {'; '.join(parts) or 'its history differs'}"
