"""How fast a fleet is changed and looked at, and how much memory that takes.

    .venv/bin/python script/bench/fleet.py apply [--databases 200] [--jobs 16] [--seconds 0]   apply, and a bare loop
    .venv/bin/python script/bench/fleet.py status [--databases 500]                 so many of each kind
    .venv/bin/python script/bench/fleet.py memory [--databases 2000]                in memory: plan and apply, VmHWM

`apply` brings a second migration to databases of PostgreSQL that have the first one: one CREATE TABLE, one index, and
`--seconds` of work for the server. The bare loop does the same statements in a transaction each, with as many threads,
over connections that are open already. The rate of the executor is that of `dataops.run.executor` alone, without the
start of the program, the questions and the plan.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ["DATAOPS_TEST_COLD"] = "1"  # the command is started as users start it

import psycopg  # noqa: E402

from dataops.dev import MongoServer, PostgresServer, mongodb_server, postgres_server  # noqa: E402
from tests.fleets import Fleet, fleet  # noqa: E402
from tests.projects import Project  # noqa: E402

SQL = ("CREATE TABLE t_002 (id bigint PRIMARY KEY, name text)", "CREATE INDEX i_002 ON t_002 (name)")


@contextmanager
def made(server: PostgresServer | MongoServer, number: int) -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory() as folder, fleet(Project(Path(folder)), server, number) as found:
        found.configure(waves=[{}])
        found.file("001")
        yield found


def apply(number: int, jobs: int, seconds: float) -> None:
    statements = (*SQL, f"SELECT pg_sleep({seconds})") if seconds else SQL
    with postgres_server() as server, made(server, number) as found:
        first = found.project("apply", "--yes", "--jobs", str(jobs), timeout=3600)
        assert first.code == 0, first.stderr
        bare = _bare(found, jobs, statements)
        found.project.file("tenants", "002", "\n".join(f'op.execute("{one}")' for one in statements), "pass")
        began = time.monotonic()
        done = found.project("apply", "--yes", "--jobs", str(jobs), timeout=3600)
        whole = time.monotonic() - began
        assert done.code == 0, done.stderr
        said = re.search(r"\((\d+\.\d) s\)\s*$", done.stdout)
        assert said is not None, done.stdout
        executor = float(said[1])
        print(f"{number} databases, {jobs} at once")

        def row(what: str, seconds: float) -> None:
            print(f"{what:<34}{seconds:7.1f} s {number / seconds:7.1f} a second  {bare / seconds:.2f}")

        row("bare loop over open connections", bare)
        row("executor", executor)
        row("dataops apply, all of it", whole)


def _bare(found: Fleet, jobs: int, statements: Sequence[str]) -> float:
    connections = [psycopg.connect(found.server.url(name)) for name in found.names]

    def one(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        for statement in statements:
            connection.execute(statement.encode())
        connection.commit()

    try:
        began = time.monotonic()
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, connections))
        seconds = time.monotonic() - began
        for connection in connections:
            connection.execute("DROP TABLE t_002")
            connection.commit()
        return seconds
    finally:
        for connection in connections:
            connection.close()


def status(number: int) -> None:
    with (
        postgres_server() as postgres,
        mongodb_server(replica_set=True) as mongo,
        made(postgres, number) as one,
        fleet(one.project, mongo, number) as other,
    ):
        one.project.add("docs", mongo.url("{database}"), databases=list(other.names))
        one.project.table("docs", "001")
        done = one.project("apply", "--yes", "--jobs", "16", timeout=3600)
        assert done.code == 0, done.stderr
        print(
            f"bare connections to {number} of PostgreSQL, a SELECT 1 each, 16 at once: {_bare_connections(one):.1f} s"
        )
        for _ in range(3):
            began = time.monotonic()
            process = one.project.start("status", stdout=subprocess.DEVNULL)
            _, state, used = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
            print(f"status of {number} + {number}: {seconds:.1f} s, {used.ru_maxrss / 1024:.0f} MB, code {state >> 8}")


def _bare_connections(found: Fleet) -> float:
    """Seconds: what status cannot do without."""

    def one(name: str) -> None:
        with psycopg.connect(found.server.url(name)) as connection:
            connection.execute("SELECT 1")

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, found.names))
    return time.monotonic() - began


FILE = """'''One.'''
name = "001"
dependencies = []
def upgrade(db):
    pass
def downgrade(db):
    pass
"""
MEMORY = """
import re, sys
sys.path.insert(0, {root!r})
import tests.memory
from dataops import cli
from pathlib import Path
sys.argv = ["dataops", *{arguments!r}]
cli.streams.make_own()
code = cli.run()
used = re.search("VmHWM:.*", Path("/proc/self/status").read_text())
print(code, used[0], file=sys.stderr)
"""


def memory(number: int) -> None:
    for many in (number // 10, number):
        with tempfile.TemporaryDirectory() as folder:
            names = [f"tenant_{at:05}" for at in range(many)]
            Path(folder, "files").mkdir()
            Path(folder, "files", "001.py").write_text(FILE)
            Path(folder, "dataops.toml").write_text(
                '[services.tenants]\nengine = "memory"\nfolder = "files"\nurl_env = "TENANTS_URL"\n'
                f"databases = {names}\n"
            )
            for arguments in (["status"], ["plan"], ["apply", "--yes"]):
                began = time.monotonic()
                done = subprocess.run(
                    [sys.executable, "-c", MEMORY.format(root=str(ROOT), arguments=arguments)],
                    cwd=folder,
                    env={**os.environ, "TENANTS_URL": "memory://{database}"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                seconds, said = time.monotonic() - began, done.stderr.splitlines()[-1]
                print(f"{many} in memory, {arguments[0]}: {seconds:.1f} s, {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["apply", "status", "memory"])
    parser.add_argument("--databases", type=int)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.0)
    options = parser.parse_args()
    if options.what == "apply":
        apply(options.databases or 200, options.jobs, options.seconds)
    elif options.what == "status":
        status(options.databases or 500)
    else:
        memory(options.databases or 2000)


if __name__ == "__main__":
    main()
