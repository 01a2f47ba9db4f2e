"""Fresh databases for tests, and the installed command in a subprocess."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dataops.dev import MongoServer, PostgresServer
from tests import warm

ROOT = Path(__file__).resolve().parent.parent
POSTGRES_MAJOR = int(os.environ.get("DATAOPS_TEST_POSTGRES") or 0) or None

POSTGRES_DATABASES = {
    "API_KEYS_PG_CON": "api_keys",
    "NOTIFICATIONS_PG_CON": "notifications",
    "VOUCHER_PG_CON": "voucher",
}
"""The variables of our own dataops.toml, and the databases that they lead to in tests."""
MONGODB_VARIABLE, MONGODB_DATABASE = "MONGODB_CON", "galoy"

_numbers = itertools.count(1)


Server = TypeVar("Server")
_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30


@contextmanager
def in_memory(server: AbstractContextManager[Server]) -> Iterator[Server]:
    """The server, with its data in memory where there is room: a new database of PostgreSQL is three hundred files."""
    before = tempfile.gettempdir()
    with ExitStack() as until_the_end:
        if _MEMORY.is_dir():
            there = os.statvfs(_MEMORY)
            if there.f_bavail * there.f_frsize >= _ROOM and not there.f_flag & os.ST_NOEXEC:
                tempfile.tempdir = str(_MEMORY)
        try:
            started = until_the_end.enter_context(server)
        finally:
            tempfile.tempdir = before
        yield started


def fresh_name(prefix: str) -> str:
    """A name that no other test of this process uses; every worker has servers of its own."""
    return f"{prefix}_{next(_numbers)}"


@contextmanager
def fresh_postgres(server: PostgresServer, prefix: str = "trial") -> Iterator[str]:
    """The URL of a new, empty database that is dropped after the block, whoever is still connected."""
    name = fresh_name(prefix)
    try:
        yield server.create_database(name)
    finally:
        server.drop_database(name)


@contextmanager
def fresh_mongo(server: MongoServer, prefix: str = "trial") -> Iterator[str]:
    """The URL of a database that does not exist yet, and that is dropped after the block."""
    from pymongo import MongoClient

    name = fresh_name(prefix)
    try:
        yield server.url(name)
    finally:
        with MongoClient[dict[str, Any]](server.url()) as client:
            client.drop_database(name)


@contextmanager
def fresh_urls(postgres: PostgresServer, mongo: MongoServer) -> Iterator[dict[str, str]]:
    """The environment of a run over all four services, each with an empty database."""
    with fresh_mongo(mongo, MONGODB_DATABASE) as mongo_url:
        urls = {MONGODB_VARIABLE: mongo_url}
        names = {variable: fresh_name(database) for variable, database in POSTGRES_DATABASES.items()}
        try:
            yield urls | {variable: postgres.create_database(name) for variable, name in names.items()}
        finally:
            for name in names.values():
                postgres.drop_database(name)


@dataclass(frozen=True)
class Answer:
    """What the command said, and its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Cli:
    """The installed `dataops`, run from the root of the repository, with none of our own environment."""

    env: Mapping[str, str]

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        stdin: str = "",
        timeout: float = 120,
    ) -> Answer:
        """Run it to its end; a command that hangs fails the test."""
        with self.start(*args, env=env, cwd=cwd) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return Answer(process.returncode, stdout, stderr)

    def start(self, *args: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> subprocess.Popen[str]:
        """Start it and come back at once, to send it signals. The caller ends it, with `with` and `kill`."""
        return warm.start(
            COMMAND,
            args,
            {**clean_environment(), **self.env, **(env or {})},
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


COMMAND = Path(sys.executable).with_name("dataops")


def clean_environment() -> dict[str, str]:
    """What every command gets: programs, a language, and a home that holds nothing of ours."""
    return {
        "PATH": f"{COMMAND.parent}{os.pathsep}{os.defpath}",
        "LC_ALL": "C.UTF-8",
        "HOME": tempfile.gettempdir(),
        "COLUMNS": "120",
    }
