"""What the newest journal entry means for the next run. Pure.

A process may die between any two commands, and a step may fail between any two. Each step is journalled as started
before it changes anything, and the native record is written last. From these two, and from what the migration promises
about itself, `recover` tells how the next run goes on. A step that is half done comes first, in whatever direction the
next run goes: until it is brought to an end, nothing else of its service runs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from dataops.errors import ChangedMeanwhile, InterruptedStep
from dataops.model import (
    ENDS_HALF_DONE,
    HALF_DONE,
    Direction,
    Entry,
    JournalEvent,
    Migration,
    State,
    Step,
)


class Recovery(enum.Enum):
    """How the next run goes on after the newest journal entry."""

    GO_ON = "nothing is half done"
    AGAIN = "run the half-done step again, then go on"
    TAKE_BACK = "run the half-done step the other way, then go on"
    END_FIRST = "refuse: the half-done step has to be ended in its own direction first"
    DECIDE = "refuse: a person has to decide"


def recover(
    entry: Entry | None,
    *,
    reached: bool,
    atomic: bool,
    repeatable: bool,
    both_ways: bool,
    direction: Direction | None = None,
) -> Recovery:
    """The recovery table: what the newest journal entry means, for each kind of migration and each next run.

    | newest entry          | native record    | migration             | next run   | what it does               |
    |-----------------------|------------------|-----------------------|------------|----------------------------|
    | none, or with an end  | any              | any                   | any        | goes on                    |
    | started, or half done | shows the step   | any                   | any        | goes on: it is done        |
    | started               | does not show it | atomic                | any        | goes on: it is undone      |
    | started, or half done | does not show it | repeatable            | same way   | runs it again, goes on     |
    | started, or half done | does not show it | repeatable, both ways | other way  | takes it back, goes on     |
    | started, or half done | does not show it | repeatable            | any other  | stops: end it its own way  |
    | started, or half done | does not show it | neither               | any        | stops: a person has to look |

    The record is written last, so a step that it shows is done; and the server undoes a step that is atomic.
    *Half done* is a *failed* entry whose reason says so. `reached` says that the native record shows what the step was
    to bring about; for an entry with the reason ENDS_HALF_DONE, that is no sign of its end. `both_ways` says that the
    step may be stopped anywhere in one direction and then be run in the other. `direction` is that of the next run;
    None means work that is neither an apply nor a rollback.
    """
    if entry is None or not entry.is_open:
        return Recovery.GO_ON
    if reached and entry.reason != ENDS_HALF_DONE:
        return Recovery.GO_ON
    if atomic and not entry.reason:
        return Recovery.GO_ON
    if not repeatable:
        return Recovery.DECIDE
    if direction is entry.direction:
        return Recovery.AGAIN
    return Recovery.TAKE_BACK if both_ways and direction is not None else Recovery.END_FIRST


@dataclass(frozen=True)
class HalfStep:
    """A step that is half done, and how a run in some direction goes on."""

    entry: Entry
    migration: Migration | None
    recovery: Recovery

    @property
    def ended_by(self) -> str:
        """The command that brings it to an end: resolve, or that of its own direction."""
        return "resolve" if self.recovery is Recovery.DECIDE else self.entry.direction.value


def running_step(state: State) -> Entry | None:
    """The entry of the step that another run is in the middle of; None when none is.

    That run may have died already: as long as its lock is held, nobody can tell. Only for a caller without the lock.
    """
    last = state.last
    if last is None or last.event is not JournalEvent.STARTED or state.holder is None:
        return None
    return last


def half_step(state: State, direction: Direction | None = None, *, locked: bool = False) -> HalfStep | None:
    """The step that a run died in, or that failed half-way, if a run in that direction finds it so; otherwise None.

    `locked` says that we hold the lock. Without it, a step that somebody is running right now is not half done.
    """
    last = state.last
    if last is None or not last.is_open:
        return None
    if not locked and running_step(state) is not None:
        return None
    migration = _file_of(state, last)
    unedited = migration is not None and last.checksum in ("", migration.checksum)
    recovery = recover(
        last,
        reached=_reached(state, last),
        atomic=migration is not None and migration.atomic,
        repeatable=migration is not None and migration.repeatable,
        both_ways=migration is not None and migration.reversible and migration.both_ways and unedited,
        direction=direction,
    )
    return None if recovery is Recovery.GO_ON else HalfStep(last, migration, recovery)


def first_step(state: State, direction: Direction, *, locked: bool = False) -> Step | None:
    """The step with which a run in this direction has to begin, because it is half done; None when there is none.

    Raises InterruptedStep when a run in this direction cannot bring it to an end.
    """
    half = half_step(state, direction, locked=locked)
    if half is None:
        return None
    if half.migration is None or half.recovery not in (Recovery.AGAIN, Recovery.TAKE_BACK):
        raise _refusal(state, half)
    for begun in state.backfills:
        if half.recovery is Recovery.AGAIN and begun.changed and begun.checksum != half.migration.checksum:
            raise ChangedMeanwhile(
                f"the file of {half.migration.id} was changed in the middle of its backfill of {begun.words}",
                service=state.service.name,
                migration=half.migration.id,
            )
    shown = (half.migration.id in state.recorded_ids) is (direction is Direction.APPLY)
    return Step(state.service.name, half.migration, direction, ENDS_HALF_DONE if shown else HALF_DONE)


def missing_end(state: State) -> Entry | None:
    """The entry for the end of a step that a crash left out of the journal; None when no end is missing.

    Whether the step succeeded is decided by the native record. Only for a caller that holds the lock.
    """
    last = state.last
    if last is None or not last.is_open:
        return None
    if _reached(state, last) and last.reason != ENDS_HALF_DONE:
        return replace(
            last, event=JournalEvent.SUCCEEDED, error="", reason="found done in the native record after a crash"
        )
    if last.event is JournalEvent.FAILED:
        return None
    half = half_step(state, locked=True)
    reason = "" if half is None else ENDS_HALF_DONE if last.reason == ENDS_HALF_DONE else HALF_DONE
    died = "the process died before the end; not recorded as done"
    return replace(last, event=JournalEvent.FAILED, error=died, reason=reason)


def _file_of(state: State, entry: Entry) -> Migration | None:
    """The file that the entry is about. A squashed file is another one than that of the same id which it replaces."""
    migration = state.service.by_id.get(entry.migration)
    if migration is None or entry.checksum in migration.replaces.get(migration.id, ()):
        return None
    return migration


def _reached(state: State, entry: Entry) -> bool:
    return (entry.migration in state.recorded_ids) is (entry.direction is Direction.APPLY)


def refuse_half_done(state: State, *, locked: bool = False, except_of: str | None = None) -> None:
    """Raise InterruptedStep while a step is half done, whatever could end it. Not for a step of `except_of`."""
    half = half_step(state, locked=locked)
    if half is not None and half.entry.migration != except_of:
        raise _refusal(state, half)


def _refusal(state: State, half: HalfStep) -> InterruptedStep:
    """What happened, and the commands that bring the half-done step to an end."""
    entry = half.entry
    name = f"{state.service.name}/{entry.migration}"
    at = f" at {entry.at:%Y-%m-%d %H:%M:%S} UTC" if entry.at else ""
    by = f"by {entry.actor}@{entry.host} (run {entry.run})"
    if entry.event is JournalEvent.STARTED:
        what = f"{entry.direction.value} of {entry.migration} was started{at} {by} and never ended"
    else:
        what = f"{entry.direction.value} of {entry.migration} {by} ended half-way{at}"
    if half.recovery is Recovery.DECIDE:
        what += "; nobody knows how far it came"
        hint = f"look at the database, then say which: {decisions(name)}"
        if half.migration is None:  # without its file, the record stays as it is
            answer = "--applied" if entry.migration in state.recorded_ids else "--not-applied"
            hint = (
                f"its file is missing: use the code that has it; or, if the database is as its record says: "
                f'dataops resolve {name} {answer} --reason "..."'
            )
    else:
        what += "; nothing else is done before it is brought to an end"
        hint = f"run it again: {_again(state, entry)}"
    return InterruptedStep(
        what,
        service=state.service.name,
        migration=entry.migration,
        hint=f"{hint}; more: dataops docs operations an-interrupted-step",
    )


def decisions(step: str) -> str:
    """The two commands between which a person decides about a half-done step: SERVICE/MIGRATION."""
    return "  or  ".join(f'dataops resolve {step} {answer} --reason "..."' for answer in ("--applied", "--not-applied"))


def _again(state: State, entry: Entry) -> str:
    """The command that runs a half-done step again, in its own direction, and nothing after it."""
    service = state.service.name
    if entry.direction is Direction.APPLY:
        return f"dataops apply --to {service}/{entry.migration}"
    position = state.service.position.get(entry.migration, 0)
    before = state.service.migrations[position - 1].id if position else "base"
    return f"dataops rollback --to {service}/{before}"


__all__ = [
    "HalfStep",
    "Recovery",
    "decisions",
    "first_step",
    "half_step",
    "missing_end",
    "recover",
    "refuse_half_done",
    "running_step",
]
