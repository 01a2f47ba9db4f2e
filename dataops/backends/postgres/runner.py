"""Runs one migration file with Alembic. `offline` does the same for a file that is only looked at.

A file is executed from exactly the text whose checksum was taken. It gets an `op` and a `context` of its own, because
Alembic's module-level proxies are global, and services run side by side in threads.
"""

from __future__ import annotations

import re
import time
import types
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import alembic.context
import alembic.op
import psycopg
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import Revision, RevisionMap
from psycopg.rows import DictRow
from sqlalchemy import Engine, MetaData, event

from dataops.backends.loading import function_name, function_of, load_module
from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.engine import Another, MigrationEngine
from dataops.backends.postgres.environment import Options, options_of
from dataops.backends.postgres.proxies import serving
from dataops.backends.postgres.sql import quoted
from dataops.backends.postgres.tables import OurTables, Table
from dataops.model import Direction, Service, Step
from dataops.statements import Statement, Tally, has_listeners, report, without_values


class Runner:
    """Runs steps on the connection that holds the lock."""

    def __init__(
        self, service: Service, connection: WatchedConnection, another: Another, record: Table, tally: Tally
    ) -> None:
        """`another` opens the further connections that a migration takes from its engine. `tally` counts statements."""
        self._service = service
        self._connection = connection
        self._another = another
        self._record = record
        self._tally = tally

    def run(
        self,
        step: Step,
        *,
        before: Callable[[], None],
        after: Callable[[], None],
        record: Callable[[], None],
        reach_out: Callable[[str], None],
    ) -> None:
        """Run a step: the change, the row in the record and what `record` writes are one transaction.

        Only the file itself can end that transaction early. `before` is called first in it. `after` is called when the
        file is done and we have not written anything yet. All three work on the same connection, and may raise.
        `reach_out` is called before a statement that lets the server connect to a database.
        """
        # An engine for each step: listeners and options that a file leaves on it would act on the next file too.
        engine = MigrationEngine(self._service.url, self._connection, self._another)
        listener = _Listener(engine.engine, self._service.name, self._tally, reach_out)
        with engine.connected() as connection:

            def at_the_end(*_: Any, **__: Any) -> None:  # Alembic passes arguments that we do not need
                record()

            module = load_module(self._service, step.migration)
            _surround(module, step, before, after, listener)
            environment = EnvironmentContext(
                Config(),
                cast(ScriptDirectory, None),  # Alembic would look for files in it, but `fn` gives it the steps
                fn=lambda heads, context: [_revision_step(self._service, step, module)],
            )
            environment.configure(
                connection=connection,
                transaction_per_migration=True,
                on_version_apply=at_the_end,
                version_table=self._record.name,
                version_table_schema=self._record.schema,
                **configured(options_of(self._service)),
            )
            context = environment.get_context()
            operations = Operations(context)
            own_proxies(module, operations, environment)
            with serving(operations, environment):
                context.run_migrations()
            if connection.in_transaction():
                # The file has ended Alembic's transaction. What came after that, our record included, is in one that
                # Alembic knows nothing of, and would be lost.
                connection.commit()


_CHANGES = ("INSERT", "UPDATE", "DELETE", "MERGE")
_READS = re.compile(
    r"""
    (?: \s | --[^\n]*\n | /\*[^*]*\*+(?:[^/*][^*]*\*+)*/ )*  # not possessive: Python 3.11 has bugs there before 3.11.5
    (?: BEGIN | CLOSE | COMMIT | DECLARE | FETCH | LISTEN | RELEASE | RESET | ROLLBACK | SAVEPOINT | SET | SHOW | START
      | (?:SELECT | TABLE | VALUES) \b (?! .* \bINTO\b )
      | WITH \b (?! .* \b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b )
      | EXPLAIN \b (?! .* \bANALY[SZ]E\b )
    ) \b
    (?! .* ; \s* \S )  # several statements at once are not read one by one
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def may_write(statement: str) -> bool:
    """Whether a statement is not certainly a read. A SELECT counts as one, although its functions may write."""
    return _READS.match(statement) is None


class _Listener:
    """Counts each statement of a migration when it is sent, and reports it when it has ended, without values.

    It is a context manager: statements that are sent outside of its scope are ours, and do not count.
    """

    def __init__(self, engine: Engine, service: str, tally: Tally, reach_out: Callable[[str], None]) -> None:
        self._service = service
        self._tally = tally
        self._reach_out = reach_out
        self._entered = False
        self._began = 0
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "handle_error", self._failed)

    def __enter__(self) -> None:
        self._entered = True

    def __exit__(self, *_: object) -> None:
        self._entered = False

    def _before(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if self._entered:
            if "dblink" in statement.lower():  # commits in a session of its own, of which nothing can be asked
                self._reach_out("it calls dblink")
            self._tally.send(statement, writes=may_write(statement))
            self._began = time.time_ns()

    def _after(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        status = cursor.statusmessage or ""
        made = status.startswith("SELECT") and cursor.description is None  # CREATE TABLE AS, SELECT INTO
        changed = cursor.rowcount if made or status.startswith(_CHANGES) else None
        if self._entered and changed:
            self._tally.change(changed)
        self._report(statement, status, changed=changed, connection=cursor.connection)

    def _failed(self, context: Any) -> None:
        self._report(context.statement or "", "", error=type(context.original_exception).__name__)

    def _report(
        self, statement: str, status: str, *, changed: int | None = None, error: str = "", connection: Any = None
    ) -> None:
        if self._entered:
            self._tally.spend(statement, (time.time_ns() - self._began) / 1e9)
        if self._entered and has_listeners():
            report(
                Statement(
                    service=self._service,
                    operation=re.sub(r"[ \d]+$", "", status),
                    text=without_values(statement),
                    began=self._began,
                    seconds=(time.time_ns() - self._began) / 1e9,
                    changed=changed,
                    error=error,
                    connection=connection,
                )
            )


def stamp(connection: psycopg.Connection[DictRow], ours: OurTables, heads: Sequence[str]) -> None:
    """Set the record to these revisions in the caller's transaction; without any, nothing is applied."""
    constraint = quoted(f"{ours.record.name}_pkc").replace("%", "%%")
    ours.execute(
        connection,
        "CREATE TABLE IF NOT EXISTS {record} "
        f"(version_num varchar(32) NOT NULL, CONSTRAINT {constraint} PRIMARY KEY (version_num))",
    )
    ours.execute(connection, "DELETE FROM {record}")
    for head in heads:
        ours.execute(connection, "INSERT INTO {record} (version_num) VALUES (%s)", [head])


def _surround(
    module: types.ModuleType,
    step: Step,
    before: Callable[[], None],
    after: Callable[[], None],
    around: AbstractContextManager[object],
) -> None:
    """Replace the file's function with one that calls `before` and `after` too, and migrates inside of `around`."""
    migrate = function_of(module, step)

    def run() -> None:
        before()
        with around:
            migrate()
        after()

    setattr(module, function_name(step), run)


def configured(options: Options) -> dict[str, Any]:
    """The options of a project as Alembic's `configure` takes them, as far as they matter for a step."""
    # Of the metadata, operations use the naming convention only.
    metadata = MetaData(naming_convention=dict(options.naming)) if options.naming else None
    return {"target_metadata": metadata, "render_as_batch": options.render_as_batch}


def own_proxies(module: types.ModuleType, operations: Operations, environment: EnvironmentContext) -> None:
    """Replace `alembic.op` and `alembic.context` in a file with objects of this step. See ADR 4."""
    for name, value in list(vars(module).items()):
        if value is alembic.op:
            setattr(module, name, operations)
        elif value is alembic.context:
            setattr(module, name, environment)


def _revision_step(service: Service, step: Step, module: types.ModuleType) -> RevisionStep:
    """The step as Alembic wants it. Its map has this file and those before it, without reading any other file.

    Where the history has no branches, the parent is enough.
    """
    migration = step.migration
    if not hasattr(module, "downgrade"):  # Alembic reads this function even when it only upgrades
        module.downgrade = lambda: None  # type: ignore[attr-defined]
    revision = Script(module, migration.id, str(migration.path))
    revision.dependencies = migration.needs or None  # as ids: the map has the files without their labels
    if service.forked:
        others = [
            Revision(one.id, one.parents or None, dependencies=one.needs or None)
            for one in service.migrations[: service.position[migration.id]]
        ]
    else:
        others = [Revision(migration.parent, None)] if migration.parent else []
    revisions = RevisionMap(lambda: [*others, revision])
    revisions.get_revisions((migration.id,))
    return RevisionStep(revisions, revision, step.direction is Direction.APPLY)


__all__ = ["Runner", "configured", "may_write", "own_proxies", "stamp"]
