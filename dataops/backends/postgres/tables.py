"""Our two tables in a PostgreSQL database: where they are, and how the journal gets a schema of its own. See ADR 13.

The record (`alembic_version`) lies where Alembic made it. The journal lies in a schema of its own, so that nothing of
ours is in the application's way. The comment of the journal says which record it belongs to. So both are found again
when the search_path of a database, a role or a URL has changed, and they are named with their schema ever after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from dataops.backends.journal import seal, to_fields
from dataops.backends.postgres import sql
from dataops.backends.postgres.connection import SearchPath, WatchedConnection
from dataops.backends.postgres.environment import options_of
from dataops.errors import BrokenFile, HistoryError, PermissionDenied
from dataops.model import Entry, Service
from dataops.redaction import message_of, redact

JOURNAL_NAME = "dataops_journal"
OWN_SCHEMA = "dataops_history"
"""Not `dataops`: a role may be called so, and then the schema of that name is the first of its search_path ($user)."""

_JOURNAL_COLUMNS = frozenset(re.findall(r"\w+", sql.ENTRY))
OUR_COLUMNS = _JOURNAL_COLUMNS | {"version_num", *sql.COLUMNS}
_REMEMBERED = re.compile(r'Its record: "((?:[^"]|"")+)"\."((?:[^"]|"")+)"')
_MOVE_SECONDS = 2
_SEAL = ("previous", "hash")


@dataclass(frozen=True, order=True)
class Table:
    """The full name of a table."""

    schema: str
    name: str

    @property
    def sql(self) -> str:
        """The name as SQL, for a statement without parameters."""
        return f"{sql.quoted(self.schema)}.{sql.quoted(self.name)}"

    def __str__(self) -> str:
        return redact(f"{self.schema}.{self.name}")


@dataclass(frozen=True)
class OurTables:
    """The names of our tables in one database. Either table may not exist yet.

    `journal` is None when there is no journal yet, and the schema of `record` is "" when no schema of the search_path
    exists. `columns` are those of sql.COLUMNS that the journal has: one of an earlier version lacks some. `remembered`
    is whether the journal says that it belongs to this record.
    """

    record: Table
    journal: Table | None
    path: SearchPath = field(default_factory=SearchPath)
    columns: tuple[str, ...] = ()
    remembered: bool = False

    def execute(self, cursor: Any, template: str, parameters: Any = ()) -> Any:
        """Execute a statement of `sql` that has {journal} or {record} in it, on a connection or a cursor of psycopg."""
        journal = self.journal.sql if self.journal is not None else ""
        # psycopg reads a % as the beginning of a parameter, also in a name.
        names = {"record": self.record.sql.replace("%", "%%"), "journal": journal.replace("%", "%%")}
        kept = [column for column in self.columns if column not in _SEAL]
        names |= {"fields": "".join(f", {name}" for name in kept), "values": "".join(f", %({name})s" for name in kept)}
        return cursor.execute(template.format(**names).encode(), parameters)

    def append(self, connection: psycopg.Connection[Any], entry: Entry) -> None:
        """Append an entry to the journal, with its hash where the journal has room for one. Under the lock only.

        Both are committed together: in the transaction that is open, or in one of their own.
        """
        with connection.cursor(row_factory=dict_row) as cursor:
            if not set(_SEAL) <= set(self.columns):
                self.execute(cursor, sql.WRITE, to_fields(entry))
                return
            idle = connection.info.transaction_status == TransactionStatus.IDLE
            with connection.transaction() if idle else nullcontext():
                fields = to_fields(entry)
                row = self.execute(cursor, sql.WRITE + sql.WRITTEN, fields).fetchone()
                missing = set(sql.COLUMNS) - set(self.columns)
                known = {key: value for key, value in fields.items() if key not in missing}
                sealed = seal({**known, "seq": row["seq"], "at": row["at"]}, row["before"] or "")
                self.execute(cursor, sql.SEAL, {**sealed, "seq": row["seq"]})


@dataclass(frozen=True)
class _Found:
    """One table that has the name and the columns of ours.

    `remembered` is the record that a journal belongs to, and `says_so` whether its comment has it.
    """

    table: Table
    usable: bool
    readable: bool
    remembered: Table | None = None
    says_so: bool = False
    columns: tuple[str, ...] = ()


def find(connection: WatchedConnection, service: Service) -> OurTables:
    """Where our tables are. Sets the search_path for our own questions.

    The search_path decides only between records that nobody remembers. Raises PermissionDenied when a schema that holds
    our tables may not be used, and HistoryError when nothing says which of several tables is ours.
    """
    options = options_of(service)
    at_connect = path = connection.shielded()
    if options.version_table_schema:  # env.py says where it is
        path = replace(path, schemas=(options.version_table_schema,), from_url=True)
    name = options.version_table
    ours = OurTables(Table(path.schemas[0] if path.schemas else "", name), None, at_connect)
    unsorted = connection.execute(sql.OUR_TABLES, {"names": [name, JOURNAL_NAME]}).fetchall()
    rows = sorted(unsorted, key=lambda row: (row["schema"], row["name"]))
    records = {found.table: found for found in _records(rows, name)}
    journals = list(_journals(rows, records, name))
    _refuse_hidden(service, [one for one in (*records.values(), *journals) if one.table.schema in path.named])

    in_path = [table for schema in path.schemas if (table := Table(schema, name)) in records]
    known = {journal.remembered for journal in journals}
    record = next((table for table in in_path if table in known), None)
    if record is None and not path.from_url:  # a URL says which schema is meant, also when nothing is there yet
        strange = [table for table in in_path if _is_somebody_elses(connection, service, records[table])]
        if strange == in_path:
            record = _elsewhere(connection, service, records, journals)
    record = record or (in_path[0] if in_path else ours.record)
    journal = _journal_of(connection, service, record, records, journals, path.schemas)
    if journal is not None:
        _refuse_hidden(service, [journal, *([records[record]] if record in records else [])])
    if journal is None:
        return replace(ours, record=record)
    remembered = journal.says_so and journal.remembered == record
    return replace(ours, record=record, journal=journal.table, columns=journal.columns, remembered=remembered)


def _records(rows: Sequence[DictRow], name: str) -> Iterator[_Found]:
    for row in rows:
        if row["name"] == name and "version_num" in row["columns"]:
            yield _Found(Table(row["schema"], row["name"]), row["usable"], row["readable"])


def _journals(rows: Sequence[DictRow], records: dict[Table, _Found], name: str) -> Iterator[_Found]:
    """The journals. Earlier versions wrote no comment about the record: theirs is the one in the same schema."""
    for row in rows:
        if row["name"] == JOURNAL_NAME and set(row["columns"]) >= _JOURNAL_COLUMNS:
            said = _REMEMBERED.search(row["comment"] or "")
            beside = Table(row["schema"], name)
            remembered = beside if beside in records else None
            if said is not None:
                remembered = Table(*(name.replace('""', '"') for name in said.groups()))
            columns = tuple(column for column in sql.COLUMNS if column in row["columns"])
            table = Table(row["schema"], row["name"])
            yield _Found(table, row["usable"], row["readable"], remembered, said is not None, columns)


def _refuse_hidden(service: Service, found: Sequence[_Found]) -> None:
    hidden = sorted({one.table.schema for one in found if not one.usable})
    if hidden:
        raise PermissionDenied(
            f"this user may not use the schema {redact(', '.join(hidden))}, in which our tables are",
            service=service.name,
            hint="what each command needs: dataops docs operations rights",
        )


def refuse_hidden_rows(connection: WatchedConnection, table: Table, service: Service) -> None:
    """Raise PermissionDenied when a table of ours without rows may have some that this user does not see.

    Row-level security is no error to a reader: the server answers with fewer rows.
    """
    row = connection.execute(sql.HIDES_ROWS, [table.sql]).fetchone()
    if row is not None and row["hidden"]:
        raise PermissionDenied(
            f"row-level security hides the rows of {table} from this user",
            service=service.name,
            hint="let a policy show them, or turn it off for this table; more: dataops docs operations rights",
        )


def _is_somebody_elses(connection: WatchedConnection, service: Service, record: _Found) -> bool:
    """Whether a record in the search_path that no journal belongs to names a revision of which we have no file."""
    if not record.readable:
        return False
    rows = OurTables(record.table, None).execute(connection, sql.RECORD).fetchall()
    return any(row["version_num"] not in service.by_id for row in rows)


def _elsewhere(
    connection: psycopg.Connection[DictRow],
    service: Service,
    records: dict[Table, _Found],
    journals: Sequence[_Found],
) -> Table | None:
    """The record of this history outside of the search_path, as its journal says; None when there is none."""
    mine = sorted({one.remembered for one in journals if one.remembered in records and _fits(connection, service, one)})
    if len(mine) > 1:
        raise HistoryError(
            f"this history is recorded in {' and in '.join(map(str, mine))}, and none of them is in the search_path",
            service=service.name,
            hint="say in the URL which one is meant: ?options=-csearch_path%3DSCHEMA; "
            "more: dataops docs operations where-our-tables-are",
        )
    return mine[0] if mine else None


def _journal_of(
    connection: psycopg.Connection[DictRow],
    service: Service,
    record: Table,
    records: dict[Table, _Found],
    journals: Sequence[_Found],
    path: Sequence[str],
) -> _Found | None:
    """The journal of this record. One whose own record is gone counts too, when it is about the same files."""
    mine = [one for one in journals if one.remembered == record]
    if not mine:
        lost = [one for one in journals if one.remembered not in records]
        mine = [one for one in lost if one.table.schema in path][:1]
        mine = mine or [one for one in lost if _fits(connection, service, one)]
    if len(mine) > 1:
        raise HistoryError(
            f"there are {len(mine)} journals for one record: {', '.join(str(one.table) for one in mine)}",
            service=service.name,
            hint="did an older version of dataops run here after a newer one? dataops docs operations two-journals",
        )
    return mine[0] if mine else None


def _fits(connection: psycopg.Connection[DictRow], service: Service, journal: _Found) -> bool:
    """Whether the journal is about files of this service: it has the id of one of them, with the same code."""
    if not (journal.usable and journal.readable):
        return False
    ours = OurTables(Table("", ""), journal.table)
    rows = ours.execute(connection, sql.KNOWS, [list(service.by_id)])
    return any(_same_code(service, row) for row in rows.fetchall())


def _same_code(service: Service, row: DictRow) -> bool:
    migration = service.by_id[row["migration"]]
    if row["raw_checksum"] == migration.raw_checksum:
        return True
    try:
        return bool(row["checksum"] == migration.checksum)
    except BrokenFile:  # lint and plan say so
        return False


# --- under the lock


def settle(
    connection: psycopg.Connection[DictRow], found: OurTables, service: Service
) -> tuple[OurTables, tuple[str, ...]]:
    """Create the journal where there is none, and move it into a schema of its own. Under the lock only.

    Returns also what to tell an operator: why the journal stays in the application's schema. It is moved as a whole, or
    not at all.
    """
    if not found.record.schema:
        raise PermissionDenied(
            "no schema of the search_path exists, or may be used",
            service=service.name,
            hint="what each command needs: dataops docs operations rights",
        )
    notes: list[str] = []
    ours = found
    with connection.transaction():
        if options_of(service).version_table_schema:  # Alembic itself leaves that to a person
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(found.record.schema)}".encode())
        if ours.journal is None:
            ours = _create(connection, ours)
        ours = _widen_if_owner(connection, ours)
        try:
            with connection.transaction():
                ours = _move(connection, ours)
        except (psycopg.DatabaseError, _NoSchema) as error:
            lost = connection.closed or connection.broken
            if lost or isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                raise
            notes.append(
                f"the journal {ours.journal} stays in a schema of the application: "
                f"{' '.join(message_of(error).split())}; more: dataops docs operations rights"
            )
            _remember_if_owner(connection, ours)
    return ours, tuple(notes)


class _NoSchema(Exception):
    """There is no schema of our own, and this user may not create one."""


def _create(connection: psycopg.Connection[DictRow], found: OurTables) -> OurTables:
    """Create the journal beside the record, so that it gets the privileges that are the default there."""
    row = connection.execute(sql.IS_TAKEN, [found.record.schema, JOURNAL_NAME]).fetchone()
    schema = found.record.schema
    if row is not None:  # by a table of the application that only has the same name
        schema = _own_schema(connection, found)
    made = replace(found, journal=Table(schema, JOURNAL_NAME), remembered=True)
    made.execute(connection, sql.CREATE_JOURNAL)
    _remember(connection, made)
    return made


def _widen_if_owner(connection: psycopg.Connection[DictRow], ours: OurTables) -> OurTables:
    """Give a journal of an earlier version the columns of sql.COLUMNS that it lacks, and let it have all events.

    Where this user may not, a later run does it.
    """
    assert ours.journal is not None
    missing = [column for column in sql.COLUMNS if column not in ours.columns]
    narrow = connection.execute(sql.NARROW, [ours.journal.sql]).fetchone() is not None
    if not missing and not narrow:
        return ours
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_MOVE_SECONDS}s'".encode())
            for column in missing:
                ours.execute(connection, sql.WIDEN[column])
            if narrow:
                found = connection.execute(sql.EVENT_CHECKS, [ours.journal.sql]).fetchall()
                for name in [row["name"] for row in found] or [f"{JOURNAL_NAME}_event_check"]:
                    ours.execute(connection, sql.WIDEN_EVENTS.format(name=sql.quoted(name), events=sql.EVENTS))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
        return ours
    return replace(ours, columns=tuple(sql.COLUMNS))


def _move(connection: psycopg.Connection[DictRow], found: OurTables) -> OurTables:
    assert found.journal is not None
    if found.journal.schema != found.record.schema and found.journal.schema not in found.path.schemas:
        _remember_if_owner(connection, found)
        return found
    connection.execute(f"SET LOCAL lock_timeout = '{_MOVE_SECONDS}s'".encode())
    schema = _own_schema(connection, found)
    moved = replace(found, journal=Table(schema, JOURNAL_NAME))
    readers = connection.execute(sql.READERS, {"journal": found.journal.sql}).fetchall()
    connection.execute(f"ALTER TABLE {found.journal.sql} SET SCHEMA {sql.quoted(schema)}".encode())
    for row in readers:
        who = sql.quoted(row["role"]) if row["role"] is not None else "PUBLIC"
        connection.execute(f"GRANT USAGE ON SCHEMA {sql.quoted(schema)} TO {who}".encode())
    _remember(connection, moved)
    return moved


def _own_schema(connection: psycopg.Connection[DictRow], found: OurTables) -> str:
    """A schema for the journal alone, created if needed.

    An empty one of that name may have been made for us. One that has anything in it is somebody else's.
    """
    for name in (OWN_SCHEMA, f"{OWN_SCHEMA}_{found.record.schema}"):
        if name in (found.record.schema, *found.path.schemas) or len(name.encode()) > 63:
            continue
        row = connection.execute(sql.SCHEMA, {"name": name}).fetchone()
        assert row is not None
        if not row["is_role"] and (row["free"] if row["there"] else row["may_create"]):
            if not row["there"]:
                connection.execute(f"CREATE SCHEMA {sql.quoted(name)}".encode())
            return name
    raise _NoSchema(f"this user may not create the schema {OWN_SCHEMA}, or it is somebody else's")


def _remember(connection: psycopg.Connection[DictRow], ours: OurTables) -> None:
    text = f"{sql.JOURNAL_COMMENT} Its record: {ours.record.sql}".replace("'", "''")
    assert ours.journal is not None
    connection.execute(f"COMMENT ON TABLE {ours.journal.sql} IS '{text}'".encode())


def _remember_if_owner(connection: psycopg.Connection[DictRow], ours: OurTables) -> None:
    """Write down which record the journal belongs to, where it does not say so yet and this user may."""
    assert ours.journal is not None
    if ours.remembered:
        return
    row = connection.execute(sql.OWNED, [ours.journal.sql]).fetchone()
    if row is not None and row["owned"]:
        # Somebody who holds the table, such as VACUUM, does not stop the run: a later one writes it down.
        with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
            _remember(connection, ours)


__all__ = [
    "JOURNAL_NAME",
    "OUR_COLUMNS",
    "OWN_SCHEMA",
    "OurTables",
    "Table",
    "find",
    "refuse_hidden_rows",
    "settle",
]
