"""The part of the sandbox for PostgreSQL: performs a step in Alembic's offline mode, which needs no connection.

Alembic's offline mode writes statements with their values in them. Where it would write something else than a real run
sends (NULL for a value that is missing, or for JSON's null), the values are written as psycopg writes them, or the
statement is refused with an error.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import alembic.operations
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import Error as PsycopgError
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import CompileError, InvalidRequestError
from sqlalchemy.schema import DDLElement

from dataops.backends.postgres.backfilling.planned import PlannedBackfills
from dataops.backends.postgres.environment import Options
from dataops.backends.postgres.proxies import serving
from dataops.backends.postgres.runner import configured, own_proxies
from dataops.backends.sandbox.child import Task
from dataops.backends.sandbox.verdict import Asked, Certain
from dataops.backfill import served_by

_WRITTEN_BY_PSYCOPG = (bytes, timedelta, float, Decimal)
"""Values that SQLAlchemy writes as something else than psycopg sends: bytes as text, days as hours, NaN as a name."""


def perform(task: Task) -> None:
    """Run the function of the file, and tell each statement that it sends."""
    environment = _Environment(Config(), cast(ScriptDirectory, None), fn=lambda heads, context: [], as_sql=True)
    environment.task = task
    buffer = _Statements(task)
    environment.configure(
        dialect_name="postgresql+psycopg",
        dialect_opts=cast(Any, {"paramstyle": "named"}),
        output_buffer=cast(Any, buffer),
        literal_binds=True,
        transactional_ddl=False,
        **configured(Options(**task.arguments)),
    )
    context = EnvironmentContext.get_context(environment)
    context.autocommit_block = buffer.autocommit_block  # type: ignore[method-assign]
    context.dialect.statement_compiler = _compiler(context.dialect.statement_compiler)
    _write_statements(context, task)
    operations = Operations(context, task)
    own_proxies(task.module, operations, environment)
    with serving(operations, environment), served_by(PlannedBackfills(buffer.say)):
        task.function()


class Unbound(InvalidRequestError, Certain):
    """A text has a parameter without a value. A real run would fail with the same words."""


class Operations(alembic.operations.Operations):
    """`op`, which notes when a file asks for the connection: offline there is none, and the file may look at that."""

    def __init__(self, context: MigrationContext, task: Task) -> None:
        super().__init__(context)
        self._task = task

    def get_context(self) -> MigrationContext:
        self._task.asked = Asked.ANSWERS
        return super().get_context()


class _Environment(EnvironmentContext):
    """`context`, which notes the same."""

    task: Task

    def get_context(self) -> MigrationContext:
        self.task.asked = Asked.ANSWERS
        return super().get_context()

    def is_offline_mode(self) -> bool:
        self.task.asked = Asked.ANSWERS
        return super().is_offline_mode()


def _write_statements(context: MigrationContext, task: Task) -> None:
    """Give the context an implementation that writes statements as a real run sends them."""
    implementation = type(context.impl)

    class Writing(implementation):  # type: ignore[misc, valid-type]
        @property
        def bind(self) -> None:
            task.asked = Asked.ANSWERS  # `op.get_bind()` and all that is like it

        def _exec(
            self, construct: Any, execution_options: Any = None, multiparams: Any = None, params: Any = None
        ) -> None:
            if isinstance(construct, str):
                construct = text(construct)
            if isinstance(construct, DDLElement):
                compiled = construct.compile(dialect=self.dialect)
            else:
                compiled = construct.compile(
                    dialect=self.dialect, column_keys=[], compile_kwargs={"literal_binds": True}
                )
                if late := [*getattr(compiled, "insert_prefetch", ()), *getattr(compiled, "update_prefetch", ())]:
                    raise CompileError(f"the value of {late[0]} is computed when the statement runs")
            self.static_output(str(compiled).replace("\t", "    ").strip() + self.command_terminator)

    context.impl.__class__ = Writing


def _compiler(base: Any) -> Any:
    """The compiler of a dialect, which writes values as psycopg would send them.

    A DDL statement has its values in it in a real run as well, from SQLAlchemy's own compiler. For a part of such a
    statement, `self.statement` is None.
    """

    class Literals(base):  # type: ignore[misc]
        def render_literal_bindparam(self, bindparam: Any, **options: Any) -> Any:
            if self.statement is not None and bindparam.value is None and bindparam.callable is None:
                if bindparam.required:
                    raise Unbound(
                        f"A value is required for bind parameter {bindparam.key!r}; "
                        rf"if it is part of a text, write \:{bindparam.key}"
                    )
                if bindparam.type.should_evaluate_none:
                    return self.render_literal_value(None, bindparam.type)
            return super().render_literal_bindparam(bindparam, **options)

        def render_literal_value(self, value: Any, type_: Any) -> Any:
            if self.statement is None:
                return super().render_literal_value(value, type_)
            if isinstance(value, _WRITTEN_BY_PSYCOPG):
                return self._by_psycopg(value, type_)
            try:
                return super().render_literal_value(value, type_)
            except CompileError:
                return self._by_psycopg(value, type_)

        def _by_psycopg(self, value: Any, type_: Any) -> str:
            adapt = type_._cached_bind_processor(self.dialect)
            try:
                return sql.Literal(adapt(value) if adapt else value).as_string(None)
            except PsycopgError as error:
                raise CompileError(f"psycopg cannot write the value of type {type(value).__name__}: {error}") from error

    return Literals


class _Statements(io.StringIO):
    """Tells the statements that Alembic writes in offline mode.

    Alembic writes each statement, its terminator and the blank lines after it with a call each.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task
        self._in_transaction = True

    def write(self, text: str) -> int:
        statement = inspect.cleandoc(text).rstrip(";").rstrip()
        if statement:
            self.say(statement)
        return len(text)

    def say(self, statement: str, backfill: dict[str, Any] | None = None) -> None:
        """Tell a statement, or a backfill, which is in no transaction of the file."""
        inside = self._in_transaction and backfill is None
        told = {"backfill": backfill} if backfill is not None else {}
        self._task.tell({"text": statement, "line": self._line(), "in_transaction": inside, **told})

    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        """Replaces Alembic's own method, so that we know which statements are inside of the block."""
        self._in_transaction = False
        try:
            yield
        finally:
            self._in_transaction = True

    def _line(self) -> int:
        frame = inspect.currentframe()
        while frame is not None and frame.f_code.co_filename != str(self._task.path):
            frame = frame.f_back
        return 0 if frame is None else frame.f_lineno


__all__ = ["perform"]
