"""A step that fails says where, what it had sent, and how much that changed: in text, in JSON and in log lines."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from tests.projects import Project

PG = ["op.execute('CREATE TABLE a (id int)')", 'op.execute("INSERT INTO a VALUES (1), (2), (31415)")']


def failed(project: Project, service: str, *arguments: str) -> dict[str, Any]:
    answer = project("apply", "--yes", "--json", "--service", service, *arguments)
    assert answer.code == 1, answer
    (one,) = answer.json["failed"]
    assert f"\n  at {one['place']}\n" in one["message"]
    return dict(one)


def line(project: Project, service: str, id_: str, words: str) -> int:
    """The line of a migration that has these words."""
    lines = project.path(service, id_).read_text().splitlines()
    return next(number for number, text in enumerate(lines, 1) if words in text)


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_an_error_of_python_names_the_line_in_every_output(two: Project, service: str) -> None:
    two.file(service, "003", "helper({})", head="def helper(things):\n    return things['gone']")
    one = failed(two, service)
    assert one["place"] == f"003.py:{line(two, service, '003', 'things[')} in helper"
    assert one["traceback"].splitlines()[1].startswith('  File "')
    assert "003.py" in one["traceback"].splitlines()[1]  # our own calls are no part of it
    assert one["traceback"].endswith("KeyError: 'gone'\n")
    assert (one["last_sent"], one["writes"], one["changed"]) == (None, 0, 0)
    assert "nothing was sent to the database" in one["message"]

    plain = two("apply", "--yes", "--service", service)
    assert f"  at {one['place']}\n  nothing was sent to the database\n" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert one["traceback"].strip() in two("apply", "--yes", "--service", service, "-v").stderr

    lines = two("apply", "--yes", "--service", service, "--log-format", "json").stderr.splitlines()
    logged = next(found for found in map(json.loads, lines) if found["event"] == "step_failed")
    assert (logged["place"], logged["traceback"], logged["writes"]) == (one["place"], one["traceback"], 0)


ODD = {
    "a group": ("raise ExceptionGroup('all', [ValueError('no')])", "upgrade"),
    "a group of tasks": ("asyncio.run(main())", "helper"),
    "without its traceback": (
        "try:\n    helper()\nexcept ValueError as error:\n    raise error.with_traceback(None) from None",
        "upgrade",
    ),
    "from another thread": (
        "with concurrent.futures.ThreadPoolExecutor() as pool:\n    pool.submit(helper).result()",
        "helper",
    ),
    "too deep": ("deep()", "deep"),
    "a package that is installed": ("json.loads('{')", "upgrade"),
    "a limit of tracebacks": ("sys.tracebacklimit = 0\nhelper()", "helper"),
    "in exec": ("exec('helper()')", "helper"),
    "without a text": ("raise Silent", "upgrade"),
}
ODD_HEAD = """
import asyncio, concurrent.futures, json, sys

class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")

def helper():
    raise ValueError("no")

async def task():
    helper()

async def main():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(task())

def deep():
    return deep() + 1
"""


@pytest.mark.parametrize("service", ["shop", "bank"])
@pytest.mark.parametrize(("odd", "function"), ODD.values(), ids=ODD)
def test_every_error_has_a_place(two: Project, service: str, odd: str, function: str) -> None:
    two.file(service, "003", odd, head=ODD_HEAD)
    one = failed(two, service)
    assert one["place"].startswith("003.py:")
    assert one["place"].endswith(f" in {function}")
    assert "Traceback" in one["traceback"]
    assert len(one["traceback"]) <= 20_000


def test_a_helper_beside_the_file_is_named_by_its_path(two: Project) -> None:
    folder = two.place("bank") / "lib"
    folder.mkdir()
    (folder / "helping.py").write_text("def help_me():\n    raise ValueError('no')\n")
    two.file("bank", "003", "import sys\nsys.path.insert(0, 'bank/lib')\nimport helping\nhelping.help_me()")
    assert failed(two, "bank")["place"] == "lib/helping.py:2 in help_me"


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_an_import_that_fails_names_its_line(two: Project, service: str) -> None:
    two.file(service, "003", head="import json\n\ndef broken():\n    return json.loads('{')\n\nbroken()")
    answer = two("apply", "--yes", "--service", service)
    assert answer.code == 4
    assert f"(at 003.py:{line(two, service, '003', 'json.loads')})" in answer.stderr
    assert "Traceback" not in answer.stderr
    told = two("apply", "--yes", "--service", service, "-v").stderr
    assert "Traceback (most recent call last):" in told
    assert "in broken" in told
    assert "loading.py" not in told


def test_what_a_step_of_postgresql_has_sent_is_told_without_values(two: Project) -> None:
    body = [
        *PG,
        "op.get_bind().execute(sa.text('SELECT count(*) FROM a')).scalar()",
        "op.get_bind().execute(sa.text('UPDATE a SET id = id + 1 WHERE id < :n'), {'n': 3})",
        "op.bulk_insert(sa.table('a', sa.column('id', sa.Integer)), [{'id': n} for n in range(10)])",
        "op.execute(\"INSERT INTO nowhere VALUES ('q7w8e9')\")",
    ]
    two.file("shop", "003", "\n".join(body), head="import sqlalchemy as sa")
    one = failed(two, "shop")
    assert one["place"] == f"003.py:{line(two, 'shop', '003', 'nowhere')} in upgrade"
    assert one["last_sent"] == "INSERT INTO nowhere VALUES (?)"
    assert (one["writes"], one["changed"], one["unit"]) == (5, 15, "rows")
    assert "5 writes sent, 15 rows changed; last sent: INSERT INTO nowhere VALUES (?)" in one["message"]
    assert "sqlalchemy" in one["traceback"]


def test_an_error_at_the_commit_says_that_no_line_of_the_file_was_running(two: Project) -> None:
    two.file(
        "shop",
        "003",
        "op.execute('CREATE TABLE a (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)')\n"
        "op.execute('INSERT INTO a VALUES (1), (1)')",
    )
    one = failed(two, "shop")
    assert one["place"] == "003.py, before or after upgrade()"
    assert (one["writes"], one["changed"]) == (2, 2)


def test_the_count_is_that_of_the_step_that_failed(two: Project) -> None:
    two.file("shop", "003", "\n".join(PG))
    two.file("shop", "004", "raise ValueError('no')")
    assert failed(two, "shop")["writes"] == 0
    two.file("bank", "003", "db.a.insert_many([{}, {}])")
    two.file("bank", "004", "raise ValueError('no')")
    assert failed(two, "bank")["writes"] == 0


READS = {
    "find": "list(db.a.find())",
    "find_one": "db.a.find_one()",
    "count": "db.a.count_documents({})\ndb.a.estimated_document_count()",
    "distinct": "db.a.distinct('x')",
    "aggregate": "list(db.a.aggregate([{'$group': {'_id': '$x'}}]))",
    "batches": "assert len(list(db.a.find(batch_size=2))) == 5",
    "list": "db.list_collection_names()\ndb.a.index_information()\ndb.client.list_database_names()",
    "explain": "db.command({'explain': {'find': 'a'}})",
    "stats": "db.command('dbStats')\ndb.command('ping')\ndb.client.server_info()",
}
WRITES = {
    "insert": ("db.a.insert_one({})", 1, 1),
    "insert many": ("db.a.insert_many([{}, {}, {}])", 1, 3),
    "insert twice": ("try:\n    db.a.insert_one({'_id': 1})\nexcept Exception:\n    pass", 1, 0),
    "some of many": (
        "try:\n    db.a.insert_many([{'_id': 1}, {'_id': 99}], ordered=False)\nexcept Exception:\n    pass", 1, 1,
    ),
    "update": ("db.a.update_many({}, {'$set': {'y': 1}})", 1, 5),
    "upsert": ("db.a.update_one({'_id': 77}, {'$set': {'y': 1}}, upsert=True)", 1, 1),
    "delete": ("db.a.delete_many({'_id': {'$lt': 2}})", 1, 2),
    "find and modify": ("db.a.find_one_and_update({}, {'$set': {'y': 1}})", 1, 1),
    "bulk": (
        "db.a.bulk_write([pymongo.InsertOne({}), pymongo.UpdateOne({'_id': 1}, {'$set': {'y': 1}}),"
        " pymongo.DeleteOne({'_id': 2})])", 3, 3,
    ),
    "out": ("list(db.a.aggregate([{'$match': {}}, {'$out': 'b'}]))", 1, 0),
    "merge": ("list(db.a.aggregate([{'$merge': {'into': 'b'}}]))", 1, 0),
    "index": ("db.a.create_index('x')", 1, 0),
    "drop index": ("db.a.create_index('x')\ndb.a.drop_index('x_1')", 2, 0),
    "create": ("db.create_collection('c')", 1, 0),
    "drop": ("db.a.drop()", 1, 0),
    "rename": ("db.a.rename('b')", 1, 0),
    "validator": ("db.command('collMod', 'a', validator={})", 1, 0),
    "map reduce": (
        "db.command({'mapReduce': 'a', 'map': 'function() { emit(1, 1) }',"
        " 'reduce': 'function(k, v) { return 1 }', 'out': 'b'})", 1, 0,
    ),
    "transaction": (
        "with db.client.start_session() as s, s.start_transaction():\n    db.a.insert_one({}, session=s)", 1, 1,
    ),
    "an aborted transaction": (
        "with db.client.start_session() as s:\n    s.start_transaction()\n    db.a.insert_one({}, session=s)\n"
        "    s.abort_transaction()", 1, 1,
    ),
    "unacknowledged": ("db.get_collection('a', write_concern=pymongo.WriteConcern(w=0)).insert_one({})", 1, 0),
    "an unknown command": ("try:\n    db.command('nosuchthing')\nexcept Exception:\n    pass", 1, 0),
    "two threads": (
        "threads = [threading.Thread(target=lambda: [db.a.insert_one({}) for _ in range(50)]) for _ in range(2)]\n"
        "[t.start() for t in threads]\n[t.join() for t in threads]", 100, 100,
    ),
}  # fmt: skip


def sent(two: Project, body: str) -> dict[str, Any]:
    two.file("bank", "003", "db.a.insert_many([{'_id': n} for n in range(5)])")
    two.file("bank", "004", body + "\nraise ValueError('no')", head="import pymongo, threading")
    return failed(two, "bank")


@pytest.mark.parametrize("body", READS.values(), ids=READS)
def test_a_read_of_mongodb_is_no_write(two: Project, body: str) -> None:
    one = sent(two, body)
    assert (one["writes"], one["changed"]) == (0, 0)
    assert one["last_sent"]


@pytest.mark.parametrize(("body", "writes", "changed"), WRITES.values(), ids=WRITES)
def test_everything_of_mongodb_that_is_not_certainly_a_read_is_a_write(
    two: Project, body: str, writes: int, changed: int
) -> None:
    one = sent(two, body)
    assert (one["writes"], one["changed"], one["unit"]) == (writes, changed, "documents")


def test_the_last_command_is_told_by_its_name_and_its_collection(two: Project) -> None:
    one = sent(two, "db['people'].insert_one({'_id': 'q7w8e9'})\ndb.people.insert_one({'_id': 'q7w8e9'})")
    assert one["last_sent"] == "insert people"
    assert one["message"].count("q7w8e9") == 1  # what the server says of the key
    assert one["place"] == f"004.py:{line(two, 'bank', '004', 'db.people')} in upgrade"
    assert "2 writes sent, 1 document changed; last sent: insert people" in one["message"]


def test_prove_shows_the_traceback_too(two: Project) -> None:
    two.file("bank", "003", "helper()", "helper()", head=ODD_HEAD)
    answer = two("prove", "--service", "bank", "-v", timeout=120)
    assert answer.code == 1
    assert "ValueError: no" in answer.stdout
    assert "in helper\n" in answer.stdout
    assert "Traceback" not in two("prove", "--service", "bank", timeout=120).stdout


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_traceback_has_no_secrets_and_nothing_that_a_terminal_obeys(two: Project, service: str) -> None:
    two.env["OTHER"] = "postgres://someone:q7w8e9secret@db/x"
    body = "try:\n    raise ValueError(os.environ['OTHER'])\nexcept ValueError as error:\n"
    two.file(service, "003", body + "    raise RuntimeError('\\x1b[31m \\udcff \\x00') from error", head="import os")
    for arguments in (["-v"], ["--json"], ["--log-format", "json"], ["-v", "--log-format", "json"]):
        answer = two("apply", "--yes", "--service", service, *arguments)
        assert answer.code == 1
        for text in (answer.stdout, answer.stderr):
            assert "q7w8e9" not in text
            assert not {"\x1b", "\x00"} & set(text)
    entries = two("history", "--json", "--service", service).json["entries"]
    failures = [entry for entry in entries if entry["event"] == "failed"]
    assert len(failures) == 4
    assert r"\x1b[31m \udcff \x00" in failures[0]["error"]
    assert two("status", "--service", service).code == 0


def test_the_title_of_a_file_cannot_write_lines_of_its_own(two: Project) -> None:
    path = two.file("shop", "003")
    title = "x ](http://x) <img src=y> \\x1b[2J \\u202e ::error::z"
    path.write_text(path.read_text().replace("The one called 003.", title))
    for form in ("table", "markdown", "junit", "github", "json"):
        answer = two("plan", "--format", form)
        assert not {"\x1b", "\u202e"} & set(answer.stdout + answer.stderr), form
        assert textwrap.shorten(answer.stdout, 10), form
    assert "](http" not in two("plan", "--format", "markdown").stdout.replace(r"\](", "")
