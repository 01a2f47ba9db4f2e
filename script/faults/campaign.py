"""What all campaigns share: options, servers, rounds by seed, and a table at the end. Import it before the project.

--seed N      the first round has this seed, the next one the next number
--cases N     how many cases a round has
--minutes N   begin new rounds for so long; without it there is one round
--kind KIND   only cases of this kind
--case N      only this case of the round: repeats what went wrong
"""

from __future__ import annotations

import argparse
import collections
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pymongo import MongoClient
from pymongo.errors import PyMongoError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dataops.dev import MongoServer, mongodb_server, postgres_server  # noqa: E402
from dataops.errors import ExitCode  # noqa: E402
from tests.servers import Answer, fresh_mongo, fresh_name, fresh_postgres  # noqa: E402

SET = "trio"

Databases = Callable[[], AbstractContextManager[str]]
Note = Callable[[Sequence[str], str], None]


class Case(Protocol):
    """One case of a round. Its text says what happens in it."""

    @property
    def number(self) -> int: ...

    @property
    def kind(self) -> str: ...


@contextmanager
def _postgresql() -> Iterator[Databases]:
    with postgres_server() as server:
        yield partial(fresh_postgres, server)


@contextmanager
def _mongodb() -> Iterator[Databases]:
    with mongodb_server(replica_set=True) as server:
        yield partial(fresh_mongo, server)


@contextmanager
def _set_of_three() -> Iterator[Databases]:
    """A replica set with three members that hold data, so that another one can become its primary."""
    with ExitStack() as scope:
        options = [f"--replSet={SET}", "--setParameter=enableTestCommands=1"]
        servers = [scope.enter_context(mongodb_server(options=options)) for _ in range(3)]
        members = [{"_id": at, "host": f"127.0.0.1:{server.port}"} for at, server in enumerate(servers)]
        settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
        with MongoClient[dict[str, Any]](servers[0].url(), directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": SET, "members": members, "settings": settings})
        SET_MEMBERS.extend(servers)
        await_primary()

        @contextmanager
        def fresh() -> Iterator[str]:
            await_primary()
            name = fresh_name("trial")
            hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
            url = f"mongodb://{hosts}/{name}?replicaSet={SET}"
            yield url
            await_primary()
            with MongoClient[dict[str, Any]](url) as client:
                client.drop_database(name)

        yield fresh


SET_MEMBERS: list[MongoServer] = []
KINDS: Mapping[str, Callable[[], AbstractContextManager[Databases]]] = {
    "postgresql": _postgresql,
    "mongodb": _mongodb,
    "set of three": _set_of_three,
}


def await_primary(other_than: MongoServer | None = None, seconds: float = 60.0) -> MongoServer:
    """The primary of the set of three, which may have to be elected first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for server in SET_MEMBERS:
            if server is not other_than and _is_primary(server):
                return server
        time.sleep(0.1)
    raise TimeoutError("the set of three has no primary")


def _is_primary(server: MongoServer) -> bool:
    address = f"mongodb://127.0.0.1:{server.port}/?directConnection=true&serverSelectionTimeoutMS=1000"
    try:
        with MongoClient[dict[str, Any]](address, socketTimeoutMS=1000) as client:
            return bool(client.admin.command("hello")["isWritablePrimary"])
    except PyMongoError:  # it is frozen, or just stepping down
        return False


def wrong_with(answer: Answer) -> str:
    """What is wrong with an answer in itself."""
    if "bug in dataops" in answer.stderr or "Traceback" in answer.stderr:
        return f"it is called a bug:\n{answer.stderr}"
    if answer.code not in {int(code) for code in ExitCode}:
        return f"the code {answer.code} is not documented:\n{answer.stderr}"
    return ""


def main(
    description: str | None,
    columns: Sequence[str],
    cases: Callable[[int, int, list[str]], Sequence[Case]],
    run: Callable[[Any, Path, str, Note], str],
    kinds: Sequence[str],
) -> int:
    """Run the rounds, print what is wrong and the table, and return the exit code.

    `cases` makes the cases of a seed: how many, of which kinds. `run` runs one in a folder and a database of its own,
    notes how it ended in a row of the table, and returns what is wrong, "" if nothing is. The last of `columns` is what
    was noted; the others are the rows.
    """
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--cases", type=int, default=100)
    options.add_argument("--minutes", type=float, default=0.0)
    options.add_argument("--kind", choices=kinds)
    options.add_argument("--case", type=int)
    given = options.parse_args()
    chosen = [given.kind] if given.kind else list(kinds)
    noted: dict[tuple[str, ...], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    rounds = done = wrong = 0
    deadline = time.monotonic() + given.minutes * 60
    with ExitStack() as scope:
        databases = {kind: scope.enter_context(KINDS[kind]()) for kind in chosen}
        while not rounds or time.monotonic() < deadline:
            seed = given.seed + rounds
            rounds += 1
            for case in cases(seed, given.cases, chosen):
                if given.case not in (None, case.number) or (given.minutes and time.monotonic() > deadline):
                    continue
                with databases[case.kind]() as url:
                    problem = _run(case, run, url, lambda row, told: noted[tuple(row)].update([told]))
                done += 1
                if problem:
                    wrong += 1
                    print(f"WRONG seed {seed}, {case}\n  {problem}".replace("\n", "\n  "), flush=True)
    _print_table(columns, noted)
    print(f"\nseeds {given.seed} to {given.seed + rounds - 1}: {done} cases, {wrong} wrong")
    return 1 if wrong else 0


def _run(case: Case, run: Callable[[Any, Path, str, Note], str], url: str, note: Note) -> str:
    folder = Path(tempfile.mkdtemp(prefix="dataops-faults-"))
    try:
        return run(case, folder, url, note)
    except subprocess.TimeoutExpired as error:
        return f"it does not end: {error}"
    finally:
        shutil.rmtree(folder)


def _print_table(columns: Sequence[str], noted: Mapping[tuple[str, ...], collections.Counter[str]]) -> None:
    widths = [max(map(len, cells)) + 2 for cells in zip(columns[:-1], *noted, strict=True)]
    print()
    for row, told in [
        (tuple(columns[:-1]), columns[-1] + ": how often"),
        *(
            (row, ", ".join(f"{what}: {n}" for what, n in sorted(counted.items())))
            for row, counted in sorted(noted.items())
        ),
    ]:
        print("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + told)
