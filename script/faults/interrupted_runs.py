"""A campaign of interrupted runs: a run is stopped at a random moment, and another command follows in any direction.

    .venv/bin/python script/faults/interrupted_runs.py [--seed 1] [--cases 100] [--minutes 10] [--kind KIND] [--case N]

A history of six steps, of every kind: atomic, repeatable, repeatable both ways, neither. Each step changes two rows,
one after the other. A run over it is interrupted at a moment that the seed chooses:

- it is killed, stopped for longer than its lease and woken up, or told twice to stop;
- it is cut off from its server, or from then on one question after the other is answered with a time-out for a while;
- it is killed, and the clock of the server, by which its lease ends, is set back or forward by an hour;
- in a set of three, the primary steps down, or is frozen until another one is elected.

Then comes another apply or rollback, which may be interrupted too. At last, all is brought to the head and back to the
beginning, with the commands that the refusals name. A step that a person has to decide is looked at, set back and
resolved. A run is wrong when

- a command is called a bug, ends with a code that is not documented, or does not end;
- in the end a step was not done exactly once, at the head or at the beginning.

At the end there is a table: how runs were interrupted, and with which codes they ended.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from campaign import Note, await_primary, main, wrong_with
from pymongo import MongoClient

from dataops.errors import ExitCode
from tests.projects import Project, pause
from tests.proxies import Fault, Proxy, proxied
from tests.servers import Answer

HOW = {
    "postgresql": ("kill", "freeze", "cut", "two signals", "time-out"),
    "mongodb": ("kill", "freeze", "cut", "two signals", "time-out", "clock back", "clock forward"),
    "set of three": ("step down", "frozen primary", "kill"),
}
LEASE = 2.0
SECONDS = 120.0
PROMISES = {
    "mongodb": ("neither", "repeatable", "both ways", "repeatable", "both ways", "neither"),
    "postgresql": ("atomic", "neither", "repeatable", "atomic", "repeatable", "neither"),
}
PROMISES["set of three"] = PROMISES["mongodb"]
TIME_OUT = {
    "postgresql": Fault("refuse", code="57014", times=5),
    "mongodb": Fault("refuse", code="50", times=5),
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


def cases(seed: int, count: int, kinds: list[str]) -> list[Case]:
    """The cases of a seed."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        kind, at_head = chance.choice(kinds), chance.random() < 0.5
        first = "rollback" if at_head else "apply"
        commands = [first, *chance.choices(["apply", "rollback"], k=chance.randint(0, 2))]
        each = [Interruption(command, chance.uniform(0.25, 3.0), chance.choice(HOW[kind])) for command in commands]
        made.append(Case(number, kind, at_head, tuple(each)))
    return made


def add_steps(project: Project, kind: str) -> None:
    """The history: step `at` changes the row `at` of two tables."""
    slow = "time.sleep(0.15)"
    for at, promise in enumerate(PROMISES[kind], start=1):
        if kind != "postgresql":
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


def interrupt(project: Project, kind: str, url: str, one: Interruption) -> Answer:
    """Run a command and interrupt it."""
    if kind == "set of three":  # its clients go by the addresses that the set tells them, past any proxy
        return _interrupt(project, url, one, None)
    with proxied(url) as (through, proxy):
        return _interrupt(project, through, one, proxy)


def _interrupt(project: Project, url: str, one: Interruption, proxy: Proxy | None) -> Answer:
    with project.running(*command(one.command), env=dict.fromkeys(project.env, url)) as process:
        try:
            process.wait(one.seconds)
        except subprocess.TimeoutExpired:
            _happen(one.how, process, url, proxy)
        stdout, stderr = process.communicate(timeout=SECONDS)
        return Answer(process.returncode, stdout, stderr)


def _happen(how: str, process: subprocess.Popen[str], url: str, proxy: Proxy | None) -> None:
    match how:
        case "kill":
            process.kill()
        case "clock back" | "clock forward":
            process.kill()
            shift_lease(url, timedelta(hours=1 if how == "clock back" else -1))
        case "freeze":
            pause(process)
            time.sleep(2 * LEASE)
            process.send_signal(signal.SIGCONT)
        case "cut":
            assert proxy is not None
            proxy.cut()
        case "time-out":
            assert proxy is not None
            proxy.begin(TIME_OUT["mongodb" if url.startswith("mongodb") else "postgresql"])
        case "two signals":
            process.terminate()
            process.terminate()
        case "step down":
            step_down()
        case "frozen primary":
            primary = await_primary()
            os.kill(primary.pid, signal.SIGSTOP)
            try:
                await_primary(other_than=primary)
            finally:
                os.kill(primary.pid, signal.SIGCONT)


def shift_lease(url: str, by: timedelta) -> None:
    """Let the lease end so much later. A server's clock that is set back has the same effect."""
    with MongoClient[dict[str, Any]](url) as client:
        lock = client.get_default_database().dataops_lock
        for held in lock.find():
            lock.update_one({"_id": held["_id"]}, {"$set": {"expires_at": held["expires_at"] + by}})


def step_down() -> None:
    """Let the primary of the set of three give its place to another member."""
    with MongoClient[dict[str, Any]](await_primary().url(), directConnection=True) as client:
        client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=2, force=True)


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


def run(case: Case, folder: Path, url: str, note: Note) -> str:
    """Run a case; returns what is wrong, "" if nothing is."""
    project = Project(folder)
    project.add("shop", url, timeouts={"connect": "2s", "lock": "30s", "lease": f"{LEASE:g}s"}, onto_existing=True)
    add_steps(project, case.kind)
    data = Data(case.kind, url)
    data.fill()
    if case.at_head and (wrong := finish(project, data, "apply")):
        return f"the preparation failed: {wrong}"
    for one in case.interruptions:
        answer = interrupt(project, case.kind, url, one)
        note((case.kind, one.how, one.command), str(answer.code))
        if answer.code != -signal.SIGKILL and (wrong := wrong_with(answer)):
            return wrong
    for name, value in (("apply", 1), ("rollback", 0), ("apply", 1)):
        if wrong := finish(project, data, name):
            return wrong
        found, wanted = data.values(), dict.fromkeys(range(1, STEPS + 1), (value, value))
        if found != wanted:
            history = project("history", "--limit", "60").stdout
            return f"after {name}, the values are {found}\n{history}"
    return ""


if __name__ == "__main__":
    sys.exit(main(__doc__, ("kind", "interrupted by", "command", "exit code"), cases, run, list(PROMISES)))
