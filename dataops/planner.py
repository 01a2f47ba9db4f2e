"""States and a target in, a plan out, or a refusal that names the migration and the remedy. Pure: no I/O, no clock."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from dataops import files, foreign
from dataops.errors import (
    Blocked,
    BrokenFile,
    ConfigError,
    DatabaseAhead,
    EditedAfterApply,
    HistoryError,
    InterruptedStep,
    OutOfOrder,
    StalePlan,
    UsageError,
)
from dataops.model import Ahead, Applied, Direction, Entry, Happened, Migration, Plan, Service, State, Step

BASE = "base"
T = TypeVar("T")


class Recovery(enum.Enum):
    """What a journal's newest entry means for the next run."""

    GO_ON = "go on"
    INTERRUPTED = "interrupted"


def recover(last: Entry | None, *, reached: bool, atomic: bool, repeatable: bool) -> Recovery:
    """The recovery table.

    `reached` says that the native record shows what the entry's step was to bring about. The native record is written
    last, so then the step is complete, whatever kind it is. Otherwise a step that was started and has no end is gone
    without a trace where it is atomic, may be run again where it is repeatable, and is for a person to decide where it
    is neither.
    """
    if last is None or last.event is not Happened.STARTED:
        return Recovery.GO_ON
    return Recovery.GO_ON if reached or atomic or repeatable else Recovery.INTERRUPTED


def interrupted(state: State, *, locked: bool = False) -> Entry | None:
    """The entry of a step that died half-way and cannot be gone on from.

    Without the lock (`locked=False`) a step that somebody is running right now is not interrupted.
    """
    last = state.last
    if last is None or last.event is not Happened.STARTED or (state.holder is not None and not locked):
        return None
    migration = state.service.by_id.get(last.migration)
    recovery = recover(
        last,
        reached=_reached(state, last),
        atomic=migration is not None and migration.atomic,
        repeatable=migration is not None and migration.repeatable,
    )
    return last if recovery is Recovery.INTERRUPTED else None


def closing(state: State) -> Entry | None:
    """Under the lock: the end that a crash left out of the journal, now that the native record has decided."""
    last = state.last
    if last is None or last.event is not Happened.STARTED:
        return None
    if _reached(state, last):
        return replace(last, event=Happened.SUCCEEDED, reason="found done in the native record after a crash")
    return replace(last, event=Happened.FAILED, error="the process died before the end; not recorded as done")


def check(state: State) -> None:
    """Refuse files and records that do not make one history.

    Raises HistoryError, DatabaseAhead; of another tool's record also InterruptedStep and PermissionDenied.
    """
    service = state.service
    foreign.refuse_moved_on(state)
    if state.unknown:
        newest = state.unknown[-1]
        if state.pending:
            raise OutOfOrder(
                f"{newest} is applied but has no file here, while {state.pending[0].id} is pending",
                service=service.name,
                migration=newest,
                hint="the file was removed, or this code and the database come from different branches: "
                "use the code that knows both",
            )
        if service.ahead is Ahead.REFUSE:
            more = f" and {len(state.unknown) - 1} more" if len(state.unknown) > 1 else ""
            raise DatabaseAhead(
                f"the database is ahead of this code: it has {newest}{more}, which no file here describes",
                service=service.name,
                migration=newest,
            )
    for gap, migration in enumerate(service.migrations[: len(state.applied)]):
        if migration.id != state.applied[gap].id:
            raise OutOfOrder(
                f"{state.applied[gap].id} is applied, but {migration.id}, which comes before it, is not",
                service=service.name,
                migration=migration.id,
                hint="if it was run by hand: "
                f'dataops resolve {service.name}/{migration.id} --applied --reason "..."; '
                "if the file is new, give it a parent after the last applied one",
            )
    _refuse_disagreement(state)
    for applied in state.applied:
        refuse_edited(service, applied)


def refuse_edited(service: Service, applied: Applied) -> None:
    """Raise EditedAfterApply when the file's code is not the code that was applied."""
    migration = service.by_id[applied.id]
    if applied.checksum is None or applied.raw_checksum == migration.raw_checksum:
        return
    if checksum_of(service, migration) != applied.checksum:
        raise EditedAfterApply(
            f"{migration.path} was edited after it had been applied",
            service=service.name,
            migration=migration.id,
        )


def checksum_of(service: Service, migration: Migration) -> str:
    """The semantic checksum. Raises BrokenFile for a file that does not parse."""
    try:
        return migration.checksum
    except BrokenFile as error:
        error.service = service.name
        raise


def target(services: Sequence[Service], wanted: str) -> tuple[Service, Migration | None]:
    """The service and migration that `--to` means: an id, its beginning, SERVICE/ID, or `base` (None: before all).

    Raises UsageError.
    """
    name, slash, rest = wanted.partition("/")
    if slash:
        chosen = [service for service in services if service.name == name]
        if not chosen:
            raise UsageError(
                f"there is no service {name} among the chosen ones", hint=files.near(name, [s.name for s in services])
            )
        return chosen[0], None if rest == BASE else files.find(name, chosen[0].migrations, rest)
    if wanted == BASE:
        if len(services) == 1:
            return services[0], None
        raise UsageError(f"{BASE} of which service?", hint=f"write SERVICE/{BASE}, or choose one with --service")
    hits = [(service, m) for service in services for m in service.migrations if m.id == wanted] or [
        (service, m) for service in services for m in service.migrations if m.id.startswith(wanted)
    ]
    if len(hits) == 1:
        return hits[0]
    if not hits:
        ids = [m.id for service in services for m in service.migrations]
        raise UsageError(f"there is no migration {wanted}", hint=files.near(wanted, ids))
    raise UsageError(
        f"{wanted} could be any of {', '.join(f'{s.name}/{m.id}' for s, m in hits[:5])}", hint="write more of the id"
    )


def plan_apply(states: Sequence[State], *, to: Migration | None = None, steps: int | None = None) -> Plan:
    """Everything pending, in the order of dependencies, up to `to` (of the only service) and at most `steps` in all.

    Raises HistoryError, DatabaseAhead, InterruptedStep. A target that is applied already is an empty plan: applying
    never goes backwards.
    """
    states = _ordered(states)
    refuse_same_database(states)
    planned: list[Step] = []
    for state in states:
        check(state)
        refuse_interrupted(state)
        wanted: Iterable[Migration] = state.pending
        if to is not None:
            limit = state.service.position[to.id]
            wanted = [m for m in state.pending if state.service.position[m.id] <= limit]
        if state.service.mirror:
            wanted = list(wanted)
            for migration in (*foreign.unmirrored(state), *wanted):
                foreign.mirrored(state.service, migration)
        planned += [Step(state.service.name, migration, Direction.APPLY) for migration in wanted]
    return Plan(Direction.APPLY, tuple(planned[:steps]), tuple(states))


def to_complete(plan: Plan) -> tuple[str, ...]:
    """The services whose mirrored record lacks something that is applied: an apply adds it, even without a step."""
    if plan.direction is Direction.ROLLBACK:
        return ()
    return tuple(s.service.name for s in plan.states if s.service.mirror and foreign.unmirrored(s))


def plan_rollback(
    states: Sequence[State],
    *,
    run: str | None = None,
    to: Migration | None = None,
    to_base: bool = False,
    steps: int | None = None,
) -> Plan:
    """What undoing would do, newest first, proved possible: every file unedited, every step reversible.

    Exactly one way to say how far: `run` (a run's steps on every service it touched), `to` (which stays) or `to_base`
    (both of the only service), `steps` (the newest so many over all services); with none of them, the newest run.
    Raises HistoryError, DatabaseAhead, InterruptedStep, Blocked, UsageError.
    """
    states = _ordered(states)
    refuse_same_database(states)
    for state in states:
        try:
            check(replace(state, service=replace(state.service, ahead=Ahead.REFUSE)))
        except DatabaseAhead as error:
            error.hint = "roll back with the newer code: only that knows how to undo what is newest here"
            raise
        refuse_interrupted(state)
    if to is not None or to_base:
        limit = states[0].service.position[to.id] if to is not None else -1
        chosen = {state.service.name: state.applied[limit + 1 :] for state in states}
    elif steps is not None:
        chosen = _newest_steps(states, steps)
    else:
        chosen = _of_run(states, run)
    planned = [
        Step(state.service.name, state.service.by_id[applied.id], Direction.ROLLBACK)
        for state in reversed(states)
        for applied in reversed(chosen.get(state.service.name, ()))
    ]
    for state in states:
        _refuse_lossy(state, chosen.get(state.service.name, ()))
    stuck = [step for step in planned if not step.migration.reversible]
    if stuck:
        reasons = "; ".join(f"{step.id}: {step.migration.facts.irreversible_because}" for step in stuck)
        raise Blocked(
            f"{len(stuck)} of {len(planned)} steps cannot be undone: {reasons}",
            service=stuck[0].service,
            migration=stuck[0].migration.id,
            hint="nothing was rolled back; stop before it with --to, or restore a backup",
        )
    return Plan(Direction.ROLLBACK, tuple(planned), tuple(states))


def confirm(plan: Plan, state: State) -> tuple[Step, ...]:
    """The same plan for one service, seen again under the lock: what is left to do.

    Less is fine (another run did it), anything else is not. A saved plan is held to its exact state.
    Raises StalePlan, HistoryError, DatabaseAhead, InterruptedStep.
    """
    name = state.service.name
    steps = plan.of(name)
    before = plan.state(name)
    if state.identity.name != before.identity.name:
        raise StalePlan("this is another database than the one that was planned for", service=name)
    if plan.saved and state.applied_ids != before.applied_ids:
        raise StalePlan(_changed(before, state), service=name)
    check(state)
    refuse_interrupted(state, locked=True)
    if plan.direction is Direction.APPLY:
        left = tuple(step for step in steps if step.migration.id not in state.applied_ids)
        expected = [migration.id for migration in state.pending[: len(left)]]
    else:
        left = tuple(step for step in steps if step.migration.id in state.applied_ids)
        expected = [applied.id for applied in reversed(state.applied[len(state.applied) - len(left) :])]
    if [step.migration.id for step in left] != expected:
        raise StalePlan(_changed(before, state), service=name, hint="another run changed it meanwhile: plan again")
    return left


def check_resolvable(state: State, migration: Migration, *, applied: bool) -> None:
    """A record may grow or shrink only at its end. Raises UsageError, naming what stands in the way.

    While a step is interrupted, only that one can be resolved: raises InterruptedStep.
    """
    entry = interrupted(state, locked=True)
    if entry is not None and entry.migration != migration.id:
        refuse_interrupted(state, locked=True)
    at = state.service.position[migration.id]
    ids = state.applied_ids
    if applied:
        missing = [m.id for m in state.service.migrations[:at] if m.id not in ids]
        if missing:
            raise UsageError(
                f"{missing[0]} comes before {migration.id} and is not applied",
                service=state.service.name,
                hint="resolve or apply that one first",
            )
    else:
        above = [m.id for m in state.service.migrations[at + 1 :] if m.id in ids]
        if above:
            raise UsageError(
                f"{above[-1]} is applied after {migration.id}",
                service=state.service.name,
                hint="roll back or resolve that one first",
            )


def fingerprint(state: State) -> str:
    """A digest of everything that a saved plan relies on in one service, except the database's identity."""
    digest = hashlib.sha256()
    for migration in state.service.migrations:
        digest.update(f"{migration.id} {checksum_of(state.service, migration)}\n".encode())
    for applied in state.applied:
        digest.update(f"applied {applied.id}\n".encode())
    for id_ in state.unknown:
        digest.update(f"unknown {id_}\n".encode())
    return digest.hexdigest()


def refuse_same_database(states: Sequence[State]) -> None:
    """Two services in one database would share one record. Raises ConfigError."""
    for at, state in enumerate(states):
        for other in states[:at]:
            one, two = state.identity, other.identity
            if (one.server, one.database) == (two.server, two.database) or one.marks & two.marks:
                raise ConfigError(
                    f"{other.service.name} and {state.service.name} are the same database ({one.address})",
                    hint="two histories cannot share one record: correct one of the two URLs",
                )


def summary(plan: Plan) -> str:
    """The closing line of a plan."""
    services = len({step.service for step in plan.steps})
    if not plan.steps:
        return f"Plan: nothing to {_verb(plan)}"
    irreversible = sum(not step.migration.reversible for step in plan.steps)
    note = f" ({irreversible} irreversible)" if irreversible else ""
    plural = "service" if services == 1 else "services"
    return f"Plan: {len(plan.steps)} to {_verb(plan)} in {services} {plural}{note}"


def flags(step: Step) -> list[str]:
    """What a reader has to know before agreeing."""
    migration = step.migration
    found = ["transactional" if migration.atomic else "not transactional"]
    if not migration.atomic:
        found.append("repeatable" if migration.repeatable else "not repeatable")
    found.append("reversible" if migration.reversible else f"IRREVERSIBLE: {migration.facts.irreversible_because}")
    return found


def order(services: Sequence[Service]) -> list[Service]:
    """Those that others depend on first; otherwise as configured. The configuration has refused cycles."""
    names = {service.name: service for service in services}
    done: list[Service] = []

    def visit(service: Service) -> None:
        if service not in done:
            for other in service.depends_on:
                if other in names:
                    visit(names[other])
            done.append(service)

    for service in services:
        visit(service)
    return done


def _verb(plan: Plan) -> str:
    return "apply" if plan.direction is Direction.APPLY else "roll back"


def _ordered(states: Sequence[State]) -> list[State]:
    by_name = {state.service.name: state for state in states}
    return [by_name[service.name] for service in order([state.service for state in states])]


def _reached(state: State, entry: Entry) -> bool:
    known = state.applied_ids | set(state.unknown)
    return (entry.migration in known) is (entry.direction is Direction.APPLY)


def refuse_interrupted(state: State, *, locked: bool = False) -> None:
    """Raise InterruptedStep, naming the two commands to choose from."""
    entry = interrupted(state, locked=locked)
    if entry is None:
        return
    name = f"{state.service.name}/{entry.migration}"
    started = f" at {entry.at:%Y-%m-%d %H:%M:%S} UTC" if entry.at else ""
    raise InterruptedStep(
        f"{entry.direction.value} of {entry.migration} was started{started} by {entry.actor}@{entry.host} "
        f"(run {entry.run}) and never ended; nobody knows how far it came",
        service=state.service.name,
        migration=entry.migration,
        hint="look at the database, then say which: "
        f'dataops resolve {name} --applied --reason "..."  or  dataops resolve {name} --not-applied --reason "..."; '
        "docs/operations.md#an-interrupted-step",
    )


def _refuse_disagreement(state: State) -> None:
    known = state.applied_ids | set(state.unknown)
    for id_, applied in state.claims.items():
        if applied is (id_ in known):
            continue
        journal, native = ("applied", "not applied") if applied else ("rolled back", "applied")
        answer = "--not-applied" if applied else "--applied"
        raise HistoryError(
            f"the journal says that {id_} is {journal}, the native record says it is {native}",
            service=state.service.name,
            migration=id_,
            hint="somebody changed the record with another tool; if the native record is right: "
            f'dataops resolve {state.service.name}/{id_} {answer} --reason "..."',
        )


def _refuse_lossy(state: State, chosen: Sequence[Applied]) -> None:
    """What another tool applied may have thrown something away that nobody put aside. Raises Blocked."""
    service = state.service
    for applied in chosen:
        if applied.adopted and service.by_id[applied.id].facts.puts_aside:
            raise Blocked(
                f"{applied.id} was applied by {applied.adopted}, not by dataops: what it threw away was not put aside "
                "and cannot be given back",
                service=service.name,
                migration=applied.id,
                hint=f"nothing was rolled back; stop there: --to {applied.id}, or restore a backup",
            )
    foreign.refuse_unmirrored_rollback(state, [service.by_id[applied.id] for applied in chosen])


def _newest_steps(states: Sequence[State], steps: int) -> dict[str, tuple[Applied, ...]]:
    """The newest `steps` over all services by the time of applying, each service's from its end."""
    left = {state.service.name: list(state.applied) for state in states}
    chosen: dict[str, list[Applied]] = {}
    for _ in range(steps):
        tops = [
            (applied[-1].at.timestamp() if applied[-1].at else 0.0, name) for name, applied in left.items() if applied
        ]
        if not tops:
            break
        name = max(tops)[1]
        chosen.setdefault(name, []).insert(0, left[name].pop())
    return {name: tuple(applied) for name, applied in chosen.items()}


def _of_run(states: Sequence[State], run: str | None) -> dict[str, tuple[Applied, ...]]:
    ours = [a for state in states for a in state.applied if a.run and a.at and not a.adopted]
    known = {applied.run: applied.at for applied in ours}
    if run is None:
        if not known:
            if any(state.applied for state in states):
                raise UsageError(
                    "no run of dataops has applied anything that is still there: another tool did",
                    hint="say how far: --to REV or --steps N",
                )
            return {}
        newest = max(
            ours,
            key=lambda applied: (applied.at.timestamp() if applied.at else 0.0, applied.run or ""),
        )
        run = newest.run
    elif run not in known:
        raise UsageError(
            f"nothing that run {run} applied is still there",
            hint=files.near(run, [name for name in known if name]) + "; see dataops history",
        )
    chosen: dict[str, tuple[Applied, ...]] = {}
    for state in states:
        mine = [at for at, applied in enumerate(state.applied) if applied.run == run and not applied.adopted]
        if not mine:
            continue
        tail = state.applied[mine[0] :]
        foreign = next((applied for applied in tail if applied.run != run), None)
        if foreign is not None:
            raise OutOfOrder(
                f"{foreign.id} (run {foreign.run or 'unknown'}) stands on what run {run} applied",
                service=state.service.name,
                migration=foreign.id,
                hint=f"roll that back first, or say how far: --to {foreign.id} --service {state.service.name}",
            )
        chosen[state.service.name] = tail
    return chosen


def _changed(before: State, now: State) -> str:
    added = [a.id for a in now.applied if a.id not in before.applied_ids]
    removed = [a.id for a in before.applied if a.id not in now.applied_ids]
    parts = [f"{', '.join(ids)} {what} since" for ids, what in ((added, "applied"), (removed, "rolled back")) if ids]
    return f"the database changed after the plan: {'; '.join(parts) or 'its history differs'}"
