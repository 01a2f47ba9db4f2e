"""How another tool's record and ours differ after an adoption, and which differences stop an apply. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataops.errors import DataopsError, HistoryError
from dataops.model import Direction, Migration, State
from dataops.othertools.match import (
    MIRRORED,
    bare_name,
    before_later,
    by_migration,
    leading_number,
    significant,
    taken_back,
)
from dataops.othertools.refusals import not_ours, refuse_unreadable, unfinished
from dataops.toolrecords import Outcome, ToolRecord, ToolRow


@dataclass(frozen=True)
class Drift:
    """How another tool's record and ours differ.

    `moved_on` are migrations of ours that only the other record has, and `behind` those that only our record has: the
    other tool would still want to run them. `taken_back` were adopted or mirrored, and the other tool has undone them.
    `unknown` are rows of the other record that no file of ours describes, by the tool's own names.
    """

    record: ToolRecord
    moved_on: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


def find_drift(state: State, record: ToolRecord) -> Drift:
    """Compare another tool's record with our own. Refuses nothing."""
    ours, others = by_migration(state.service, record)
    ahead = _names_ahead(state)
    return Drift(
        record,
        moved_on=tuple(m.id for m in state.service.migrations if m.id in ours and m.id not in state.applied_ids),
        unknown=tuple(row.name for row in others if not _is_ahead(row, ahead)),
        taken_back=taken_back(state, record),
        behind=tuple(applied.id for applied in state.applied if applied.id not in ours),
    )


def _names_ahead(state: State) -> frozenset[str]:
    """The migrations that newer code than this has applied and mirrored, by id and by number."""
    numbers = (leading_number(id_) for id_ in state.unknown)
    return frozenset((*state.unknown, *(significant(number) for number in numbers if number)))


def _is_ahead(row: ToolRow, ahead: frozenset[str]) -> bool:
    names = [bare_name(name) for name in row.names]
    return any(name in ahead or (name.isdigit() and significant(name) in ahead) for name in names)


def refuse_moved_on(state: State, direction: Direction = Direction.APPLY) -> None:
    """Refuse an apply or a rollback of ours while another tool's record and ours disagree.

    A rollback may undo what came after a migration that the other tool has taken back: see `refuse_taken_back`. Raises
    HistoryError while that record has more or less than was adopted, InterruptedStep for a failed migration in
    it, and PermissionDenied when it cannot be read.
    """
    for record in state.tool_records:
        if record.tool in state.service.coexist:
            continue
        refuse_unreadable(state.service, record)
        for row in record.rows:
            if row.outcome is not Outcome.APPLIED:
                raise unfinished(state.service, record, row.name, row.outcome)
        difference = _difference(state, record, direction)
        if difference is not None:
            raise difference


def _difference(state: State, record: ToolRecord, direction: Direction) -> DataopsError | None:
    service = state.service
    found = find_drift(state, record)
    again = f"dataops adopt --service {service.name}"
    if found.unknown and not by_migration(service, record)[0] and not found.taken_back:
        return not_ours(service, record) if not state.applied else None
    if found.moved_on:
        first, more = found.moved_on[0], len(found.moved_on) - 1
        verb = "has moved on" if state.applied else f"has migrated this database ({record.place})"
        return HistoryError(
            f"{record.tool} {verb}: it has applied {first}" + (f" and {more} more" if more else ""),
            service=service.name,
            migration=first,
            hint=f"take it over: {again}",
        )
    if found.unknown:
        return HistoryError(
            f"{record.tool} has moved on: it has applied {', '.join(found.unknown[:3])}, which no file here describes",
            service=service.name,
            migration=found.unknown[0],
            hint=f"use the code that knows it, or write its file here, then: {again}",
        )
    if found.taken_back and direction is Direction.APPLY:
        return _taken_back(state, record, found.taken_back)
    return None


def _taken_back(state: State, record: ToolRecord, ids: Sequence[str]) -> HistoryError:
    """The error for migrations that the other tool has undone, and the command that brings both records together."""
    service = state.service
    first = next(applied for applied in state.applied if applied.id in ids)
    stop = before_later(state, ids)
    how = "which was adopted from it" if first.adopted == record.tool else "which was mirrored to it"
    follow = f"dataops adopt --service {service.name} --write"
    return HistoryError(
        f"{record.tool} has taken back {first.id}, {how}",
        service=service.name,
        migration=first.id,
        hint=(
            f"follow it: {follow}"
            if stop is None
            else f"undo first what came after it: dataops rollback --to {service.name}/{stop}; then follow it: {follow}"
        )
        + f"; once {record.tool} is retired, drop its record {record.place}",
    )


def refuse_taken_back(state: State, migrations: Iterable[Migration]) -> None:
    """Refuse to undo a migration that the other tool has undone already. Raises HistoryError."""
    chosen = {migration.id for migration in migrations}
    for record in state.tool_records:
        gone = () if record.tool in state.service.coexist else taken_back(state, record)
        if chosen & set(gone):
            raise _taken_back(state, record, gone)


def refuse_unmirrored_rollback(state: State, migrations: Iterable[Migration]) -> None:
    """Refuse to undo a migration that the other record would still list. Raises HistoryError."""
    for record in state.tool_records:
        if record.tool in state.service.coexist or record.tool == state.service.mirror:
            continue
        ours, _ = by_migration(state.service, record)
        for migration in migrations:
            if migration.id in ours:
                raise HistoryError(
                    f"{record.tool} has {migration.id} in its record too, and would go on believing that it is applied",
                    service=state.service.name,
                    migration=migration.id,
                    hint=(
                        f"set mirror = true under [services.{state.service.unit}], so that its record follows"
                        if record.tool in MIRRORED
                        else f"let {record.tool} take it back, then follow it: "
                        f"dataops adopt --service {state.service.name} --write"
                    )
                    + f"; or, once {record.tool} is retired, drop {record.place}",
                )
