"""What the newest journal entry means for the next run. Pure.

A process may die between any two commands. Each step is journalled as started before it changes anything, and the
native record is written last. From these two, and from what the migration promises about itself, `recover` tells
whether the next run may go on, or has to stop and ask a person.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from dataops.errors import InterruptedStep
from dataops.model import NOT_ONE_TRANSACTION, Direction, Entry, JournalEvent, State


class Recovery(enum.Enum):
    """Whether the next run may go on, or the newest step was interrupted and a person has to decide."""

    GO_ON = "go on"
    INTERRUPTED = "interrupted"


def recover(last: Entry | None, *, reached: bool, atomic: bool, repeatable: bool) -> Recovery:
    """The recovery table: what the newest journal entry means, for each kind of migration.

    | newest entry         | native record    | migration  | the next run                                        |
    |----------------------|------------------|------------|-----------------------------------------------------|
    | none, or with an end | any              | any        | goes on                                             |
    | started              | shows the step   | any        | goes on: the record is written last, so it is done  |
    | started              | does not show it | atomic     | goes on: the server has undone the step             |
    | started              | does not show it | repeatable | goes on, and runs the step again                    |
    | started              | does not show it | neither    | stops: a person has to look                         |

    `reached` says that the native record shows what the step was to bring about. A step whose newest entry has the
    reason NOT_ONE_TRANSACTION is not atomic, whatever its file says.
    """
    if last is None or last.event is not JournalEvent.STARTED:
        return Recovery.GO_ON
    return Recovery.GO_ON if reached or atomic or repeatable else Recovery.INTERRUPTED


def interrupted(state: State, *, locked: bool = False) -> Entry | None:
    """The entry of a step that died half-way, where the next run must not go on; otherwise None.

    `locked` says that we hold the lock. Without it, a step that somebody is running right now is not interrupted.
    """
    last = state.last
    if last is None or last.event is not JournalEvent.STARTED or (state.holder is not None and not locked):
        return None
    migration = state.service.by_id.get(last.migration)
    recovery = recover(
        last,
        reached=_reached(state, last),
        atomic=migration is not None and migration.atomic and last.reason != NOT_ONE_TRANSACTION,
        repeatable=migration is not None and migration.repeatable,
    )
    return last if recovery is Recovery.INTERRUPTED else None


def missing_end(state: State) -> Entry | None:
    """The entry for the end of a step that a crash left out of the journal; None when no end is missing.

    Whether the step succeeded is decided by the native record. Only for a caller that holds the lock.
    """
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
    """Raise InterruptedStep, with the two commands that a person has to choose from.

    It is not raised for a step of the migration `except_of`.
    """
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
