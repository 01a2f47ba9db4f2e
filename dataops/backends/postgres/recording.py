"""The process in which env.py of a project is run, to learn what it gives to `context.configure()`. See `environment`.

It reads a request from its standard input and writes one line of JSON to its standard output. Engines give out
connections that are none, so that an env.py that connects in its online mode gets as far as `configure()`. Anything
else that connects is an error of the file.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging.config
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy
from alembic import context
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from dataops.backends.connecting import wrap_connecting
from dataops.redaction import message_of

_HONOURED = {"version_table", "version_table_schema", "target_metadata", "render_as_batch", "transaction_per_migration"}
_OF_THE_MODE = {
    *("connection", "url", "dialect_name", "dialect_opts", "literal_binds", "as_sql", "output_buffer"),
    *("output_encoding", "starting_rev", "tag", "script", "fn"),
}
_OF_AUTOGENERATE = {
    *("include_object", "include_name", "include_schemas", "compare_type", "compare_server_default"),
    *(
        "process_revision_directives",
        "upgrade_token",
        "downgrade_token",
        "alembic_module_prefix",
        "autogenerate_plugins",
    ),
    *("sqlalchemy_module_prefix", "user_module_prefix", "render_item", "template_args", "include_symbol"),
}


def main() -> None:
    """Answer one request."""
    answering(_answer)


def answering(work: Callable[[dict[str, Any]], dict[str, Any]]) -> NoReturn:
    """Read a request, write the answer that `work` gives or the error that it raises, and end the process."""
    request = json.loads(sys.stdin.read())
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the file prints is no answer
    try:
        answer = work(request)
    except BaseException as error:  # noqa: BLE001  a file may raise anything
        answer = {"error": f"{type(error).__name__}: {message_of(error)}", "line": _line(error, request["env"])}
    out.write("\n" + json.dumps(answer) + "\n")
    out.flush()
    os._exit(0)  # threads of the file do not matter


class Recorder(EnvironmentContext):
    """Alembic's context, which records what it is given and does nothing else."""

    def __init__(self, config: Config, script: ScriptDirectory, *, offline: bool) -> None:
        super().__init__(config, script, as_sql=offline)
        self.given: list[dict[str, Any]] = []

    def configure(self, *arguments: Any, **options: Any) -> None:
        if arguments:
            options["connection"] = arguments[0]
        self.given.append(options)

    def get_context(self) -> MigrationContext:
        return MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True})

    def get_bind(self) -> Any:
        return _connection()

    def begin_transaction(self) -> Any:
        return contextlib.nullcontext()

    def run_migrations(self, **_: Any) -> None:
        """Nothing is run."""

    def execute(self, *_: Any, **__: Any) -> None:
        """Nothing is sent."""


class _NoConnection:
    """Stands for a connection of SQLAlchemy, synchronous or not. Whatever is asked of it answers with itself."""

    dialect = sqlalchemy.create_mock_engine("postgresql+psycopg://", lambda *_: None).dialect

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    async def run_sync(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        return function(self, *arguments, **more)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("it connects to a server while it is only read for its options")


def _connection(*_: Any, **__: Any) -> Any:
    return _NoConnection()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    env = Path(request["env"])
    sys.path[:0] = request["sys_path"]
    logging.config.fileConfig = lambda *_, **__: None
    logging.config.dictConfig = lambda *_, **__: None
    sqlalchemy.Engine.connect = sqlalchemy.Engine.begin = _connection  # type: ignore[method-assign]
    with contextlib.suppress(ImportError):
        from sqlalchemy.ext.asyncio import AsyncEngine

        AsyncEngine.connect = AsyncEngine.begin = _connection  # type: ignore[method-assign]
    wrap_connecting(lambda _: _refuse)
    sys.addaudithook(lambda event, _: _refuse() if event == "socket.connect" else None)
    with application(env, request["sys_path"]):
        recorded: dict[str, Any] = {}
        problems: dict[str, Exception] = {}
        for mode in ("online", "offline"):
            try:
                given = _run(request, env, offline=mode == "offline")
            except SystemExit as error:
                exits = RuntimeError(f"it exits, with {error.code!r}").with_traceback(error.__traceback__)
                problems[mode] = exits
            except Exception as error:  # noqa: BLE001  a file may raise anything
                problems[mode] = error
            else:
                if len(given) > 1:
                    return {
                        "error": f"it configures {len(given)} databases at once",
                        "hint": "a project of Alembic's template multidb is not one history: give each database a "
                        "folder of its own, and a service",
                    }
                recorded = {**(given[0] if given else {}), **recorded}  # what is said online counts
        if len(problems) == 2:
            raise problems["offline"]
    told = _told(recorded)
    if "online" in problems:  # what it says there only is not known
        online = problems["online"]
        what = f"{type(online).__name__}: {' '.join(message_of(online).split())[:200]}"
        told["warnings"].append(f"env.py fails in its online mode, and only what it says for --sql counts: {what}")
    return told


@contextmanager
def application(env: Path, sys_path: list[str]) -> Iterator[None]:
    """The application of Flask around an env.py that asks for it, as `flask db` does."""
    if b"current_app" not in env.read_bytes() or importlib.util.find_spec("flask") is None:
        yield
        return
    sys.path[:0] = [] if sys_path else [str(env.parent.parent)]
    with importlib.import_module("flask.cli").ScriptInfo().load_app().app_context():
        yield


def _run(request: dict[str, Any], env: Path, *, offline: bool) -> list[dict[str, Any]]:
    config = Config(request["ini"], ini_section=request["section"]) if request["ini"] else Config()
    config.set_main_option("script_location", request["folder"].replace("%", "%%"))
    if (config.get_main_option("sqlalchemy.url") or "driver://").startswith("driver://"):  # as `alembic init` wrote it
        config.set_main_option("sqlalchemy.url", "postgresql+psycopg://")
    recorder = Recorder(config, ScriptDirectory.from_config(config), offline=offline)
    # Alembic's module `context` passes every call on to its proxy.
    vars(context).update(_proxy=recorder, config=config, script=recorder.script)
    spec = importlib.util.spec_from_file_location("env_py", env)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return recorder.given


def _told(recorded: dict[str, Any]) -> dict[str, Any]:
    """The options as JSON."""
    metadata = recorded.get("target_metadata")
    if isinstance(metadata, list | tuple):
        metadata = metadata[0] if metadata else None
    naming = dict(getattr(metadata, "naming_convention", {}) or {})
    texts = {
        (key if isinstance(key, str) else _short(key)): text for key, text in naming.items() if isinstance(text, str)
    }
    ignored = [key for key, value in recorded.items() if value is not None and not key.startswith("_")]
    ignored = [key for key in ignored if key not in _HONOURED | _OF_THE_MODE | _OF_AUTOGENERATE]
    if len(texts) < len(naming):
        ignored.append("naming_convention with functions")
    return {
        "version_table": recorded.get("version_table"),
        "version_table_schema": recorded.get("version_table_schema"),
        "render_as_batch": bool(recorded.get("render_as_batch")),
        "naming": {key: text for key, text in texts.items() if key},
        "warnings": [f"{name} of env.py is not honoured" for name in sorted(ignored)],
    }


def _short(key: object) -> str:
    """SQLAlchemy's short name of a kind of constraint, which a convention may name by its class."""
    names = {"Index": "ix", "UniqueConstraint": "uq", "CheckConstraint": "ck", "ForeignKeyConstraint": "fk"}
    names["PrimaryKeyConstraint"] = "pk"
    return names.get(getattr(key, "__name__", ""), "")


def _line(error: BaseException, env: str) -> int:
    if isinstance(error, SyntaxError) and error.filename == env:
        return error.lineno or 1
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == env]
    return lines[-1] if lines else 0


__all__ = ["Recorder", "answering", "application", "main"]
