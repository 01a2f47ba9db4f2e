"""PostgreSQL: Alembic files, the table alembic_version as the record, a session advisory lock, a journal table.

Asking (`read`, `history`) needs psycopg alone and opens a read-only connection for each question. Doing keeps one
connection: it holds the lock, writes the journal and carries the migration's transaction, so that a lost lock is a
lost transaction too.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import psycopg.sql
from psycopg import conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row, tuple_row

from dataops.backends import Backend, Retrying, StillHeld, Waiting, settled
from dataops.backends.postgres import catalogue, contents, records, sql
from dataops.catalogue import Catalogue
from dataops.contents import Contents
from dataops.errors import (
    ConfigError,
    HistoryError,
    LockLost,
    LockNotObtained,
    MigrationFailed,
    PermissionDenied,
    Stopped,
    Unreachable,
)
from dataops.model import (
    AppliedMigration,
    Author,
    Direction,
    Entry,
    Holder,
    Identity,
    JournalEvent,
    Migration,
    Rendering,
    Service,
    StashEntry,
    State,
    Step,
    ToolRecord,
)
from dataops.othertools.examine import adopted_from
from dataops.progress import Report, reporting
from dataops.redaction import message_of, redact
from dataops.stash.postgres import SCHEMA_PREFIX

MINIMUM_VERSION = 140000
RETRIES = 6
_POLL_SECONDS = 0.2
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class PostgresBackend:
    """See dataops.backends.Backend for the promises."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._work: psycopg.Connection[DictRow] | None = None
        self._runner: Any = None
        self._big_tables: list[tuple[str, str]] | None = None
        self._batch = 0

    # Asking

    def read(self) -> State:
        return settled(self._look)

    def _look(self) -> State:
        with self._asking() as connection:
            about = self._about(connection)
            record = [str(row["version_num"]) for row in connection.execute(sql.RECORD)] if about["has_record"] else []
            last = ended_well = None
            if about["has_journal"]:
                last = connection.execute(sql.LAST).fetchone()
                ended_well = connection.execute(sql.ENDED_WELL).fetchall()
            holder = connection.execute(sql.HOLDER, [sql.LOCK_KEY]).fetchone()
            tool_records = records.read(connection)
            return replace(self._state(about, record, last, ended_well or [], holder), tool_records=tool_records)

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        with self._asking() as connection:
            if not self._about(connection)["has_journal"]:
                return ()
            return tuple(_entry(row) for row in connection.execute(sql.HISTORY, [limit]))

    def render(self, step: Step) -> Rendering:
        from dataops.backends.postgres import runner

        rendering = runner.render(self.service, step)
        text = "\n".join(rendering.commands)
        notes = [note for name, note in self._sizes() if re.search(rf"\b{re.escape(name)}\b", text)]
        return replace(rendering, notes=(*rendering.notes, *notes))

    def _sizes(self) -> list[tuple[str, str]]:
        """The tables that are large enough to matter; asked for once."""
        if self._big_tables is None:
            with self._asking() as connection:
                self._big_tables = [
                    (row["name"], f"{redact(row['name'])}: about {row['rows']:,} rows, {row['size']}")
                    for row in connection.execute(sql.SIZES)
                ]
        return self._big_tables

    def stash_entries(self) -> tuple[StashEntry, ...]:
        with self._asking() as connection:
            rows = connection.execute(sql.KEPT, [SCHEMA_PREFIX]).fetchall()
        return tuple(
            StashEntry(
                migration=row["schema"].removeprefix(SCHEMA_PREFIX),
                place=f"{row['schema']}.{redact(row['name'])}",
                source=redact(row["name"]),
                count=row["rows"],
                bytes=row["bytes"],
                at=_put_aside_at(row["comment"]),
            )
            for row in rows
        )

    def catalogue(self, *, complete: bool = False) -> Catalogue:
        with self._asking() as connection:
            return catalogue.read(connection, complete=complete)

    def contents(self) -> Contents:
        with self._asking() as connection:
            return contents.read(connection)

    @contextmanager
    def handle(self) -> Iterator[psycopg.Connection[Any]]:
        with self._connect() as connection:
            plain: psycopg.Connection[Any] = connection
            plain.row_factory = tuple_row
            yield plain

    def imitate(self, other: Backend, *, strictly: bool) -> None:
        """Nothing: every table comes from a migration."""

    # Doing

    @contextmanager
    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> Iterator[StillHeld]:
        connection = self._connect(name=f"dataops/{author.run} {author.actor}@{author.host}")
        try:
            connection.autocommit = True
            self._refuse_pooler(connection)
            # The server notices a client that was killed in mid-statement, and frees its lock, within a second.
            with suppress(psycopg.Error):  # not every platform can
                connection.execute("SET client_connection_check_interval = '1s'")
            for name in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
                connection.execute(f"SET {name} = 0")  # we may have to hold the lock for long, doing nothing
            for name, value in _KEEPALIVES.items():  # and a client whose whole machine is gone, within a minute
                connection.execute(f"SET tcp_{name} = {value}")
            self._obtain(connection, timeout, waiting, stop)
            self._create_journal(connection)
            self._work = connection
            yield self._still_held
        except psycopg.Error as error:
            raise self._explained(error) from error
        finally:
            self._work = self._runner = None
            connection.close()

    def write(self, entry: Entry) -> None:
        connection = self._idle()
        try:
            connection.execute(sql.WRITE, journal_row(entry))
        except psycopg.OperationalError as error:
            raise LockLost(f"the connection was lost: {self.error_text(error)}", service=self.service.name) from error
        except psycopg.Error as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: psycopg.Error) -> Unreachable:
        """For a journal that a migration has dropped or locked, for example."""
        return Unreachable(
            f"the journal cannot be written: {self.error_text(error)}",
            service=self.service.name,
            hint="look at the table dataops_journal; dataops history shows what it has",
        )

    def run(self, step: Step, done: Entry, *, report: Report, retrying: Retrying) -> float:
        from dataops.backends.postgres import runner

        self._idle()
        if self._runner is None:
            self._runner = runner.Runner(self.service, self.connection)
        before = time.monotonic()
        for attempt in range(1, RETRIES + 1):
            self._set_timeouts(step)
            invalid = set() if step.migration.atomic else self._invalid_indexes(self._idle())
            try:
                with reporting(report):
                    self._runner.run(
                        step,
                        before=partial(self._hold_off, step),
                        record=partial(self._record, step, done, before, invalid),
                    )
            except (Exception, SystemExit) as error:
                if self.connection.closed or self.connection.broken:
                    raise LockLost(
                        f"the connection was lost: {self.error_text(error)}", service=self.service.name
                    ) from error
                connection = self._idle()
                if not step.migration.atomic and not isinstance(error, MigrationFailed):
                    for name in sorted(self._invalid_indexes(connection) - invalid):
                        error.add_note(f"it left the invalid index {name}: drop it before the next try")
                cause = getattr(error, "orig", None) or error
                if not isinstance(cause, _RETRYABLE) or not step.migration.atomic or attempt == RETRIES:
                    raise
                pause = min(2.0 ** (attempt - 1), 16.0) * random.uniform(0.5, 1.0)
                retrying(attempt, pause, self.error_text(error))
                continue
            break
        return time.monotonic() - before

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        from dataops.backends.postgres import runner

        migration = self.service.by_id[entry.migration]
        differs = (migration.id in self.read().applied_ids) is not applied
        connection = self._idle()
        with connection.transaction():
            if differs:
                runner.stamp(connection, migration.id if applied else migration.parent)
            connection.execute(sql.WRITE, journal_row(entry))

    def adopt(
        self, record: ToolRecord | None, entries: Sequence[Entry], at: Mapping[str, datetime], head: str | None
    ) -> None:
        from dataops.backends.postgres import runner

        connection = self._idle()
        with connection.transaction():
            if record is not None:
                records.hold_off(connection, record.tool, seconds=self.service.timeouts.lock)
                records.refuse_changed(connection, record, self.service)
            runner.stamp(connection, head)
            for entry in entries:
                connection.execute(sql.WRITE, journal_row(entry))

    def mirror(self, missing: Sequence[Migration]) -> None:
        connection, tool = self._idle(), self.service.mirror
        with connection.transaction():
            records.create_mirror(connection, tool)
            records.hold_off(connection, tool, seconds=self.service.timeouts.lock)
            self._batch = records.next_batch(connection, tool)
            for migration in missing:
                records.mirror(connection, self.service, migration, applied=True, batch=self._batch)
            self._batch += bool(missing)

    def prune(self, migration: str, entry: Entry) -> None:
        connection = self._idle()
        with connection.transaction():
            name = psycopg.sql.Identifier(SCHEMA_PREFIX + migration)
            connection.execute(psycopg.sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
            connection.execute(sql.WRITE, journal_row(entry))

    def abort(self) -> None:
        connection = self._work
        if connection is not None:
            connection.cancel_safe(timeout=2.0)

    def close(self) -> None:
        connection, self._work = self._work, None
        if connection is not None:
            connection.close()

    @property
    def connection(self) -> psycopg.Connection[DictRow]:
        """The one that holds the lock. Raises LockLost outside of `lock`."""
        if self._work is None:
            raise LockLost("the lock is not held", service=self.service.name)
        return self._work

    def asking_connection(self) -> psycopg.Connection[DictRow]:
        """A new read-only connection, the caller's to close."""
        connection = self._connect()
        connection.autocommit = False
        connection.read_only = True
        return connection

    def error_text(self, error: BaseException) -> str:
        cause = getattr(error, "orig", None) or error
        text = " ".join(message_of(cause).split("\n")[0].split()) or type(cause).__name__
        detail = getattr(getattr(cause, "diag", None), "message_detail", None)
        statement = getattr(error, "statement", None)
        text = f"{type(cause).__name__}: {text}"
        text += f" ({redact(detail)})" if detail else ""
        text += f" in: {' '.join(redact(str(statement)).split())[:300]}" if statement else ""
        return text + "".join(f"; {redact(str(note))}" for note in getattr(error, "__notes__", ()))

    # Connections

    def _connect(self, name: str = "dataops") -> psycopg.Connection[DictRow]:
        try:
            given = conninfo.conninfo_to_dict(self.service.url)
        except psycopg.Error:
            # The parser's message may quote a piece of the password.
            raise ConfigError(
                "the URL is not a valid PostgreSQL URL",
                service=self.service.name,
                hint="characters such as @ : / % in a password have to be escaped: %40 %3A %2F %25",
            ) from None
        defaults: dict[str, Any] = {"connect_timeout": max(2, round(self.service.timeouts.connect)), **_KEEPALIVES}
        settings = {key: value for key, value in defaults.items() if key not in given}
        settings["application_name"] = name[:63]
        try:
            connection = psycopg.connect(self.service.url, row_factory=dict_row, autocommit=True, **settings)
        except psycopg.Error as error:
            raise self._unreachable(error) from error
        if connection.info.server_version < MINIMUM_VERSION:
            version = connection.info.server_version
            connection.close()
            raise ConfigError(
                f"PostgreSQL {version // 10000} is too old", service=self.service.name, hint="dataops needs 14 or newer"
            )
        return connection

    @contextmanager
    def _asking(self) -> Iterator[psycopg.Connection[DictRow]]:
        """A connection of its own, one snapshot, and the server's word that nothing is written."""
        connection = self.asking_connection()
        try:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield connection
            connection.rollback()
        except psycopg.Error as error:
            raise self._explained(error) from error
        finally:
            connection.close()

    def _unreachable(self, error: psycopg.Error) -> Unreachable:
        # libpq tries every address of a name and repeats itself; the last line with a reason is as good as any.
        lines = [line.strip() for line in message_of(error).splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(("Is the server", "Multiple connection"))] or lines
        text = lines[-1] if lines else type(error).__name__
        where = self._address()
        if any(sign in str(error) for sign in ("authentication failed", "no password supplied", "pg_hba.conf")):
            return PermissionDenied(
                f"{where} refuses the user: {text}",
                service=self.service.name,
                hint="check the user and the password in the URL",
            )
        if re.search(r"\binvalid (\w+ )?(value|number)", str(error)):
            raise ConfigError(f"the URL is not usable: {text}", service=self.service.name) from error
        hint = "is the server up and the address right? --wait 60s waits for a server that is starting"
        if "does not exist" in str(error):
            hint = "check the names of the database and the user in the URL"
        return Unreachable(f"cannot connect to {where}: {text}", service=self.service.name, hint=hint)

    def _explained(self, error: psycopg.Error) -> Exception:
        if isinstance(error, _NO_RIGHTS):
            return PermissionDenied(
                self.error_text(error),
                service=self.service.name,
                hint="docs/operations.md#rights lists what each command needs",
            )
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return Unreachable(
                self.error_text(error),
                service=self.service.name,
                hint="a standby, or a database or user set to read only: use the address of the primary",
            )
        if isinstance(error, psycopg.OperationalError):
            return Unreachable(
                self.error_text(error), service=self.service.name, hint="run again when the server is well"
            )
        return error

    def _address(self) -> str:
        given = conninfo.conninfo_to_dict(self.service.url)
        host = given.get("host") or given.get("hostaddr") or "the default socket"
        return f"{host}:{given.get('port') or 5432}/{given.get('dbname') or given.get('user') or ''}"

    # State

    def _about(self, connection: psycopg.Connection[DictRow]) -> DictRow:
        row = connection.execute(sql.ABOUT).fetchone()
        assert row is not None
        if row["hidden"]:
            raise PermissionDenied(
                f"this user may not use the schema {redact(row['hidden'])}, in which the record is",
                service=self.service.name,
                hint="docs/operations.md#rights lists what each command needs",
            )
        return row

    def _state(
        self,
        about: DictRow,
        record: list[str],
        last: DictRow | None,
        ended_well: list[DictRow],
        holder: DictRow | None,
    ) -> State:
        if len(record) > 1:
            raise HistoryError(
                f"alembic_version has {len(record)} rows: {', '.join(record)}",
                service=self.service.name,
                hint="dataops keeps one chain per service: merge them with Alembic first",
            )
        known = {row["migration"]: row for row in ended_well}
        claims = {id_: row["direction"] == Direction.APPLY.value for id_, row in known.items()}
        head = record[0] if record else None
        chain = [migration.id for migration in self.service.migrations]
        unknown: tuple[str, ...] = ()
        if head is None:
            ids = []
        elif head in self.service.by_id:
            ids = chain[: self.service.position[head] + 1]
        else:  # ahead: only the journal can tell which of ours are below that head
            ids = [id_ for id_ in chain if claims.get(id_, not claims)]
            unknown = (*(id_ for id_, on in claims.items() if on and id_ not in chain and id_ != head), head)
        newest = _entry(last) if last else None
        if newest is not None and newest.event is JournalEvent.STARTED:
            claims.pop(newest.migration, None)
        return State(
            service=self.service,
            identity=Identity(
                server=f"PostgreSQL system {about['system_identifier']}",
                database=f"{about['database']} (oid {about['database_oid']})",
                address=self._address(),
            ),
            server=f"PostgreSQL {redact(str(about['version'])).split()[0]}",
            applied=tuple(_applied(id_, known.get(id_)) for id_ in ids),
            unknown=unknown,
            last=newest,
            holder=_holder(holder) if holder else None,
            claims=claims,
        )

    # The lock

    def _obtain(
        self,
        connection: psycopg.Connection[DictRow],
        timeout: float,
        waiting: Waiting,
        stop: Callable[[], bool],
    ) -> None:
        deadline = time.monotonic() + timeout
        told: Holder | None = None
        first = True
        while True:  # poll: a waiter blocked in pg_advisory_lock would stall CREATE INDEX CONCURRENTLY in the holder
            row = connection.execute("SELECT pg_try_advisory_lock(%s) AS got", [sql.LOCK_KEY]).fetchone()
            if row is not None and row["got"]:
                return
            found = connection.execute(sql.HOLDER, [sql.LOCK_KEY]).fetchone()
            holder = _holder(found) if found else None
            if first or (holder is not None and holder != told):
                waiting(holder)
                told, first = holder, False
            if stop():
                raise Stopped("stopped while waiting for the lock", service=self.service.name)
            if time.monotonic() >= deadline:
                raise LockNotObtained(
                    f"the migration lock is held by {told or 'somebody'}; gave up after {timeout:g} s",
                    service=self.service.name,
                )
            time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.0))

    def _refuse_pooler(self, connection: psycopg.Connection[DictRow]) -> None:
        row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
        if row is None or row["pid"] == connection.info.backend_pid or self.service.session_pooler:
            return
        raise ConfigError(
            "there is a connection pooler between us and the server, where a lock may belong to nobody",
            service=self.service.name,
            hint='use the address of the server itself; if the pooler is in session mode, set pooler = "session"',
        )

    def _still_held(self) -> None:
        try:
            self._idle().execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise LockLost(f"the connection was lost: {self.error_text(error)}", service=self.service.name) from error

    def _create_journal(self, connection: psycopg.Connection[DictRow]) -> None:
        if not self._about(connection)["has_journal"]:
            with connection.transaction():
                connection.execute(sql.CREATE_JOURNAL)

    def _idle(self) -> psycopg.Connection[DictRow]:
        """The working connection, outside of any transaction and in autocommit: every write is durable by itself."""
        connection = self.connection
        if connection.closed or connection.broken:
            raise LockLost("the connection was lost", service=self.service.name)
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.rollback()
        if not connection.autocommit:
            connection.autocommit = True
        connection.row_factory = dict_row
        return connection

    # Around a step

    def _set_timeouts(self, step: Step) -> None:
        # A short lock_timeout keeps an ALTER from queueing in front of every reader, but it would kill a
        # CREATE INDEX CONCURRENTLY, which waits for old transactions by design.
        table_lock = self.service.timeouts.table_lock if step.migration.atomic else 0.0
        connection = self._idle()
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{round(table_lock * 1000)}ms"])
        statement = f"{round(self.service.timeouts.statement * 1000)}ms"
        connection.execute("SELECT set_config('statement_timeout', %s, false)", [statement])

    def _hold_off(self, step: Step) -> None:
        """First in a step's transaction: the tool that we mirror must not do the same at the same time.

        Not around a CREATE INDEX CONCURRENTLY, which would wait for ever for the one who waits for us.
        """
        if self.service.mirror and step.migration.atomic:
            records.hold_off(self.connection, self.service.mirror, seconds=self.service.timeouts.lock)
            if step.direction is Direction.APPLY:
                records.refuse_done_there(self.connection, self.service, step.migration)

    def _record(self, step: Step, done: Entry, since: float, invalid: set[str]) -> None:
        """Last in a step's transaction, beside what Alembic records."""
        self._refuse_invalid_index(step, invalid)
        done = with_seconds(done, since)
        self.connection.execute(sql.WRITE, journal_row(done))
        if self.service.mirror:
            applied = step.direction is Direction.APPLY
            records.mirror(
                self.connection,
                self.service,
                step.migration,
                applied=applied,
                seconds=done.seconds or 0.0,
                batch=self._batch,
            )

    def _invalid_indexes(self, connection: psycopg.Connection[Any]) -> set[str]:
        with connection.cursor(row_factory=tuple_row) as cursor:
            return {str(name) for (name,) in cursor.execute(sql.INVALID_INDEXES)}

    def _refuse_invalid_index(self, step: Step, before: set[str]) -> None:
        """Before the step is recorded: what it left invalid, and what was so before and is one of its own names.

        CREATE INDEX CONCURRENTLY IF NOT EXISTS takes the invalid index of an earlier try for a good one.
        """
        if step.migration.atomic:
            return
        text = step.migration.text.decode(errors="replace")
        found = self._invalid_indexes(self.connection)
        broken = {name for name in found if name not in before or name.rpartition(".")[2].strip('"') in text}
        if broken:
            raise MigrationFailed(
                f"the index {redact(', '.join(sorted(broken)))} is invalid; {step.migration.id} counts as not done",
                service=self.service.name,
                migration=step.migration.id,
                hint="drop the index and run again; docs/operations.md#an-invalid-index",
            )


_NO_RIGHTS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidSchemaName,  # no schema of the search_path may be used
)
_RETRYABLE = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


def journal_row(entry: Entry) -> dict[str, object]:
    """The parameters of sql.WRITE."""
    return {
        "run": entry.run,
        "migration": entry.migration,
        "direction": entry.direction.value,
        "event": entry.event.value,
        "seconds": entry.seconds,
        "actor": entry.actor,
        "host": entry.host,
        "version": entry.version,
        "checksum": entry.checksum,
        "raw_checksum": entry.raw_checksum,
        "error": entry.error,
        "reason": entry.reason,
    }


def as_dbapi(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Make a connection what SQLAlchemy expects of one: idle, transactions begun by themselves, rows as tuples."""
    assert connection.info.transaction_status is TransactionStatus.IDLE
    connection.autocommit = False
    connection.row_factory = tuple_row
    return connection


def with_seconds(entry: Entry, since: float) -> Entry:
    return replace(entry, seconds=round(time.monotonic() - since, 3))


def _entry(row: DictRow) -> Entry:
    told = {
        key: redact(row[key]) for key in ("error", "reason")
    }  # a run that did not know our secrets may have written it
    return Entry(**{**row, **told, "direction": Direction(row["direction"]), "event": JournalEvent(row["event"])})


def _put_aside_at(comment: str | None) -> datetime | None:
    """The time that dataops.stash.postgres writes into a schema's comment."""
    found = re.search(r" at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z", comment or "")
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None


def _applied(id_: str, row: DictRow | None) -> AppliedMigration:
    if row is None or row["direction"] != Direction.APPLY.value:
        return AppliedMigration(id_)
    tool = adopted_from(row["reason"]) if row["event"] == JournalEvent.ADOPTED.value else ""
    return AppliedMigration(id_, row["at"], row["checksum"] or None, row["raw_checksum"] or None, row["run"], tool)


def _holder(row: DictRow) -> Holder:
    name = str(row["application_name"] or "")
    run, _, who = name.removeprefix("dataops/").partition(" ")
    if not name.startswith("dataops/"):
        run = redact(run)
    who = redact(who)
    where = f"process {row['pid']}" + (f" from {row['client']}" if row["client"] else "")
    return Holder(run=run or "unknown", who=f"{who}, {where}" if who else where, since=row["since"])


def connect(service: Service) -> Backend:
    """The database of one service; see dataops.backends."""
    return PostgresBackend(service)
