"""The process in which Alembic itself writes a migration file of a project. See `revision`.

It is Alembic's own `revision`, with the project's script.py.mako, env.py and section of alembic.ini. With a database,
whatever env.py connects to is a read-only connection to it, synchronous or not. Our tables are hidden from the
comparison, and where there is nothing to write, nothing is written.
"""

from __future__ import annotations

import argparse
import logging
import logging.config
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import alembic.command
import alembic.context
import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.pool import StaticPool

from dataops.backends.postgres.connection import Server, as_dbapi
from dataops.backends.postgres.hiding import is_not_ours
from dataops.backends.postgres.recording import answering, application
from dataops.kinds import POSTGRESQL
from dataops.model import Service
from dataops.redaction import message_of


def main() -> None:
    """Answer one request."""
    answering(_answer)


class Reviser(EnvironmentContext):
    """Alembic's context, on our connection, and with our tables out of its sight."""

    connection: sqlalchemy.Connection
    record: tuple[str, str]
    stamped: bool

    def __enter__(self) -> Reviser:
        # Alembic's module `context` passes every call on to its proxy.
        vars(alembic.context).update(_proxy=self, config=self.config, script=self.script)
        self.context_opts["dont_mutate"] = True  # otherwise Alembic creates its table
        return self

    def configure(self, *arguments: Any, **options: Any) -> None:
        """Take the project's options, whatever connection it has."""
        if arguments:
            options["connection"] = arguments[0]
        if self._compares and options.get("target_metadata") is None:
            raise _NoMetadata
        name, schema = self.record
        super().configure(
            **{
                **options,
                "connection": self.connection,
                "include_name": partial(is_not_ours, name, options.get("include_name")),
                "version_table": name,
                "version_table_schema": schema or None,
                "process_revision_directives": partial(self._directives, options.get("process_revision_directives")),
            }
        )

    @property
    def _compares(self) -> bool:
        return bool(self.context_opts["revision_context"].command_args["autogenerate"])

    def _directives(self, theirs: Callable[..., None] | None, context: Any, revision: Any, directives: Any) -> None:
        if theirs is not None:
            theirs(context, revision, directives)
        if self._compares:
            directives[:] = [one for one in directives if not all(ops.is_empty() for ops in one.upgrade_ops_list)]
        if self.stamped and len(directives) == 1:
            directives[0].rev_id = _stamp()


class _NoMetadata(Exception):
    """env.py gives Alembic no metadata."""


class _Async:
    """An asynchronous connection of SQLAlchemy, as far as env.py needs one."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> _Async:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __await__(self) -> Any:
        yield from ()
        return self

    async def run_sync(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        return function(self._connection, *arguments, **more)

    async def execute(self, *arguments: Any, **more: Any) -> Any:
        return self._connection.execute(*arguments, **more)

    async def close(self) -> None:
        """It is ours to close."""

    commit = rollback = close


class _Seen(logging.Handler):
    """Keeps what the comparison says that it has found."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    env = Path(request["env"])
    sys.path[:0] = request["sys_path"]
    logging.config.fileConfig = lambda *_, **__: None
    logging.config.dictConfig = lambda *_, **__: None
    seen = _Seen()
    logger = logging.getLogger("alembic.autogenerate")
    logger.addHandler(seen)
    logger.setLevel(logging.INFO)
    made = _refuse_to_overwrite()
    try:
        with _connected(request), application(env, request["sys_path"]):
            alembic.command.revision(
                _config(request),
                message=request["message"],
                autogenerate=request["autogenerate"],
                rev_id=_stamp() if request["stamped"] else None,
                version_path=request["version_path"],
            )
    except BaseException as error:
        for path in made:
            with suppress(OSError):
                path.unlink()
        if isinstance(error, _NoMetadata):
            return {"no_metadata": True}
        if isinstance(error, OSError) and not isinstance(error, ConnectionError) and _is_written(error, request):
            return {"unwritable": str(error.filename), "why": error.strerror}
        if isinstance(error, CommandError):
            return {"error": message_of(error), "of_alembic": True}
        raise
    return {"files": [str(path) for path in made], "seen": seen.lines}


def _is_written(error: OSError, request: dict[str, Any]) -> bool:
    places = [Path(request["folder"]), *map(Path, request["versions"])]
    return error.filename is not None and any(place in Path(error.filename).parents for place in places)


def _config(request: dict[str, Any]) -> Config:
    options = argparse.Namespace(
        autogenerate=request["autogenerate"], config=request["ini"], cmd=(alembic.command.revision, [], []),
        message=request["message"], name=request["section"], quiet=True, raiseerr=True, rev_id=None, sql=False, x=None,
    )  # fmt: skip
    where = {"file_": request["ini"]} if request["ini"] and not request["ini"].endswith(".toml") else {}
    if request["ini"] and not where:
        where = {"toml_file": request["ini"]}
    config = Config(**where, ini_section=request["section"], cmd_opts=options)
    config.set_main_option("script_location", request["folder"].replace("%", "%%"))
    if request["versions"]:
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_path_separator", "os")  # its name before Alembic 1.16
        config.set_main_option("version_locations", os.pathsep.join(request["versions"]).replace("%", "%%"))
    if (config.get_main_option("sqlalchemy.url") or "driver://").startswith("driver://"):  # as `alembic init` wrote it
        config.set_main_option("sqlalchemy.url", "postgresql+psycopg://")
    return config


@contextmanager
def _connected(request: dict[str, Any]) -> Iterator[None]:
    """In this scope, SQLAlchemy connects to the database of the request, if there is one."""
    if not request["url"]:
        yield
        return
    service = Service(request["service"], POSTGRESQL, request["url"], Path(request["folder"]))
    raw = Server(service).connect_to_ask()
    raw.answer_within = None  # questions about a big database may take long
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: as_dbapi(raw), poolclass=StaticPool)
    with raw, engine.connect() as connection:
        Reviser.connection, Reviser.record, Reviser.stamped = connection, request["record"], request["stamped"]
        alembic.command.EnvironmentContext = Reviser  # type: ignore[attr-defined]
        _give(connection)
        yield


def _give(connection: sqlalchemy.Connection) -> None:
    @contextmanager
    def given(*_: Any, **__: Any) -> Iterator[sqlalchemy.Connection]:
        yield connection

    sqlalchemy.Engine.connect = sqlalchemy.Engine.begin = given  # type: ignore[assignment,method-assign]
    try:
        from sqlalchemy.ext.asyncio import AsyncEngine
    except ImportError:
        return
    AsyncEngine.connect = AsyncEngine.begin = lambda *_, **__: _Async(connection)  # type: ignore[assignment,method-assign]


def _refuse_to_overwrite() -> list[Path]:
    """Alembic would write over a file of that name, which a `file_template` may repeat. Returns the new files."""
    made: list[Path] = []
    write = ScriptDirectory._generate_template

    def write_new(self: ScriptDirectory, template: Path, path: Path, **values: Any) -> None:
        if Path(path).exists():
            raise CommandError(f"{path} exists already")
        made.append(Path(path))
        write(self, template, path, **values)

    ScriptDirectory._generate_template = write_new  # type: ignore[method-assign,assignment]
    return made


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d%H%M%S")


__all__ = ["Reviser", "main"]
