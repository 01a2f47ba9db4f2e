"""What a backfill costs: its own speed, and the application beside it, against a bare statement and a loop by hand.

    .venv/bin/python script/bench/backfill.py [--engine postgresql mongodb] [--rows 1000000] [--seconds 20] [--data /x]

For each engine: one table (collection) of so many rows, whose column `cents` is computed from `total`. First without an
application: one bare statement over all rows, and the backfill, with nothing to give way to: (a) is the ratio of their
speeds. Then with an application of four connections: its latencies without a migration, beside one bare statement,
beside a loop written by hand with batches of 10,000, and beside the backfill as it is by default: (b) are the ratios of
the 99th percentiles, from the first batch on: the start of the program takes half a second of a processor that it does
not share with the database elsewhere. (c) is the longest transaction of the backfill, as a look every 20 ms sees it,
and (d) the most memory of its process. (e), a standby that is stopped, is a test:
tests/acceptance/test_backfill_standby.py and its sibling for MongoDB.

Each connection reads a row and changes another one in turn, a query every 20 ms, however long the answers take: 200
queries a second in all, the same for everything that is compared. A query that was due while the one before was not
answered counts from when it was due. An application that sends its next query as soon as it has an answer would use
both cores of a small machine by itself; then a program that only counts beside it makes its 99th percentile twice as
long, and the ratio says nothing of the database.

Everything runs on this machine, which is noisy: read the ratios, with --runs the medians.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Protocol

import psycopg
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dataops.dev import mongodb_server, postgres_server  # noqa: E402

CONNECTIONS = 4
EVERY = 0.02  # seconds from one query of a connection to its next: 200 a second in all
BY_HAND = 10_000
COMMAND = Path(sys.executable).with_name("dataops")


class Engine(Protocol):
    """One database with the rows of the benchmark."""

    url: str

    def fill(self, rows: int) -> None: ...

    def bare(self) -> None: ...

    def by_hand(self) -> None: ...

    def longest(self) -> float: ...

    def file(self) -> tuple[str, str]: ...


class Postgres:
    """PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._rows = 0
        self._connection = psycopg.connect(url, autocommit=True)
        self._looking = psycopg.connect(url, autocommit=True)

    def fill(self, rows: int) -> None:
        self._rows = rows
        execute = self._connection.execute
        execute("DROP TABLE IF EXISTS orders, alembic_version")
        execute("DROP SCHEMA IF EXISTS dataops_history CASCADE")
        execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY, total numeric, cents bigint, seen int DEFAULT 0, what text)"
        )
        execute(
            "INSERT INTO orders SELECT i, i / 100.0, NULL, 0, repeat('x', 80) FROM generate_series(1, %s) i", [rows]
        )
        execute("CREATE INDEX ON orders (total)")
        execute("VACUUM (ANALYZE) orders")
        execute("CHECKPOINT")

    def bare(self) -> None:
        self._connection.execute("UPDATE orders SET cents = round(total * 100) WHERE cents IS NULL")

    def by_hand(self) -> None:
        for first in range(0, self._rows, BY_HAND):
            self._connection.execute(
                "UPDATE orders SET cents = round(total * 100) WHERE id > %s AND id <= %s AND cents IS NULL",
                [first, first + BY_HAND],
            )

    def longest(self) -> float:
        row = self._looking.execute(
            "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity "
            "WHERE application_name LIKE 'dataops/%' AND backend_xid IS NOT NULL"
        ).fetchone()
        return float(row[0]) if row else 0.0

    def file(self) -> tuple[str, str]:
        return (
            "versions/001.py",
            "from alembic import op\nfrom dataops.backfill import backfill\n"
            "revision = '001'\ndown_revision = None\nreversible = True\n\n"
            "def upgrade():\n    backfill(op, 'orders', where='cents IS NULL', "
            "set={'cents': 'round(total * 100)'})\n\ndef downgrade():\n    pass\n",
        )


class Mongo:
    """MongoDB, a replica set of one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._rows = 0
        self._client: MongoClient[dict[str, Any]] = MongoClient(url)
        self._orders = self._client.get_default_database()["orders"]

    def fill(self, rows: int) -> None:
        self._rows = rows
        self._client.drop_database(self._orders.database.name)
        for first in range(0, rows, 20_000):
            self._orders.insert_many(
                [
                    {"_id": i, "total": i / 100, "seen": 0, "what": "x" * 80}
                    for i in range(first + 1, min(first + 20_000, rows) + 1)
                ],
                ordered=False,
            )
        self._orders.create_index("total")

    def bare(self) -> None:
        self._orders.update_many({"cents": {"$exists": False}}, _CENTS)

    def by_hand(self) -> None:
        for first in range(0, self._rows, BY_HAND):
            within = {"$gt": first, "$lte": first + BY_HAND}
            self._orders.update_many({"_id": within, "cents": {"$exists": False}}, _CENTS)

    def longest(self) -> float:
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"allUsers": True, "idleSessions": True}},
            {"$match": {"appName": {"$regex": "^dataops/"}, "transaction": {"$exists": True}}},
        ]
        found = self._client.admin.aggregate(stages)
        return max((one["transaction"].get("timeOpenMicros", 0) / 1e6 for one in found), default=0.0)

    def file(self) -> tuple[str, str]:
        return (
            "001.py",
            "from dataops.backfill import backfill\ndependencies = []\nreversible = True\n\n"
            "def upgrade(db):\n    backfill(db, 'orders', where={'cents': {'$exists': False}}, "
            "set=[{'$set': {'cents': {'$round': {'$multiply': ['$total', 100]}}}}])\n\ndef downgrade(db):\n    pass\n",
        )


_CENTS = [{"$set": {"cents": {"$round": {"$multiply": ["$total", 100]}}}}]


def _in_turn(over: Event, seed: int, queries: Sequence[Callable[[], object]]) -> list[tuple[float, float]]:
    """Send each of these queries in turn, at a fixed rate, until it is over.

    Returns when each ended, and how long it took. Where one was due while the one before was not answered yet, its time
    counts from when it was due.
    """
    took: list[tuple[float, float]] = []
    due = time.perf_counter() + seed * EVERY / CONNECTIONS
    while not over.is_set():
        for query in queries:
            now = time.perf_counter()
            if now < due:
                time.sleep(due - now)
                began = time.perf_counter()  # not when it was due: an application is on a machine of its own
            else:
                began = due
            query()
            ended = time.perf_counter()  # the same clock in all processes
            took.append((ended, ended - began))
            due += EVERY
    return took


def _application_postgres(url: str, rows: int, seed: int, over: Event, answers: Any) -> None:
    dice = random.Random(seed)
    with psycopg.connect(url, autocommit=True) as connection:

        def send(statement: bytes) -> object:
            return connection.execute(statement, [dice.randrange(1, rows + 1)])

        read, write = b"SELECT total FROM orders WHERE id = %s", b"UPDATE orders SET seen = seen + 1 WHERE id = %s"
        answers.put(_in_turn(over, seed, [lambda: send(read), lambda: send(write)]))


def _application_mongo(url: str, rows: int, seed: int, over: Event, answers: Any) -> None:
    dice = random.Random(seed)
    with MongoClient[dict[str, Any]](url) as client:
        orders = client.get_default_database()["orders"]

        def read() -> object:
            return orders.find_one({"_id": dice.randrange(1, rows + 1)})

        def write() -> object:
            return orders.update_one({"_id": dice.randrange(1, rows + 1)}, {"$inc": {"seen": 1}})

        answers.put(_in_turn(over, seed, [read, write]))


@dataclass
class Beside:
    """The application: when each query ended and how long it took, in seconds, once the scope has ended."""

    took: list[tuple[float, float]]

    def p99(self, since: float, until: float) -> float:
        """The 99th percentile, in milliseconds, of what ended between these times."""
        return quantiles([seconds for at, seconds in self.took if since <= at <= until], n=100)[98] * 1000


@contextmanager
def application(engine: Engine, rows: int) -> Iterator[Beside]:
    work = _application_postgres if isinstance(engine, Postgres) else _application_mongo
    processes = multiprocessing.get_context("spawn")
    over, answers, beside = processes.Event(), processes.Queue(), Beside([])
    running = [
        processes.Process(target=work, args=(engine.url, rows, seed, over, answers)) for seed in range(CONNECTIONS)
    ]
    for process in running:
        process.start()
    time.sleep(3)  # they start
    try:
        yield beside
    finally:
        over.set()
        for _ in running:
            beside.took += answers.get()
        for process in running:
            process.join()


@dataclass
class Backfilled:
    """One run of the command. `since` is when its first batch was seen, by time.perf_counter()."""

    since: float
    seconds: float
    memory: float
    longest: float


def backfill(engine: Engine, folder: Path, limits: str) -> Backfilled:
    """Run it as a user would, and look at its memory and at its transactions meanwhile."""
    name, text = engine.file()
    kind = "postgresql" if isinstance(engine, Postgres) else "mongodb"
    path = folder / "shop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    variable = 'url_env = "SHOP_URL"' if kind == "postgresql" else 'env_prefix = "SHOP"'
    (folder / "dataops.toml").write_text(
        f'[services.shop]\nengine = "{kind}"\nfolder = "shop"\n{variable}\nonto_existing = true\n[backfill]\n{limits}\n'
    )
    variables = {"SHOP_URL": engine.url, "SHOP_CON": engine.url}
    began, since, memory, longest = time.perf_counter(), 0.0, 0.0, 0.0
    with subprocess.Popen(
        [str(COMMAND), "apply", "--yes", "--json"],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        while process.poll() is None:
            memory = max(memory, _memory(process.pid))
            longest = max(longest, engine.longest())
            since = since or (time.perf_counter() if longest else 0.0)
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise SystemExit(process.stderr.read().decode() if process.stderr else "it failed")
    return Backfilled(since or began, seconds, memory, longest)


def _memory(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM")), 0.0)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(engine: Engine, rows: int, seconds: float, runs: int, folder: Path) -> None:
    bare, alone, ratios = [], [], dict[str, list[float]]()
    longest = memory = 0.0
    for _ in range(runs):
        engine.fill(rows)
        bare.append(timed(engine.bare))
        engine.fill(rows)
        found = backfill(engine, folder, 'max_slowdown = 0\nmax_lag = "0s"\nmax_unarchived = 0\nmin_oplog = "0s"')
        alone.append(found.seconds)
        longest, memory = max(longest, found.longest), max(memory, found.memory)
    print(f"  {rows:,} rows, without an application: bare {median(bare):.1f} s, backfill {median(alone):.1f} s")
    print(f"  (a) {median(bare) / median(alone):.2f} of the speed of the bare statement (wanted: 0.6)")
    for _ in range(runs):
        engine.fill(rows)
        with application(engine, rows) as quiet:
            began = time.perf_counter()
            time.sleep(seconds)
            ended = time.perf_counter()
        alone_p99 = quiet.p99(began, ended)
        works: tuple[tuple[str, Callable[[], object]], ...] = (
            ("bare statement", engine.bare),
            ("loop of 10,000", engine.by_hand),
            ("backfill", lambda: backfill(engine, folder, "")),
        )
        print(f"  the application alone: p99 {alone_p99:.2f} ms")
        for name, work in works:
            engine.fill(rows)
            with application(engine, rows) as beside:
                began = time.perf_counter()
                found_now = work()
                ended = time.perf_counter()
            took = ended - began
            if isinstance(found_now, Backfilled):
                began = found_now.since
                longest, memory = max(longest, found_now.longest), max(memory, found_now.memory)
            p99 = beside.p99(began, ended)
            ratios.setdefault(name, []).append(p99 / alone_p99)
            print(f"  beside the {name} ({took:.1f} s): p99 {p99:.2f} ms")
    for name, several in ratios.items():
        print(
            f"  (b) {name}: {median(several):.2f} times the 99th percentile without it"
            + (" (wanted: 1.5)" if name == "backfill" else "")
        )
    print(f"  (c) longest transaction of the backfill {longest:.2f} s (wanted: 1)")
    print(f"  (d) most memory of its process {memory:.0f} MB (wanted: 80)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", nargs="+", choices=["postgresql", "mongodb"], default=["postgresql", "mongodb"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--data", help="the folder in which the servers keep their data")
    given = parser.parse_args()
    if given.data:
        tempfile.tempdir = given.data
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for kind in given.engine:
        with tempfile.TemporaryDirectory() as folder:
            if kind == "postgresql":
                settings = ["shared_buffers=512MB", "max_wal_size=4GB", "synchronous_commit=on"]
                with postgres_server(settings=settings) as server:
                    print(f"PostgreSQL {server.version}")
                    measure(
                        Postgres(server.create_database("bench")), given.rows, given.seconds, given.runs, Path(folder)
                    )
            else:
                with mongodb_server(replica_set=True, options=["--wiredTigerCacheSizeGB=1"]) as mongo:
                    print(f"MongoDB {mongo.version}")
                    measure(Mongo(mongo.url("bench")), given.rows, given.seconds, given.runs, Path(folder))


if __name__ == "__main__":
    main()
