"""A campaign of hostile servers: every question that a command asks is cut, truncated, delayed or refused once.

    .venv/bin/python script/faults/hostile_servers.py [--seed 1] [--cases 300] [--minutes 10] [--kind KIND] [--case N]

Each run starts a command against a real server behind a proxy (`tests/proxies.py`) that breaks one exchange, which the
seed chooses together with the way and the code of the error. A run is wrong when the command calls it a bug, shows a
traceback, ends with a code that is not documented or does not end; and when, after it, the same command without the
proxy does not come to the end with every step done exactly once. A step that was interrupted (exit 6) is resolved as a
person would do it, by looking. At the end there is a table: commands and ways to break, and how they ended.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from campaign import Note, main, wrong_with
from pymongo import MongoClient

from dataops.errors import ExitCode
from tests.projects import Project
from tests.proxies import KINDS, Fault, proxied
from tests.servers import Answer

COMMANDS = {
    "status": ["status"],
    "plan": ["plan"],
    "history": ["history"],
    "wait": ["wait", "--timeout", "2s"],
    "stash": ["stash", "list"],
    "apply": ["apply", "--yes"],
    "rollback": ["rollback", "--yes", "--to", "base"],
}
QUESTIONS = {"status": 9, "plan": 12, "history": 4, "wait": 9, "stash": 4, "apply": 60, "rollback": 60}
SQLSTATES = """
40001 40P01 42501 42P01 42704 42883 53100 53200 53300 55P03 57014 57P01 57P03 25006 25P02 22021 22P02 23505
XX000 XX001 58030 0A000 3D000 3F000 28000 28P01 P0001 08006 99999
"""
MONGO_CODES = """
1 2 6 8 9 11 13 14 18 20 26 43 48 50 59 64 72 73 85 86 89 91 96 100 112 115 133 134 136 146 175 189 211 224 228
238 244 246 251 262 263 292 323 8000 9001 10107 11000 11600 11602 13297 13388 13435 13436 16500 17280 40324
50768 51246 99999
"""
STEPS = 3
SECONDS = 60.0


@dataclass(frozen=True)
class Case:
    """One run of the campaign."""

    number: int
    kind: str
    command: str
    fault: Fault

    def __str__(self) -> str:
        broken = f"{self.fault.kind} {self.fault.code}{' (write concern)' if self.fault.concern else ''}".strip()
        return f"case {self.number}: {self.kind} {self.command}, question {self.fault.at}: {broken}"


def cases(seed: int, count: int, kinds: list[str]) -> list[Case]:
    """The cases of a seed. Half of them are refusals, because there are many codes."""
    return list(_cases(random.Random(seed), count, kinds))


def _cases(chance: random.Random, count: int, kinds: list[str]) -> Iterator[Case]:
    for number in range(count):
        kind, command = chance.choice(kinds), chance.choice(list(COMMANDS))
        how = chance.choice([*KINDS, *["refuse"] * len(KINDS)])
        code = chance.choice((SQLSTATES if kind == "postgresql" else MONGO_CODES).split()) if how == "refuse" else ""
        concern = kind == "mongodb" and bool(code) and chance.random() < 0.15
        yield Case(number, kind, command, Fault(how, chance.randint(1, QUESTIONS[command]), code, concern))


def project(folder: Path, kind: str, url: str) -> Project:
    """Three steps, each of which leaves one more line in a log when it runs and takes one away when it is undone."""
    made = Project(folder)
    made.add("shop", url, timeouts={"connect": "1s", "table_lock": "2s", "lock": "4s", "lease": "3s"})
    for at in range(1, STEPS + 1):
        if kind == "postgresql":
            up = f"op.execute('CREATE TABLE IF NOT EXISTS log (step int)')\nop.execute('INSERT INTO log VALUES ({at})')"
            made.file("shop", f"00{at}", up, f"op.execute('DELETE FROM log WHERE step = {at}')")
        else:
            up = f"db.log.insert_one({{'step': {at}}})"
            made.file("shop", f"00{at}", up, f"db.log.delete_one({{'step': {at}}})")
    return made


def log_of(kind: str, url: str) -> list[int]:
    """The lines of the log, sorted."""
    if kind == "postgresql":
        with psycopg.connect(url) as connection:
            if connection.execute("SELECT to_regclass('public.log') IS NULL").fetchone() == (True,):
                return []
            return sorted(step for (step,) in connection.execute("SELECT step FROM public.log"))
    with MongoClient[dict[str, Any]](url) as client:
        return sorted(document["step"] for document in client.get_default_database().log.find())


def run(case: Case, folder: Path, url: str, note: Note) -> str:
    """Run a case; returns what is wrong, "" if nothing is."""
    shop = project(folder, case.kind, url)
    before = [] if case.command == "apply" else ["--steps", "1"] if case.command != "rollback" else None
    if before != []:
        ready = shop("apply", "--yes", *(before or []))
        if ready.code != 0:
            return f"the preparation failed: {ready.stderr}"
    with proxied(url, case.fault) as (through, _):
        answer = shop(*COMMANDS[case.command], env=dict.fromkeys(shop.env, through), timeout=SECONDS)
    note((case.kind, case.command, case.fault.kind), str(answer.code))
    wrong = wrong_with(answer)
    if not wrong and answer.code and ("error: " not in answer.stderr or "hint: " not in answer.stderr):
        wrong = f"no error, or no hint:\n{answer.stderr}"
    want = [] if case.command == "rollback" else list(range(1, STEPS + 1))
    return wrong or _afterwards(shop, case, url, want, answer)


def _afterwards(shop: Project, case: Case, url: str, want: list[int], first: Answer) -> str:
    """What is wrong when the work is brought to its end without the proxy; "" if nothing is."""
    again = ["rollback", "--yes", "--to", "base"] if case.command == "rollback" else ["apply", "--yes"]
    deadline = time.monotonic() + SECONDS
    while (answer := shop(*again)).code != 0:
        if time.monotonic() > deadline:
            return f"it does not come to an end:\n{first.stderr}\n{answer.stderr}"
        if answer.code == ExitCode.INTERRUPTED:
            step = next(one for one in range(1, STEPS + 1) if f"/00{one} " in answer.stderr)
            there = "--applied" if step in log_of(case.kind, url) else "--not-applied"
            shop("resolve", f"shop/00{step}", there, "--reason", "looked")
        elif answer.code not in (ExitCode.LOCKED, ExitCode.FAILED):
            return f"then it ends with {answer.code}:\n{first.stderr}\n{answer.stderr}"
    found = log_of(case.kind, url)
    return "" if found == want else f"the log says {found}, and should say {want}:\n{first.stderr}"


if __name__ == "__main__":
    sys.exit(main(__doc__, ("kind", "command", "broken by", "exit code"), cases, run, ("postgresql", "mongodb")))
