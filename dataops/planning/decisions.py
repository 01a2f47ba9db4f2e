"""What a person may decide with `resolve`: only what is undecided. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataops.errors import UsageError
from dataops.model import Direction, Entry, JournalEvent, Migration, State
from dataops.planning.recovery import half_step, refuse_half_done
from dataops.planning.target import BASE


@dataclass(frozen=True)
class Decision:
    """What to record. Nothing has to be written if the same decision is `recorded` already.

    `replaced` are applied migrations without a file that the decided one stands for: they leave the record with it.
    """

    recorded: bool = False
    replaced: tuple[str, ...] = ()


def decide(state: State, id_: str, *, applied: bool, history: Sequence[Entry]) -> Decision:
    """What the answer of a person means for the record. `history` is the whole journal, newest entry first.

    Undecided are a step that is half done, a migration about which journal and record disagree, one before which or
    after which the record has a gap, and, while the record has migrations without a file, one that may replace them.
    Raises UsageError for everything else, and where the record would not be a beginning of the history; and
    InterruptedStep while another step is half done.
    """
    refuse_half_done(state, locked=True, except_of=id_)
    step = half_step(state, locked=True)
    migration = state.service.by_id.get(id_)
    if step is not None and step.entry.migration == id_ and step.migration is None:
        migration = None  # the file of this id is a squashed one, which is another
    recorded = id_ in state.recorded_ids
    replaces = applied and not recorded and migration is not None and bool(state.unknown)
    disagree = state.claims.get(id_, recorded) is not recorded
    if not (step or disagree or replaces or _beside_a_gap(state, id_, applied=applied)):
        newest = next((entry for entry in history if entry.migration == id_), None)
        said = newest is not None and newest.event is JournalEvent.RESOLVED
        if newest is not None and said and recorded is applied is (newest.direction is Direction.APPLY):
            return Decision(recorded=True, replaced=_left_over(state, newest, history))
        raise _nothing_to_decide(state, id_, migration, recorded=recorded)
    if migration is None:
        if recorded is not applied:
            raise UsageError(
                f"{id_} has no file here, so only what its record says already can be decided",
                service=state.service.name,
                hint=f"say {'--applied' if recorded else '--not-applied'}, or use the code that has the file",
            )
        return Decision()
    _refuse_new_gap(state, migration, applied=applied)
    return Decision(replaced=state.unknown if replaces else ())


def _beside_a_gap(state: State, id_: str, *, applied: bool) -> bool:
    """Whether the answer closes a gap in the record, from below or from above."""
    at = state.service.position.get(id_)
    if at is None or (id_ in state.applied_ids) is applied:
        return False
    others = state.service.migrations[at + 1 :] if applied else state.service.migrations[:at]
    return any((other.id in state.applied_ids) is applied for other in others)


def _left_over(state: State, decision: Entry, history: Sequence[Entry]) -> tuple[str, ...]:
    """What the decision replaced, and what a crash left in the record: nothing that newer code has applied since."""
    newest: dict[str, int] = {}
    for entry in history:
        newest.setdefault(entry.migration, entry.seq)
    if decision.direction is Direction.ROLLBACK:
        return ()
    return tuple(id_ for id_ in state.unknown if newest.get(id_, decision.seq) < decision.seq)


def _nothing_to_decide(state: State, id_: str, migration: Migration | None, *, recorded: bool) -> UsageError:
    name = state.service.name
    if migration is None:
        hint = "only code that has its file can apply it or roll it back"
    elif recorded:
        hint = f"to undo it: dataops rollback --to {name}/{migration.parent or BASE}"
    else:
        hint = f"to apply it: dataops apply --to {name}/{id_}"
    return UsageError(
        f"{id_} is {'applied' if recorded else 'not applied'}, and nothing about it is undecided",
        service=name,
        migration=id_,
        hint=hint,
    )


def _refuse_new_gap(state: State, migration: Migration, *, applied: bool) -> None:
    at, ids = state.service.position[migration.id], state.applied_ids
    if applied:
        missing = [m.id for m in state.service.migrations[:at] if m.id not in ids]
        if missing:
            raise UsageError(
                f"{missing[0]} comes before {migration.id} and is not applied",
                service=state.service.name,
                hint="resolve or apply that one first",
            )
        return
    above = [m.id for m in state.service.migrations[at + 1 :] if m.id in ids]
    if above:
        raise UsageError(
            f"{above[-1]} is applied after {migration.id}",
            service=state.service.name,
            hint="roll back or resolve that one first",
        )


__all__ = ["Decision", "decide"]
