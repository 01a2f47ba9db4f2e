"""For pg_migrations/*/env.py: what a bare `alembic -n SERVICE ...` does goes through our lock and journal.

from dataops.backends.postgres.env import run

run("shop")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import alembic.context
import psycopg
from alembic import context
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError
from psycopg.rows import DictRow
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from dataops import config
from dataops.backends.journal import to_fields
from dataops.backends.locking import examined
from dataops.backends.postgres import PostgresDatabase, sql
from dataops.backends.postgres.connection import as_dbapi, error_text
from dataops.durations import Stopwatch
from dataops.errors import DataopsError
from dataops.model import Author, Direction, Entry, JournalEvent, Migration, Service, State
from dataops.planning import checks


def run(service_name: str) -> None:
    """Do Alembic's work for one service. Errors of ours become Alembic's one-line FAILED."""
    environment: EnvironmentContext = vars(alembic.context)["_proxy"]
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    try:
        database = PostgresDatabase(_service(service_name))
        if _changes_something(environment):
            _do(database, environment)
        else:
            _ask(database, environment)
    except DataopsError as error:
        raise CommandError(f"{error}\nhint: {error.hint}" if error.hint else str(error)) from error


def _changes_something(environment: EnvironmentContext) -> bool:
    """Only what has a destination does (and `ensure_version`); `current`, `history -i`, `show current` ask."""
    options = environment.context_opts
    return "destination_rev" in options or getattr(options.get("fn"), "__name__", "") == "do_ensure_version"


def _service(name: str) -> Service:
    ini = context.config.config_file_name
    beside = Path(ini).resolve().parent / config.FILE_NAME if ini else None
    path = beside if beside is not None and beside.is_file() else None
    return config.load(path, selected=[name]).services[0]


def _ask(database: PostgresDatabase, environment: EnvironmentContext) -> None:
    database.read()  # refuses a server or a URL in our words
    environment.context_opts["dont_mutate"] = True  # else Alembic creates its table, also for `history -i`
    with _sqlalchemy(database.server.connect_to_ask()) as connection:
        context.configure(connection=connection)
        context.run_migrations()


def _do(database: PostgresDatabase, environment: EnvironmentContext) -> None:
    author = config.author()
    timeout = database.service.timeouts.lock
    with database.lock(author, timeout=timeout, waiting=lambda _: None, stop=lambda: False) as locked:
        before = examined(locked, _checked)
        raw = locked.idle_connection()
        journal = _Journal(raw, database.service, author)
        with _sqlalchemy(raw) as connection:
            context.configure(
                connection=connection,
                transaction_per_migration=True,
                on_version_apply=cast(Any, journal.applied),
                fn=journal.watching(environment.context_opts["fn"]),
            )
            try:
                with context.begin_transaction():
                    context.run_migrations()
            except Exception as error:
                connection.rollback()
                journal.failed(error_text(error))
                raise
        journal.stamped(before, database.read())


def _checked(state: State) -> State:
    checks.check(state)
    return state


@contextmanager
def _sqlalchemy(raw: psycopg.Connection[DictRow]) -> Iterator[Connection]:
    engine = create_engine("postgresql+psycopg://", creator=lambda: as_dbapi(raw), poolclass=StaticPool)
    with engine.connect() as connection:
        assert not connection.in_transaction()
        yield connection


class _Journal:
    """The entries of a bare Alembic run: started before a step, succeeded in its own transaction."""

    def __init__(self, raw: psycopg.Connection[DictRow], service: Service, author: Author) -> None:
        self._raw = raw
        self._service = service
        self._author = author
        self._running: Entry | None = None
        self._stopwatch = Stopwatch()

    def watching(self, fn: Any) -> Any:
        def steps(heads: Any, migration_context: Any) -> Iterator[Any]:
            for step in fn(heads, migration_context):
                if not step.info.is_stamp:
                    revision = (step.to_revisions if step.is_upgrade else step.from_revisions)[0]
                    direction = Direction.APPLY if step.is_upgrade else Direction.ROLLBACK
                    self._start(self._service.by_id[revision], direction)
                yield step

        return steps

    def applied(self, *, step: Any, **_: Any) -> None:
        if not step.is_stamp and self._running is not None:
            seconds = self._stopwatch.seconds
            self._raw.execute(
                sql.WRITE, to_fields(replace(self._running, event=JournalEvent.SUCCEEDED, seconds=seconds))
            )
            self._running = None

    def failed(self, error: str) -> None:
        if self._running is not None:
            self._write(replace(self._running, event=JournalEvent.FAILED, error=error))

    def stamped(self, before: State, after: State) -> None:
        """`alembic stamp` changes the record without running anything: journal what it now says."""
        for migration in self._service.migrations:
            was, is_ = migration.id in before.applied_ids, migration.id in after.applied_ids
            if was is not is_ and after.claims.get(migration.id) is not is_:
                direction = Direction.APPLY if is_ else Direction.ROLLBACK
                self._write(self._author.entry(migration, direction, JournalEvent.RESOLVED, reason="alembic stamp"))

    def _start(self, migration: Migration, direction: Direction) -> None:
        self._running = self._author.entry(migration, direction, JournalEvent.STARTED)
        self._stopwatch = Stopwatch()
        self._write(self._running)

    def _write(self, entry: Entry) -> None:
        self._raw.execute(sql.WRITE, to_fields(entry))
        self._raw.commit()
