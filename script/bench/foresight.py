"""How good a plan and a rehearsal are: what they said beforehand of each step, beside what the step did.

    .venv/bin/python script/bench/foresight.py [--rows 2000000] [--sample 10000] [--postgres 15]

Fills a PostgreSQL table and a MongoDB collection with so many rows and documents, plans a history of ordinary steps
over them, rehearses it on a sample, and applies it one step at a time. Right before a step is applied it is planned
twice, without what the rehearsal has measured and with it. Printed for each step: the range of the plan, the range that
the rehearsal has carried over, and the seconds of the real run. The locks that the steps took in the rehearsal, and the
tables that the real run wrote anew, are held against those that the plan named. Then steps are planned and applied that
fail, one of each kind that a plan can foretell, and for each kind one that looks like it and does not fail.

Machines differ: what counts is the last lines. Wanted: the real time within the range for 9 of 10 steps and within a
factor of three of it for all; every lock and rewrite named; every failure foretold, and no other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ["DATAOPS_TEST_COLD"] = "1"  # the command is started as users start it

from dataops.dev import MongoServer, PostgresServer, mongodb_server, postgres_server  # noqa: E402
from dataops.model.effect import MEASURED  # noqa: E402
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
OVERHEAD = 0.2
"""Seconds that a step takes besides its statements."""
WEAK = ("AccessShareLock", "RowShareLock", "RowExclusiveLock")

Nodes = Callable[[], dict[str, int]]

SMALL_SQL = """
CREATE TABLE ref (id int PRIMARY KEY, name text); INSERT INTO ref VALUES (1, 'x'), (2, 'y');
CREATE TABLE small (id int PRIMARY KEY, a int, b int, c text, d text NOT NULL DEFAULT 'x' CHECK (d <> ''),
  r int REFERENCES ref);
INSERT INTO small VALUES (1, 1, NULL, '1', 'x', 1), (2, 1, 2, 'no number', 'y', 1), (3, 2, 3, '3', 'z', 2);
CREATE TABLE part (k int, v int) PARTITION BY RANGE (k); CREATE TABLE rest PARTITION OF part DEFAULT;
INSERT INTO part VALUES (5, 5); CREATE TABLE outside (k int, v int); INSERT INTO outside VALUES (500, 1);
CREATE TABLE inside (k int, v int); INSERT INTO inside VALUES (150, 1);
CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE felt (m mood);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
"""
FAIL_SQL = [
    ("ALTER TABLE small ALTER b SET NOT NULL", "ALTER TABLE small ALTER a SET NOT NULL"),
    ("ALTER TABLE small ADD e int NOT NULL", "ALTER TABLE small ADD e int NOT NULL DEFAULT 1"),
    ("ALTER TABLE small ADD CHECK (a < 2)", "ALTER TABLE small ADD CHECK (a < 3)"),
    ("CREATE UNIQUE INDEX ON small (a)", "CREATE UNIQUE INDEX ON small (b)"),
    ("ALTER TABLE small ADD FOREIGN KEY (b) REFERENCES ref", "ALTER TABLE small ADD FOREIGN KEY (a) REFERENCES ref"),
    ("ALTER TABLE small DROP COLUMN nothing", "ALTER TABLE small DROP COLUMN IF EXISTS nothing"),
    ("ALTER TABLE nothing ADD x int", "ALTER TABLE IF EXISTS nothing ADD x int"),
    ("CREATE TABLE small (a int)", "CREATE TABLE IF NOT EXISTS small (a int)"),
    ("ALTER TABLE small ALTER c TYPE int USING c::int", "ALTER TABLE small ALTER a TYPE text"),
    ("INSERT INTO small (id) VALUES (2)", "INSERT INTO small (id) VALUES (4)"),
    ("INSERT INTO small (id, d) VALUES (4, NULL)", "INSERT INTO small (id, d) VALUES (4, 'q')"),
    ("INSERT INTO small (id, d) VALUES (4, '')", "INSERT INTO small (id, c) VALUES (4, NULL)"),
    ("INSERT INTO small (id, r) VALUES (4, 9)", "INSERT INTO small (id, r) VALUES (4, 2)"),
    ("UPDATE small SET id = 1 WHERE id > 1", "UPDATE small SET id = id + 10"),
    ("UPDATE small SET d = NULL WHERE b = 2", "UPDATE small SET d = NULL WHERE b = 99"),
    ("UPDATE small SET r = 9 WHERE a = 1", "UPDATE small SET r = 2 WHERE a = 1"),
    ("DELETE FROM ref WHERE id = 1", "DELETE FROM ref WHERE id > 2"),
    (
        "ALTER TABLE part ATTACH PARTITION outside FOR VALUES FROM (100) TO (200)",
        "ALTER TABLE part ATTACH PARTITION inside FOR VALUES FROM (100) TO (200)",
    ),
    (
        "CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (10) TO (20)",
    ),
    ("ALTER TYPE mood ADD VALUE 'good'", "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'good'"),
    ("ALTER TYPE mood RENAME VALUE 'none' TO 'x'", "ALTER TYPE mood RENAME VALUE 'bad' TO 'x'"),
    ("DROP TYPE mood", "DROP TYPE mood CASCADE"),
    ("CREATE TYPE mood AS ENUM ('x')", "CREATE TYPE mood2 AS ENUM ('x')"),
    (
        "CREATE TRIGGER t BEFORE INSERT ON small FOR EACH ROW EXECUTE FUNCTION nothing()",
        "CREATE TRIGGER t BEFORE INSERT ON small FOR EACH ROW EXECUTE FUNCTION f()",
    ),
    ("DROP TRIGGER t ON small", "DROP TRIGGER IF EXISTS t ON small"),
    ("DROP FUNCTION nothing()", "DROP FUNCTION f()"),
]
"""Pairs: the first one fails, and the second one does not."""
SMALL_MONGO = """
db.users.insert_many([{'_id': n, 'n': n, 'email': f'e{n % 2}', 'tags': [n], 'kinds': [n], 'at': 'x'} for n in range(4)])
db.users.create_index('n', name='n_1')
db.other.insert_one({'_id': 1})
db.create_collection('checked', validator={'a': {'$type': 'int'}})
db.checked.insert_one({'_id': 1, 'a': 1})
db.places.insert_many([{'_id': 1, 'at': {'type': 'Point', 'coordinates': [1, 2]}, 'bad': {'type': 'Point'}}])
db.texts.create_index([('a', 'text')], name='a_text')
"""
FAIL_MONGO = [
    ("db.users.create_index('email', name='e', unique=True)", "db.users.create_index('n', name='x', unique=True)"),
    ("db.users.create_index('email', name='n_1')", "db.users.create_index('n', name='n_1')"),
    ("db.users.create_index([('tags', 1), ('kinds', 1)], name='x')", "db.users.create_index('tags', name='x')"),
    ("db.users.create_index([('tags', 'hashed')], name='x')", "db.users.create_index([('n', 'hashed')], name='x')"),
    (
        "db.places.create_index([('bad', '2dsphere')], name='x')",
        "db.places.create_index([('at', '2dsphere')], name='x')",
    ),
    ("db.texts.create_index([('b', 'text')], name='x')", "db.users.create_index([('b', 'text')], name='x')"),
    ("db.create_collection('users')", "db.create_collection('fresh')"),
    ("db.users.rename('other')", "db.users.rename('other', dropTarget=True)"),
    ("db.nobody.rename('fresh')", "db.other.rename('fresh')"),
    ("db.users.insert_one({'_id': 1})", "db.users.insert_one({'_id': 9})"),
    ("db.checked.insert_one({'_id': 2, 'a': 'x'})", "db.checked.insert_one({'_id': 2, 'a': 2})"),
    ("db.checked.update_many({}, {'$set': {'a': 'x'}})", "db.checked.update_many({}, {'$set': {'a': 7}})"),
    ("db.users.drop_index('nothing')", "db.users.drop_index('n_1')"),
    (
        "db.users.aggregate([{'$merge': {'into': 'other', 'whenMatched': 'fail'}}])",
        "db.users.aggregate([{'$merge': {'into': 'other'}}])",
    ),
    (
        "db.users.aggregate([{'$merge': {'into': 'other', 'on': 'n'}}])",
        "db.users.aggregate([{'$out': 'other'}])",
    ),
]


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


def nodes_of(url: str) -> dict[str, int]:
    """Where the server stores each table."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relnamespace::regnamespace || '.' || relname, pg_relation_filenode(oid) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
        ).fetchall()
    return {str(name): int(node) for name, node in rows}


@dataclass(frozen=True)
class Timed:
    """A step: what the plan and the rehearsal said that it takes, and what it took. None where nothing was said."""

    step: str
    planned: tuple[float, float] | None
    rehearsed: tuple[float, float] | None
    real: float


def plan(project: Project, service: str) -> list[Any]:
    """The pending steps of a plan."""
    answer = project("plan", "--service", service, "--json", timeout=600)
    assert answer.code == 0, answer.stderr
    return list(answer.json["services"][0]["steps"])


def range_of(step: Any, *, rehearsed: bool) -> tuple[float, float] | None:
    """How long the step takes by its plan; None if the plan says nothing, or not what the rehearsal has measured."""
    spans = [effect["seconds"] for effect in step["effects"] if effect["seconds"]]
    if not spans or (rehearsed and not any(span["basis"].startswith(MEASURED) for span in spans)):
        return None
    return sum(span["low"] for span in spans), sum(span["high"] for span in spans) + OVERHEAD


def measure(project: Project, service: str, sample: int, nodes: Nodes) -> tuple[list[Timed], list[str]]:
    """Plan, rehearse and apply all steps of a service. Returns the times, and the locks and rewrites that nobody named.

    `nodes` gives for each table where the server stores it, which another place means that it was written anew.
    """
    began = time.perf_counter()
    first = {step["migration"]: step for step in plan(project, service)}
    print(f"\n{service}: a plan of {len(first)} steps in {time.perf_counter() - began:.1f} s", end="", flush=True)
    began = time.perf_counter()
    answer = project("rehearse", "--service", service, "--sample", str(sample), "--json", timeout=1800)
    assert answer.code == 0, answer.stderr + answer.stdout
    print(f", a rehearsal on a sample of {sample:,} in {time.perf_counter() - began:.1f} s")
    missed = locks_missed(first, answer.json["services"][0]["steps"])
    found: list[Timed] = []
    kept = project.folder / ".dataops" / "rehearsal.json"
    print(f"  {'step':6}{'planned':>20}{'rehearsed':>20}{'real':>9}")
    for migration in first:
        away = kept.rename(kept.with_suffix(".away"))
        planned = plan(project, service)[0]
        away.rename(kept)
        rehearsed = plan(project, service)[0]
        before = nodes()
        answer = project("apply", "--service", service, "--steps", "1", "--yes", timeout=3600)
        assert answer.code == 0, answer.stderr
        after = nodes()
        said = rewrites_said(planned)
        missed += [
            f"{migration}: {name} was written anew"
            for name in before.keys() & after.keys()
            if before[name] != after[name] and name not in said
        ]
        history = project("history", "--service", service, "--format", "json").json
        one = Timed(
            migration,
            range_of(planned, rehearsed=False),
            range_of(rehearsed, rehearsed=True),
            _seconds(history, migration),
        )
        found.append(one)
        print(f"  {migration:6}{_cell(one.planned)}{_cell(one.rehearsed)}{one.real:9.2f}{_marks(one)}", flush=True)
    return found, missed


def locks_missed(planned: dict[str, Any], rehearsed: Sequence[Any]) -> list[str]:
    """The locks that a step took in the rehearsal and that its plan had not named, but those of readers."""
    missed = []
    for step in rehearsed:
        if step["direction"] != "apply":
            continue
        named = {
            (held["object"].partition(" with ")[0], held["mode"])
            for effect in planned[step["migration"]]["effects"]
            for held in effect["locks"]
        }
        taken = {(one["object"], one["mode"]) for part in step["statements"] for one in part["locks"]}
        made = {name for name, _ in taken} - {name for name, _ in named}
        missed += [
            f"{step['migration']}: {name} {mode}"
            for name, mode in sorted(taken - named)
            if mode not in WEAK and name not in made
        ]
    return missed


def rewrites_said(step: Any) -> set[str]:
    return {work["object"] for effect in step["effects"] for work in effect["work"] if work["verb"] == "rewrites"}


def factor(span: tuple[float, float] | None, real: float) -> float | None:
    """How many times the real time is off the range; 1 within it."""
    if span is None:
        return None
    return max(1.0, real / span[1], span[0] / max(real, 1e-3))


def _cell(span: tuple[float, float] | None) -> str:
    return f"{span[0]:10.2f} -{span[1]:8.2f}" if span else f"{'-':>20}"


def _marks(one: Timed) -> str:
    parts = [(name, factor(span, one.real)) for name, span in (("plan", one.planned), ("rehearsal", one.rehearsed))]
    return "".join(f"  {name} off {off:.1f} times" for name, off in parts if off is not None and off > 1)


def tally(name: str, spans: Sequence[tuple[tuple[float, float] | None, float]]) -> str:
    """How many are within, within a factor of three, and how wide the ranges are."""
    known = [(span, real) for span, real in spans if span is not None]
    off = [factor(span, real) or 1.0 for span, real in known]
    width = sorted(span[1] / max(span[0], 1e-3) for span, _ in known if span[1] > 1)
    middle = f", of those over a second from x to {width[len(width) // 2]:.0f} x" if width else ""
    return (
        f"{name}: {sum(one == 1 for one in off)} of {len(off)} within the range, {sum(one <= FAR for one in off)} "
        f"within a factor of {FAR:g}, the worst off {max(off, default=1):.1f} times; nothing said of "
        f"{len(spans) - len(known)}{middle}"
    )


def _seconds(history: Any, migration: str) -> float:
    """What the journal says of the newest run of a migration."""
    entries = [one for one in history["entries"] if one["migration"] == migration and one["seconds"] is not None]
    return float(max(entries, key=lambda one: one["at"])["seconds"])


def failures(postgres: PostgresServer, mongo: MongoServer, folder: Path) -> tuple[int, list[str]]:
    """Plan and apply steps, half of which fail. Returns how many, and what was foretold wrongly."""
    wrong = []
    cases = [("sql", case) for pair in FAIL_SQL for case in pair] + [
        ("mongo", case) for pair in FAIL_MONGO for case in pair
    ]
    for at, (kind, case) in enumerate(cases):
        project = Project(folder / f"case{at}")
        project.folder.mkdir()
        if kind == "sql":
            url = postgres.create_database(f"case{at}")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(SMALL_SQL.encode())
            project.add("it", url, onto_existing=True).file("it", "001", f"op.execute({case!r})")
        else:
            url = mongo.url(f"case{at}")
            with MongoClient[dict[str, Any]](url) as client:
                exec(SMALL_MONGO, {"db": client.get_default_database()})
            project.add("it", url, onto_existing=True).file("it", "001", case)
        answer = project("plan", "--json")
        step = json.loads(answer.stdout)["services"][0]["steps"][0]
        said = [risk["text"] for risk in step["risks"] if risk["hazard"] == "will-fail"]
        said += [step["fails"]] if step["fails"] else []
        failed = project("apply", "--yes", timeout=300).code != 0
        should_fail = at % 2 == 0
        assert failed == should_fail, (case, answer.stdout)
        if bool(said) != failed:
            wrong.append(f"{case}: " + ("not foretold" if failed else f"foretold and did not fail: {said[0]}"))
    return len(cases), wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--sample", type=int, default=10_000, help="rows of each table in the rehearsal")
    parser.add_argument("--postgres", type=int, default=None, help="a major version")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server(options.postgres) as postgres,
        mongodb_server(replica_set=True) as mongo,
    ):
        top = Path(folder)
        pg_url, mongo_url = postgres.create_database("foresight"), mongo.url("foresight")
        print(f"{options.rows:,} rows and documents; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        seed_postgres(pg_url, options.rows)
        seed_mongo(mongo_url, options.rows)
        project = Project(top / "project")
        project.folder.mkdir()
        project.add("shop", pg_url, onto_existing=True).add("docs", mongo_url, onto_existing=True)
        for id_, statements in SQL.items():
            project.file("shop", id_, "\n".join(f"op.execute({statement!r})" for statement in statements))
        for id_, body in MONGO.items():
            project.file("docs", id_, body)
        found, missed = measure(project, "shop", options.sample, lambda: nodes_of(pg_url))
        more, _ = measure(project, "docs", options.sample, dict)
        found += more
        count, wrong = failures(postgres, mongo, top)
    print()
    print(tally("plan", [(one.planned, one.real) for one in found]))
    print(tally("rehearsal", [(one.rehearsed, one.real) for one in found]))
    print("locks and rewrites: " + ("all named beforehand" if not missed else f"{len(missed)} not named beforehand"))
    print("\n".join(f"  {one}" for one in missed))
    print(f"failures: of {count} steps, half of which fail, {len(wrong)} were foretold wrongly")
    print("\n".join(f"  {one}" for one in wrong))


if __name__ == "__main__":
    main()
