"""PostgreSQL: what others hold, forbid or take away does not make us hang, or call a success a failure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.projects import Project, ended

Connection = psycopg.Connection[Any]


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    project.add("shop", pg_url, timeouts={"connect": "1s", "table_lock": "500ms"})
    project.table("shop", "001")
    assert project("apply", "--yes").code == 0
    project.table("shop", "002")
    return project


@pytest.fixture
def role(pg: Connection, pg_url: str) -> Iterator[str]:
    """A user who may do everything in this database, and nothing else."""
    name = f"user_{pg.info.dbname}"
    pg.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'first'".encode())
    pg.execute(f"GRANT ALL ON DATABASE {pg.info.dbname} TO {name}; GRANT ALL ON SCHEMA public TO {name}".encode())
    yield name
    pg.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}".encode())


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:first@{parts.hostname}:{parts.port}").geturl()


@pytest.mark.parametrize("table", ["dataops_history.dataops_journal", "alembic_version"])
@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["plan"],
        ["history"],
        ["wait", "--timeout", "2s"],
        ["apply", "--yes", "--lock-timeout", "2s"],
        ["resolve", "shop/001", "--applied", "--reason", "x"],
        ["alembic", "-n", "shop", "upgrade", "head"],
    ],
)
def test_an_answer_comes_in_time_and_names_who_holds_our_tables(
    shop: Project, pg: Connection, table: str, command: list[str]
) -> None:
    if (command[0], table) == ("history", "alembic_version"):
        command = ["status"]  # the history needs the journal only
    (shop.folder / "alembic.ini").write_text("[shop]\nscript_location = shop\n")
    (shop.folder / "shop" / "env.py").write_text("from dataops.backends.postgres.env import run\n\nrun('shop')\n")
    with pg.transaction():
        pg.execute(f"LOCK TABLE {table}".encode())
        began = time.monotonic()
        answer = shop.run(*command) if command[0] == "alembic" else shop(*command, timeout=60)
        assert answer.code == (255 if command[0] == "alembic" else 3)
        assert f"{table.rpartition('.')[2]} is held by process {pg.info.backend_pid}" in answer.stdout + answer.stderr
        assert time.monotonic() - began < 30
    assert shop("apply", "--yes").code == 0


def test_a_password_that_ends_while_the_last_step_runs_makes_no_failure(
    project: Project, pg: Connection, pg_url: str, role: str
) -> None:
    project.add("shop", as_role(pg_url, role))
    project.table("shop", "001")
    project.file("shop", "002", "here('middle')")
    with project.running("apply", "--yes", "--json") as process:
        project.reached("middle")
        pg.execute(f"ALTER ROLE {role} PASSWORD 'second'".encode())
        project.go("middle")
        answer = ended(process)
    assert (answer.code, answer.json["done"], answer.json["failed"]) == (0, ["shop/001", "shop/002"], [])
    assert project("status").code == 10  # the old password is not accepted any more


def test_a_server_that_hides_its_identifier_is_known_by_what_it_allows(
    project: Project, pg: Connection, pg_url: str, role: str
) -> None:
    pg.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    project.add("shop", as_role(pg_url, role))
    project.table("shop", "001")
    saved = str(project.folder / "saved.plan")
    assert project("plan", "--out", saved).code == 0
    assert project("apply", saved).code == 0
    assert project("status", "--check").code == 0
