"""A PostgreSQL database while we hold its lock.

One connection holds the session advisory lock, writes the journal and carries the migration's transaction, so that a
lost lock is a lost transaction too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg.sql
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row, tuple_row

from dataops.backends import Database, RolledBack, Waiting
from dataops.backends.journal import to_fields
from dataops.backends.locking import wait_for
from dataops.backends.postgres import othertools, sql, state
from dataops.backends.postgres.connection import KEEPALIVES, Server, error_text
from dataops.errors import ConfigError, LockLost, MigrationFailed, Unreachable
from dataops.model import Adopted, Author, Direction, Entry, Migration, Step
from dataops.redaction import redact
from dataops.stash.postgres import SCHEMA_PREFIX
from dataops.toolrecords import ToolRecord

if TYPE_CHECKING:
    from dataops.backends.postgres.runner import Runner

_POLL_SECONDS = 0.2


@contextmanager
def lock(
    database: Database,
    server: Server,
    author: Author,
    *,
    timeout: float,
    waiting: Waiting,
    stop: Callable[[], bool],
) -> Iterator[PostgresLocked]:
    """See dataops.backends.Database.lock."""
    connection = server.connect(name=f"dataops/{author.run} {author.actor}@{author.host}")
    try:
        _refuse_pooler(connection, server)
        _prepare(connection)
        wait_for(
            partial(_take, connection),
            partial(state.lock_holder, connection),
            service=server.service,
            timeout=timeout,
            waiting=waiting,
            stop=stop,
            poll_seconds=_POLL_SECONDS,
        )
        if not state.about_database(connection, server.service)["has_journal"]:
            with connection.transaction():
                connection.execute(sql.CREATE_JOURNAL)
        yield PostgresLocked(database, connection)
    except psycopg.Error as error:
        raise server.explained(error) from error
    finally:
        connection.close()


def _take(connection: psycopg.Connection[DictRow]) -> bool:
    # Never pg_advisory_lock: a waiter that is blocked in it stalls a CREATE INDEX CONCURRENTLY of the holder.
    row = connection.execute("SELECT pg_try_advisory_lock(%s) AS got", [sql.LOCK_KEY]).fetchone()
    return bool(row and row["got"])


def _prepare(connection: psycopg.Connection[DictRow]) -> None:
    """Settings of the session under which a lock is kept for long, and is freed soon when we are gone."""
    # The server notices a client that was killed in mid-statement, and frees its lock, within a second.
    with suppress(psycopg.Error):  # not every platform can
        connection.execute("SET client_connection_check_interval = '1s'")
    for name in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(f"SET {name} = 0")  # we may have to hold the lock for long, doing nothing
    for name, value in KEEPALIVES.items():  # and a client whose whole machine is gone, within a minute
        connection.execute(f"SET tcp_{name} = {value}")


def _refuse_pooler(connection: psycopg.Connection[DictRow], server: Server) -> None:
    row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    if row is None or row["pid"] == connection.info.backend_pid or server.service.session_pooler:
        return
    raise ConfigError(
        "there is a connection pooler between us and the server, where a lock may belong to nobody",
        service=server.service.name,
        hint='use the address of the server itself; if the pooler is in session mode, set pooler = "session"',
    )


class PostgresLocked:
    """See dataops.backends.Locked for the promises."""

    def __init__(self, database: Database, connection: psycopg.Connection[DictRow]) -> None:
        self.database = database
        self._service = database.service
        self._connection = connection

    def check(self) -> None:
        try:
            self.idle_connection().execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise self._lost(error) from error

    def write(self, entry: Entry) -> None:
        try:
            self.idle_connection().execute(sql.WRITE, to_fields(entry))
        except psycopg.OperationalError as error:
            raise self._lost(error) from error
        except psycopg.Error as error:  # a migration may have dropped or locked the journal, for example
            raise Unreachable(
                f"the journal cannot be written: {error_text(error)}",
                service=self._service.name,
                hint="look at the table dataops_journal; dataops history shows what it has",
            ) from error

    def run(self, step: Step, end: Callable[[], Entry]) -> Entry:
        self._set_timeouts(step)
        invalid = set() if step.migration.atomic else self._invalid_indexes(self.idle_connection())
        written: list[Entry] = []

        def record() -> None:
            written.append(self._record(step, end, invalid))

        try:
            self._runner.run(step, before=partial(self._hold_off_other_tool, step), record=record)
        except (Exception, SystemExit) as error:
            self._after_failure(step, error, invalid)
            raise
        return written[-1]

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        from dataops.backends.postgres import runner

        migration = self._service.by_id[entry.migration]
        differs = (migration.id in self.database.read().applied_ids) is not applied
        connection = self.idle_connection()
        with connection.transaction():
            if differs:
                runner.stamp(connection, migration.id if applied else migration.parent)
            connection.execute(sql.WRITE, to_fields(entry))

    def adopt(self, record: ToolRecord | None, adopted: Sequence[Adopted]) -> None:
        from dataops.backends.postgres import runner

        head = self._head_after(adopted)
        connection = self.idle_connection()
        with connection.transaction():
            if record is not None:
                othertools.hold_off(connection, record.tool, seconds=self._service.timeouts.lock)
                othertools.refuse_changed(connection, record, self._service)
            runner.stamp(connection, head)
            for one in adopted:
                connection.execute(sql.WRITE, to_fields(one.entry))

    def complete_mirror(self, missing: Sequence[Migration]) -> None:
        connection, tool = self.idle_connection(), self._service.mirror
        with connection.transaction():
            othertools.create_mirror(connection, tool)
            othertools.hold_off(connection, tool, seconds=self._service.timeouts.lock)
            batch = othertools.next_batch(connection, tool)
            othertools.mirror_missing(connection, self._service, missing, batch=batch)

    def prune(self, migration: str, entry: Entry) -> None:
        connection = self.idle_connection()
        with connection.transaction():
            name = psycopg.sql.Identifier(SCHEMA_PREFIX + migration)
            connection.execute(psycopg.sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
            connection.execute(sql.WRITE, to_fields(entry))

    def abort(self) -> None:
        self._connection.cancel_safe(timeout=2.0)

    def idle_connection(self) -> psycopg.Connection[DictRow]:
        """The one that holds the lock, outside of any transaction and in autocommit: each write is durable by itself.

        Raises LockLost.
        """
        connection = self._connection
        if connection.closed or connection.broken:
            raise LockLost("the connection was lost", service=self._service.name)
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.rollback()
        if not connection.autocommit:
            connection.autocommit = True
        connection.row_factory = dict_row
        return connection

    @cached_property
    def _runner(self) -> Runner:
        from dataops.backends.postgres import runner  # with Alembic and SQLAlchemy, which only a step needs

        return runner.Runner(self._service, self._connection)

    @cached_property
    def _batch(self) -> int:
        """One number for all steps of a run in the mirrored record, as knex counts its own runs."""
        return othertools.next_batch(self._connection, self._service.mirror)

    def _lost(self, error: BaseException) -> LockLost:
        return LockLost(f"the connection was lost: {error_text(error)}", service=self._service.name)

    def _head_after(self, adopted: Sequence[Adopted]) -> str | None:
        applied = set(self.database.read().applied_ids)
        for one in adopted:
            if one.entry.direction is Direction.APPLY:
                applied.add(one.entry.migration)
            else:
                applied.discard(one.entry.migration)
        return next((m.id for m in reversed(self._service.migrations) if m.id in applied), None)

    # Around a step

    def _set_timeouts(self, step: Step) -> None:
        # A short lock_timeout keeps an ALTER from queueing in front of every reader, but it would kill a
        # CREATE INDEX CONCURRENTLY, which waits for old transactions by design.
        table_lock = self._service.timeouts.table_lock if step.migration.atomic else 0.0
        for name, seconds in (("lock_timeout", table_lock), ("statement_timeout", self._service.timeouts.statement)):
            self.idle_connection().execute("SELECT set_config(%s, %s, false)", [name, f"{round(seconds * 1000)}ms"])

    def _hold_off_other_tool(self, step: Step) -> None:
        """First in a step's transaction: the tool that we mirror must not do the same at the same time.

        Not around a CREATE INDEX CONCURRENTLY, which would wait for ever for the one who waits for us.
        """
        if self._service.mirror and step.migration.atomic:
            othertools.hold_off(self._connection, self._service.mirror, seconds=self._service.timeouts.lock)
            if step.direction is Direction.APPLY:
                othertools.refuse_done_there(self._connection, self._service, step.migration)

    def _record(self, step: Step, end: Callable[[], Entry], invalid: set[str]) -> Entry:
        """Last in a step's transaction, beside what Alembic othertools."""
        self._refuse_invalid_index(step, invalid)
        entry = end()
        self._connection.execute(sql.WRITE, to_fields(entry))
        if self._service.mirror:
            othertools.mirror(
                self._connection,
                self._service,
                step.migration,
                applied=step.direction is Direction.APPLY,
                seconds=entry.seconds or 0.0,
                batch=self._batch,
            )
        return entry

    def _after_failure(self, step: Step, error: BaseException, invalid: set[str]) -> None:
        """Raise what the failure of a step came to, where that is more than the error itself."""
        if self._connection.closed or self._connection.broken:
            raise self._lost(error) from error
        connection = self.idle_connection()
        if not step.migration.atomic:
            if not isinstance(error, MigrationFailed):
                for name in sorted(self._invalid_indexes(connection) - invalid):
                    error.add_note(f"it left the invalid index {name}: drop it before the next try")
            return
        cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps what the driver raised
        if isinstance(cause, psycopg.Error) and cause.sqlstate:
            raise RolledBack(error, cause.sqlstate, error_text(error)) from error

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
        found = self._invalid_indexes(self._connection)
        broken = {name for name in found if name not in before or name.rpartition(".")[2].strip('"') in text}
        if broken:
            raise MigrationFailed(
                f"the index {redact(', '.join(sorted(broken)))} is invalid; {step.migration.id} counts as not done",
                service=self._service.name,
                migration=step.migration.id,
                hint="drop the index and run again; docs/operations.md#an-invalid-index",
            )


__all__ = ["PostgresLocked", "lock"]
