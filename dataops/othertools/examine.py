"""What taking over from another tool's record would record, and what stands against it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dataops.errors import (
    DatabaseAhead,
    HistoryError,
    LockNotObtained,
    OutOfOrder,
    UsageError,
)
from dataops.model import (
    Ahead,
    Alias,
    Migration,
    Outcome,
    Service,
    State,
    ToolRecord,
    ToolRow,
)
from dataops.othertools.match import (
    KNEX,
    _bare,
    _failed,
    _Identities,
    _not_ours,
    aliases_of,
    by_migration,
    refuse_unreadable,
)

BASELINE = "baseline"


class Finding(enum.Enum):
    """What adoption makes of one migration."""

    ADOPTED = "adopted"
    OUT_OF_ORDER = "out of order"
    CHANGED = "changed there"
    RECORDED = "recorded here already"
    MISSING = "missing there"
    TAKEN_BACK = "taken back there"
    UNKNOWN = "unknown to us"
    RETIRED = "retired"
    FAILED = "failed there"
    HALF_DONE = "half-done there"


_TO_RECORD = (Finding.ADOPTED, Finding.OUT_OF_ORDER, Finding.CHANGED)


@dataclass(frozen=True)
class Line:
    """One migration: its id, or its name there when it is none of ours."""

    name: str
    finding: Finding
    at: datetime | None = None
    note: str = ""
    migration: Migration | None = None


@dataclass(frozen=True)
class Adoption:
    """What taking over from one record comes to. `lines` are ours in the order of the history, then what is left."""

    state: State
    record: ToolRecord
    lines: tuple[Line, ...]

    @property
    def to_record(self) -> tuple[Line, ...]:
        """What is applied there and not recorded here."""
        return tuple(line for line in self.lines if line.migration is not None and line.finding in _TO_RECORD)

    @property
    def to_remove(self) -> tuple[Line, ...]:
        """What was adopted and has been taken back there since, newest first."""
        return tuple(line for line in reversed(self.lines) if line.finding is Finding.TAKEN_BACK)

    @property
    def nothing_to_do(self) -> bool:
        return not self.to_record and not self.to_remove

    @property
    def differences(self) -> tuple[str, ...]:
        """What has to be accepted by a person: files that were not the ones we know."""
        return tuple(f"{line.name}: {line.note}" for line in self.lines if line.finding is Finding.CHANGED)

    @property
    def head(self) -> Migration | None:
        """The newest migration that is applied, as both records will then agree."""
        there = [line.migration for line in self.lines if line.finding in (*_TO_RECORD, Finding.RECORDED)]
        return there[-1] if there else None


def reason(record: ToolRecord, line: Line) -> str:
    """What the journal says of an adopted migration; `adopted_from` reads it."""
    when = f"{line.at:%Y-%m-%d %H:%M:%S} UTC" if line.at else "a time that is not recorded"
    text = f"{record.tool}: applied there at {when}, by the record {record.place}"
    return f"{text}; {line.note}" if line.note else text


def adopted_from(reason: str) -> str:
    """The tool that a journal entry *adopted* names."""
    return reason.partition(":")[0]


def choose(state: State, wanted: str | None) -> ToolRecord:
    """The record to adopt from. Raises UsageError when it has to be said, HistoryError when there is none."""
    service = state.service
    if wanted is not None:
        for record in state.tool_records:
            if record.tool == wanted:
                return record
        there = ", ".join(f"{record.tool} ({record.place})" for record in state.tool_records)
        raise HistoryError(
            f"no record of {wanted} is in this database" + (f"; there is {there}" if there else ""),
            service=service.name,
            hint="is the URL right? --from names another tool; a database without a record: dataops baseline",
        )
    records = [record for record in state.tool_records if record.tool not in service.coexist]
    if not records:
        raise HistoryError(
            "no record of another tool is in this database",
            service=service.name,
            hint=f"an empty database needs no adoption: dataops apply; one without a record: "
            f"dataops baseline {service.name} --to REV",
        )
    if len(records) > 1:
        told = ", ".join(f"{record.tool} ({record.place}, {len(record.rows)} rows)" for record in records)
        raise UsageError(
            f"{len(records)} records are in this database: {told}",
            service=service.name,
            hint=f"say which: --from {records[0].tool}; for one that is about something else: "
            f'coexist = ["{records[1].tool}"] under [services.{service.name}]',
        )
    return records[0]


def examine(state: State, record: ToolRecord) -> Adoption:
    """One line a migration. Refuses nothing."""
    service = state.service
    ours, others = by_migration(service, record)
    late = _out_of_order(service, ours)
    adopted_there = {applied.id for applied in state.applied if applied.adopted == record.tool}
    lines = []
    for migration in service.migrations:
        rows = ours.get(migration.id)
        if rows:
            lines.append(_line(state, record, migration, rows, out_of_order=late.get(migration.id)))
        elif migration.id in adopted_there:
            note = f"it was adopted, and {record.tool} does not have it any more"
            lines.append(Line(migration.id, Finding.TAKEN_BACK, note=note, migration=migration))
        elif migration.id in state.applied_ids:
            note = f"applied by dataops, not in {record.place}"
            lines.append(Line(migration.id, Finding.RECORDED, note=note, migration=migration))
        else:
            lines.append(Line(migration.id, Finding.MISSING, note="left to apply", migration=migration))
    lines += [Line(row.name, _bad(row) or Finding.UNKNOWN, row.at) for row in others]
    retired = _Identities(service, aliases_of(service, record.tool)).retired
    lines += [
        Line(row.name, _bad(row) or Finding.RETIRED, row.at, "history of that tool, by adopt.toml")
        for row in record.rows
        if retired(row)
    ]
    return Adoption(state, record, tuple(lines))


def _line(
    state: State, record: ToolRecord, migration: Migration, rows: Sequence[ToolRow], *, out_of_order: str | None
) -> Line:
    bad = next((row for row in rows if row.outcome is not Outcome.APPLIED), None)
    if bad is not None:
        return Line(migration.id, _bad(bad) or Finding.FAILED, bad.at, f"as {bad.name}", migration)
    first = rows[0]
    notes = [f"{len(rows)} times there"] if len(rows) > 1 else []
    if _bare(first.name) not in (migration.id, migration.path.stem) and not first.name.isdigit():
        notes.append(f"there as {first.name}")
    finding = Finding.ADOPTED
    if migration.id in state.applied_ids:
        finding = Finding.RECORDED
    elif changed := _changed(aliases_of(state.service, record.tool).migrations.get(migration.id), first):
        finding = Finding.CHANGED
        notes.append(changed)
    elif out_of_order is not None:
        finding = Finding.OUT_OF_ORDER
        notes.append(f"applied there after {out_of_order}")
    return Line(migration.id, finding, first.at, "; ".join(notes), migration)


def _bad(row: ToolRow) -> Finding | None:
    return {Outcome.FAILED: Finding.FAILED, Outcome.HALF_DONE: Finding.HALF_DONE}.get(row.outcome)


def _changed(known: Alias | None, row: ToolRow) -> str:
    if known is None or not known.checksum or not row.checksum or row.checksum == known.checksum.lower():
        return ""
    which = "an earlier release" if row.checksum in known.earlier else "another text"
    return f"its file there was {which}: checksum {row.checksum[:12]}... instead of {known.checksum[:12]}..."


def _out_of_order(service: Service, ours: Mapping[str, Sequence[ToolRow]]) -> dict[str, str]:
    """The migrations that were applied there after one that comes later in our history: id -> the latest such."""
    timed = [(rows[0].at, service.position[id_], id_) for id_, rows in ours.items() if rows[0].at is not None]
    found: dict[str, str] = {}
    highest = -1
    newest = ""
    for _, position, id_ in sorted(timed, key=lambda one: (one[0].timestamp() if one[0] else 0.0, one[1])):
        if position < highest:
            found[id_] = newest
        else:
            highest, newest = position, id_
    return found


def refuse_unfit(adoption: Adoption, others: Iterable[Service] = ()) -> None:
    """Raise what stands against recording it. `others` are the services that the record may really belong to."""
    state, record = adoption.state, adoption.record
    name = state.service.name
    refuse_unreadable(state.service, record)
    by_finding: dict[Finding, list[Line]] = {}
    for line in adoption.lines:
        by_finding.setdefault(line.finding, []).append(line)
    for line in (*by_finding.get(Finding.FAILED, ()), *by_finding.get(Finding.HALF_DONE, ())):
        raise _failed(state.service, record, line.name, line.finding.value)
    ours, unknown = by_migration(state.service, record)
    if unknown and not ours:
        raise _not_ours(state.service, record, others)
    if record.locked:
        raise LockNotObtained(
            f"{record.tool} is migrating this database now, or was killed while it did: {record.locked}",
            service=name,
            hint=_UNLOCK.get(record.tool, f"wait for it, or unlock it with {record.tool}"),
        )
    missing = by_finding.get(Finding.MISSING, [])
    if unknown:
        names = ", ".join(row.name for row in unknown[:3]) + (" ..." if len(unknown) > 3 else "")
        hint = (
            f"use the code that knows it, or write its file here; if no file is needed any more, add it to `retired` "
            f"under [{record.tool}] in {state.service.folder / 'adopt.toml'}"
        )
        message = f"{record.tool} has applied {len(unknown)} that no file here describes: {names}"
        fits = next((other.name for other in others if by_migration(other, record)[0].keys() - ours.keys()), None)
        if fits:
            hint = f"some of its record is that of {fits}: are two URLs swapped?"
        if not missing and not fits and state.service.ahead is Ahead.REFUSE:
            raise DatabaseAhead(message, service=name, migration=unknown[-1].name, hint=hint)
        raise HistoryError(message, service=name, migration=unknown[-1].name, hint=hint)
    position = state.service.position
    head = adoption.head
    for line in missing:
        if line.migration is not None and head is not None and position[line.migration.id] < position[head.id]:
            raise OutOfOrder(
                f"{head.id} is applied there, but {line.name}, which comes before it, is not",
                service=name,
                migration=line.name,
                hint=f"let {record.tool} apply it first; or, if it was run by hand, let {record.tool} record it",
            )
    for line in adoption.to_remove:
        if line.migration is not None and head is not None and position[line.migration.id] < position[head.id]:
            raise OutOfOrder(
                f"{record.tool} has taken back {line.name}, but {head.id}, which comes after it, is still applied",
                service=name,
                migration=line.name,
                hint=f"let {record.tool} take back the later ones too, or apply it again",
            )


_UNLOCK = {
    KNEX: "wait for it; if no knex process runs any more: knex migrate:unlock",
    "liquibase": "wait for it; if no process runs any more: liquibase release-locks",
}
