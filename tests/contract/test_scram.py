"""Signing in to many databases of one server: the password is hashed once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from dataops.backends.postgres import scram
from dataops.dev import PostgresServer
from tests.projects import until
from tests.servers import fresh_name

KEYS = {"scram_client_key", "scram_server_key"}


class Attempts:
    """Connects to a server, and remembers with which keys each try was made."""

    def __init__(self, url: str) -> None:
        self.given: dict[str, Any] = {**conninfo.conninfo_to_dict(url), "connect_timeout": "10"}
        self.made: list[set[str]] = []

    def __call__(self) -> int:
        """How many tries it took to sign in once more."""
        before = len(self.made)
        with scram.signed_in(self._connect, self.given) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (self.given["user"],)
        return len(self.made) - before

    def _connect(self, keys: Mapping[str, str]) -> psycopg.Connection[Any]:
        self.made.append(set(keys))
        return psycopg.connect(conninfo.make_conninfo(**{**self.given, **keys}))


@pytest.fixture
def role(postgres: PostgresServer) -> Iterator[str]:
    name = fresh_name("scram")
    postgres.execute("CREATE ROLE {} LOGIN PASSWORD 'pen cil'", name)
    yield name
    postgres.execute("DROP ROLE {}", name)


def test_the_password_is_hashed_for_the_first_connections_only(postgres: PostgresServer, role: str) -> None:
    attempts = Attempts(postgres.url(user=role, password="pen%20cil"))
    assert [attempts() for _ in range(4)] == [1, 1, 1, 1]
    assert attempts.made == [set(), KEYS, KEYS, KEYS]


def test_a_password_that_has_got_another_salt_is_hashed_again(postgres: PostgresServer, role: str) -> None:
    attempts = Attempts(postgres.url(user=role, password="pen%20cil"))
    for _ in range(3):
        attempts()
    postgres.execute("ALTER ROLE {} PASSWORD 'pen cil'", role)
    assert [attempts() for _ in range(3)] == [2, 1, 1]
    assert attempts.made[3:] == [KEYS, set(), set(), set()], "what was refused once is not tried again"


def test_a_wrong_password_is_refused_as_ever(postgres: PostgresServer, role: str) -> None:
    right = Attempts(postgres.url(user=role, password="pen%20cil"))
    wrong = Attempts(postgres.url(user=role, password="pencil"))
    for _ in range(3):
        right()
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            wrong()
    assert wrong.made == [set()] * 3, "the keys of one password are not those of another"


@pytest.mark.parametrize("password", ["pén", ""])
def test_other_passwords_are_left_to_libpq(postgres: PostgresServer, role: str, password: str) -> None:
    """SASLprep changes what is not ASCII. Without a password in the URL, libpq looks for one itself."""
    attempts = Attempts(postgres.url(user=role, password="-"))
    attempts.given["password"] = password
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            attempts()
    assert attempts.made == [set()] * 3


def test_a_server_that_does_not_ask_by_scram_gets_no_keys(postgres: PostgresServer, role: str) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        row = admin.execute("SHOW hba_file").fetchone()
        assert row is not None
        rules = Path(row[0])
        before = rules.read_text()
        attempts = Attempts(postgres.url(user=role, password="pen%20cil"))
        try:
            rules.write_text(f"host all {role} 127.0.0.1/32 password\n{before}")
            admin.execute("SELECT pg_reload_conf()")
            mine = "SELECT 1 FROM pg_hba_file_rules WHERE user_name = ARRAY[%s]"
            until(lambda: admin.execute(mine, [role]).fetchone(), what="the new rule")
            assert [attempts() for _ in range(4)] == [1, 1, 1, 1]
            assert attempts.made == [set()] * 4
        finally:
            rules.write_text(before)
            admin.execute("SELECT pg_reload_conf()")
