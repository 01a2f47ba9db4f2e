"""A planted password reaches nothing: no stream, no log, no file, no journal, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

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
        ["history"], ["history", "--json"], ["status", "--json"], ["rollback", "--yes", "--log-format", "json"],
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
        journal += [str(row) for row in connection.execute("SELECT t::text FROM dataops_journal t")]
    texts = [answer.stdout for answer in said] + [answer.stderr for answer in said] + journal
    texts += [path.read_text() for path in project.folder.iterdir() if path.is_file()]
    spellings = {secret, quote(secret, safe=""), repr(secret)[1:-1], ascii(secret)[1:-1]}
    leaks = [(text, spelling) for text in texts for spelling in spellings if spelling in text]
    assert leaks == []


def test_the_log_is_one_object_a_line_with_the_promised_fields(two: Project) -> None:
    import json

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
