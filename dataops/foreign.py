"""What another tool's record says of our history: who applied what, and what stands against taking it over.

Pure: states with foreign records in, findings or refusals out. How each tool writes its record is known to the
backends; how our migrations are called there is said by the adopt.toml beside them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from dataops.errors import (
    ConfigError,
    DatabaseAhead,
    DataopsError,
    HistoryError,
    InterruptedStep,
    LockNotObtained,
    OutOfOrder,
    PermissionDenied,
    UsageError,
)
from dataops.model import (
    Ahead,
    ForeignRecord,
    ForeignRow,
    Kind,
    Known,
    Migration,
    Namesakes,
    Outcome,
    Service,
    State,
)

SQLX, KNEX, MIGRATE_MONGO, POP, GOLANG_MIGRATE = "sqlx", "knex", "migrate-mongo", "pop", "golang-migrate"
POSTGRES_TOOLS = (SQLX, KNEX, "flyway", "liquibase", "prisma", "django", GOLANG_MIGRATE, "dbmate", "goose", POP)
MONGO_TOOLS = (MIGRATE_MONGO, GOLANG_MIGRATE)
TOOLS = tuple(dict.fromkeys((*POSTGRES_TOOLS, *MONGO_TOOLS)))
MIRRORED = {SQLX: Kind.POSTGRESQL, KNEX: Kind.POSTGRESQL, MIGRATE_MONGO: Kind.MONGODB}
"""The tools whose record we can write, and where."""

BASELINE = "baseline"
_EXTENSIONS = (".up.sql", ".sql", ".up", ".ts", ".mjs", ".cjs", ".js", ".py", ".go", ".rb", ".xml", ".yaml", ".json")


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
    record: ForeignRecord
    lines: tuple[Line, ...]

    @property
    def to_record(self) -> tuple[Line, ...]:
        """What is applied there and not recorded here."""
        return tuple(line for line in self.lines if line.migration is not None and line.finding in _TO_RECORD)

    @property
    def to_strike(self) -> tuple[Line, ...]:
        """What was adopted and has been taken back there since, newest first."""
        return tuple(line for line in reversed(self.lines) if line.finding is Finding.TAKEN_BACK)

    @property
    def nothing_to_do(self) -> bool:
        return not self.to_record and not self.to_strike

    @property
    def differences(self) -> tuple[str, ...]:
        """What has to be accepted by a person: files that were not the ones we know."""
        return tuple(f"{line.name}: {line.note}" for line in self.lines if line.finding is Finding.CHANGED)

    @property
    def head(self) -> Migration | None:
        """The newest migration that is applied, as both records will then agree."""
        there = [line.migration for line in self.lines if line.finding in (*_TO_RECORD, Finding.RECORDED)]
        return there[-1] if there else None


def reason(record: ForeignRecord, line: Line) -> str:
    """What the journal says of an adopted migration; `adopted_from` reads it."""
    when = f"{line.at:%Y-%m-%d %H:%M:%S} UTC" if line.at else "a time that is not recorded"
    text = f"{record.tool}: applied there at {when}, by the record {record.place}"
    return f"{text}; {line.note}" if line.note else text


def adopted_from(reason: str) -> str:
    """The tool that a journal entry *adopted* names."""
    return reason.partition(":")[0]


# --- whose row is whose


def by_migration(service: Service, record: ForeignRecord) -> tuple[dict[str, list[ForeignRow]], list[ForeignRow]]:
    """The rows of each of our migrations, by id, and the rows that are none of ours. Retired names are left out."""
    identify = _Identities(service, _namesakes(service, record.tool))
    ours: dict[str, list[ForeignRow]] = {}
    others: list[ForeignRow] = []
    for row in _rows(service, record):
        id_ = identify(row)
        if id_ is not None:
            ours.setdefault(id_, []).append(row)
        elif not identify.retired(row):
            others.append(row)
    return ours, others


class _Identities:
    def __init__(self, service: Service, namesakes: Namesakes) -> None:
        self._by_name: dict[str, str] = {}
        self._by_number: dict[str, str | None] = {}
        self._retired = tuple(_bare(name) for name in namesakes.retired)
        for migration in service.migrations:
            known = namesakes.migrations.get(migration.id, Known())
            mirrored = migration.path.stem + namesakes.extension
            for name in (migration.id, migration.path.stem, mirrored, known.name, *known.also):
                if name:
                    self._by_name[_bare(name)] = migration.id
            number = _significant(_number(migration))
            self._by_number[number] = None if number in self._by_number else migration.id  # None: it names two

    def __call__(self, row: ForeignRow) -> str | None:
        for name in map(_bare, row.names):
            if self._is_retired(name):
                return None
            found = self._by_name.get(name) or (self._by_number.get(_significant(name)) if name.isdigit() else None)
            if found is not None:
                return found
        return None

    def retired(self, row: ForeignRow) -> bool:
        return any(self._is_retired(_bare(name)) for name in row.names)

    def _is_retired(self, name: str) -> bool:
        """`auth.*` is all of an application's, as Django names them."""
        return any(fnmatchcase(name, pattern) for pattern in self._retired)


def _rows(service: Service, record: ForeignRecord) -> Iterable[ForeignRow]:
    """One row a migration, also of a tool that writes only where it stands."""
    if record.tool != GOLANG_MIGRATE or not record.rows or not record.rows[-1].name.isdigit():
        return record.rows
    here = record.rows[-1]
    below = [ForeignRow((m.id,)) for m in service.migrations if (n := _number(m)) and int(n) < int(here.name)]
    return [*below, here]


def _namesakes(service: Service, tool: str) -> Namesakes:
    return service.namesakes.get(tool, Namesakes(tool))


def _bare(name: str) -> str:
    for extension in _EXTENSIONS:
        if name.endswith(extension):
            return name.removesuffix(extension)
    return name


def _number(migration: Migration) -> str:
    return _leading_number(migration.path.stem) or _leading_number(migration.id)


def _leading_number(name: str) -> str:
    found = re.match(r"\d+", name)
    return found[0] if found else ""


def _significant(number: str) -> str:
    """`000012_x.up.sql` is recorded as 12 by the tools that keep a number."""
    return number.lstrip("0") or number[-1:]


# --- adopting


def choose(state: State, wanted: str | None) -> ForeignRecord:
    """The record to adopt from. Raises UsageError when it has to be said, HistoryError when there is none."""
    service = state.service
    if wanted is not None:
        for record in state.foreign:
            if record.tool == wanted:
                return record
        there = ", ".join(f"{record.tool} ({record.place})" for record in state.foreign)
        raise HistoryError(
            f"no record of {wanted} is in this database" + (f"; there is {there}" if there else ""),
            service=service.name,
            hint="is the URL right? --from names another tool; a database without a record: dataops baseline",
        )
    records = [record for record in state.foreign if record.tool not in service.beside]
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
            f'beside = ["{records[1].tool}"] under [services.{service.name}]',
        )
    return records[0]


def examine(state: State, record: ForeignRecord) -> Adoption:
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
    retired = _Identities(service, _namesakes(service, record.tool)).retired
    lines += [
        Line(row.name, _bad(row) or Finding.RETIRED, row.at, "history of that tool, by adopt.toml")
        for row in record.rows
        if retired(row)
    ]
    return Adoption(state, record, tuple(lines))


def _line(
    state: State, record: ForeignRecord, migration: Migration, rows: Sequence[ForeignRow], *, out_of_order: str | None
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
    elif changed := _changed(_namesakes(state.service, record.tool).migrations.get(migration.id), first):
        finding = Finding.CHANGED
        notes.append(changed)
    elif out_of_order is not None:
        finding = Finding.OUT_OF_ORDER
        notes.append(f"applied there after {out_of_order}")
    return Line(migration.id, finding, first.at, "; ".join(notes), migration)


def _bad(row: ForeignRow) -> Finding | None:
    return {Outcome.FAILED: Finding.FAILED, Outcome.HALF_DONE: Finding.HALF_DONE}.get(row.outcome)


def _changed(known: Known | None, row: ForeignRow) -> str:
    if known is None or not known.checksum or not row.checksum or row.checksum == known.checksum.lower():
        return ""
    which = "an earlier release" if row.checksum in known.earlier else "another text"
    return f"its file there was {which}: checksum {row.checksum[:12]}... instead of {known.checksum[:12]}..."


def _out_of_order(service: Service, ours: Mapping[str, Sequence[ForeignRow]]) -> dict[str, str]:
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
    for line in adoption.to_strike:
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
_REPAIR = {
    SQLX: "mend the database and its row in _sqlx_migrations as sqlx asks for, then run this again",
    "flyway": "mend it, then: flyway repair",
    "prisma": "mend it, then: prisma migrate resolve",
    GOLANG_MIGRATE: "mend it, then: migrate force VERSION",
}


def refuse_unreadable(service: Service, record: ForeignRecord) -> None:
    """Raise PermissionDenied for a record that is there, but hidden from this user."""
    if not record.readable:
        raise PermissionDenied(
            f"this user may not read {record.place}, the record of {record.tool}",
            service=service.name,
            hint=f"GRANT SELECT ON {record.place} TO the user in the URL",
        )


def _failed(service: Service, record: ForeignRecord, migration: str, what: str) -> InterruptedStep:
    return InterruptedStep(
        f"{record.tool} says of {migration}: {what.removesuffix(' there')}; nobody knows how far it came",
        service=service.name,
        migration=migration,
        hint=_REPAIR.get(record.tool, f"repair it with {record.tool} first"),
    )


def _not_ours(service: Service, record: ForeignRecord, others: Iterable[Service]) -> HistoryError:
    fits = [other.name for other in others if other.name != service.name and by_migration(other, record)[0]]
    hint = (
        f"it is the record of {' or '.join(fits)}: are two URLs swapped?"
        if fits
        else f'is the URL right? If that record is about something else: beside = ["{record.tool}"] '
        f"under [services.{service.name}]"
    )
    return HistoryError(
        f"this database has a record of {record.tool} ({record.place}) with {len(record.rows)} migrations, "
        "none of which is ours",
        service=service.name,
        hint=hint,
    )


# --- living beside the other tool


@dataclass(frozen=True)
class Drifted:
    """How another tool's record and ours differ. `ours` are migrations of ours, `unknown` names of theirs."""

    record: ForeignRecord
    moved_on: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


def drifted(state: State, record: ForeignRecord) -> Drifted:
    """Set beside each other. `behind`: what the other tool would still want to run."""
    ours, others = by_migration(state.service, record)
    adopted_there = [applied.id for applied in state.applied if applied.adopted == record.tool]
    return Drifted(
        record,
        moved_on=tuple(m.id for m in state.service.migrations if m.id in ours and m.id not in state.applied_ids),
        unknown=tuple(row.name for row in others if not _ahead(state, row)),
        taken_back=tuple(id_ for id_ in adopted_there if id_ not in ours),
        behind=tuple(applied.id for applied in state.applied if applied.id not in ours),
    )


def _ahead(state: State, row: ForeignRow) -> bool:
    """Whether our own record has it too: newer code than this applied it, and mirrored it."""
    numbers = {_significant(_leading_number(id_)) for id_ in state.unknown}
    names = [_bare(name) for name in row.names]
    return any(name in state.unknown or (name.isdigit() and _significant(name) in numbers) for name in names)


def refuse_moved_on(state: State) -> None:
    """Raise what another tool's record has against an apply or a rollback of ours.

    HistoryError while that record knows more or less than was adopted, InterruptedStep for a failed migration in it,
    PermissionDenied when it cannot be read.
    """
    for record in state.foreign:
        if record.tool in state.service.beside:
            continue
        refuse_unreadable(state.service, record)
        for row in record.rows:
            if row.outcome is not Outcome.APPLIED:
                raise _failed(state.service, record, row.name, row.outcome.value)
        difference = _difference(state, record)
        if difference is not None:
            raise difference


def _difference(state: State, record: ForeignRecord) -> DataopsError | None:
    service = state.service
    found = drifted(state, record)
    again = f"dataops adopt --service {service.name}"
    if found.unknown and not by_migration(service, record)[0] and not found.taken_back:
        return _not_ours(service, record, ()) if not state.applied else None
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
    if found.taken_back:
        return HistoryError(
            f"{record.tool} has taken back {found.taken_back[-1]}, which was adopted from it",
            service=service.name,
            migration=found.taken_back[-1],
            hint=f"follow it: {again}; once {record.tool} is retired, drop its record {record.place}",
        )
    return None


def refuse_unmirrored_rollback(state: State, migrations: Iterable[Migration]) -> None:
    """An adopted migration that we undo has to be struck from the other record too. Raises HistoryError."""
    for record in state.foreign:
        if record.tool in state.service.beside or record.tool == state.service.mirror:
            continue
        ours, _ = by_migration(state.service, record)
        for migration in migrations:
            if migration.id in ours:
                raise HistoryError(
                    f"{record.tool} has {migration.id} in its record too, and would go on believing that it is applied",
                    service=state.service.name,
                    migration=migration.id,
                    hint=f"set mirror = true under [services.{state.service.name}], so that its record follows; "
                    f"or, once {record.tool} is retired, drop {record.place}",
                )


# --- watching databases that only others migrate


@dataclass(frozen=True)
class Watched:
    """Where a service stands that we only observe. `waiting` says what is still missing, `problem` what is wrong."""

    record: ForeignRecord | None
    newest: ForeignRow | None = None
    waiting: str = ""
    problem: DataopsError | None = None


def watch(state: State) -> Watched:
    """What the record of the tool that migrates it says. Raises nothing."""
    service = state.service
    record = next((found for found in state.foreign if found.tool == service.observe), None)
    if record is None:
        return Watched(None, waiting=f"{service.observe} has no record here yet")
    try:
        refuse_unreadable(service, record)
    except PermissionDenied as error:
        return Watched(record, problem=error)
    newest = record.rows[-1] if record.rows else None
    for row in record.rows:
        if row.outcome is not Outcome.APPLIED:
            return Watched(record, newest, problem=_failed(service, record, row.name, row.outcome.value))
    if record.locked:
        return Watched(record, newest, waiting=f"{record.tool} is migrating, or was killed: {record.locked}")
    if not record.rows:
        return Watched(record, waiting=f"{record.tool} has applied nothing yet")
    if service.expect and not any(_reaches(record, row, service.expect) for row in record.rows):
        return Watched(record, newest, waiting=f"{service.expect} is not applied yet")
    return Watched(record, newest)


def _reaches(record: ForeignRecord, row: ForeignRow, expected: str) -> bool:
    names = {_bare(name) for name in row.names}
    numbers = {_significant(_leading_number(name)) for name in names}
    if record.tool == GOLANG_MIGRATE and row.name.isdigit() and expected.isdigit():
        return int(row.name) >= int(expected)
    return _bare(expected) in names or (expected.isdigit() and _significant(expected) in numbers)


# --- the mirror: the row that the other tool expects


def mirrored(service: Service, migration: Migration) -> Known:
    """How `migration` has to be written into the record of the tool that is mirrored. Raises ConfigError."""
    namesakes = _namesakes(service, service.mirror)
    known = namesakes.migrations.get(migration.id, Known())
    if service.mirror != SQLX:
        extension = namesakes.extension or ".js"
        return known if known.name else Known(name=migration.path.stem + extension, checksum=known.checksum)
    if not re.fullmatch(r"[0-9a-fA-F]{96}", known.checksum) or not _number(migration):
        raise ConfigError(
            f"mirror: nothing says what sqlx has to find for {migration.id}",
            service=service.name,
            hint=f"write description and checksum (SHA-384 of its .sql file, 96 hexadecimal digits) under "
            f'[sqlx.migrations."{migration.id}"] in {service.folder / "adopt.toml"}; without the right row '
            "the service would not start",
        )
    return Known(name=_number(migration), description=known.description, checksum=known.checksum)


def unmirrored(state: State) -> tuple[Migration, ...]:
    """Of what is applied here, what the mirrored record does not have, oldest first."""
    there: set[str] = set()
    for record in state.foreign:
        if record.tool == state.service.mirror:
            there |= by_migration(state.service, record)[0].keys()
    return tuple(state.service.by_id[applied.id] for applied in state.applied if applied.id not in there)


__all__ = [
    "BASELINE",
    "MIRRORED",
    "TOOLS",
    "Adoption",
    "Drifted",
    "Finding",
    "Line",
    "Watched",
    "adopted_from",
    "by_migration",
    "choose",
    "drifted",
    "examine",
    "mirrored",
    "reason",
    "refuse_moved_on",
    "refuse_unfit",
    "refuse_unmirrored_rollback",
    "refuse_unreadable",
    "unmirrored",
    "watch",
]
