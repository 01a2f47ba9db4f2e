"""For pg_migrations/*/env.py: what a bare `alembic -n SERVICE ...` does goes through our lock and journal.

from dataops.backends.postgres.env import run

run("shop")
"""

from __future__ import annotations

import time
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
from dataops.backends.postgres import PostgresBackend, as_dbapi, journal_row, sql, with_seconds
from dataops.errors import DataopsError
from dataops.model import Author, Direction, Entry, JournalEvent, Migration, Service, State
from dataops.planning import checks, recovery


def run(service_name: str) -> None:
    """Alembic's work for one service. Errors of ours become Alembic's one-line FAILED."""
    environment: EnvironmentContext = vars(alembic.context)["_proxy"]
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    try:
        backend = PostgresBackend(_service(service_name))
        if _changes_something(environment):
            _do(backend, environment)
        else:
            _ask(backend, environment)
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


def _ask(backend: PostgresBackend, environment: EnvironmentContext) -> None:
    backend.read()  # refuses a server or a URL in our words
    environment.context_opts["dont_mutate"] = True  # else Alembic creates its table, also for `history -i`
    with _sqlalchemy(backend.asking_connection()) as connection:
        context.configure(connection=connection)
        context.run_migrations()


def _do(backend: PostgresBackend, environment: EnvironmentContext) -> None:
    author = config.author()
    timeout = backend.service.timeouts.lock
    with backend.lock(author, timeout=timeout, waiting=lambda _: None, stop=lambda: False):
        before = backend.read()
        checks.check(before)
        recovery.refuse_interrupted(before, locked=True)
        ended = recovery.missing_end(before)
        if ended is not None:
            backend.write(ended)
        raw = backend.connection
        journal = _Journal(raw, backend.service, author)
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
                journal.failed(backend.error_text(error))
                raise
        journal.stamped(before, backend.read())


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
        self._since = 0.0

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
            done = with_seconds(replace(self._running, event=JournalEvent.SUCCEEDED), self._since)
            self._raw.execute(sql.WRITE, journal_row(done))
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
        self._since = time.monotonic()
        self._write(self._running)

    def _write(self, entry: Entry) -> None:
        self._raw.execute(sql.WRITE, journal_row(entry))
        self._raw.commit()
