"""What the newest journal entry means for the next run: the recovery table. Pure."""

from __future__ import annotations

import enum
from dataclasses import replace

from dataops.errors import (
    InterruptedStep,
)
from dataops.model import Direction, Entry, JournalEvent, State


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
    if last is None or last.event is not JournalEvent.STARTED:
        return Recovery.GO_ON
    return Recovery.GO_ON if reached or atomic or repeatable else Recovery.INTERRUPTED


def interrupted(state: State, *, locked: bool = False) -> Entry | None:
    """The entry of a step that died half-way and cannot be gone on from.

    Without the lock (`locked=False`) a step that somebody is running right now is not interrupted.
    """
    last = state.last
    if last is None or last.event is not JournalEvent.STARTED or (state.holder is not None and not locked):
        return None
    migration = state.service.by_id.get(last.migration)
    recovery = recover(
        last,
        reached=_reached(state, last),
        atomic=migration is not None and migration.atomic,
        repeatable=migration is not None and migration.repeatable,
    )
    return last if recovery is Recovery.INTERRUPTED else None


def missing_end(state: State) -> Entry | None:
    """Under the lock: the end that a crash left out of the journal, now that the native record has decided."""
    last = state.last
    if last is None or last.event is not JournalEvent.STARTED:
        return None
    if _reached(state, last):
        return replace(last, event=JournalEvent.SUCCEEDED, reason="found done in the native record after a crash")
    return replace(last, event=JournalEvent.FAILED, error="the process died before the end; not recorded as done")


def _reached(state: State, entry: Entry) -> bool:
    known = state.applied_ids | set(state.unknown)
    return (entry.migration in known) is (entry.direction is Direction.APPLY)


def refuse_interrupted(state: State, *, locked: bool = False, except_of: str | None = None) -> None:
    """Raise InterruptedStep, naming the two commands to choose from, unless it is the step of `except_of`."""
    entry = interrupted(state, locked=locked)
    if entry is None or entry.migration == except_of:
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
