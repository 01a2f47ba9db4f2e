"""Users with few rights or none, and servers that answer strangely: exit 10, one sentence, nothing touched."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer
from tests.projects import Project
from tests.servers import fresh_mongo

COMMANDS: list[list[str]] = [["status"], ["plan"], ["history"], ["apply", "--yes"], ["wait", "--timeout", "300ms"]]


@contextmanager
def role(url: str, name: str) -> Iterator[str]:
    """The URL of a PostgreSQL user who may connect and nothing else, not even what everybody may."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret-of-nobody'")
        try:
            yield url.replace(urlsplit(url).netloc.rpartition("@")[0], f"{name}:secret-of-nobody")
        finally:
            connection.execute(f"DROP OWNED BY {name} CASCADE")
            connection.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("hidden", [False, True])
def test_a_postgresql_user_without_rights_is_told_so(two: Project, pg_url: str, hidden: bool) -> None:
    """hidden: it may not even look into the schema, so that its search_path is empty."""
    assert two("apply", "--yes", "--to", "shop/001").code == 0
    with role(pg_url, f"nobody_{int(hidden)}") as url:
        with psycopg.connect(pg_url, autocommit=True) as connection:
            connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            if not hidden:
                connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        for command in COMMANDS:
            answer = two(*command, "--service", "shop", env={"SHOP_URL": url})
            assert (command, answer.code, "Traceback" in answer.stderr) == (command, 10, False)
            assert "dataops docs operations rights" in answer.stderr
            assert "secret-of-nobody" not in answer.stdout + answer.stderr
    assert two("status", "--json", "--service", "shop").json["services"][0]["applied"] == 1


def test_a_mongodb_user_without_rights_is_told_so(project: Project, mongo_with_passwords: MongoServer) -> None:
    with fresh_mongo(mongo_with_passwords) as url, MongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        db.command("createUser", "nobody", pwd="secret-of-nobody", roles=[])
        parts = urlsplit(url)
        host, options = (
            parts.netloc.rpartition("@")[2],
            parts.query.replace("authSource=admin", f"authSource={db.name}"),
        )
        project.add("bank", f"mongodb://nobody:secret-of-nobody@{host}/{db.name}?{options}")
        project.table("bank", "001")
        for command in COMMANDS:
            answer = project(*command)
            assert (command, answer.code, "Traceback" in answer.stderr) == (command, 10, False)
            assert "hint: " in answer.stderr
            assert "secret-of-nobody" not in answer.stdout + answer.stderr
        wrong = {"BANK_URL_CON": f"mongodb://nobody:wrong-password@{host}/{db.name}?{options}"}
        answer = project("status", env=wrong)
        assert (answer.code, "authSource" in answer.stderr) == (10, True)
        assert "wrong-password" not in answer.stdout + answer.stderr
        db.command("dropUser", "nobody")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mongodb://127.0.0.1/x?tls=ture", "tls"),  # the driver would warn, and talk without TLS
        ("mongodb://127.0.0.1/x?retryWrite=false", "retrywrite"),
        ("mongodb://127.0.0.1/x?tls=true&tlsCAFile=/nothing.pem", "/nothing.pem"),
        ("mongodb://127.0.0.1:99999/x", "not a valid"),
        ("postgres://127.0.0.1/x?sslmode=maybe", "sslmode"),
        ("postgres://127.0.0.1/x?sslmod=require", "the parameter sslmod"),
        ("postgres://127.0.0.1:99999/x", "port"),
        ("mysql://127.0.0.1/x", "has to begin with"),
    ],
)
def test_a_url_that_says_what_cannot_be_is_4(two: Project, url: str, word: str) -> None:
    service, variable = ("bank", "BANK_URL_CON") if url.startswith("mongodb") else ("shop", "SHOP_URL")
    answer = two("status", "--service", service, env={variable: url})
    assert (answer.code, "Traceback" in answer.stderr, "Warning" in answer.stderr) == (4, False, False)
    assert word in answer.stderr


@contextmanager
def _mute() -> Iterator[int]:
    """A port where somebody accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = []

        def accept() -> None:
            while True:
                try:
                    heard.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in heard:
            connection.close()


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_server_that_never_answers_is_given_up_in_time(two: Project, service: str) -> None:
    two.configure(**{service: {"timeouts": {"connect": "2s", "lease": "2s"}}})
    with _mute() as port:
        url = {"SHOP_URL": f"postgres://u:p@127.0.0.1:{port}/x", "BANK_URL_CON": f"mongodb://127.0.0.1:{port}/x"}
        began = time.monotonic()
        answer = two("status", "--service", service, env=url)
        assert time.monotonic() - began < 8
    assert answer.code == 10
    assert f"127.0.0.1:{port}" in answer.stderr


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_server_that_speaks_another_language_is_10(two: Project, service: str, pg_url: str, mongo_url: str) -> None:
    """The two URLs are mixed up."""
    pg_port, mongo_port = urlsplit(pg_url).port, urlsplit(mongo_url).port
    two.configure(**{service: {"timeouts": {"connect": "2s", "lease": "2s"}}})
    mixed = {"SHOP_URL": f"postgres://u:p@127.0.0.1:{mongo_port}/x", "BANK_URL_CON": f"mongodb://127.0.0.1:{pg_port}/x"}
    answer = two("status", "--service", service, env=mixed)
    assert (answer.code, "Traceback" in answer.stderr) == (10, False)
    assert "hint: " in answer.stderr


def test_a_name_that_resolves_to_nothing_is_10(two: Project) -> None:
    nowhere = {
        "SHOP_URL": "postgres://u:p@nowhere.invalid/x", "BANK_URL_CON": "mongodb+srv://nowhere.invalid/x",
    }  # fmt: skip
    for changed in [*(dict([one]) for one in nowhere.items()), {"BANK_URL_CON": "mongodb://nowhere.invalid/x"}]:
        answer = two("status", env=changed)
        assert (changed, answer.code, "Traceback" in answer.stderr) == (changed, 10, False)
        assert "nowhere.invalid" in answer.stderr
