"""Reads the state of a PostgreSQL database: the record, the journal, who holds the lock, the stash entries."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import psycopg
from psycopg.rows import DictRow

from dataops.backends.journal import Journal, NativeRecord, from_fields, link_of, state_of
from dataops.backends.postgres import othertools, pausing, sql, tables
from dataops.backends.postgres.backfilling import checkpoint
from dataops.backends.postgres.connection import Server, WatchedConnection
from dataops.backends.postgres.environment import RECORD_NAME, options_of
from dataops.backends.postgres.tables import OurTables, Table
from dataops.errors import HistoryError
from dataops.model import Direction, Doing, Entry, Holder, Identity, Service, State
from dataops.planning.evidence import Link
from dataops.redaction import redact
from dataops.stash.entry import StashEntry
from dataops.stash.postgres import SCHEMA_PREFIX

NEW_RECORD_ROOM = 32
"""Alembic makes `version_num` as a VARCHAR(32). A project may have made the column wider since."""

Connection = psycopg.Connection[DictRow]


def read(
    connection: WatchedConnection, server: Server, ours: OurTables | None = None, holder: Holder | None = None
) -> State:
    """The state, read once, in the caller's snapshot.

    `ours` is where our tables are, and `holder` who holds the lock, if that is known already.
    """
    service = server.service
    ours = ours or tables.find(connection, service)
    names = {"record": ours.record.sql, "journal": ours.journal.sql if ours.journal else None}
    about = connection.execute(sql.ABOUT, names).fetchone()
    assert about is not None
    heads = [str(row["version_num"]) for row in ours.execute(connection, sql.RECORD)] if about["has_record"] else []
    if about["has_record"] and not heads:
        tables.refuse_hidden_rows(connection, ours.record, service)
    journal = _journal(connection, ours, service) if about["has_journal"] else Journal()
    made = state_of(
        service,
        Identity(
            server=_system(connection, about, server.address),
            database=f"{about['database']} (oid {about['database_oid']})",
            address=server.address,
        ),
        f"PostgreSQL {redact(str(about['version'])).split()[0]}",
        _native_record(service, ours.record, heads, journal),
        journal,
        holder=holder or lock_holder(connection),
        tool_records=othertools.read(connection, service.aliases),
        look_around=partial(_names, connection),
        look_alike=partial(othertools.lookalikes, connection, ours.record.name, service.aliases),
        elsewhere="" if ours.record.name == RECORD_NAME else str(ours.record),
        warnings=options_of(service).warnings,
        id_room=about["id_room"] if about["has_record"] else NEW_RECORD_ROOM,
    )
    if ours.journal is None or journal.last is None:
        return made
    is_open = journal.last.is_open
    return replace(
        made,
        backfills=checkpoint.read(connection, ours.journal.schema, journal.last.migration) if is_open else (),
        pause=pausing.read(connection, ours.journal.schema),
    )


def _names(connection: Connection) -> list[str]:
    from dataops.backends.postgres import catalogue  # not needed once something is applied

    return [redact(name) for name in catalogue.names(connection)]


def _system(connection: Connection, about: DictRow, address: str) -> str:
    """What tells one cluster from another: its random identifier, or where it forbids to see that, what it allows."""
    row = connection.execute(sql.SYSTEM).fetchone() if about["may_see_system"] else None
    return f"PostgreSQL system {row['identifier']}" if row else f"PostgreSQL at {address}, which hides its identifier"


def history(connection: WatchedConnection, service: Service, limit: int | None) -> tuple[Entry, ...]:
    """The journal, newest entry first."""
    ours = tables.find(connection, service)
    if ours.journal is None:
        return ()
    entries = tuple(from_fields(row) for row in ours.execute(connection, sql.HISTORY, [limit]))
    if not entries:
        tables.refuse_hidden_rows(connection, ours.journal, service)
    return entries


def links(connection: WatchedConnection, service: Service) -> tuple[Link, ...]:
    """How the entries of the journal are bound to each other, oldest first."""
    ours = tables.find(connection, service)
    if ours.journal is None:
        return ()
    found = tuple(link_of(row) for row in ours.execute(connection, sql.STORED))
    if not found:
        tables.refuse_hidden_rows(connection, ours.journal, service)
    return found


def stash_entries(connection: Connection) -> tuple[StashEntry, ...]:
    """The tables in the schemas of the stash."""
    return tuple(
        StashEntry(
            migration=row["schema"].removeprefix(SCHEMA_PREFIX),
            place=f"{row['schema']}.{redact(row['name'])}",
            source=redact(row["name"]),
            count=row["rows"],
            bytes=row["bytes"],
            at=_put_aside_at(row["comment"]),
        )
        for row in connection.execute(sql.STASH_ENTRIES, [SCHEMA_PREFIX])
    )


def lock_holder(connection: Connection) -> Holder | None:
    """Whose session holds our advisory lock."""
    holding = connection.execute(sql.HOLDING, [sql.LOCK_KEY]).fetchone()
    if holding is None:
        return None
    row = connection.execute(sql.HOLDER, [holding["pid"]]).fetchone() or {}
    name = str(row.get("application_name") or "")
    run, _, who = name.removeprefix("dataops/").partition(" ")
    if not name.startswith("dataops/"):
        run = redact(run)
    who = redact(who)
    client, since = row.get("client"), row.get("since")
    where = f"process {holding['pid']}" + (f" from {client}" if client else "")
    who = f"{who}, {where}" if who else where
    return Holder(run=run or "unknown", who=who, since=since.astimezone(UTC) if since else None)


def doing(connection: Connection) -> Doing | None:
    """How far the server is with the index that the holder of our lock builds."""
    row = connection.execute(sql.DOING, [sql.LOCK_KEY]).fetchone()
    if row is None:
        return None
    what = f"index on {redact(row['name'])}: {row['phase']}"
    for counted, unit in (("lockers", "transactions"), ("tuples", "rows"), ("blocks", "blocks")):
        if row[f"{counted}_total"] and (counted == "lockers") == row["phase"].startswith("waiting for"):
            return Doing(what, row[f"{counted}_done"], row[f"{counted}_total"], unit)
    return Doing(what)


def _journal(connection: WatchedConnection, ours: OurTables, service: Service) -> Journal:
    last = ours.execute(connection, sql.LAST).fetchone()
    if last is None and ours.journal is not None:
        tables.refuse_hidden_rows(connection, ours.journal, service)
    ended_well = (from_fields(row) for row in ours.execute(connection, sql.ENDED_WELL))
    return Journal(from_fields(last) if last else None, {entry.migration: entry for entry in ended_well})


def _native_record(service: Service, record: Table, heads: list[str], journal: Journal) -> NativeRecord:
    """Alembic records only the newest migrations. The files say which ones are applied before them."""
    if not heads:
        return NativeRecord()
    known = [head for head in heads if head in service.by_id]
    strange = [head for head in heads if head not in service.by_id and head not in service.replaced_by]
    if not strange:
        applied = tuple(migration.id for migration in service.up_to(known))
        return NativeRecord(applied, replaced=_replaced(service, {*heads, *applied}))
    if len(heads) > 1:
        raise HistoryError(
            f"{record} has {len(heads)} rows: {', '.join(map(redact, heads))}; no file here describes "
            f"{', '.join(map(redact, strange))}",
            service=service.name,
            hint="this code and the database come from different branches: use the code that knows both",
        )
    (head,) = heads
    chain = [migration.id for migration in service.migrations]
    # The database is ahead of the files. Only the journal can say which of our migrations are applied.
    claims = {id_: entry.direction is Direction.APPLY for id_, entry in journal.ended_well.items()}
    if not claims:  # without a journal, we can only assume that all of ours are applied
        return NativeRecord(tuple(chain), (head,))
    ours = tuple(id_ for id_ in chain if claims.get(id_))
    return NativeRecord(ours, (*(id_ for id_, on in claims.items() if on and id_ not in chain and id_ != head), head))


def _replaced(service: Service, recorded: set[str]) -> tuple[str, ...]:
    """The migrations without a file that are applied: those before a replaced one, or before the file itself.

    The order of branches is that of Alembic. So what comes before the head of one branch may count that is not applied,
    in a database that is refused in any case.
    """
    found: list[str] = []
    for squashed in service.migrations:
        ids = list(squashed.replaces)
        newest = max((at for at, id_ in enumerate(ids) if id_ in recorded), default=-1)
        found += [id_ for id_ in ids[: newest + 1] if id_ != squashed.id]
    return tuple(found)


def _put_aside_at(comment: str | None) -> datetime | None:
    """The time that dataops.stash.postgres writes into a schema's comment."""
    found = re.search(r" at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z", comment or "")
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None


__all__ = ["doing", "history", "links", "lock_holder", "read", "stash_entries"]
