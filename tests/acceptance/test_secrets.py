"""A planted password reaches nothing: no stream, no log, no file, no journal, no traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import Answer, fresh_mongo, fresh_postgres

PLANTED = ("pl4nted-s3cret", "pl4n:t/e@d?s#3%cr&t+ =x", "plänted s3crét")


@pytest.fixture(params=PLANTED)
def planted(
    request: pytest.FixtureRequest, project: Project, postgres: PostgresServer, mongo_with_passwords: MongoServer
) -> Iterator[tuple[Project, str]]:
    """A project whose users on both engines have the planted password."""
    secret = str(request.param)
    with fresh_postgres(postgres) as pg_url, fresh_mongo(mongo_with_passwords) as mongo_url:
        parts, mongo_parts = urlsplit(pg_url), urlsplit(mongo_url)
        database, mongo_database = parts.path.lstrip("/"), mongo_parts.path.lstrip("/")
        with psycopg.connect(pg_url, autocommit=True) as connection:
            connection.execute(f"DROP ROLE IF EXISTS planted_{database}")
            escaped = secret.replace("'", "''")
            connection.execute(f"CREATE ROLE planted_{database} LOGIN PASSWORD '{escaped}'")
            connection.execute(f"GRANT ALL ON DATABASE {database} TO planted_{database}")
            connection.execute(f"GRANT ALL ON SCHEMA public TO planted_{database}")
        with MongoClient[dict[str, Any]](mongo_url) as client:
            db = client.get_default_database()
            db.command("createUser", "planted", pwd=secret, roles=[{"role": "dbOwner", "db": mongo_database}])
        host = parts.netloc.rpartition("@")[2]
        mongo_host = mongo_parts.netloc.rpartition("@")[2]
        project.add("shop", f"postgres://planted_{database}:{quote(secret, safe='')}@{host}/{database}")
        project.add("bank", "mongodb://")
        del project.env["BANK_URL_CON"]
        project.env |= {
            "BANK_URL_ADDRESS": mongo_host, "BANK_URL_USER": "planted", "BANK_URL_PASSWORD": secret,
            "BANK_URL_DATABASE": mongo_database,
        }  # fmt: skip
        project.table("shop", "001")
        project.table("bank", "001")
        yield project, secret
        with psycopg.connect(pg_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY planted_{database} CASCADE")
            connection.execute(f"DROP ROLE planted_{database}")


def test_no_password_reaches_anything(planted: tuple[Project, str]) -> None:
    project, secret = planted
    said: list[Answer] = []
    for command in (
        ["status"], ["plan", "-v"], ["plan", "--json"], ["plan", "--out", "saved.plan"], ["apply", "--yes", "--json"],
        ["history"], ["history", "--json"], ["status", "--json"],
        ["rollback", "--yes", "--steps", "9", "--log-format", "json"],
        ["apply", "--yes", "--log-format", "json"], ["stash", "list"], ["wait", "--timeout", "1s"],
    ):  # fmt: skip
        answer = project(*command)
        assert (command, answer.code, answer.stderr if answer.code else "") == (command, 0, "")
        said.append(answer)

    # Migrations that put it into an error, a print and a title; and one that breaks our own code's expectations.
    project.file("shop", "002", f"print({secret!r})\nraise RuntimeError({secret!r})")
    project.file("bank", "002", f"raise RuntimeError('url: ' + {secret!r})")
    said += [project("apply", "--yes", "--service", service) for service in ("shop", "bank")]
    said += [project("apply", "--yes", "--json", "--service", service) for service in ("shop", "bank")]
    said.append(project("history", "--json"))
    # Connections that fail, with the password in the URL, escaped or not.
    shop = project.env["SHOP_URL"]
    bad = [
        shop.replace("planted_", "other_"),
        shop.replace(quote(secret, safe=""), secret),
        shop.rpartition("/")[0] + "/missing",
    ]
    said += [project("status", "--service", "shop", env={"SHOP_URL": url}) for url in bad]
    bad_mongo = f"mongodb://planted:{secret}@{project.env['BANK_URL_ADDRESS']}/x"
    said.append(project("status", "--service", "bank", env={"BANK_URL_CON": bad_mongo}))

    journal = [str(project("history", "--json").json)]
    with psycopg.connect(shop) as connection:
        journal += [str(row) for row in connection.execute("SELECT t::text FROM dataops_history.dataops_journal t")]
    texts = [answer.stdout for answer in said] + [answer.stderr for answer in said] + journal
    texts += [path.read_text() for path in project.folder.iterdir() if path.is_file()]
    spellings = {secret, quote(secret, safe=""), repr(secret)[1:-1], ascii(secret)[1:-1]}
    leaks = [(text, spelling) for text in texts for spelling in spellings if spelling in text]
    assert leaks == []


@pytest.mark.parametrize("password", ["voucher", "test", "error", "ro"])
def test_our_own_words_stay_whatever_the_password(password: str, project: Project, postgres: PostgresServer) -> None:
    """The service has the name of its password; or the password is a word of a format."""
    with fresh_postgres(postgres) as url:
        database = urlsplit(url).path.lstrip("/")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE owner_{database} LOGIN PASSWORD '{password}'")
            connection.execute(f"GRANT ALL ON DATABASE {database} TO owner_{database}")
            connection.execute(f"GRANT ALL ON SCHEMA public TO owner_{database}")
        try:
            host = urlsplit(url).netloc.rpartition("@")[2]
            project.add("voucher", f"postgres://owner_{database}:{password}@{host}/{database}")
            project.table("voucher", "001")
            project.file("voucher", "002_test", f"print('printed {password}')\nraise RuntimeError('of {password}.')")
            check_own_words(project, password)
        finally:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"DROP OWNED BY owner_{database} CASCADE")
                connection.execute(f"DROP ROLE owner_{database}")


def check_own_words(project: Project, password: str) -> None:
    plan = project("plan", "--json").json
    assert [(s["service"], [step["migration"] for step in s["steps"]]) for s in plan["services"]] == [
        ("voucher", ["001", "002_test"])
    ]
    junit = project("status", "--check", "--format", "junit").stdout
    assert ElementTree.fromstring(junit).find("testsuite[@name='voucher']/testcase[@name='002_test']") is not None
    lines = project("status", "--check", "--format", "github").stdout.splitlines()
    assert [line.rpartition("::")[0].partition(" title")[0].partition(",title")[0] for line in lines] == [
        "::error file=voucher/versions/001.py,line=1",
        "::error file=voucher/versions/002_test.py,line=1",
    ]
    applied = project("apply", "--yes", "--json")
    (failed,) = applied.json["failed"]
    assert (applied.code, failed["service"], failed["migration"]) == (1, "voucher", "002_test")
    logged = [json.loads(line) for line in project("apply", "--yes", "--log-format", "json").stderr.splitlines()]
    (printed,) = [line["msg"] for line in logged if line["event"] == "printed"]
    (last,) = [line for line in logged if line["event"] == "error"]
    assert (last["service"], last["level"], last["kind"]) == ("voucher", 50, "MigrationFailed")
    entry = project("history", "--json").json["entries"][0]
    assert (entry["service"], entry["migration"], entry["event"]) == ("voucher", "002_test", "failed")
    assert "failed at voucher/002_test" in project("history", "--limit", "1").stdout
    table = project("history", entry["run"]).stdout
    assert "002_test   voucher" in table
    mask = password if len(password) < 3 else "***"
    assert printed == f"printed {mask}"
    assert f"of {mask}." in failed["message"]
    assert f"of {mask}." in last["msg"]
    assert f"of {mask}." in entry["error"]
    assert f"of {mask}." in table


@pytest.mark.parametrize("service", ["shop", "bank"])
@pytest.mark.parametrize("base", ["Exception", "BaseException", "SystemExit"])
def test_no_secret_is_in_what_any_exception_leaves(base: str, service: str, two: Project) -> None:
    """Whatever it derives from, and also where its text cannot be had."""
    secret = urlsplit(two.env["SHOP_URL"]).password
    assert secret
    head = f"class Odd({base}):\n    def __str__(self):\n        raise RuntimeError({secret!r})\n"
    up = f"error = Odd({secret!r})\nerror.add_note({secret!r})\nraise error from ValueError({secret!r})"
    two.file(service, "003", up, head=head)
    for command in (["plan", "-v"], ["apply", "--yes"], ["apply", "--yes", "--log-format", "json"], ["history"]):
        answer = two(*command)
        assert secret not in answer.stdout + answer.stderr, command


def test_why_a_plan_is_incomplete_is_redacted_before_it_is_cut(two: Project) -> None:
    """It is cut at 200 characters, in the middle of the password."""
    secret = urlsplit(two.env["SHOP_URL"]).password
    assert secret
    two.file("bank", "003", f"raise RuntimeError('x' * {200 - len(secret) // 2} + {secret!r})")
    fails = two("plan", "--json").json["services"][1]["steps"][-1]["fails"]
    assert "xxx" in fails
    assert secret[:3] not in fails


def test_the_log_is_one_object_a_line_with_the_promised_fields(two: Project) -> None:
    answer = two("apply", "--yes", "--log-format", "json")
    lines = [json.loads(line) for line in answer.stderr.splitlines()]
    assert {line["event"] for line in lines} >= {"run_started", "step_started", "step_finished", "run_finished"}
    assert all({"time", "level", "event", "run"} <= line.keys() for line in lines)
    finished = [line for line in lines if line["event"] == "step_finished"]
    assert sorted((line["service"], line["migration"]) for line in finished) == [
        (service, migration) for service in ("bank", "shop") for migration in ("001", "002")
    ]
    assert all(isinstance(line["seconds"], float) for line in finished)


def test_every_answer_is_one_json_object_also_when_it_fails(two: Project, tmp_path: Path) -> None:
    for command in (
        ["plan"], ["status"], ["apply", "--yes"], ["history"], ["wait", "--timeout", "1s"], ["stash", "list"],
        ["plan", "--direction", "rollback"], ["rollback", "--yes"], ["plan", "--service", "nothing"],
        ["plan", "--bogus"], ["apply"], ["resolve", "shop/001", "--applied", "--reason", ""], ["apply", "no-such-file"],
    ):  # fmt: skip
        answer = two(*command, "--json")
        assert (command, answer.json["exit_code"]) == (command, answer.code)
