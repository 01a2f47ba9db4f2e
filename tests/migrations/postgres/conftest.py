"""One connection for all of these tests, its database emptied for each.

Creating a database takes a quarter of a second, and every new connection begins with cold caches.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from dataops.dev import PostgresServer
from tests.migrations.postgres import catalogue
from tests.migrations.postgres.chain import Db
from tests.servers import fresh_postgres


@pytest.fixture(scope="session")
def _url(postgres: PostgresServer) -> Iterator[str]:
    with fresh_postgres(postgres, "migrations") as url:
        yield url


@pytest.fixture(scope="session")
def _connection(_url: str) -> Iterator[Db]:
    with psycopg.connect(_url, autocommit=True, prepare_threshold=None) as connection:
        yield connection


@pytest.fixture
def db(_connection: Db) -> Db:
    """An empty database, without even an extension."""
    _connection.rollback()
    _connection.execute("RESET ALL")
    for schema in ("public", *catalogue.stashes(_connection)):
        _connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    _connection.execute("CREATE SCHEMA public")
    return _connection
