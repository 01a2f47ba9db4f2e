"""What we would record when we take a database over from another tool, and what stands in the way. Pure.

`choose` finds the record, `examine` says what it means for each migration, and `refuse_unfit` raises what has to be
mended first.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dataops.errors import DatabaseAhead, DataopsError, HistoryError, OutOfOrder, UsageError
from dataops.model import Ahead, Migration, Service, State
from dataops.othertools.match import (
    DJANGO,
    aliases_of,
    bare_name,
    before_later,
    by_migration,
    identities_of,
    taken_back,
)
from dataops.othertools.refusals import not_named, not_ours, refuse_locked, refuse_unreadable, unfinished
from dataops.toolrecords import Alias, Outcome, ToolRecord, ToolRow

BASELINE = "baseline"


class Finding(enum.Enum):
    """What the record of the other tool means for one migration."""

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
    """One migration of an adoption. `name` is its id, or the other tool's name when it is none of ours."""

    name: str
    finding: Finding
    at: datetime | None = None
    note: str = ""
    migration: Migration | None = None


@dataclass(frozen=True)
class Adoption:
    """What we would do to take over from one record.

    `lines` are our migrations in the order of the history, and then the rows that are none of ours.
    """

    state: State
    record: ToolRecord
    lines: tuple[Line, ...]

    @property
    def to_record(self) -> tuple[Line, ...]:
        """The migrations that are applied there and not recorded here."""
        return tuple(line for line in self.lines if line.migration is not None and line.finding in _TO_RECORD)

    @property
    def to_remove(self) -> tuple[Line, ...]:
        """The migrations that were adopted or mirrored and that the other tool has undone since, newest first."""
        return tuple(line for line in reversed(self.lines) if line.finding is Finding.TAKEN_BACK)

    @property
    def nothing_to_do(self) -> bool:
        """Whether our record already agrees with the other one."""
        return not self.to_record and not self.to_remove

    @property
    def differences(self) -> tuple[str, ...]:
        """What a person has to accept: the migrations whose file there was not the one that adopt.toml describes."""
        return tuple(f"{line.name}: {line.note}" for line in self.lines if line.finding is Finding.CHANGED)

    @property
    def head(self) -> Migration | None:
        """The newest migration that both records have after the adoption; None when they have none."""
        there = [line.migration for line in self.lines if line.finding in (*_TO_RECORD, Finding.RECORDED)]
        return there[-1] if there else None


def reason(record: ToolRecord, line: Line) -> str:
    """What the journal says about an adopted migration. `adopted_from` reads the tool from it."""
    when = f"{line.at:%Y-%m-%d %H:%M:%S} UTC" if line.at else "a time that is not recorded"
    text = f"{record.tool}: applied there at {when}, by the record {record.place}"
    return f"{text}; {line.note}" if line.note else text


def adopted_from(reason: str) -> str:
    """The tool from which a migration was adopted, by the reason in its journal entry."""
    return reason.partition(":")[0]


def choose(state: State, wanted: str | None) -> ToolRecord:
    """The record to adopt from: that of the tool `wanted`, or the only one.

    Raises UsageError when a person has to choose, HistoryError when there is no such record.
    """
    service = state.service
    if wanted is not None:
        for record in state.tool_records:
            if record.tool == wanted:
                return record
        there = ", ".join(f"{record.tool} ({record.place})" for record in state.tool_records)
        raise HistoryError(
            f"no record of {wanted} is in this database" + (f"; there is {there}" if there else ""),
            service=service.name,
            hint="is the URL right? --from names another tool; a database without a record: "
            f"dataops baseline {service.name} --to REV",
        )
    records = [record for record in state.tool_records if record.tool not in service.coexist]
    named = next((said for said in service.aliases.values() if said.record), None)
    if not records and named is not None:
        alike = "".join(f"; {one}" for one in state.lookalikes)
        raise HistoryError(
            f"adopt.toml says that {named.record} is the record of {named.tool}, and it is not in this database{alike}",
            service=service.name,
            hint=f"correct record under [{named.tool}] in {service.folder / 'adopt.toml'}, or take the line out",
        )
    if not records and state.lookalikes:
        raise not_named(service, state.lookalikes)
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
            f'coexist = ["{records[1].tool}"] under [services.{service.unit}]',
        )
    return records[0]


def examine(state: State, record: ToolRecord) -> Adoption:
    """Say what the record means for each migration. Refuses nothing."""
    service = state.service
    ours, others = by_migration(service, record)
    late = _out_of_order(service, ours)
    gone = {one.id: one for one in state.applied if one.id in taken_back(state, record)}
    lines = []
    for migration in service.migrations:
        rows = ours.get(migration.id)
        if rows:
            lines.append(_line(state, record, migration, rows, out_of_order=late.get(migration.id)))
        elif migration.id in gone:
            how = "adopted" if gone[migration.id].adopted == record.tool else "mirrored"
            note = f"it was {how}, and {record.tool} does not have it any more"
            lines.append(Line(migration.id, Finding.TAKEN_BACK, note=note, migration=migration))
        elif migration.id in state.applied_ids:
            note = f"applied by dataops, not in {record.place}"
            lines.append(Line(migration.id, Finding.RECORDED, note=note, migration=migration))
        else:
            lines.append(Line(migration.id, Finding.MISSING, note="left to apply", migration=migration))
    lines += [Line(row.name, _bad(row) or Finding.UNKNOWN, row.at) for row in others]
    identities = identities_of(service, record.tool)
    lines += [
        Line(row.name, _bad(row) or Finding.RETIRED, row.at, "history of that tool, by adopt.toml")
        for row in record.rows
        if identities.is_retired(row)
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
    if bare_name(first.name) not in (migration.id, migration.path.stem) and not first.name.isdigit():
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


_BAD = {Outcome.FAILED: Finding.FAILED, Outcome.HALF_DONE: Finding.HALF_DONE}


def _bad(row: ToolRow) -> Finding | None:
    return _BAD.get(row.outcome)


def _changed(known: Alias | None, row: ToolRow) -> str:
    if known is None or not known.checksum or not row.checksum or row.checksum == known.checksum.lower():
        return ""
    which = "an earlier release" if row.checksum in known.earlier else "another text"
    return f"its file there was {which}: checksum {row.checksum[:12]}... instead of {known.checksum[:12]}..."


def _out_of_order(service: Service, ours: Mapping[str, Sequence[ToolRow]]) -> dict[str, str]:
    """The migrations that were applied there after one that comes later in our history: the latest such, by id."""
    firsts = ((rows[0].at, service.position[id_], id_) for id_, rows in ours.items())
    timed = sorted((at.timestamp(), position, id_) for at, position, id_ in firsts if at is not None)
    found: dict[str, str] = {}
    highest = -1
    newest = ""
    for _, position, id_ in timed:
        if position < highest:
            found[id_] = newest
        else:
            highest, newest = position, id_
    return found


def refuse_unfit(adoption: Adoption, others: Iterable[Service] = ()) -> None:
    """Raise the first reason why the record cannot be taken over as it is.

    `others` are services whose record this may be, if two URLs are swapped. Raises PermissionDenied, InterruptedStep,
    HistoryError, LockNotObtained, DatabaseAhead and OutOfOrder.
    """
    state, record = adoption.state, adoption.record
    refuse_unreadable(state.service, record)
    for outcome, finding in _BAD.items():
        bad = next((line for line in adoption.lines if line.finding is finding), None)
        if bad is not None:
            raise unfinished(state.service, record, bad.name, outcome)
    ours, unknown = by_migration(state.service, record)
    if unknown and not ours:
        raise not_ours(state.service, record, others)
    refuse_locked(state.service, record)
    _refuse_none_of(adoption)
    _refuse_mixed(adoption, ours)
    if unknown:
        raise _unknown(adoption, ours.keys(), unknown, others)
    _refuse_gap(
        adoption,
        [line for line in adoption.lines if line.finding is Finding.MISSING],
        "{head} is applied there, but {name}, which comes before it, is not",
        f"let {record.tool} apply it first; or, if it was run by hand, let {record.tool} record it",
    )
    head, name = adoption.head, state.service.name
    stop = before_later(state, [line.name for line in adoption.to_remove])
    undo = (
        f"let {record.tool} take back the later ones too"
        if stop is None or (head is not None and head.id in ours)
        else f"undo the later ones: dataops rollback --to {name}/{stop}; then: dataops adopt --service {name} --write"
    )
    _refuse_gap(
        adoption,
        tuple(reversed(adoption.to_remove)),
        f"{record.tool} has taken back {{name}}, but {{head}}, which comes after it, is still applied",
        f"{undo}; or let {record.tool} apply it again",
    )


def _refuse_none_of(adoption: Adoption) -> None:
    """Raise HistoryError where adopt.toml names an application or a file of which the record has no migration."""
    service, record = adoption.state.service, adoption.record
    said = service.aliases.get(record.tool)
    key, wanted = ("app", said.app) if said and said.app else ("file", said.file if said else "")
    there = sorted({row.group for row in record.rows if row.group})
    if wanted and there and wanted not in there:
        raise HistoryError(
            f'adopt.toml says {key} = "{wanted}", and {record.place} has only migrations of {", ".join(there)}',
            service=service.name,
            hint=f"correct {key} under [{record.tool}] in {service.folder / 'adopt.toml'}; if {record.tool} has "
            f'migrated nothing of ours: coexist = ["{record.tool}"] under [services.{service.unit}]',
        )


def _refuse_mixed(adoption: Adoption, ours: Mapping[str, Sequence[ToolRow]]) -> None:
    """Raise HistoryError where a bare name cannot say of which application, or of which file, a migration is.

    Django keeps the migrations of all applications in one record, and Liquibase those of all files.
    """
    service, record = adoption.state.service, adoption.record
    known = identities_of(service, record.tool)
    bare = [row for rows in ours.values() for row in rows if row.group and not known.is_named_whole(row)]
    if record.tool == DJANGO:
        key, one, groups = "app", "application", {row.group for row in record.rows if not known.is_retired(row)}
    else:
        each = [{row.group for row in rows if row in bare} for rows in ours.values()]
        key, one, groups = "file", "file", next((found for found in each if len(found) > 1), set())
    if bare and len(groups) > 1:
        names = sorted(groups)
        raise HistoryError(
            f"{record.tool} has migrations of {len(names)} {one}s in one record ({', '.join(names)}), and nothing says "
            "which of them are ours",
            service=service.name,
            hint=f'say so in {service.folder / "adopt.toml"}: {key} = "{bare[0].group}" under [{record.tool}], '
            f"for example; then: dataops adopt --service {service.name}",
        )


def _unknown(
    adoption: Adoption, ours: Collection[str], unknown: Sequence[ToolRow], others: Iterable[Service]
) -> DataopsError:
    service, record = adoption.state.service, adoption.record
    names = ", ".join(row.name for row in unknown[:3]) + (" ..." if len(unknown) > 3 else "")
    message = f"{record.tool} has applied {len(unknown)} that no file here describes: {names}"
    newest = unknown[-1].name
    fits = next((other.name for other in others if by_migration(other, record)[0].keys() - set(ours)), None)
    if fits:
        hint = f"some of its record is that of {fits}: are two URLs swapped?"
        return HistoryError(message, service=service.name, migration=newest, hint=hint)
    hint = (
        f"use the code that knows it, or write its file here; if no file is needed any more, add it to `retired` "
        f"under [{record.tool}] in {service.folder / 'adopt.toml'}"
    )
    missing = any(line.finding is Finding.MISSING for line in adoption.lines)
    error = HistoryError if missing or service.ahead is Ahead.ALLOW else DatabaseAhead
    return error(message, service=service.name, migration=newest, hint=hint)


def _refuse_gap(adoption: Adoption, lines: Iterable[Line], message: str, hint: str) -> None:
    """Raise OutOfOrder when one of these lines comes before the newest migration that would be recorded."""
    service, head = adoption.state.service, adoption.head
    if head is None:
        return
    for line in lines:
        if line.migration is not None and service.position[line.migration.id] < service.position[head.id]:
            raise OutOfOrder(
                message.format(head=head.id, name=line.name),
                service=service.name,
                migration=line.name,
                hint=hint,
            )
