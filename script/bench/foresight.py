"""How good the times of a plan are: each step is planned, then applied, and both are printed side by side.

    .venv/bin/python script/bench/foresight.py [--rows 2000000] [--postgres 15]

Fills a PostgreSQL table and a MongoDB collection with so many rows and documents, plans a history of ordinary steps
over them, and applies it one step at a time. For each step it prints the range of the plan, the seconds of the real
run, and whether these are in the range; at the end, how many are, and how far the others are off. A plan is also timed.
Machines differ: what counts is how many are within, and that none is off by more than three times.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dataops.dev import mongodb_server, postgres_server  # noqa: E402
from tests.projects import Project  # noqa: E402

SQL = {
    "001": ["ALTER TABLE big ADD COLUMN a uuid DEFAULT gen_random_uuid()"],
    "002": ["UPDATE big SET b = 'x' || n"],
    "003": ["ALTER TABLE big ALTER b SET NOT NULL"],
    "004": ["CREATE INDEX big_c ON big (c)"],
    "005": ["CREATE INDEX big_b ON big (b)"],
    "006": ["ALTER TABLE big ALTER c TYPE bigint"],
    "007": ["ALTER TABLE big RENAME COLUMN d TO d2"],
    "008": ["ALTER TABLE big ADD FOREIGN KEY (o) REFERENCES other (id)"],
    "009": ["ALTER TABLE big ADD CHECK (n >= 0)"],
    "010": ["ALTER TABLE big ADD UNIQUE (n)"],
    "011": ["UPDATE big SET c = c + 1 WHERE n % 10 = 0"],
    "012": ["CREATE TABLE copied WITH (autovacuum_enabled = false) AS SELECT * FROM big"],
    "013": ["INSERT INTO copied SELECT * FROM big"],
    "014": ["DELETE FROM big WHERE n % 4 = 0"],
    "015": ["ALTER TABLE big DROP COLUMN a"],
    "016": ["DROP TABLE copied"],
}
MONGO = {
    "001": "db.big.update_many({'x': {'$exists': False}}, {'$set': {'x': 1}})",
    "002": "db.big.create_index('email', name='email_1')",
    "003": "db.big.create_index([('n', 1), ('c', 1)], name='n_c', unique=True)",
    "004": "db.big.update_many({'c': 5}, {'$set': {'y': 1}})",
    "005": "db.big.update_many({}, [{'$set': {'c': {'$add': ['$c', 1]}}}])",
    "006": "db.big.aggregate([{'$match': {'c': {'$lt': 20}}}, {'$out': 'some'}])",
    "007": "db.big.delete_many({'c': {'$lt': 30}})",
    "008": "db.big.rename('bigger')",
    "009": "db.bigger.drop()",
}
FAR = 3.0


def seed_postgres(url: str, rows: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE other (id int PRIMARY KEY)")
        connection.execute("INSERT INTO other SELECT generate_series(0, 999)")
        # autovacuum would hold the table, and give way to a step only after a second: a plan does not count waiting
        columns = "n int, b text, c int, d int, o int, filler text"
        connection.execute(f"CREATE TABLE big ({columns}) WITH (autovacuum_enabled = false)".encode())
        values = f"SELECT i, NULL, i, i, i % 1000, repeat('f', 40) FROM generate_series(1, {rows}) i"
        connection.execute(f"INSERT INTO big {values}".encode())
        connection.execute("ALTER TABLE big ADD PRIMARY KEY (n)")
        connection.execute("VACUUM ANALYZE")


def seed_mongo(url: str, documents: int) -> None:
    with MongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        for begin in range(0, documents, 50_000):
            db.big.insert_many(
                [
                    {"_id": n, "n": n, "c": n % 100, "email": f"e{n}@x", "filler": "f" * 40}
                    for n in range(begin, min(documents, begin + 50_000))
                ]
            )


def steps_of(project: Project, service: str) -> tuple[list[dict[str, Any]], float]:
    """The pending steps of a plan, and how long planning took."""
    began = time.perf_counter()
    answer = project("plan", "--service", service, "--json", timeout=600)
    seconds = time.perf_counter() - began
    assert answer.code == 0, answer.stderr
    return answer.json["services"][0]["steps"], seconds


def measure(project: Project, service: str) -> list[tuple[str, float, float, float]]:
    """For each step: its id, the range that was foretold right before it, and the seconds that it took."""
    found = []
    planned, seconds = steps_of(project, service)
    print(f"\n{service}: a plan of {len(planned)} steps in {seconds:.1f} s")
    print(f"  {'step':6}{'foretold':>18}{'real':>9}")
    while planned:
        step = planned[0]
        spans = [effect["seconds"] for effect in step["effects"] if effect["seconds"]]
        low, high = sum(span["low"] for span in spans), sum(span["high"] for span in spans) + 0.2
        answer = project("apply", "--service", service, "--steps", "1", "--yes", timeout=3600)
        assert answer.code == 0, answer.stderr
        history = project("history", "--service", service, "--format", "json").json
        real = _seconds(history, step["migration"])
        mark = "" if low <= real <= high else f"  off {real / high if real > high else low / max(real, 1e-3):.1f} times"
        print(f"  {step['migration']:6}{low:9.2f} -{high:7.1f}{real:9.2f}{mark}", flush=True)
        found.append((step["migration"], low, high, real))
        planned, _ = steps_of(project, service)
    return found


def _seconds(history: Any, migration: str) -> float:
    """What the journal says of the newest run of a migration."""
    entries = [one for one in history["entries"] if one["migration"] == migration and one["seconds"] is not None]
    return float(max(entries, key=lambda one: one["at"])["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--postgres", type=int, default=None, help="a major version")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server(options.postgres) as postgres,
        mongodb_server(replica_set=True) as mongo,
    ):
        pg_url, mongo_url = postgres.create_database("foresight"), mongo.url("foresight")
        print(f"{options.rows:,} rows and documents; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        seed_postgres(pg_url, options.rows)
        seed_mongo(mongo_url, options.rows)
        project = Project(Path(folder))
        project.add("shop", pg_url, onto_existing=True).add("docs", mongo_url, onto_existing=True)
        for id_, statements in SQL.items():
            project.file("shop", id_, "\n".join(f"op.execute({statement!r})" for statement in statements))
        for id_, body in MONGO.items():
            project.file("docs", id_, body)
        found = [*measure(project, "shop"), *measure(project, "docs")]
    within = [one for one in found if one[1] <= one[3] <= one[2]]
    off = [max(real / high, low / max(real, 1e-3)) for _, low, high, real in found]
    worst = f"the worst is off {max(1.0, *off):.1f} times (at most {FAR:g} is wanted)"
    print(f"\n{len(within)} of {len(found)} within; {worst}")


if __name__ == "__main__":
    main()
