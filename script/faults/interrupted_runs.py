"""A campaign of interrupted runs: a run is stopped at a random moment, and another command follows in any direction.

    .venv/bin/python script/faults/interrupted_runs.py [--seed 1] [--runs 100] [--kind mongodb] [--case N]

A history of six steps, of every kind: atomic, repeatable, repeatable both ways, neither. Each step changes two rows,
one after the other. A run over it is killed, stopped for longer than its lease and woken up, cut off from its
server, or told twice to stop, at a moment that the seed chooses. Then comes another apply or rollback, which may be
interrupted too. At last, all is brought to the head and back to the beginning, with the commands that the refusals
name. A step that a person has to decide is looked at, set back and resolved. A run is wrong when

- a command is called a bug, ends with a code that is not documented, or does not end;
- in the end a step was not done exactly once, at the head or at the beginning.

At the end there is a table: how runs were interrupted, and with which codes they ended.
"""

from __future__ import annotations

import argparse
import collections
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dataops.dev import mongodb_server, postgres_server  # noqa: E402
from dataops.errors import ExitCode  # noqa: E402
from tests.projects import Project, pause  # noqa: E402
from tests.proxies import proxied  # noqa: E402
from tests.servers import Answer, fresh_mongo, fresh_postgres  # noqa: E402

HOW = ("kill", "freeze", "cut", "two signals")
LEASE = 2.0
SECONDS = 120.0
PROMISES = {
    "mongodb": ("neither", "repeatable", "both ways", "repeatable", "both ways", "neither"),
    "postgresql": ("atomic", "neither", "repeatable", "atomic", "repeatable", "neither"),
}
STEPS = 6


@dataclass(frozen=True)
class Interruption:
    """A command, after how many seconds it is interrupted, and how."""

    command: str
    seconds: float
    how: str


@dataclass(frozen=True)
class Case:
    """One history of the campaign, and what happens to the runs over it."""

    number: int
    kind: str
    at_head: bool
    interruptions: tuple[Interruption, ...]

    def __str__(self) -> str:
        each = ", ".join(f"{one.command} ({one.how} at {one.seconds:.2f} s)" for one in self.interruptions)
        return f"case {self.number}: {self.kind}, from {'the head' if self.at_head else 'the beginning'}: {each}"


def cases(seed: int, runs: int, kinds: list[str]) -> list[Case]:
    """The cases of a seed."""
    chance = random.Random(seed)
    made = []
    for number in range(runs):
        kind, at_head = chance.choice(kinds), chance.random() < 0.5
        first = "rollback" if at_head else "apply"
        commands = [first, *chance.choices(["apply", "rollback"], k=chance.randint(0, 2))]
        each = [Interruption(command, chance.uniform(0.25, 3.0), chance.choice(HOW)) for command in commands]
        made.append(Case(number, kind, at_head, tuple(each)))
    return made


def add_steps(project: Project, kind: str) -> None:
    """The history: step `at` changes the row `at` of two tables."""
    slow = "time.sleep(0.15)"
    for at, promise in enumerate(PROMISES[kind], start=1):
        if kind == "mongodb":
            operator, undo = ("$inc", -1) if promise == "neither" else ("$set", 0)
            up = [f"db.{name}.update_one({{'_id': {at}}}, {{'{operator}': {{'n': 1}}}})" for name in "ab"]
            down = [f"db.{name}.update_one({{'_id': {at}}}, {{'{operator}': {{'n': {undo}}}}})" for name in "ba"]
            body = [f"\n{slow}\n".join(commands) for commands in (up, down)]
            if promise == "both ways":
                body = [_both_ways(at, slow), _back(at, slow)]
        else:
            changed = ("1", "0") if promise == "repeatable" else ("n + 1", "n - 1")
            body = []
            for value, tables in ((changed[0], "ab"), (changed[1], "ba")):
                lines = [f'op.execute("UPDATE {table} SET n = {value} WHERE id = {at}")' for table in tables]
                lines.insert(1, slow)
                if promise != "atomic":
                    lines = ["with op.get_context().autocommit_block():", *(f"    {line}" for line in lines)]
                body.append("\n".join(lines))
        head = "" if promise in ("neither", "atomic") else "repeatable = True\n"
        head += "from dataops.stash.mongo import applying, undoing\n" if promise == "both ways" else ""
        guard = "if op.get_context().as_sql:\n    return\n" if kind == "postgresql" else ""
        project.file("shop", f"{at:03}", guard + body[0], guard + body[1], head=head)


def _both_ways(at: int, slow: str) -> str:
    lines = [f'with applying(db, "{at:03}") as stash:']
    for name in "ab":
        lines += [
            f'    stash.keep("{name}", {{"_id": {at}, "n": 0}}, ["n"])',
            f'    db.{name}.update_one({{"_id": {at}, "n": 0}}, {{"$set": {{"n": 1}}}})',
            f"    {slow}",
        ]
    return "\n".join(lines)


def _back(at: int, slow: str) -> str:
    lines = [f'with undoing(db, "{at:03}") as stash:']
    for name in "ab":
        lines += [f'    stash.restore("{name}", {{"n": 1}})', f"    {slow}"]
    return "\n".join(lines)


class Data:
    """The two tables that the steps change."""

    def __init__(self, kind: str, url: str) -> None:
        self._kind = kind
        self._url = url

    def fill(self) -> None:
        """One row for each step in each table, with the value 0."""
        if self._kind == "postgresql":
            with psycopg.connect(self._url) as connection:
                for name in "ab":
                    connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, n int)".encode())
                    connection.execute(f"INSERT INTO {name} SELECT at, 0 FROM generate_series(1, {STEPS}) at".encode())
        else:
            with MongoClient[dict[str, Any]](self._url) as client:
                for name in "ab":
                    rows = [{"_id": at, "n": 0} for at in range(1, STEPS + 1)]
                    client.get_default_database()[name].insert_many(rows)

    def values(self) -> dict[int, tuple[int, int]]:
        """The two values of each step."""
        if self._kind == "postgresql":
            with psycopg.connect(self._url) as connection:
                rows = connection.execute("SELECT a.id, a.n, b.n FROM a JOIN b USING (id) ORDER BY 1").fetchall()
                return {id_: (one, two) for id_, one, two in rows}
        with MongoClient[dict[str, Any]](self._url) as client:
            db = client.get_default_database()
            other = {found["_id"]: found["n"] for found in db.b.find()}
            return {found["_id"]: (found["n"], other[found["_id"]]) for found in db.a.find().sort("_id", 1)}

    def set_back(self, at: int) -> None:
        """What a person does with a half-done step before saying that it is not applied."""
        if self._kind == "postgresql":
            with psycopg.connect(self._url) as connection:
                for name in "ab":
                    connection.execute(f"UPDATE {name} SET n = 0 WHERE id = {at}".encode())
        else:
            with MongoClient[dict[str, Any]](self._url) as client:
                for name in "ab":
                    client.get_default_database()[name].update_one({"_id": at}, {"$set": {"n": 0}})


def command(name: str) -> list[str]:
    """All of apply or rollback."""
    return ["apply", "--yes", "--onto-existing"] if name == "apply" else ["rollback", "--yes", "--to", "base"]


def interrupt(project: Project, url: str, one: Interruption) -> Answer:
    """Run a command and interrupt it."""
    with proxied(url) as (through, proxy):
        env = dict.fromkeys(project.env, through)
        with project.running(*command(one.command), env=env) as process:
            try:
                process.wait(one.seconds)
            except subprocess.TimeoutExpired:
                if one.how == "kill":
                    process.kill()
                elif one.how == "freeze":
                    pause(process)
                    time.sleep(2 * LEASE)
                    process.send_signal(signal.SIGCONT)
                elif one.how == "cut":
                    proxy.cut()
                else:
                    process.terminate()
                    process.terminate()
            stdout, stderr = process.communicate(timeout=SECONDS)
            return Answer(process.returncode, stdout, stderr)


def finish(project: Project, data: Data, name: str) -> str:
    """Bring a direction to its end, as the refusals say. Returns what is wrong; "" if nothing is."""
    deadline = time.monotonic() + SECONDS
    while True:
        answer = project(*command(name), timeout=SECONDS)
        if answer.code == 0:
            return ""
        if wrong := wrong_with(answer):
            return wrong
        if time.monotonic() > deadline:
            return f"it does not come to an end:\n{answer.stderr}"
        if answer.code != ExitCode.INTERRUPTED:
            continue
        step = re.search(r"shop/(\d+)|of (\d\d\d) ", answer.stderr)
        again = re.search(r"hint: run it again: dataops ([^;]*);", answer.stderr)
        if again:
            project(*again[1].split(), "--yes", timeout=SECONDS)
        elif step:
            at = int(step[1] or step[2])
            data.set_back(at)
            said = project("resolve", f"shop/{at:03}", "--not-applied", "--reason", "set back by hand")
            if wrong := wrong_with(said):
                return wrong
        else:
            return f"the refusal names no way:\n{answer.stderr}"


def wrong_with(answer: Answer) -> str:
    """What is wrong with an answer in itself."""
    if "bug in dataops" in answer.stderr or "Traceback" in answer.stderr:
        return f"it is called a bug:\n{answer.stderr}"
    return "" if answer.code in {int(code) for code in ExitCode} else f"the code {answer.code} is not documented"


def run(case: Case, folder: Path, url: str, ended: dict[tuple[str, str], collections.Counter[int]]) -> str:
    """What is wrong with a case; "" if nothing is."""
    project = Project(folder)
    project.add("shop", url, timeouts={"connect": "2s", "lock": "30s", "lease": f"{LEASE:g}s"}, onto_existing=True)
    add_steps(project, case.kind)
    data = Data(case.kind, url)
    data.fill()
    if case.at_head and (wrong := finish(project, data, "apply")):
        return f"the preparation failed: {wrong}"
    for one in case.interruptions:
        answer = interrupt(project, url, one)
        ended[case.kind, one.how][answer.code] += 1
        if not (one.how == "kill" and answer.code == -9) and (wrong := wrong_with(answer)):
            return wrong
    for name, value in (("apply", 1), ("rollback", 0), ("apply", 1)):
        if wrong := finish(project, data, name):
            return wrong
        found, wanted = data.values(), dict.fromkeys(range(1, STEPS + 1), (value, value))
        if found != wanted:
            history = project("history", "--limit", "60").stdout
            return f"after {name}, the values are {found}\n{history}"
    return ""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--runs", type=int, default=100)
    options.add_argument("--kind", choices=list(PROMISES))
    options.add_argument("--case", type=int)
    given = options.parse_args()
    kinds = [given.kind] if given.kind else list(PROMISES)
    chosen = [one for one in cases(given.seed, given.runs, kinds) if given.case in (None, one.number)]
    ended: dict[tuple[str, str], collections.Counter[int]] = collections.defaultdict(collections.Counter)
    wrong = 0
    with postgres_server() as postgres, mongodb_server(replica_set=True) as mongo:
        for case in chosen:
            folder = Path(tempfile.mkdtemp(prefix="dataops-faults-"))
            try:
                with fresh_postgres(postgres) if case.kind == "postgresql" else fresh_mongo(mongo) as url:
                    problem = run(case, folder, url, ended)
            except subprocess.TimeoutExpired as error:
                problem = f"it does not end: {error}"
            finally:
                shutil.rmtree(folder)
            if problem:
                wrong += 1
                print(f"WRONG {case}\n  {problem}".replace("\n", "\n  "), flush=True)
    print(f"\n{'kind':<12}{'interrupted by':<16}exit code: how often")
    for (kind, how), codes in sorted(ended.items()):
        print(f"{kind:<12}{how:<16}" + ", ".join(f"{code}: {n}" for code, n in sorted(codes.items())))
    print(f"\nseed {given.seed}: {len(chosen)} cases, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
