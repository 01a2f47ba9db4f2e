"""Which runs have applied what is still there, and which of them a rollback means. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dataops.errors import Blocked, OutOfOrder, UsageError
from dataops.model import AppliedMigration, Direction, Entry, JournalEvent, Plan, State, fleet
from dataops.planning.story import meant
from dataops.text import ago, counted

_OF_A_STEP = (JournalEvent.STARTED, JournalEvent.SUCCEEDED, JournalEvent.FAILED)
_CHANGES_NOTHING = (JournalEvent.PRUNED, *(event for event in JournalEvent if not event.is_about_a_step))
"""Events after which all that a run has applied is there as before."""
_LISTED = 5


@dataclass(frozen=True)
class Run:
    """A run, as far as what it has applied is still there: who started it, and when it applied the newest of that."""

    id: str
    author: str
    at: datetime
    steps: int
    services: tuple[str, ...]

    @property
    def _where(self) -> str:
        many = any(fleet.is_member(name) for name in self.services)
        return fleet.told(self.services) if many else ", ".join(self.services)

    def told(self, now: datetime) -> str:
        """The run for a person: its id, its author, its age, and what it has applied."""
        what = f"{counted(self.steps, 'migration')} of {self._where}"
        return f"{self.id} ({self.author}, {ago((now - self.at).total_seconds())}, {what})"


@dataclass(frozen=True)
class Wanted:
    """Which runs a person wants to undo: their ids or unique beginnings of them, or none for the newest run.

    `journals` has all entries of each service, in any order. `options` are what a command in a hint has to repeat, so
    that it means the same services.
    """

    now: datetime
    ids: tuple[str, ...] = ()
    journals: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    options: str = ""

    def command(self, runs: Iterable[str]) -> str:
        """The command that undoes these runs, newest first."""
        return " ".join(["dataops rollback", *(f"--run {run}" for run in runs)]) + self.options

    def entries(self) -> Iterable[tuple[str, Entry]]:
        """All entries, each with its service."""
        return ((name, entry) for name, entries in self.journals.items() for entry in entries)

    def runs_of_half_done(self, service: str, migration: str) -> set[str]:
        """The runs that have worked on a half-done step since it last had a good end, in either direction."""
        found: set[str] = set()
        entries = (entry for entry in self.journals.get(service, ()) if entry.migration == migration)
        for entry in sorted(entries, key=lambda entry: entry.seq, reverse=True):
            if not entry.is_open:
                break
            found.add(entry.run)
        return found


def standing(states: Iterable[State]) -> tuple[Run, ...]:
    """The runs that have applied something that is still there, newest first."""
    return _runs((state.service.name, applied) for state in states for applied in state.applied)


def undone_by(plan: Plan) -> tuple[Run, ...]:
    """The runs that a rollback undoes, each only as far as it undoes it, newest first."""
    ids = {(step.service, step.migration.id) for step in plan.steps}
    applied = ((state.service.name, one) for state in plan.states for one in state.applied)
    return _runs((name, one) for name, one in applied if (name, one.id) in ids)


def chosen(states: Sequence[State], wanted: Wanted) -> dict[str, tuple[AppliedMigration, ...]]:
    """What the wanted runs applied and what is still there, by service.

    Raises OutOfOrder when another run stands on it, Blocked when it is not clear which run is meant, and UsageError for
    a run that does not exist or has applied nothing.
    """
    runs = {_named(states, wanted, id_) for id_ in wanted.ids} if wanted.ids else _newest(states, wanted)
    found: dict[str, tuple[AppliedMigration, ...]] = {}
    for state in states:
        mine = [at for at, applied in enumerate(state.applied) if _of(applied, runs)]
        if not mine:
            continue
        tail = state.applied[mine[0] :]
        above = next((applied for applied in tail if not _of(applied, runs)), None)
        if above is not None:
            raise _stands_on(states, wanted, runs, state, above)
        found[state.service.name] = tail
    return found


def _runs(applied: Iterable[tuple[str, AppliedMigration]]) -> tuple[Run, ...]:
    by_id: dict[str, list[tuple[str, AppliedMigration]]] = {}
    for name, one in applied:
        if one.run and one.at and not one.adopted:
            by_id.setdefault(one.run, []).append((name, one))
    found = [
        Run(
            id_,
            author=ones[-1][1].author,
            at=max(one.at for _, one in ones if one.at),
            steps=len(ones),
            services=tuple(dict.fromkeys(name for name, _ in ones)),
        )
        for id_, ones in by_id.items()
    ]
    return tuple(sorted(found, key=lambda run: (run.at, run.id), reverse=True))


def _of(applied: AppliedMigration, runs: Collection[str]) -> bool:
    return applied.run is not None and applied.run in runs and not applied.adopted


def _newest(states: Sequence[State], wanted: Wanted) -> set[str]:
    """The newest run, if it is also the newest thing that happened; a rollback that did not end goes on.

    Otherwise a repeated command would undo one run after the other.
    """
    runs = standing(states)
    if not runs:
        if any(state.applied for state in states):
            raise UsageError(
                "no run of dataops has applied anything that is still there: another tool did",
                hint="say how far: --to REV or --steps N",
            )
        return set()
    happened = [(e.at, e.seq, name, e) for name, e in wanted.entries() if e.at and e.event not in _CHANGES_NOTHING]
    _, _, name, entry = max(happened, key=lambda one: one[:2], default=(None, 0, "", None))
    if entry is not None and entry.event in _OF_A_STEP:
        run: str | None = entry.run
        if entry.direction is Direction.ROLLBACK and entry.event is not JournalEvent.SUCCEEDED:
            applied = next((state.applied for state in states if state.service.name == name), ())
            run = next((one.run for one in applied if one.id == entry.migration), None)
        if any(run == one.id for one in runs):
            return {one.id for one in runs if one.id == run}
    raise Blocked(
        f"{_newest_thing(name, entry, wanted.now)}, and it left nothing to undo; "
        f"these runs stand: {_listed(runs, wanted.now)}",
        hint=f"nothing was rolled back; to undo one of them, say which: {wanted.command([runs[0].id])}",
    )


def _newest_thing(service: str, entry: Entry | None, now: datetime) -> str:
    if entry is None:
        return "the journal does not say what happened last"
    what = {JournalEvent.RESOLVED: "a person's decision about", JournalEvent.ADOPTED: "the adoption of"}.get(
        entry.event, f"the {entry.direction.value} of"
    )
    age = f", {ago((now - entry.at).total_seconds())}" if entry.at else ""
    return (
        f"the newest thing that happened is {what} {service}/{entry.migration} "
        f"by run {entry.run} ({entry.actor}@{entry.host}{age})"
    )


def _listed(runs: Sequence[Run], now: datetime) -> str:
    more = f", and {len(runs) - _LISTED} more" if len(runs) > _LISTED else ""
    return ", ".join(run.told(now) for run in runs[:_LISTED]) + more


def _named(states: Sequence[State], wanted: Wanted, written: str) -> str:
    """The id of the run that a person means. It has applied something, which may be undone by now."""
    stand = [run.id for run in standing(states)]
    applied: dict[str, bool] = dict.fromkeys(stand, True)
    for _, entry in wanted.entries():
        steps = entry.direction is Direction.APPLY and entry.event is not JournalEvent.ADOPTED
        applied[entry.run] = applied.get(entry.run, False) or (steps and entry.event not in _CHANGES_NOTHING)
    run = meant(written, applied, stand)
    if not applied[run]:
        raise UsageError(
            f"run {run} has applied nothing: it rolled back, adopted, decided, approved or pruned",
            hint="say which run to undo; see dataops history",
        )
    if run not in stand:
        _refuse_decided(states, wanted, run)
    return run


def _refuse_decided(states: Sequence[State], wanted: Wanted, run: str) -> None:
    """Raise Blocked where a step of the run was interrupted, and stands because another run recorded a decision."""
    for state in states:
        started = {
            entry.migration: entry.run
            for entry in sorted(wanted.journals.get(state.service.name, ()), key=lambda entry: entry.seq)
            if entry.event is JournalEvent.STARTED and entry.direction is Direction.APPLY
        }
        for applied in state.applied:
            if started.get(applied.id) == run and applied.run and not applied.adopted:
                raise Blocked(
                    f"{applied.id} was begun by run {run}, and is applied by the decision of run {applied.run}",
                    service=state.service.name,
                    migration=applied.id,
                    hint=f"nothing was rolled back; to undo it: {wanted.command([applied.run])}",
                )


def _stands_on(
    states: Sequence[State], wanted: Wanted, runs: set[str], state: State, above: AppliedMigration
) -> OutOfOrder:
    """The error for a run on which something else stands, with the command that undoes that too."""
    every, grown = set(runs), True
    while grown:
        before = len(every)
        for other in states:
            first = next((at for at, one in enumerate(other.applied) if _of(one, every)), len(other.applied))
            every |= {one.run for one in other.applied[first:] if one.run and not one.adopted}
        grown = len(every) > before
    stand = [run for run in standing(states) if run.id in every]
    too = [run.told(wanted.now) for run in stand if run.id not in runs]
    if too:
        hint = f"this undoes {' and '.join(too)} too: {wanted.command(run.id for run in stand)}"
    else:
        hint = f"no run of dataops applied that: say how far, with --to and --service {state.service.name}"
    return OutOfOrder(
        f"{above.id} (run {above.run or 'unknown'}) stands on what run {', '.join(sorted(runs))} applied",
        service=state.service.name,
        migration=above.id,
        hint=hint,
    )


__all__ = ["Run", "Wanted", "chosen", "standing", "undone_by"]
