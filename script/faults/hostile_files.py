"""A campaign of hostile files: migrations made of random pieces, each of which may commit, fail, exit or kill the run.

    .venv/bin/python script/faults/hostile_files.py [--seed 1] [--cases 200] [--minutes 10] [--kind KIND] [--case N]

Each file is put together by the seed: writes in the step's transaction, commits in SQL and on the bind, second
connections, autocommit blocks, savepoints, transactions, settings, output of child processes; and an end: it returns,
raises one of many classes, exits, or is killed. Each write leaves a row of its own. `apply` runs it twice, and a run is
wrong when

- it is called a bug, shows a traceback, ends with a code that is not documented, or `--json` is not one object;
- it says that the step is applied, and not every row is there exactly once;
- it says that the step is not applied, nothing is half done, and a row is there;
- the second run changes anything although the first has left the step half done, or a row is there twice.

At the end there is a table: how the files ended, and what was told.
"""

from __future__ import annotations

import collections
import json
import random
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from campaign import Note, main, wrong_with
from pymongo import MongoClient

from dataops.errors import ExitCode
from tests.projects import Project
from tests.servers import Answer

Rows = collections.Counter[int]

POSTGRES = {
    "insert": "op.execute('INSERT INTO public.log VALUES ({row})')",
    "commit": "op.execute('COMMIT')\nop.execute('INSERT INTO public.log VALUES ({row})')",
    "bind commit": "op.get_bind().commit()\nop.execute('INSERT INTO public.log VALUES ({row})')",
    "second connection": """
        with op.get_bind().engine.begin() as other:
            other.execute(sa.text("INSERT INTO public.log VALUES ({row})"))
    """,
    "autocommit block": """
        with op.get_context().autocommit_block():
            op.execute("INSERT INTO public.log VALUES ({row})")
    """,
    "savepoint": """
        with op.get_bind().begin_nested():
            op.execute("INSERT INTO public.log VALUES ({row})")
    """,
    "lost savepoint": """
        try:
            with op.get_bind().begin_nested():
                op.execute("SELECT 1 / 0")
        except Exception:
            op.execute("INSERT INTO public.log VALUES ({row})")
    """,
    "inspect": """
        sa.inspect(op.get_bind().engine).get_table_names()
        op.execute("INSERT INTO public.log VALUES ({row})")
    """,
    "path": "op.execute(\"SELECT set_config('search_path', '', false)\")\n"
    "op.execute('INSERT INTO public.log VALUES ({row})')",
    "settings": "op.execute(\"SET statement_timeout = '1h'; SET lock_timeout = 0\")\n"
    "op.execute('INSERT INTO public.log VALUES ({row})')",
    "child": "subprocess.run(['echo', 'said by a child'])\nop.execute('INSERT INTO public.log VALUES ({row})')",
    "bytes": "os.write(1, b'\\x1b[31m{{')\nop.execute('INSERT INTO public.log VALUES ({row})')",
}
MONGO = {
    "insert": "db.log.insert_one({{'row': {row}}})",
    "bulk": "db.log.bulk_write([InsertOne({{'row': {row}}})])",
    "transaction": """
        with db.client.start_session() as session:
            session.with_transaction(lambda s: db.log.insert_one({{"row": {row}}}, session=s))
    """,
    "merge": "db.aggregate([{{'$documents': [{{'row': {row}}}]}}, {{'$merge': 'log'}}])",
    "find": "list(db.log.find())\ndb.log.insert_one({{'row': {row}}})",
    "upsert": "db.log.update_one({{'row': {row}}}, {{'$set': {{'x': 1}}}}, upsert=True)",
    "thread": """
        thread = threading.Thread(target=db.log.insert_one, args=[{{"row": {row}}}])
        thread.start()
        thread.join()
    """,
    "child": "subprocess.run(['echo', 'said by a child'])\ndb.log.insert_one({{'row': {row}}})",
    "bytes": "os.write(1, b'\\x1b[31m{{')\ndb.log.insert_one({{'row': {row}}})",
}
ENDS = {
    "returns": "pass",
    "ValueError": "raise ValueError('a text with \\x00, \\udcff and \\x1b[31m')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "SystemExit": "raise SystemExit(0)",
    "GeneratorExit": "raise GeneratorExit",
    "CancelledError": "raise asyncio.CancelledError('cancelled')",
    "group": "raise ExceptionGroup('many', [ValueError('one'), KeyError('two')])",
    "os._exit": "os._exit(0)",
    "recursion": "def again():\n    again()\nagain()",
    "kill": "os.kill(os.getpid(), 9)",
}
PG_ENDS = {
    "SQL error": "op.execute('SELECT 1 / 0')",
    "deferred": "op.execute('CREATE TABLE public.d (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)')\n"
    "op.execute('INSERT INTO public.d VALUES (1), (1)')",
    "ROLLBACK": "op.execute('ROLLBACK')",
    "drops the journal": "for schema in ('public', 'dataops_history'):\n"
    "    op.execute(f'DROP TABLE IF EXISTS {schema}.dataops_jour' + 'nal CASCADE')",
    "gives the lock away": "op.execute('SELECT pg_advisory_unlock_all()')",
    "ends its session": "op.execute('SELECT pg_terminate_backend(pg_backend_pid())')",
}
MONGO_ENDS = {
    "duplicate": "db.dup.insert_many([{'_id': 1}, {'_id': 1}])",
    "bad command": "db.command('noSuchCommand')",
    "closes its client": "db.client.close()\ndb.log.find_one()",
}
HEAD = """
import asyncio, os, subprocess, threading
{more}
"""


@dataclass(frozen=True)
class Case:
    """One file of the campaign: its pieces in order, and its end."""

    number: int
    kind: str
    pieces: tuple[str, ...]
    end: str

    def __str__(self) -> str:
        return f"case {self.number}: {self.kind}: {', '.join(self.pieces)}; then {self.end}"

    def body(self) -> str:
        """The body of upgrade(). While it is only looked at, it does nothing."""
        known, ends = (POSTGRES, ENDS | PG_ENDS) if self.kind == "postgresql" else (MONGO, ENDS | MONGO_ENDS)
        looking = "op.get_context().as_sql" if self.kind == "postgresql" else "db.client.address[0].endswith('.sock')"
        parts = [f"if {looking}:\n    return"]
        parts += [textwrap.dedent(known[piece]).strip().format(row=row) for row, piece in enumerate(self.pieces)]
        return "\n".join([*parts, ends[self.end]])


def cases(seed: int, count: int, kinds: list[str]) -> list[Case]:
    """The files of a seed."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        kind = chance.choice(kinds)
        known, ends = (POSTGRES, ENDS | PG_ENDS) if kind == "postgresql" else (MONGO, ENDS | MONGO_ENDS)
        pieces = tuple(chance.choices(list(known), k=chance.randint(0, 4)))
        made.append(Case(number, kind, pieces, chance.choice(list(ends))))
    return made


def rows_of(kind: str, url: str) -> Rows:
    """How often each row is there."""
    if kind == "postgresql":
        with psycopg.connect(url) as connection:
            return Rows(row for (row,) in connection.execute("SELECT row FROM public.log"))
    with MongoClient[dict[str, Any]](url) as client:
        return Rows(found["row"] for found in client.get_default_database().log.find({"row": {"$gte": 0}}))


def run(case: Case, folder: Path, url: str, note: Note) -> str:
    """Run a case; returns what is wrong with what was told of the step, "" if nothing is."""
    told, wrong = _told(case, folder, url)
    note((case.kind, case.end), told or "nothing")
    return wrong


def _told(case: Case, folder: Path, url: str) -> tuple[str, str]:
    project = Project(folder)
    project.add("shop", url, timeouts={"connect": "2s", "lock": "10s", "lease": "2s"})
    if case.kind == "postgresql":
        project.file("shop", "001", "op.execute('CREATE TABLE public.log (\"row\" int)')", "pass")
    else:
        project.file("shop", "001", "db.log.insert_one({'row': -1})", "pass")
    ready = project("apply", "--yes")
    if ready.code != 0:
        return "", f"the preparation failed: {ready.stderr}"
    more = "import sqlalchemy as sa" if case.kind == "postgresql" else "from pymongo import InsertOne"
    project.file("shop", "002", case.body(), "pass", head=HEAD.format(more=more))
    rows: Callable[[], Rows] = lambda: rows_of(case.kind, url)  # noqa: E731
    every = Rows(range(len(case.pieces)))
    told, half = "", False
    before: Rows = Rows()
    for attempt in (1, 2):
        answer = project("apply", "--yes", "--json", timeout=60)
        there = rows()
        if wrong := _wrong(case, answer):
            return told, wrong
        if half and (answer.code != ExitCode.INTERRUPTED or there != before):
            return told, f"it was half done, and run {attempt} ended with {answer.code}: {before} -> {there}"
        if max(there.values(), default=0) > 1:
            return told, f"a row is there twice after run {attempt}: {there}"
        status = _status(project)
        if "interrupted" not in status:
            return told, f"status does not answer: {status}"
        applied, half = status["applied"] == 2, status["interrupted"] is not None
        told = "applied" if applied else "half done" if half else "failed"
        if applied and there != every:
            return told, f"it is applied, with {there} instead of {every}"
        if not applied and not half and there:
            return told, f"nothing is half done, and there is {there}"
        before = there
        if applied:
            break
    return told, ""


def _status(project: Project) -> dict[str, Any]:
    """What status says when nobody holds the lock any more: the lease of a killed run has to end first."""
    deadline = time.monotonic() + 30
    while True:
        status: dict[str, Any] = project("status", "--json").json["services"][0]
        if not status.get("locked_by") or time.monotonic() > deadline:
            return status


def _wrong(case: Case, answer: Answer) -> str:
    if case.end == "kill" and answer.code == -9:
        return ""
    if wrong := wrong_with(answer):
        return wrong
    try:
        json.loads(answer.stdout)
    except ValueError:
        return f"the answer is not one JSON object: {answer.stdout[:300]!r}"
    return ""


if __name__ == "__main__":
    sys.exit(main(__doc__, ("kind", "the file ends", "what was told"), cases, run, ("postgresql", "mongodb")))
