"""Whatever a server answers and whatever the environment is, it is never called a bug of ours.

Each case has a message, a hint and an exit code, and the other services are still shown. The campaign
script/faults/hostile_servers.py breaks every exchange in turn; these are its kinds, one by one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from tests.projects import Project, ended, until
from tests.proxies import KINDS, Fault, proxied
from tests.servers import COMMAND, Answer, clean_environment

SHORT = {"connect": "1s", "lock": "3s", "table_lock": "1s"}
ASKING: list[list[str]] = [["status"], ["plan"], ["history"], ["wait", "--timeout", "1s"], ["stash", "list"]]


@pytest.fixture
def pair(project: Project, pg_url: str, mongo_url: str) -> Project:
    """A PostgreSQL `shop` and a MongoDB `bank`, with two migrations each and one of them applied."""
    for name, url in (("shop", pg_url), ("bank", mongo_url)):
        project.add(name, url, timeouts=SHORT)
        project.table(name, "001")
    assert project("apply", "--yes").code == 0
    for name in ("shop", "bank"):
        project.table(name, "002")
    return project


def no_bug(answer: Answer, *codes: int) -> None:
    """An error that is told as it should be: a documented code, a message and a hint, no traceback."""
    assert "bug in dataops" not in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.code in codes, answer.stderr
    assert "error: " in answer.stderr
    assert "hint: " in answer.stderr


def through(project: Project, name: str) -> str:
    """The variable that leads to the database of a service."""
    return next(variable for variable in project.env if variable.startswith(name.upper()))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        *((command, "XX000") for command in ASKING),
        *((["status"], code) for code in ("42P01", "P0001", "57P03", "99999")),
    ],
)
def test_postgresql_refuses_a_question(pair: Project, command: list[str], code: str) -> None:
    variable = through(pair, "shop")
    with proxied(pair.env[variable], Fault("refuse", at=0, code=code)) as (url, proxy):
        answer = pair(*command, "--service", "shop", env={variable: url})
        assert proxy.struck.is_set()
    no_bug(answer, 10, 3)
    assert "refused by the proxy" in answer.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [*((command, 50) for command in ASKING), *((["status"], code) for code in (8000, 59, 292, 16500, 11600, 99999))],
)
def test_mongodb_refuses_a_question(pair: Project, command: list[str], code: int) -> None:
    variable = through(pair, "bank")
    with proxied(pair.env[variable], Fault("refuse", at=0, code=str(code))) as (url, proxy):
        answer = pair(*command, "--service", "bank", env={variable: url})
        assert proxy.struck.is_set()
    no_bug(answer, 10, 3)
    assert "refused by the proxy" in answer.stderr


@pytest.mark.parametrize("how", [kind for kind in KINDS if kind != "refuse"])
@pytest.mark.parametrize("name", ["shop", "bank"])
def test_an_exchange_that_is_broken_every_time(pair: Project, name: str, how: str) -> None:
    variable = through(pair, name)
    with proxied(pair.env[variable], Fault(how)) as (url, _):
        answer = pair("status", env={variable: url})
    no_bug(answer, 10)
    other = {"shop": "bank", "bank": "shop"}[name]
    assert f"\n{other} " in f"\n{answer.stdout}"
    assert "1 pending" in answer.stdout  # the other service is still shown


def test_an_apply_that_gets_no_answer_ends_at_the_second_signal(pair: Project) -> None:
    """The server is connected and hangs in the middle of a step: nobody but a person can say how long that may take."""
    pair.file("shop", "003", "op.execute('SELECT 1')")
    variable = through(pair, "shop")
    with (
        proxied(pair.env[variable], Fault("delay", at=48)) as (url, proxy),
        pair.running("apply", "--yes", "--service", "shop", env={variable: url}) as process,
    ):
        until(lambda: proxy.struck.is_set() or process.poll() is not None, 60)
        for _ in range(2):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        answer = ended(process, 60)
    no_bug(answer, 75, 10, 3)
    assert pair("apply", "--yes").code == 0


def test_an_event_trigger_that_refuses_our_tables(project: Project, pg: psycopg.Connection[Any], pg_url: str) -> None:
    project.add("shop", pg_url, onto_existing=True)
    project.table("shop", "001")
    refuse = "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no DDL here'; END $$"
    pg.execute(refuse.encode())
    pg.execute("CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION refuse()")
    assert project("status").code == 0
    answer = project("apply", "--yes")
    no_bug(answer, 10)
    assert "no DDL here" in answer.stderr
    pg.execute("DROP EVENT TRIGGER no_ddl")
    assert project("apply", "--yes").code == 0


@pytest.mark.parametrize("option", ["w=5", "w=nope"])
def test_a_write_concern_that_cannot_be_met(pair: Project, option: str) -> None:
    variable = through(pair, "bank")
    url = pair.env[variable]
    answer = pair("apply", "--yes", env={variable: f"{url}{'&' if '?' in url else '?'}{option}"})
    no_bug(answer, 10)
    assert "write concern" in answer.stderr
    assert pair("status", "--check").code == 2  # nothing was applied, and nothing is half done


def test_a_database_whose_name_differs_in_capitals_only(pair: Project, mongo_db: Database[dict[str, Any]]) -> None:
    variable = through(pair, "bank")
    assert mongo_db.name == mongo_db.name.lower()
    answer = pair("apply", "--yes", env={variable: pair.env[variable].replace(mongo_db.name, mongo_db.name.upper())})
    no_bug(answer, 4)
    assert "different case" in answer.stderr


def test_an_entry_that_a_newer_version_has_written(
    pair: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    row = pg.execute("SELECT oid::regclass FROM pg_class WHERE relname IN ('dataops_journal', 'journal')").fetchone()
    assert row is not None
    table = row[0]
    drop = f"ALTER TABLE {table} DROP CONSTRAINT dataops_journal_event_check"
    pg.execute(drop.encode())
    unknown = (
        f"UPDATE {table} SET event = 'of-a-newer-version', version = '9.9' WHERE seq = (SELECT max(seq) FROM {table})"
    )
    pg.execute(unknown.encode())
    last = mongo_db.dataops_journal.find_one(sort=[("seq", -1)])
    assert last is not None
    mongo_db.dataops_journal.update_one(
        {"_id": last["_id"]}, {"$set": {"event": "of-a-newer-version", "version": "9.9"}}
    )
    for name in ("shop", "bank"):
        for command in (["status"], ["plan"], ["history"], ["apply", "--yes"], ["wait", "--timeout", "1s"]):
            answer = pair(*command, "--service", name)
            no_bug(answer, 9)
            assert "written by dataops 9.9" in answer.stderr
    mongo_db.dataops_journal.update_one({"_id": last["_id"]}, {"$set": {"event": "succeeded", "added_later": 1}})
    assert pair("status", "--service", "bank").code == 0


# The environment


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("shop", "postgres://u:p@db..svc/x", "host"),
        ("shop", f"postgres://u:p@{'a' * 64}.svc/x", "host"),
        ("bank", "mongodb://db..svc/x", "host"),
        ("bank", "mongodb://127.0.0.1/a.b", "cannot have a database"),
        ("bank", f"mongodb://127.0.0.1/{'x' * 64}", "cannot have a database"),
        ("bank", "mongodb://127.0.0.1/x%00y", "control character"),
        ("bank", "mongodb://127.0.0.1/x%0A", "control character"),
        ("bank", "mongodb://127.0.0.1/%ff", "not UTF-8"),
        ("shop", "postgres://u:p@127.0.0.1/x%00y", "control character"),
        ("shop", "postgres://u:p@127.0.0.1/x%0Ay", "control character"),
        ("shop", f"postgres://u:p@127.0.0.1/{'x' * 64}", "cannot have a database"),
        ("shop", "postgres://u:p@127.0.0.1/x?application_name=%ff", "not a valid"),
    ],
)
def test_a_url_that_cannot_be_right(pair: Project, name: str, url: str, words: str) -> None:
    answer = pair("status", env={through(pair, name): url})
    no_bug(answer, 4)
    assert words in answer.stderr


@pytest.mark.parametrize("name", ["shop", "bank"])
def test_a_new_line_at_the_end_of_a_secret_is_no_part_of_it(pair: Project, name: str) -> None:
    variable = through(pair, name)
    assert pair("apply", "--yes", env={variable: f" {pair.env[variable]}\r\n"}).code == 0
    assert pair("status", "--check").code == 0


def in_bytes(project: Project, *args: bytes, **variables: bytes) -> Answer:
    """Run the command with arguments and variables that need not be text."""
    known = {os.fsencode(key): os.fsencode(value) for key, value in {**clean_environment(), **project.env}.items()}
    added = {os.fsencode(key): value for key, value in variables.items()}
    done = subprocess.run(
        [os.fsencode(COMMAND), *args],
        env={**known, **added},
        cwd=project.folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ([b"status", b"--service", b"\xff"], 64),
        ([b"status", b"--config", b"/\xff"], 4),
        ([b"resolve", b"shop/\xff", b"--applied", b"--reason", b"x"], 64),
        ([b"apply", b"--yes", b"--to", b"shop/\xff"], 64),
        ([b"plan", b"--out", b"\xff/x"], 10),
        ([b"new", b"shop", b"a \xff"], 64),
    ],
)
def test_an_argument_that_is_not_utf_8(pair: Project, args: list[bytes], code: int) -> None:
    before = sorted(pair.folder.rglob("*"))
    no_bug(in_bytes(pair, *args), code)
    assert sorted(pair.folder.rglob("*")) == before


def test_a_url_that_is_not_utf_8(pair: Project) -> None:
    for name in ("shop", "bank"):
        variable = through(pair, name)
        answer = in_bytes(pair, b"status", **{variable: os.fsencode(pair.env[variable]) + b"\xff"})
        no_bug(answer, 4)
        assert f"{variable} is not UTF-8" in answer.stderr


def test_a_client_encoding_that_is_set_from_outside_changes_nothing(pair: Project) -> None:
    assert pair("apply", "--yes", env={"PGCLIENTENCODING": "SQL_ASCII"}).code == 0
    assert pair("status", "--check", env={"PGCLIENTENCODING": "LATIN1"}).code == 0


@pytest.mark.parametrize("style", ["SQL, DMY", "German", "Postgres, MDY"])
def test_a_database_with_a_date_style_of_its_own(pair: Project, pg: psycopg.Connection[Any], style: str) -> None:
    """psycopg reads times in the style ISO only. A migration still sees the style that the database says."""
    database = pg.execute("SELECT quote_ident(current_database()) AS name").fetchone()
    assert database is not None
    pg.execute(f"ALTER DATABASE {database[0]} SET datestyle = '{style}'".encode())
    seen = f"assert op.get_bind().exec_driver_sql('SHOW datestyle').scalar().startswith({style!r})"
    pair.file("shop", "003", seen, seen)
    for command in (["status"], ["plan"], ["history"], ["apply", "--yes"], ["wait", "--timeout", "5s"], ["status"]):
        answer = pair(*command, "--service", "shop")
        assert (answer.code, "Traceback" in answer.stderr) == (0, False), answer.stderr
    assert pair("rollback", "--yes", "--steps", "2", "--service", "shop").code == 0
    assert pair("history", env={"PGDATESTYLE": "SQL, YMD"}).code == 0


def test_a_library_of_ones_own_that_cannot_be_imported(pair: Project) -> None:
    for library in ("alembic", "sqlalchemy", "pymongo", "bson", "psycopg", "prometheus_client"):
        own = pair.folder / f"for_{library}" / library
        own.mkdir(parents=True)
        (own / "__init__.py").write_text("raise RuntimeError('mine')")
        command = ["status", "--metrics-file", "m.prom"] if library == "prometheus_client" else ["plan"]
        answer = pair(*command, env={"PYTHONPATH": str(own.parent)})
        no_bug(answer, 4)
        assert f"{own}/__init__.py cannot be imported: RuntimeError: mine" in answer.stderr


def test_files_that_are_no_files(pair: Project) -> None:
    pipe = pair.path("shop", "003")
    os.mkfifo(pipe)
    answer = pair("plan")
    no_bug(answer, 4)
    assert f"{pipe}: not a regular file" in answer.stderr
    deep = pair.folder / "deep.plan"
    deep.write_text("[" * 100_000)
    pipe.unlink()
    answer = pair("apply", "deep.plan")
    no_bug(answer, 64)
    assert "deep.plan is not a plan file" in answer.stderr


@pytest.mark.parametrize(("limit", "code"), [(2**31, 0), (10**30, 0), (0, 64), (-1, 64)])
def test_a_limit_may_be_greater_than_a_database_can_count(pair: Project, limit: int, code: int) -> None:
    answer = pair("history", "--limit", str(limit))
    assert (answer.code, "Traceback" in answer.stderr) == (code, False)


@pytest.mark.parametrize("library", ["alembic", "sqlalchemy", "pymongo", "psycopg"])
def test_a_package_of_ones_own_that_is_called_as_a_library(pair: Project, library: str) -> None:
    """In the folder it changes nothing, also for `python -m dataops`; in PYTHONPATH it is told by its path."""
    own = pair.folder / library
    own.mkdir()
    (own / "__init__.py").write_text("")
    module = subprocess.run(
        [sys.executable, "-m", "dataops", "plan"],
        env={**clean_environment(), **pair.env},
        cwd=pair.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (module.returncode, "CREATE TABLE t_002" in module.stderr + module.stdout) == (0, True)
    answer = pair("plan", env={"PYTHONPATH": str(pair.folder)})
    no_bug(answer, 4)
    assert str(Path(own)) in answer.stderr
