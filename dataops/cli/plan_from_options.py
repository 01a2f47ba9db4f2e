"""The plan that the options of plan, apply and rollback ask for, and the commands of its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataops.backends import opened
from dataops.cli.options import RunOptions
from dataops.cli.session import Session
from dataops.errors import DataopsError, HistoryError, UsageError
from dataops.fleet import waves
from dataops.fleet.measuring import sizes_of
from dataops.model import Direction, Entry, Migration, Plan, Policy, Rendering, Service, State, Step
from dataops.planning import approvals, grouping, planner, rehearsals, runs
from dataops.planning.target import find_migration, find_target, of_history
from dataops.run.reading import Readings, read_all, side_by_side
from dataops.run.stop import StopSignal
from dataops.run.under_lock import read_at_rest
from dataops.show import plans

if TYPE_CHECKING:
    from dataops.backends.sandbox import Sandbox

Read = Callable[[Sequence[Service]], Readings]
"""Reads services, to look only, or to run something on them."""


def to_look(session: Session, jobs: int | None = None) -> Read:
    """Read them as they are."""
    return lambda services: read_all(services, emit=session.sink(), jobs=jobs)


def to_run(
    session: Session,
    stop: StopSignal,
    options: RunOptions,
    *,
    wait_seconds: float = 0.0,
    leaving_background: bool = False,
) -> Read:
    """Wait for a step that another run is in the middle of, and for servers that do not answer yet."""

    def read(services: Sequence[Service]) -> Readings:
        return read_at_rest(
            services,
            session.author,
            emit=session.sink(),
            stop=stop,
            timeout=options.lock_timeout,
            wait_seconds=wait_seconds,
            leaving_background=leaving_background,
            jobs=options.jobs,
        )

    return read


def plan_apply(
    services: Sequence[Service],
    *,
    read: Read,
    to: str | None,
    steps: int | None,
    onto_existing: bool,
    background: bool,
) -> Plan:
    """Read the services and plan what is pending there, up to `to` where it is given.

    `read` is how. `onto_existing` says that it is meant if a database is not empty before its first apply,
    and `background` that what is for the background is meant too.
    """
    if onto_existing:
        services = [replace(service, onto_existing=True) for service in services]
    courses = waves.courses(services, Direction.APPLY, sizes=sizes_of, chosen=True) if steps is not None else {}
    target: Migration | None = None
    if to is not None:
        service, target = find_migration(
            services, to, not_base="nothing is applied up to base", hint="to undo: dataops rollback --to base"
        )
        services = of_history(services, service)
    found = read(services)
    numbers = {name: at for course in courses.values() for at, wave in enumerate(course.waves) for name in wave}
    plan = planner.plan_apply(found.states, to=target, steps=steps, background=background, waves=numbers)
    return _with_fleets(plan, services, found.troubles)


def _with_fleets(plan: Plan, services: Sequence[Service], troubles: Mapping[str, DataopsError]) -> Plan:
    """The plan with what could not be read, and with the sizes of databases of fleets."""
    return replace(plan, troubles={**troubles, **plan.troubles}, sizes=sizes_of(services))


def plan_rollback(
    services: Sequence[Service],
    session: Session,
    *,
    read: Read,
    run_ids: Sequence[str],
    to: str | None,
    steps: int | None,
) -> Plan:
    """Read the services and plan what to undo there: the newest run, unless one of the options says how far."""
    if sum(given is not None for given in (run_ids or None, to, steps)) > 1:
        raise UsageError("--run, --to and --steps exclude each other", hint="say how far in one way")
    target: Migration | None = None
    if to is not None:
        service, target = find_target(services, to)
        services = of_history(services, service)
    found = read(services)
    of_runs = None if to is not None or steps is not None else _wanted(found.states, session, run_ids)
    plan = planner.plan_rollback(
        found.states, of_runs=of_runs, to=target, to_base=to is not None and target is None, steps=steps
    )
    return _with_fleets(plan, services, found.troubles)


def _wanted(states: Sequence[State], session: Session, run_ids: Sequence[str]) -> runs.Wanted:
    """The runs that a person named, beside what the journals say about all runs."""
    options = "".join(f" --service {name}" for name in session.selected)
    return runs.Wanted(datetime.now(UTC), tuple(run_ids), _journals(states), options)


def _journals(states: Sequence[State]) -> dict[str, tuple[Entry, ...]]:
    def read(state: State) -> tuple[Entry, ...]:
        with opened(state.service) as backend:
            return backend.history(None)

    return dict(zip((state.service.name for state in states), side_by_side(read, states), strict=True))


def approvals_of(plan: Plan, sha256: str, policy: Policy) -> approvals.Approvals:
    """Who has approved the plan file with this SHA-256; "" for a plan that is in no file."""
    states = [state for state in plan.states if plan.of(state.service.name)]
    since = policy.approvals_since(datetime.now(UTC))
    return approvals.given(sha256, policy.approvals, _journals(states) if sha256 else {}, since=since)


def rendered_steps(plan: Plan, session: Session, *, everything: bool) -> dict[str, Sequence[Step]]:
    """The steps of each service that `render` looks at: of databases of a fleet for which the plan is the same, of one.

    With -v, of all of them.
    """
    everything = everything or session.verbose or session.as_json or plan.direction is Direction.ROLLBACK
    limit = None if everything else plans.SHOWN_STEPS
    if session.verbose:
        return {state.service.name: plan.of(state.service.name) for state in plan.states}
    return {group.names[0]: plan.of(group.names[0])[:limit] for group in grouping.groups_of(plan)}


def render(
    plan: Plan,
    session: Session,
    *,
    everything: bool = False,
    rehearsed: bool = True,
    sandbox: Sandbox | None = None,
) -> dict[str, Rendering]:
    """The commands of every step, services side by side.

    For people, a very long plan is rendered only as far as it is shown. A rollback is always rendered whole: a step
    whose stash was pruned refuses here, before anything is undone. Of databases of a fleet for which the plan is the
    same, the largest is looked at, and what is found is that of all. With `rehearsed`, times are those of the newest
    rehearsal of the same files, where there is one. Without `sandbox` it makes one. Raises HistoryError for a step that
    changes what is ours.
    """
    chosen = rendered_steps(plan, session, everything=everything)
    states = [state for state in plan.states if chosen.get(state.service.name)]

    def render(state: State) -> dict[str, Rendering]:
        with opened(state.service) as backend:
            return {step.id: _unharmful(step, backend.render(step, looking)) for step in chosen[state.service.name]}

    if not states:
        return {}
    with nullcontext(sandbox) if sandbox else session.sandbox() as looking:
        renderings = {id_: rendering for made in side_by_side(render, states) for id_, rendering in made.items()}
    if rehearsed and session.top is not None:
        renderings = rehearsals.measured(plan, renderings, rehearsals.load(session.top), datetime.now(UTC))
    return grouping.spread(plan, renderings)


def _unharmful(step: Step, rendering: Rendering) -> Rendering:
    if rendering.harms:
        raise HistoryError(
            f"{step.migration.path.name} changes what dataops keeps in the database: {rendering.harms[0]}",
            service=step.service,
            migration=step.migration.id,
            hint="take it out of the file; more: dataops docs operations a-file-that-changes-our-tables",
        )
    return rendering
