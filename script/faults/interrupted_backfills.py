"""A campaign of interrupted backfills: killed at random moments in both directions, while an application writes.

    .venv/bin/python script/faults/interrupted_backfills.py [--seed 1] [--cases 50] [--kind KIND] [--case N]

A table, or a collection whose `_id`s are of many types, is changed by one backfill, which counts each row once. Runs of
apply and of rollback are killed, stopped by a signal, or lose their primary (in a set of three), at moments that the
seed chooses. Then the application stops, and all is brought to the end of one direction, and of the other. A case is
wrong when a command is called a bug or does not end, when a row was not counted exactly once, or not taken back exactly
once, or when a collection of the stash is left behind at the end.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from campaign import Note, main, wrong_with
from interrupted_runs import step_down

from tests.backfills import FILES, HEAD, PG_FILES, PG_HEAD, Application, Shop
from tests.projects import Project

HOW = {
    "postgresql": ("kill", "kill", "signal"),
    "mongodb": ("kill", "kill", "signal"),
    "set of three": ("kill", "signal", "step down"),
}
DOCUMENTS = 2000
SECONDS = 180.0


@dataclass(frozen=True)
class Case:
    """One backfill, and what happens to its runs: for each the command, after how many seconds, and what."""

    number: int
    kind: str
    file: str
    seed: int
    interruptions: tuple[tuple[str, float, str], ...]

    def __str__(self) -> str:
        each = ", ".join(f"{command} ({how} at {seconds:.2f} s)" for command, seconds, how in self.interruptions)
        return f"case {self.number}: {self.kind}, {self.file}: {each}"


def cases(seed: int, count: int, kinds: list[str]) -> list[Case]:
    """The cases of a seed."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        kind = chance.choice(kinds)
        commands = ["apply", "apply", *chance.choices(["apply", "rollback"], k=chance.randint(1, 3))]
        each = [(command, chance.uniform(0.5, 4.0), chance.choice(HOW[kind])) for command in commands]
        files = PG_FILES if kind == "postgresql" else FILES
        made.append(Case(number, kind, chance.choice(list(files)), chance.randrange(1 << 30), tuple(each)))
    return made


def command(name: str) -> list[str]:
    """All of apply or rollback."""
    return ["apply", "--yes"] if name == "apply" else ["rollback", "--yes", "--to", "base"]


def interrupt(project: Project, name: str, seconds: float, how: str) -> str:
    """Run a command, interrupt it, and return its code. Raises AssertionError where its answer is wrong."""
    with project.running(*command(name)) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            match how:
                case "kill":
                    process.kill()
                case "signal":
                    process.terminate()
                case "step down":
                    step_down()
        process.communicate(timeout=SECONDS)
        return str(process.returncode)


def finish(project: Project, name: str) -> str:
    """Bring a direction to its end. Returns what is wrong; "" if nothing is."""
    deadline = time.monotonic() + SECONDS
    while True:
        answer = project(*command(name), timeout=SECONDS)
        if answer.code == 0:
            return ""
        if wrong := wrong_with(answer):
            return wrong
        if time.monotonic() > deadline:
            return f"{name} does not come to an end:\n{answer.stderr}"


def run(case: Case, folder: Path, url: str, note: Note) -> str:
    """Run a case; returns what is wrong, "" if nothing is."""
    project = Project(folder)
    project.add("shop", url, timeouts={"connect": "5s", "lock": "30s", "lease": "2s"}, onto_existing=True)
    application: Shop | Application
    if case.kind == "postgresql":
        project.file("shop", "001", *PG_FILES[case.file], head=PG_HEAD)
        application = Shop(url, DOCUMENTS, case.seed)
    else:
        project.file("shop", "001", *FILES[case.file], head=HEAD)
        application = Application(url, DOCUMENTS, case.seed)
    try:
        with application.at_work():
            for name, seconds, how in case.interruptions:
                note((case.kind, how, name), interrupt(project, name, seconds, how))
        for name, n in (("apply", 1), ("rollback", 0), ("apply", 1), ("rollback", 0)):
            if wrong := finish(project, name):
                return wrong
            if bad := application.wrong_documents(n):
                return f"after {name}: {bad}"
        left = application.left_behind()
        return f"left behind: {left}" if left else ""
    finally:
        application.close()


if __name__ == "__main__":
    sys.exit(main(__doc__, ("kind", "interrupted by", "command", "exit code"), cases, run, list(HOW)))
