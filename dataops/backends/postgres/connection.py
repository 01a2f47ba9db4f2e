"""Connections to one PostgreSQL database, and what their errors mean for a person."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import psycopg
from psycopg import conninfo
from psycopg.adapt import AdaptersMap
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import DictRow, dict_row, tuple_row

from dataops.backends.postgres import scram, sql
from dataops.backends.postgres.environment import options_of
from dataops.errors import ConfigError, DataopsError, LockNotObtained, PermissionDenied, Refused, Unreachable
from dataops.kinds import POSTGRESQL
from dataops.model import Service
from dataops.redaction import message_of, redact

MINIMUM_VERSION = 140000
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
UNANSWERED = 60_000  # milliseconds after which a network that swallows packets counts as a connection that is lost
_ANSWER_SECONDS = 10.0  # for a server that is connected and does not answer a short question, beside `timeouts.connect`
_LOOK_LOCK_MILLISECONDS = 500
_LOOK_MILLISECONDS = 2000
_NO_RIGHTS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidSchemaName,  # no schema of the search_path may be used
)


@dataclass(frozen=True)
class SearchPath:
    """The search_path of a connection as at connect.

    `schemas` are those that exist and may be used, without the server's own; `named` are all that it names.
    `from_url` says that the URL sets it, and no default of the server, the database or the role.
    """

    schemas: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    from_url: bool = False

    @property
    def shield(self) -> str:
        """SQL that sets what our own statements need: a search_path as at connect, but with pg_catalog first.

        A table `pg_locks` or an operator in a schema of the application must not answer instead of the server's.
        psycopg reads times in the DateStyle ISO only, and a database, a role or PGDATESTYLE may say another one.
        """
        schemas = ", ".join(map(sql.quoted, self.schemas)) or "pg_catalog"
        return f"SET datestyle = 'ISO'; SET search_path = {schemas}, pg_temp"


_ADAPTERS = AdaptersMap(psycopg.adapters)
"""psycopg's own, as they are before a migration file changes them for the whole process."""
_PREPARED_MAX = 100  # psycopg's default
_IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


class _WatchedCursor(psycopg.Cursor[DictRow]):
    """A cursor that tells its connection of a ROLLBACK in the text that it sends."""

    def execute(self, *args: Any, **more: Any) -> Self:
        connection = self.connection
        assert isinstance(connection, WatchedConnection)
        before = connection.commits, connection.rollbacks
        super().execute(*args, **more)
        if connection.commits != before[0]:
            answers = [self.statusmessage]
            while self.nextset():  # a text of several statements
                answers.append(self.statusmessage)
            if connection.rollbacks == before[1]:
                connection.rollbacks += "ROLLBACK" in answers
            connection.prepared += "PREPARE TRANSACTION" in answers
            if answers == ["ROLLBACK"]:
                connection.commits = before[0]
        return self


class WatchedConnection(psycopg.Connection[DictRow]):
    """A connection that counts how often something may have been committed on it, and how often it was rolled back.

    All commits and rollbacks go through `wait`: one in the text of a file, psycopg's own methods, and every statement
    in autocommit, which may commit. Only psycopg's `rollback()` certainly commits nothing; it does not count as a
    rollback where the server says that the transaction has written nothing. While `stays_open` is True, `close()` does
    nothing: SQLAlchemy's pool closes every connection that it gets back, and one of them holds our lock.
    """

    commits = 0
    rollbacks = 0
    prepared = 0
    """How often a transaction was left to somebody else, by PREPARE TRANSACTION."""
    stays_open = False
    answer_within: float | None = None
    """Seconds in which the server has to answer each question; None means no limit, as for the SQL of a migration."""
    _rolls_back = False
    _path: SearchPath | None = None
    _is_shielded = False
    _own_adapters: AdaptersMap | None = None
    _handlers: tuple[tuple[Callable[[Any], None], Any], ...] = ()

    @property
    def adapters(self) -> AdaptersMap:
        if self._own_adapters is None:
            self._own_adapters = AdaptersMap(_ADAPTERS)
        return self._own_adapters

    def add_notice_handler(self, callback: Callable[[psycopg.errors.Diagnostic], None]) -> None:
        super().add_notice_handler(callback)
        self._handlers += ((self.remove_notice_handler, callback),)

    def add_notify_handler(self, callback: Callable[[psycopg.Notify], None]) -> None:
        super().add_notify_handler(callback)
        self._handlers += ((self.remove_notify_handler, callback),)

    def as_at_connect(self) -> None:
        """Take back what SQLAlchemy and a migration file have set on this object. Not inside a transaction."""
        if not self.autocommit:
            self.autocommit = True
        self.isolation_level = self.read_only = self.deferrable = None
        self.end_file()
        self.row_factory = dict_row

    def end_file(self) -> None:
        """Take back what a migration file has set, but the state of its transaction. Rows are as SQLAlchemy needs them.

        A type that the file reads in its own way would otherwise come to us in that way too.
        """
        as_tuples(self)
        self.cursor_factory, self.server_cursor_factory = _WatchedCursor, psycopg.ServerCursor
        self.prepare_threshold, self.prepared_max = None, _PREPARED_MAX
        self._own_adapters = None
        for remove, handler in self._handlers:
            with suppress(ValueError):  # the file has removed it already
                remove(handler)
        self._handlers = ()

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.cursor_factory = _WatchedCursor

    def shielded(self) -> SearchPath:
        """Set the search_path for our own questions, and return what it was. It is read once for a connection."""
        if self._path is None:
            row = self.execute(sql.PATH).fetchone()
            assert row is not None
            # pg_settings is slow in a new session, and without options there is nothing that the URL could have set.
            source = self.execute(sql.PATH_SOURCE).fetchone() if self.info.options else None
            self._path = SearchPath(
                tuple(name for name in row["schemas"] if name != "pg_catalog" and not name.startswith("pg_temp")),
                frozenset(re.sub(r'["\s]', "", row["setting"]).replace("$user", row["me"]).split(",")),
                from_url=source is not None and source["source"] == "client",
            )
        if not (self._is_shielded and self.read_only):  # on a connection that only asks nobody else changes it
            self.execute(self._path.shield.encode())
            self._is_shielded = True
        return self._path

    def ask(self, query: str) -> psycopg.RawCursor[tuple[Any, ...]]:
        """The rows that a query of a person's own gives. It must not write, on this connection that only asks.

        It goes with a value, which it does not use: then the server takes one statement only. In a text of several,
        a COMMIT would end the transaction that cannot write.
        """
        return psycopg.RawCursor(self, row_factory=tuple_row).execute(query.encode(), [0])

    def wait(self, *args: Any, **more: Any) -> Any:
        """Count a commit where one may have happened. psycopg makes every exchange with the server through here."""
        before = self.pgconn.transaction_status
        if self.answer_within is not None:
            args = (self._limited(args[0], self.answer_within), *args[1:])
        answer = super().wait(*args, **more)  # a statement that raises has committed nothing
        now_idle = self.pgconn.transaction_status == TransactionStatus.IDLE
        if now_idle and not self._rolls_back and (before in _IN_TRANSACTION or self.autocommit):
            self.commits += 1
            self.rollbacks += before == TransactionStatus.INERROR  # the server answers its COMMIT with ROLLBACK
        return answer

    def _limited(self, exchange: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
        """The same exchange with the server, which fails when it has no answer in time. psycopg wakes it up often.

        A server that hangs while its machine is well answers TCP's keepalives: only a clock of our own notices it.
        """
        deadline = time.monotonic() + seconds
        try:
            wanted = next(exchange)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()  # the answer may still come, and would be taken for that of the next question
                    raise psycopg.OperationalError(f"the server did not answer within {seconds:g} s")
                wanted = exchange.send(ready)
        except StopIteration as end:
            return end.value

    def end_exchange(self) -> bool:
        """Close the connection if a file has left a COPY or a pipeline open on it: no statement can be sent any more.

        Returns whether it did. The server rolls back the transaction, and releases the lock.
        """
        is_open = self.pgconn.pipeline_status != PipelineStatus.OFF
        is_open = is_open or self.pgconn.transaction_status == TransactionStatus.ACTIVE
        if is_open:
            self.pgconn.finish()
            self.lock = threading.Lock()  # psycopg holds it for as long as a COPY is open
        return is_open

    def rollback(self) -> None:
        if self.end_exchange() or self.closed:
            return
        status = self.pgconn.transaction_status
        if status == TransactionStatus.INERROR or (status == TransactionStatus.INTRANS and self._has_written()):
            self.rollbacks += 1
        self._rolls_back = True
        try:
            super().rollback()
        finally:
            self._rolls_back = self._is_shielded = False

    def _has_written(self) -> bool:
        with self.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL").fetchone()
        return row == (True,)

    def close(self) -> None:
        if not self.stays_open:
            super().close()


class Server:
    """How to reach the database of one service. It opens connections and keeps none of them."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @cached_property
    def address(self) -> str:
        """Host, port and database, as the URL names them."""
        given = conninfo.conninfo_to_dict(self.service.url)
        host = given.get("host") or given.get("hostaddr") or "the default socket"
        return f"{host}:{given.get('port') or 5432}/{given.get('dbname') or given.get('user') or ''}"

    def connect(self, name: str = "dataops") -> WatchedConnection:
        """A new connection in autocommit, which is the caller's to close; `name` is its application_name.

        Raises ConfigError, Unreachable, PermissionDenied.
        """
        try:
            given = conninfo.conninfo_to_dict(self.service.url)
        except (psycopg.Error, UnicodeError) as error:
            unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
            if unknown:
                raise ConfigError(
                    f"the URL has the parameter {unknown[1]}, which PostgreSQL's own client does not know",
                    service=self.service.name,
                    hint="take it out: it is meant for another client; for a schema of your own write "
                    "?options=-csearch_path%3DSCHEMA, for TLS ?sslmode=require",
                ) from None
            # The parser's message may quote a piece of the password.
            raise ConfigError(
                "the URL is not a valid PostgreSQL URL",
                service=self.service.name,
                hint="characters such as @ : / % in a password have to be escaped: %40 %3A %2F %25",
            ) from None
        defaults: dict[str, Any] = {"connect_timeout": max(2, round(self.service.timeouts.connect)), **KEEPALIVES}
        defaults["tcp_user_timeout"] = UNANSWERED
        settings = {key: value for key, value in defaults.items() if key not in given}
        settings["application_name"] = name[:63]
        settings["client_encoding"] = "utf8"  # with SQL_ASCII, texts would come as bytes

        def connect(keys: Mapping[str, str]) -> WatchedConnection:
            more = {**settings, **keys}
            return WatchedConnection.connect(self.service.url, row_factory=dict_row, autocommit=True, **more)

        try:
            in_fleet = self.service.member is not None
            connection = scram.signed_in(connect, {**given, **settings}) if in_fleet else connect({})
        except psycopg.Error as error:
            raise self._unreachable(error) from error
        if connection.info.server_version < MINIMUM_VERSION:
            version = connection.info.server_version
            connection.close()
            raise ConfigError(
                f"PostgreSQL {version // 10000} is too old", service=self.service.name, hint="dataops needs 14 or newer"
            )
        return connection

    @property
    def answer_within(self) -> float:
        """Seconds in which the server has to answer a short question of ours."""
        return self.service.timeouts.connect + _ANSWER_SECONDS

    def connect_to_ask(self) -> WatchedConnection:
        """A new read-only connection, which is the caller's to close."""
        connection = self.connect()
        connection.answer_within = self.answer_within
        try:
            # Whoever holds one of our tables does not make a question hang.
            connection.execute(f"SET lock_timeout = {round(self.service.timeouts.connect * 1000)}")
            connection.autocommit = False
            connection.read_only = True
        except psycopg.Error as error:
            connection.close()
            raise self.explained(error, connection) from error
        return connection

    def connect_to_look(self) -> WatchedConnection:
        """A new read-only connection for many small questions, each a transaction; it is the caller's to close."""
        connection = self.connect()
        connection.answer_within = self.answer_within
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET lock_timeout = {_LOOK_LOCK_MILLISECONDS}")
        connection.execute(f"SET statement_timeout = {_LOOK_MILLISECONDS}")
        return connection

    @contextmanager
    def asking(self, *, long: bool = False) -> Iterator[WatchedConnection]:
        """A new connection for questions: all of them see one snapshot, and the server refuses to write anything.

        `long` means that an answer may take as long as it takes. Otherwise it has to come within `answer_within`.
        """
        connection = self.connect_to_ask()
        try:
            if long:
                connection.answer_within = None
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.shielded()
            yield connection
        except (psycopg.Error, UnicodeError) as error:
            raise self.explained(error, connection) from error
        finally:
            connection.close()

    @contextmanager
    def explaining(self, connection: WatchedConnection) -> Iterator[None]:
        """Raise our own errors for those of the driver."""
        try:
            yield
        except (psycopg.Error, UnicodeError) as error:
            raise self.explained(error, connection) from error

    def _held(self, connection: psycopg.Connection[DictRow]) -> LockNotObtained:
        """Who holds one of our tables, so that it cannot even be read, or another table that we look at."""
        connection.rollback()
        names = [*POSTGRESQL.ours, options_of(self.service).version_table]
        what, held = "our tables cannot be read", connection.execute(sql.TABLE_HOLDERS, {"names": names, "all": False})
        rows = held.fetchall()
        if not rows:
            what = "somebody changes the database"
            rows = connection.execute(sql.TABLE_HOLDERS, {"names": names, "all": True}).fetchall()
        told = [
            f"{row['tables']} is held by process {row['pid']} ({row['name'] or 'without a name'}, user {row['who']})"
            for row in rows
        ]
        return LockNotObtained(
            f"{what}: {redact('; '.join(told)) or 'a table was held'}",
            service=self.service.name,
            hint="wait for that session to end its transaction, or end it: SELECT pg_terminate_backend(PROCESS)",
        )

    def explained(self, error: psycopg.Error | UnicodeError, connection: WatchedConnection) -> DataopsError:
        """Our error for one that psycopg raised on this connection. A UnicodeError is about a server's answer.

        If somebody holds a table of ours, the server is asked who it is.
        """
        if isinstance(error, psycopg.errors.LockNotAvailable):
            with suppress(psycopg.Error):  # then the first error has to do
                return self._held(connection)
        if isinstance(error, _NO_RIGHTS):
            return PermissionDenied(
                error_text(error),
                service=self.service.name,
                hint="what each command needs: dataops docs operations rights",
            )
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return Unreachable(
                error_text(error),
                service=self.service.name,
                hint="a standby, or a database or user set to read only: use the address of the primary",
            )
        if isinstance(error, psycopg.OperationalError):
            return Unreachable(error_text(error), service=self.service.name, hint="run again when the server is well")
        return Refused(error_text(error), service=self.service.name)

    def _unreachable(self, error: psycopg.Error) -> Unreachable:
        # libpq tries every address of a host name and writes a line for each. The last line with a reason is enough.
        lines = [line.strip() for line in message_of(error).splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(("Is the server", "Multiple connection"))] or lines
        text = lines[-1] if lines else type(error).__name__
        if any(sign in str(error) for sign in ("authentication failed", "no password supplied", "pg_hba.conf")):
            return PermissionDenied(
                f"{self.address} refuses the user: {text}",
                service=self.service.name,
                hint="check the user and the password in the URL",
            )
        if re.search(r"\binvalid (\w+ )?(value|number)", str(error)):
            raise ConfigError(
                f"the URL is not usable: {text}",
                service=self.service.name,
                hint="look at the options in the URL, and at the variables of libpq (PGSSLMODE, PGTZ, ...)",
            ) from error
        hint = "is the server up and the address right? dataops apply --wait 60s waits for a server that is starting"
        if "does not exist" in str(error):
            hint = "check the names of the database and the user in the URL"
        return Unreachable(f"cannot connect to {self.address}: {text}", service=self.service.name, hint=hint)


def as_dbapi(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Make a connection as SQLAlchemy expects it: idle, not in autocommit, and with rows as tuples."""
    assert connection.info.transaction_status is TransactionStatus.IDLE
    connection.autocommit = False
    as_tuples(connection)
    return connection


def as_tuples(connection: psycopg.Connection[Any]) -> None:
    """Rows as SQLAlchemy needs them. Our own questions say with each cursor that they want rows as dicts."""
    connection.row_factory = tuple_row


def error_text(error: BaseException) -> str:
    """One line without secrets: the class of the error, the server's message and detail, the statement, the notes."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps what the driver raised
    text = " ".join(message_of(cause).split("\n")[0].split()) or type(cause).__name__
    detail = getattr(getattr(cause, "diag", None), "message_detail", None)
    statement = getattr(error, "statement", None)
    text = f"{type(cause).__name__}: {text}"
    text += f" ({redact(detail)})" if detail else ""
    text += f" in: {' '.join(redact(str(statement)).split())[:300]}" if statement else ""
    return text + "".join(f"; {redact(str(note))}" for note in getattr(error, "__notes__", ()))


__all__ = ["KEEPALIVES", "SearchPath", "Server", "WatchedConnection", "as_dbapi", "as_tuples", "error_text"]
