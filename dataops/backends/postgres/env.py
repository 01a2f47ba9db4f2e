"""Makes a bare `alembic -n SERVICE ...` use our lock and our journal. Projects import it from `dataops.alembic`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import alembic.context
import psycopg
from alembic import context
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError
from psycopg.rows import DictRow
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from dataops import config
from dataops.backends import HalfDone, StepFailed
from dataops.backends.locking import begin_under_lock
from dataops.backends.postgres import PostgresDatabase
from dataops.backends.postgres.connection import as_dbapi
from dataops.backends.postgres.hiding import is_not_ours
from dataops.backends.postgres.locked import PostgresLocked
from dataops.backends.postgres.recording import Recorder
from dataops.backends.postgres.revising import Reviser
from dataops.backends.postgres.tables import Table
from dataops.durations import Stopwatch
from dataops.errors import DataopsError
from dataops.files import imports
from dataops.model import HALF_DONE, Author, Direction, Entry, JournalEvent, Service, State, Step
from dataops.planning import checks
from dataops.redaction import traceback_of
from dataops.text import on_one_line, visible


def run(service_name: str, **options: Any) -> None:
    """Do what the Alembic command asks, for one service. Our errors become a CommandError, which Alembic prints.

    `options` are those of Alembic's `context.configure`: `target_metadata`, `version_table`, `compare_type`,
    `include_schemas` and others. Our own tables are hidden from `check` and `revision --autogenerate`.
    """
    # Alembic has no public way to get at the EnvironmentContext behind its module `alembic.context`.
    environment: EnvironmentContext = vars(alembic.context)["_proxy"]
    if isinstance(environment, Recorder):
        context.configure(**options)
        return
    if isinstance(environment, Reviser):
        context.configure(**options)
        context.run_migrations()
        return
    if context.is_offline_mode():
        context.configure(
            **{**options, "dialect_name": "postgresql", "literal_binds": True, "transaction_per_migration": True}
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    try:
        database = PostgresDatabase(_service(service_name))
        if _changes_something(environment):
            _do(database, environment)
        else:
            _ask(database, environment, options)
    except DataopsError as error:
        raise CommandError(f"{error}\nhint: {error.hint}" if error.hint else str(error)) from error


def _changes_something(environment: EnvironmentContext) -> bool:
    """Whether the Alembic command changes the database: it has a destination, or it is `ensure_version`.

    `current`, `history -i` and `show current` only ask.
    """
    options = environment.context_opts
    return "destination_rev" in options or getattr(options.get("fn"), "__name__", "") == "do_ensure_version"


def _service(name: str) -> Service:
    ini = context.config.config_file_name
    beside = Path(ini).resolve().parent / config.FILE_NAME if ini else None
    path = beside if beside is not None and beside.is_file() else None
    return config.load(path, selected=[name]).services[0]


def _ask(database: PostgresDatabase, environment: EnvironmentContext, options: Mapping[str, Any]) -> None:
    database.read()  # raises our error, with a hint, when the server or the URL is not usable
    environment.context_opts["dont_mutate"] = True  # otherwise Alembic creates its table even for `history -i`
    record = database.our_tables().record
    hidden = {"include_name": partial(is_not_ours, record.name, options.get("include_name"))}
    raw = database.server.connect_to_ask()
    raw.answer_within = None  # autogenerate's questions about a big database may take long
    with _sqlalchemy(raw) as connection:
        context.configure(**{**options, **hidden, **_record_options(record), "connection": connection})
        context.run_migrations()


def _record_options(record: Table) -> dict[str, Any]:
    return {"version_table": record.name, "version_table_schema": record.schema or None}


def _do(database: PostgresDatabase, environment: EnvironmentContext) -> None:
    author = config.author()
    timeout = database.service.timeouts.lock
    with database.lock(author, timeout=timeout, waiting=lambda _: None, stop=lambda: False) as locked:
        for note in locked.notes:
            sys.stderr.write(on_one_line(f"warning: {database.service.name}: {note}") + "\n")
        before = begin_under_lock(locked, _checked if _runs_files(environment) else _checked_to_stamp)
        heads = before.service.heads([applied.id for applied in before.applied])
        steps = list(environment.context_opts["fn"](heads, None)) if _runs_files(environment) else []
        if steps:
            for step in steps:
                _run(locked, database.service, author, step)
            return
        with _sqlalchemy(locked.idle_connection()) as connection:
            context.configure(
                connection=connection, transaction_per_migration=True, **_record_options(locked.ours.record)
            )
            with context.begin_transaction():
                context.run_migrations()
        _journal_stamps(locked, author, before, database.read())


def _runs_files(environment: EnvironmentContext) -> bool:
    """Whether the command runs migration files. `stamp` only changes the record."""
    return getattr(environment.context_opts.get("fn"), "__name__", "") in ("upgrade", "downgrade")


def _run(locked: PostgresLocked, service: Service, author: Author, revision: Any) -> None:
    """One step, as `dataops apply` runs it, journalled before and after. Raises CommandError, and prints why."""
    id_ = (revision.to_revisions if revision.is_upgrade else revision.from_revisions)[0]
    step = Step(service.name, service.by_id[id_], Direction.APPLY if revision.is_upgrade else Direction.ROLLBACK)
    imported = imports.recorded(service, step)
    stopwatch = Stopwatch()

    def entry(event: JournalEvent, error: str = "", reason: str = "") -> Entry:
        return author.entry(
            step.migration,
            step.direction,
            event,
            seconds=stopwatch.seconds,
            error=error,
            reason=reason,
            imports=imported if event is JournalEvent.SUCCEEDED else (),
            statements=locked.sent().slowest,
        )

    locked.write(author.entry(step.migration, step.direction, JournalEvent.STARTED, reason=step.start_reason))
    try:
        locked.run(step, lambda: entry(JournalEvent.SUCCEEDED))
        return
    except StepFailed as failed:
        locked.write(entry(JournalEvent.FAILED, failed.text, HALF_DONE if isinstance(failed, HalfDone) else ""))
        sys.stderr.write(visible(traceback_of(failed.cause)))  # Alembic would print it with the secrets in it
        raise CommandError(f"{step.direction.value} {id_} failed: {visible(failed.text)}") from None


def _journal_stamps(locked: PostgresLocked, author: Author, before: State, after: State) -> None:
    """Write into the journal what `alembic stamp` changed in the record without running anything."""
    for migration in before.service.migrations:
        was, is_ = migration.id in before.applied_ids, migration.id in after.applied_ids
        if was is not is_ and after.claims.get(migration.id) is not is_:
            direction = Direction.APPLY if is_ else Direction.ROLLBACK
            locked.write(author.entry(migration, direction, JournalEvent.RESOLVED, reason="alembic stamp"))


def _checked(state: State) -> State:
    checks.check(state)
    return state


def _checked_to_stamp(state: State) -> State:
    """`alembic stamp` says what was applied to a database that is not empty."""
    checks.check(replace(state, unexplained=()))
    return state


@contextmanager
def _sqlalchemy(raw: psycopg.Connection[DictRow]) -> Iterator[Connection]:
    engine = create_engine("postgresql+psycopg://", creator=lambda: as_dbapi(raw), poolclass=StaticPool)
    with engine.connect() as connection:
        assert not connection.in_transaction()
        yield connection
