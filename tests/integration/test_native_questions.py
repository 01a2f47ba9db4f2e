"""What Alembic only asks takes no lock, writes nothing and needs no right to write."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.integration.test_native_tools import Native
from tests.projects import Project, ended

QUESTIONS = [["current"], ["history"], ["history", "-i"], ["show", "current"], ["upgrade", "head", "--sql"]]


@pytest.fixture
def shop(project: Project, pg_url: str) -> Native:
    """A project with an alembic.ini of one service, of which 001 is applied and 002 is not."""
    project.add("shop", pg_url)
    project.table("shop", "001")
    assert project("apply", "--yes").code == 0
    project.table("shop", "002")
    (project.folder / "shop" / "env.py").write_text('from dataops.backends.postgres.env import run\n\nrun("shop")\n')
    (project.folder / "shop" / "script.py.mako").write_text("")
    (project.folder / "alembic.ini").write_text("[shop]\nscript_location = %(here)s/shop\npath_separator = os\n")
    return Native(project.folder, project.env)


def _tables(url: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT relname, xmin::text FROM pg_class WHERE oid >= 16384 ORDER BY 1").fetchall()


def test_questions_are_answered_on_an_empty_database_and_leave_no_trace(shop: Native, postgres_two: str) -> None:
    shop.env["SHOP_URL"] = postgres_two
    for question in QUESTIONS:
        answer = shop.alembic("shop", *question)
        assert (question, answer.code, answer.stderr if answer.code else "") == (question, 0, "")
    assert _tables(postgres_two) == []


def test_questions_are_answered_for_a_read_only_user_while_somebody_migrates(
    shop: Native, project: Project, pg_url: str
) -> None:
    project.file("shop", "003", "here('x')")
    role = f"asker{urlsplit(pg_url).path.replace('/', '_')}"
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'asker' IN ROLE pg_read_all_data")
        try:
            with project.running("apply", "--yes") as process:
                project.reached("x")
                shop.env["SHOP_URL"] = f"postgres://{role}:asker@{pg_url.rpartition('@')[2]}"
                for question in (["current"], ["history", "-i"]):
                    answer = shop.alembic("shop", *question)
                    assert (question, answer.code, answer.stderr if answer.code else "") == (question, 0, "")
                project.go("x")
                assert ended(process).code == 0
        finally:
            connection.execute(f"DROP ROLE {role}")


@pytest.fixture
def postgres_two(postgres: object, tmp_path: Path) -> object:
    from dataops.dev import PostgresServer
    from tests.servers import fresh_postgres

    assert isinstance(postgres, PostgresServer)
    with fresh_postgres(postgres) as url:
        yield url


def test_an_interrupted_step_and_an_old_image_refuse_a_bare_alembic(shop: Native, project: Project) -> None:
    body = "with op.get_context().autocommit_block():\n    here('x')"
    project.file("shop", "003", body)
    with project.running("apply", "--yes") as process:
        project.reached("x")
        process.kill()
        process.wait()
    project.go("x")
    refused = shop.alembic("shop", "upgrade", "head")
    assert refused.code != 0
    assert "dataops resolve shop/003" in refused.stderr + refused.stdout
    assert project("resolve", "shop/003", "--applied", "--reason", "r").code == 0
    project.path("shop", "003").unlink()
    ahead = shop.alembic("shop", "upgrade", "head")
    assert ahead.code != 0
    assert "ahead of this code" in ahead.stderr + ahead.stdout


def test_a_migration_that_fails_under_a_bare_alembic_is_journalled_as_failed(shop: Native, project: Project) -> None:
    project.file("shop", "003", "op.execute('SELECT 1 / 0')")
    assert shop.alembic("shop", "upgrade", "head").code != 0
    entries = project("history", "--json").json["entries"]
    assert [(e["migration"], e["event"]) for e in entries][:4] == [
        ("003", "failed"),
        ("003", "started"),
        ("002", "succeeded"),
        ("002", "started"),
    ]
    assert project("status", "--json").json["services"][0]["revision"] == "002"
