"""A PostgreSQL database while we hold its lock.

One connection holds the session advisory lock, writes the journal and carries the migration's transaction, so that a
lost lock is a lost transaction too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg.sql
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row, tuple_row

from dataops.backends import Database, HalfDone, RolledBack, Waiting
from dataops.backends.locking import wait_for
from dataops.backends.postgres import othertools, outside, sql, state, tables
from dataops.backends.postgres.backfilling import PostgresBackfills, checkpoint, remembered
from dataops.backends.postgres.connection import Server, WatchedConnection, error_text
from dataops.backends.postgres.session import Session, StepTimeouts
from dataops.backends.postgres.tables import OurTables
from dataops.backends.postgres.telling import Telling
from dataops.backends.postgres.transaction import StepTransaction
from dataops.backfill import BackfillRefused, served_by
from dataops.errors import ConfigError, LockLost, MigrationFailed, PermissionDenied, Unreachable
from dataops.model import (
    ENDS_HALF_DONE,
    NOT_ONE_TRANSACTION,
    Adopted,
    Author,
    Direction,
    Doing,
    Entry,
    Holder,
    JournalEvent,
    Migration,
    Sent,
    State,
    Step,
)
from dataops.redaction import redact
from dataops.stash.postgres import SCHEMA_PREFIX
from dataops.statements import Tally, without_values
from dataops.toolrecords import ToolRecord

if TYPE_CHECKING:
    from dataops.backends.postgres.runner import Runner

_POLL_SECONDS = 0.2
_NEWEST = 2**63 - 1  # more than any entry of a journal has


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
    connection.answer_within = _answer_within(server)
    try:
        _refuse_pooler(connection, server)
        session = Session(connection)
        session.clean(StepTimeouts(server.service.timeouts.table_lock, 0.0))  # nor does our own first entry hang
        wait_for(
            partial(_take, connection),
            partial(state.lock_holder, connection),
            service=server.service,
            timeout=timeout,
            waiting=waiting,
            stop=stop,
            poll_seconds=_POLL_SECONDS,
        )
        ours, notes = tables.settle(connection, tables.find(connection, server.service), server.service)
        who = f"{author.actor}@{author.host}, process {connection.info.backend_pid}"
        yield PostgresLocked(database, server, connection, session, ours, notes, Holder(author.run, who))
    except (psycopg.Error, UnicodeError) as error:
        raise server.explained(error, connection) from error
    finally:
        connection.close()


def _answer_within(server: Server) -> float | None:
    """Seconds in which the server has to answer what we write under the lock. It may first wait for a table's lock."""
    table_lock = server.service.timeouts.table_lock
    return server.answer_within + table_lock if table_lock else None


def _take(connection: psycopg.Connection[DictRow]) -> bool:
    # We poll and never call pg_advisory_lock. A waiter that is blocked in it holds a snapshot, and a
    # CREATE INDEX CONCURRENTLY of the lock's holder waits for that snapshot for ever.
    row = connection.execute("SELECT pg_try_advisory_lock(%s) AS got", [sql.LOCK_KEY]).fetchone()
    return bool(row and row["got"])


def _refuse_pooler(connection: psycopg.Connection[DictRow], server: Server) -> None:
    # A pooler gives the client another process id at connect than that of the server process which answers queries.
    row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    if row is None or row["pid"] == connection.info.backend_pid or server.service.session_pooler:
        return
    raise ConfigError(
        "there is a connection pooler between us and the server, where a lock may belong to nobody",
        service=server.service.name,
        hint='use the address of the server itself; if the pooler is in session mode, set pooler = "session"',
    )


@dataclass(frozen=True)
class _Ours:
    """What our tables are like at one moment of a step: record and journal by oid, by shape, and by what they hold.

    `rows` are the revisions of the record, and how many entries the journal has; `newest` is the last of these.
    """

    oids: tuple[int | None, ...] = (None, None)
    shapes: tuple[str, ...] = ("", "")
    rows: tuple[object, ...] = ()
    newest: int = 0


class PostgresLocked:
    """See dataops.backends.Locked for the promises."""

    def __init__(
        self,
        database: Database,
        server: Server,
        connection: WatchedConnection,
        session: Session,
        ours: OurTables,
        notes: tuple[str, ...],
        holder: Holder,
    ) -> None:
        self.database = database
        self.notes = notes
        self.ours = ours
        self._service = database.service
        self._holder = holder
        self._server = server
        self._connection = connection
        self._session = session
        self._transaction = StepTransaction(connection, ours)
        self._ours_before = _Ours()
        self._tally = Tally("rows", without_values)
        self._telling = Telling(server)

    def read(self) -> State:
        connection = self.idle_connection()
        with self._server.explaining(connection), connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return state.read(connection, self._server, self.ours, self._holder)

    def check(self) -> None:
        try:
            self._refuse_lost(self.idle_connection())
        except psycopg.OperationalError as error:
            raise self._lost(error) from error
        except LockLost:
            self._connection.close()  # nothing more is written without the lock
            raise

    def write(self, entry: Entry) -> None:
        try:
            self.ours.append(self.idle_connection(), entry)
        except psycopg.errors.CheckViolation as error:
            raise PermissionDenied(
                f"the journal is of an earlier version: its constraint allows no entry that is {entry.event.value}, "
                "and this user may not change it",
                service=self._service.name,
                hint=f"run a command that takes the lock once as the owner of {self.ours.journal}, for example "
                "dataops apply; more: dataops docs operations rights",
            ) from error
        except psycopg.Error as error:
            if self._connection.closed or self._connection.broken:
                raise self._lost(error) from error
            # A migration may have dropped or locked the journal, for example
            raise Unreachable(
                f"the journal cannot be written: {error_text(error)}",
                service=self._service.name,
                hint=f"look at the table {self.ours.journal}; dataops history shows what it has",
            ) from error

    def run(self, step: Step, end: Callable[[], Entry]) -> Entry:
        connection = self.idle_connection()
        self._session.clean(self._timeouts(step))
        if step.half == ENDS_HALF_DONE:
            self._take_back_record(connection, step)
        invalid = self._invalid_indexes(connection)
        mark = replace(end(), event=JournalEvent.STARTED, seconds=None, reason=NOT_ONE_TRANSACTION, statements=())
        self._transaction = transaction = StepTransaction(
            connection, self.ours, mark if step.migration.atomic else None
        )
        written: list[Entry] = []  # Alembic calls `record`, and does not pass its result on

        def before() -> None:
            self._hold_off_other_tool(step)
            self._ours_before = self._our_rows(self._our_shapes())
            transaction.begin()
            connection.answer_within = None  # a migration may take as long as it takes

        def record() -> None:
            written.append(self._record(step, end, invalid))

        def reach_out(what: str) -> None:
            transaction.reach_out(what, self._connect_beside)

        backfills = self._backfills(step)
        with self._tally.counting(), self._telling.of_step(), served_by(backfills):
            try:
                with outside.watching(step.migration.path.parent, reach_out):
                    self._runner.run(
                        step,
                        before=before,
                        after=partial(self._after_file, step),
                        record=record,
                        reach_out=reach_out,
                    )
            except BaseException as error:
                left_nothing = backfills.left_nothing or self._is_refused_unread(error)
                raise self._what_is_left(step, error, invalid, left_nothing=left_nothing) from error
            finally:
                transaction.close()
        return written[-1]

    def _is_refused_unread(self, error: BaseException) -> bool:
        """Whether a backfill was refused before the step has sent anything."""
        return isinstance(error, BackfillRefused) and not self._tally.sent().writes

    def _backfills(self, step: Step) -> PostgresBackfills:
        assert self.ours.journal is not None

        def look() -> WatchedConnection:
            with outside.by_ourselves():
                return self._server.connect_to_look()

        return PostgresBackfills(
            step, self._connection, self._tally, self._service.limits, look, self.ours.journal.schema
        )

    def _take_back_record(self, connection: WatchedConnection, step: Step) -> None:
        """Let the record show the opposite of a step, because Alembic runs a step only from the revision before it."""
        from dataops.backends.postgres import runner

        before = self._service.position[step.migration.id] + (step.direction is Direction.ROLLBACK)
        with connection.transaction():
            runner.stamp(connection, self.ours, self._heads_after(before))

    def tell(self, doing: Doing) -> None:
        self._telling.tell(doing)

    def sent(self) -> Sent:
        return self._tally.sent()

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        from dataops.backends.postgres import runner

        migration = self._service.by_id.get(entry.migration)  # one without a file is not in the record, or is its head
        differs = (entry.migration in self.read().applied_ids) is not applied
        connection = self.idle_connection()
        with connection.transaction():
            if migration is not None and differs:
                runner.stamp(connection, self.ours, self._heads_after(self._service.position[migration.id] + applied))
            self.ours.append(connection, entry)

    def adopt(self, record: ToolRecord | None, adopted: Sequence[Adopted]) -> None:
        from dataops.backends.postgres import runner

        heads = self._heads_with(adopted)
        connection = self.idle_connection()
        with connection.transaction():
            if record is not None:
                self._keep_out(connection, record.tool)
                othertools.refuse_changed(connection, record, self._service)
            runner.stamp(connection, self.ours, heads)
            for one in adopted:
                self.ours.append(connection, one.entry)

    def complete_mirror(self, missing: Sequence[Migration]) -> None:
        connection = self.idle_connection()
        with connection.transaction():
            othertools.create_mirror(connection, self._service)
            self._keep_out(connection, self._service.mirror)
            batch = othertools.next_batch(connection, self._service)
            othertools.mirror_missing(connection, self._service, missing, batch=batch)

    def _keep_out(self, connection: WatchedConnection, tool: str) -> None:
        """Keep another tool from migrating until the end of the transaction. Raises LockNotObtained."""
        said, seconds = self._service.aliases, self._service.timeouts.lock
        othertools.hold_off(connection, tool, seconds=seconds, said=said)

    def prune(self, migration: str, entry: Entry) -> None:
        connection = self.idle_connection()
        with connection.transaction():
            for schema in dict.fromkeys((SCHEMA_PREFIX + migration, (SCHEMA_PREFIX + migration).lower())):
                name = psycopg.sql.Identifier(schema)
                connection.execute(psycopg.sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
            self.ours.append(connection, entry)

    def abort(self) -> None:
        self._connection.cancel_safe(timeout=2.0)

    def idle_connection(self) -> WatchedConnection:
        """The connection that holds the lock, in autocommit, so that each write is durable at once.

        A transaction that is still open on it is rolled back. Raises LockLost.
        """
        connection = self._connection
        if connection.closed or connection.broken:
            raise LockLost("the connection was lost", service=self._service.name)
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.rollback()
        connection.answer_within = _answer_within(self._server)
        connection.as_at_connect()
        return connection

    @cached_property
    def _runner(self) -> Runner:
        from dataops.backends.postgres import runner  # with Alembic and SQLAlchemy, which only a step needs

        return runner.Runner(self._service, self._connection, self._connect_another, self.ours.record, self._tally)

    def _connect_another(self) -> WatchedConnection:
        """Another real connection for the migration's engine, with the timeouts of a step."""
        connection = self._connect_beside()
        self._transaction.add(connection)
        return connection

    def _connect_beside(self) -> WatchedConnection:
        with outside.by_ourselves():
            connection = self._server.connect()
        timeouts = StepTimeouts(self._service.timeouts.table_lock, self._service.timeouts.statement)
        connection.execute("; ".join(timeouts.statements).encode())
        return connection

    @cached_property
    def _batch(self) -> int:
        """The batch number of this run in a mirrored knex record: knex gives one number to all steps of a run."""
        return othertools.next_batch(self._connection, self._service)

    def _lost(self, error: BaseException) -> LockLost:
        return LockLost(f"the connection was lost: {error_text(error)}", service=self._service.name)

    def _heads_after(self, count: int) -> tuple[str, ...]:
        """What the record has to have when so many migrations are applied."""
        return self._service.heads([migration.id for migration in self._service.migrations[:count]])

    def _heads_with(self, adopted: Sequence[Adopted]) -> tuple[str, ...]:
        applied = set(self.read().applied_ids)
        for one in adopted:
            if one.entry.direction is Direction.APPLY:
                applied.add(one.entry.migration)
            else:
                applied.discard(one.entry.migration)
        return self._service.heads(applied)

    # Around a step

    def _timeouts(self, step: Step) -> StepTimeouts:
        # A short lock_timeout keeps an ALTER from queueing in front of every reader, but it would kill a
        # CREATE INDEX CONCURRENTLY, which waits for old transactions by design.
        table_lock = 0.0 if step.migration.facts.autocommit else self._service.timeouts.table_lock
        return StepTimeouts(table_lock, self._service.timeouts.statement)

    def _hold_off_other_tool(self, step: Step) -> None:
        """Keep the mirrored tool from migrating at the same time. Called first in a step's transaction.

        A step that is not atomic does without: its CREATE INDEX CONCURRENTLY would wait for ever for the other tool,
        which waits for us.
        """
        if self._service.mirror and step.migration.atomic:
            self._keep_out(self._connection, self._service.mirror)
            if step.direction is Direction.APPLY:
                othertools.refuse_done_there(self._connection, self._service, step.migration)

    def _record(self, step: Step, end: Callable[[], Entry], invalid: set[str]) -> Entry:
        """Write the journal entry and the mirrored row. Called last in a step's transaction, after Alembic's record."""
        self._refuse_invalid_index(step, invalid)
        entry = end()
        self._transaction.remove_mark()
        if step.migration.facts.backfills and self.ours.journal is not None:
            checkpoint.forget(self._connection, self.ours.journal.schema, step.migration.id)
            if step.direction is Direction.ROLLBACK:
                remembered.forget(self._connection, step.migration.id)
        self.ours.append(self._connection, entry)
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

    def _after_file(self, step: Step) -> None:
        """Check the session and the transaction when the file is done, before we write anything of our own.

        Raises LockLost, and MigrationFailed when the file ended a transaction without a commit.
        """
        if self._connection.end_exchange():
            raise MigrationFailed(
                f"{step.migration.id} left a COPY or a pipeline open",
                service=self._service.name,
                migration=step.migration.id,
                hint="write it as a block: with cursor.copy(...) as copy, with connection.pipeline()",
            )
        self._connection.end_file()
        self._session.end_file(self._timeouts(step), self.ours.path.shield)
        self._transaction.end_file(self._refuse_lost(self._connection))
        if lost := self._transaction.lost_work():
            raise MigrationFailed(
                f"{step.migration.id} {lost}",
                service=self._service.name,
                migration=step.migration.id,
                hint="do not end the transaction in a migration; use a SAVEPOINT for what may fail",
            )
        self._refuse_changed(step)

    def _refuse_changed(self, step: Step) -> None:
        """Raise MigrationFailed when the file has changed our tables, or other rows of them than it may."""
        before, now = self._ours_before, self._our_shapes()
        what, changed = "dropped, moved or replaced", self._differing(before.oids, now.oids)
        if not changed:
            what, changed = "altered", self._differing(before.shapes, now.shapes)
        if not changed:
            what, changed = "changed the rows of", self._differing(before.rows, self._our_rows(now, before.newest).rows)
        if changed:
            raise MigrationFailed(
                f"{step.migration.id} {what} {' and '.join(changed)}, where dataops and Alembic record what is applied",
                service=self._service.name,
                migration=step.migration.id,
                hint="take that statement out of it; more: dataops docs operations a-file-that-changes-our-tables",
            )

    def _differing(self, before: Sequence[object], now: Sequence[object]) -> list[str]:
        names = (str(self.ours.record), str(self.ours.journal))
        return [name for name, was, is_ in zip(names, before, now, strict=True) if was != is_]

    def _our_shapes(self) -> _Ours:
        """The oids of the record and of the journal, None for one that does not exist, and their shapes."""
        assert self.ours.journal is not None
        names = {"record": self.ours.record.sql, "journal": self.ours.journal.sql}
        cursor = self._connection.cursor(row_factory=dict_row)
        rows = cursor.execute(sql.SHAPES, {**names, "columns": sorted(tables.OUR_COLUMNS)}).fetchall()
        return _Ours(tuple(row["oid"] for row in rows), tuple(row["shape"] for row in rows))

    def _our_rows(self, shapes: _Ours, newest: int = _NEWEST) -> _Ours:
        """Also the revisions in the record, and how many entries the journal has up to this one."""
        cursor = self._connection.cursor(row_factory=dict_row)
        row = self.ours.execute(cursor, sql.ROWS, {"newest": newest}).fetchone()
        return replace(shapes, rows=(row["heads"], row["entries"]), newest=row["newest"] or 0)

    def _what_is_left(
        self, step: Step, error: BaseException, invalid: set[str], *, left_nothing: bool = False
    ) -> Exception:
        """The error to raise for a failed step. It says what the server reports as left of the step.

        `left_nothing`: the file did nothing but begin a backfill, which was refused.
        """
        if self._connection.closed or self._connection.broken:
            return self._lost(error)
        if isinstance(error, LockLost):
            self._connection.close()  # without the lock, nothing may be written on it any more
            return error
        if left_nothing and not step.half and not step.migration.atomic and not self._transaction.outside:
            self._session.clean(self._timeouts(step))
            return RolledBack(error, error_text(error))
        committed = self._transaction.may_have_committed()  # ask before we use the connection ourselves
        connection = self.idle_connection()
        if not committed and self._transaction.was_rolled_back():
            cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps what the driver raised
            sqlstate = (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""
            return RolledBack(error, error_text(error), sqlstate)
        if outside_of_it := self._transaction.outside:
            error.add_note(f"{outside_of_it} by itself: what it did there is not known, and is not rolled back")
        # The file may have left a role that can neither see nor write our tables.
        self._session.clean(self._timeouts(step))
        if not isinstance(error, MigrationFailed):
            for name in sorted(self._invalid_indexes(connection) - invalid):
                error.add_note(f"it left the invalid index {name}: drop it before the next try")
        return HalfDone(error, error_text(error))

    def _refuse_lost(self, connection: WatchedConnection) -> str | None:
        """Raise LockLost when the session does not hold the lock any more: a file may release all locks.

        Returns the id of the open transaction; None when none is open, or when it has written nothing yet.
        """
        row = connection.cursor(row_factory=dict_row).execute(sql.SESSION, [sql.LOCK_KEY]).fetchone()
        if row is None or not row["has_lock"]:
            raise LockLost(
                "the migration lock was given away in the session that held it",
                service=self._service.name,
                hint="a migration must not call pg_advisory_unlock_all(): unlock by name what the file has locked",
            )
        transaction: str | None = row["transaction"]
        return transaction

    def _invalid_indexes(self, connection: psycopg.Connection[Any]) -> set[str]:
        with connection.cursor(row_factory=tuple_row) as cursor:
            return {str(name) for (name,) in cursor.execute(sql.INVALID_INDEXES)}

    def _refuse_invalid_index(self, step: Step, before: set[str]) -> None:
        """Raise MigrationFailed when the step left an invalid index. Called before the step is recorded.

        `before` are the indexes that were invalid when the step began. One of them counts too if the file names it:
        CREATE INDEX CONCURRENTLY IF NOT EXISTS does nothing when an earlier try left an invalid index of that name.
        """
        if self._transaction.is_one_transaction and not self._transaction.may_have_committed():
            return  # an index can only become invalid where something is committed before it is complete
        text = step.migration.text.decode(errors="replace")
        found = self._invalid_indexes(self._connection)
        broken = {name for name in found if name not in before or name.rpartition(".")[2].strip('"') in text}
        if broken:
            raise MigrationFailed(
                f"the index {redact(', '.join(sorted(broken)))} is invalid; {step.migration.id} counts as not done",
                service=self._service.name,
                migration=step.migration.id,
                hint="drop the index and run again; more: dataops docs operations an-invalid-index",
            )


__all__ = ["PostgresLocked", "lock"]
