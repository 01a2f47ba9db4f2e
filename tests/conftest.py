"""Real servers for the tests, started on first use, once per worker. A missing server fails, it never skips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dataops.dev import MongoServer, PostgresServer, mongodb_server, postgres_server
from tests import warm
from tests.projects import Project
from tests.servers import POSTGRES_MAJOR, Cli, fresh_mongo, fresh_postgres, fresh_urls, in_memory

collect_ignore = [] if os.environ.get("DATAOPS_TEST_NODE") else ["node"]  # script/test --with-node


@pytest.fixture(scope="session", autouse=True)
def _nobodys_variables() -> None:
    """The developer's own databases are no test's business: no variable that we read is set."""
    for name in list(os.environ):
        if name.startswith(("MONGODB_", "DATAOPS_", "OTEL_", "TRACE")) or "PG_CON" in name:
            del os.environ[name]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL, of the major version in DATAOPS_TEST_POSTGRES if that is set, with the real uuid-ossp."""
    with in_memory(postgres_server(POSTGRES_MAJOR)) as server:
        yield server


@pytest.fixture(scope="session")
def mongo() -> Iterator[MongoServer]:
    """A replica set of one, which has transactions, as in production."""
    with in_memory(mongodb_server(replica_set=True)) as server:
        yield server


@pytest.fixture(scope="session")
def mongo_standalone() -> Iterator[MongoServer]:
    """A standalone, which has no transactions, as in development."""
    with in_memory(mongodb_server()) as server:
        yield server


@pytest.fixture(scope="session")
def mongo_with_passwords() -> Iterator[MongoServer]:
    """A replica set that asks for a password: for users without rights."""
    with in_memory(mongodb_server(replica_set=True, auth=True)) as server:
        yield server


@pytest.fixture
def pg_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database."""
    with fresh_postgres(postgres) as url:
        yield url


@pytest.fixture
def pg(pg_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the database of `pg_url`, in autocommit."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def mongo_url(mongo: MongoServer) -> Iterator[str]:
    """The URL of an empty database on the replica set."""
    with fresh_mongo(mongo) as url:
        yield url


@pytest.fixture
def mongo_standalone_url(mongo_standalone: MongoServer) -> Iterator[str]:
    """The URL of an empty database on the standalone."""
    with fresh_mongo(mongo_standalone) as url:
        yield url


@pytest.fixture
def mongo_db(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    """The database of `mongo_url`."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        yield client.get_default_database()


@pytest.fixture
def mongo_standalone_db(mongo_standalone_url: str) -> Iterator[Database[dict[str, Any]]]:
    """The database of `mongo_standalone_url`."""
    with MongoClient[dict[str, Any]](mongo_standalone_url) as client:
        yield client.get_default_database()


@pytest.fixture
def all_urls(postgres: PostgresServer, mongo: MongoServer) -> Iterator[dict[str, str]]:
    """Four empty databases, as the environment variables that lead to them."""
    with fresh_urls(postgres, mongo) as urls:
        yield urls


@pytest.fixture
def dataops_cli(all_urls: dict[str, str]) -> Cli:
    """The installed command, with `all_urls` in its environment: `dataops_cli("plan", "--json").json`."""
    return Cli(all_urls)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty folder that becomes a project with `add`."""
    return Project(tmp_path)


@pytest.fixture
def new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the test is started as its users start it: see tests/warm.py."""
    monkeypatch.setenv(warm.COLD, "1")


@pytest.fixture
def new_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes in which a command looks at files are started as for its users: see tests/warm.py."""
    monkeypatch.setenv(warm.COLD, warm.COLD_CHILDREN)


@pytest.fixture
def two(project: Project, pg_url: str, mongo_url: str) -> Project:
    """A PostgreSQL service `shop` and a MongoDB service `bank`, each with two migrations."""
    project.add("shop", pg_url).add("bank", mongo_url, timeouts={"lease": "2s"})
    for service in ("shop", "bank"):
        project.table(service, "001")
        project.table(service, "002")
    return project
