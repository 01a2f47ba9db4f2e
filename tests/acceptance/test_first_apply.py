"""The first apply on a database that is not empty: nobody said what was applied there, so somebody has to say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from dataops.dev import PostgresServer
from tests.projects import Project
from tests.servers import Answer

Connection = psycopg.Connection[Any]
Mongo = Database[dict[str, Any]]
BOTH = pytest.mark.parametrize("service", ["shop", "bank"])


@pytest.fixture
def filled(two: Project, pg: Connection, mongo_db: Mongo) -> Project:
    """Both databases have `users`, `orders` and what may be the record of some tool."""
    for name in ("users", "orders", "my_migrations"):
        pg.execute(f"CREATE TABLE {name} (id int)".encode())
        mongo_db[name].insert_one({"_id": 1})
    return two


def refused(answer: Answer, *words: str) -> None:
    assert answer.code == 4, answer.stderr
    for word in ("not empty, and nothing says what was applied here", *words):
        assert word in answer.stderr


@BOTH
def test_it_is_refused_and_names_what_was_found(filled: Project, service: str, pg: Connection, mongo_db: Mongo) -> None:
    for command in (
        ["plan"], ["apply", "--yes"], ["status", "--check"], ["wait", "--timeout", "10ms"], ["rollback", "--steps", "1"]
    ):  # fmt: skip
        answer = filled(*command, "--service", service)
        refused(answer, "users", "orders", "my_migrations looks like the record of another tool")
        refused(answer, f"dataops adopt --service {service}", f"dataops baseline {service}", "--onto-existing")
    assert filled("status", "--service", service).code == 0
    assert filled("plan", "--service", service, "--json").json["error"]["kind"] == "NotEmpty"
    tables = pg.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    assert {name for (name,) in tables} == {"users", "orders", "my_migrations"}
    assert set(mongo_db.list_collection_names()) == {"users", "orders", "my_migrations"}


def test_a_record_is_known_by_its_documents_whatever_it_is_called(two: Project, mongo_db: Mongo) -> None:
    mongo_db["what.was.done"].insert_one({"fileName": "001.js", "appliedAt": "2026-01-01"})
    mongo_db.create_collection("slow", viewOn="users", pipeline=[{"$match": {"$expr": {"$gt": ["$fileName", 1]}}}])
    refused(two("plan", "--service", "bank"), "what.was.done looks like the record of migrate-mongo")
    (two.folder / "bank" / "adopt.toml").write_text('[migrate-mongo]\nrecord = "what.was.done"\n')
    mongo_db.t_001.insert_one({"_id": 1})
    assert two("adopt", "--service", "bank", "--write").code == 0
    assert two("apply", "--service", "bank", "--yes").code == 0


@BOTH
def test_somebody_may_say_that_it_is_meant_and_is_asked_once(filled: Project, service: str) -> None:
    assert filled("plan", "--onto-existing", "--service", service).code == 0
    assert filled("apply", "--yes", "--onto-existing", "--steps", "1", "--service", service).code == 0
    assert filled("apply", "--yes", "--service", service).code == 0
    assert filled("rollback", "--yes", "--to", "base", "--service", service).code == 0
    assert filled("apply", "--yes", "--service", service).code == 0  # the journal is a record too


@BOTH
def test_the_configuration_may_say_so_for_one_service(filled: Project, service: str) -> None:
    filled.configure(**{service: {"onto_existing": True}})
    refused(filled("apply", "--yes"))
    assert filled("apply", "--yes", "--service", service).code == 0


@BOTH
def test_what_the_application_makes_is_named_once(filled: Project, service: str) -> None:
    filled.configure(**{service: {"ignore": ["users", "orders"]}})
    refused(filled("plan", "--service", service), "it has my_migrations;")
    filled.configure(**{service: {"ignore": ["users", "orders", "my_migrations"]}})
    assert filled("apply", "--yes", "--service", service).code == 0


@BOTH
def test_a_saved_plan_remembers_that_it_was_meant(filled: Project, service: str) -> None:
    plan = str(filled.folder / "saved.plan")
    assert filled("plan", "--onto-existing", "--service", service, "--out", plan).code == 0
    assert filled("apply", plan, "--onto-existing").code == 64
    assert filled("apply", plan).code == 0


@BOTH
def test_a_run_that_failed_at_its_first_step_is_no_reason_to_ask(two: Project, service: str) -> None:
    two.path(service, "001").write_text(two.path(service, "001").read_text().replace("def upgrade(", "def downgrade("))
    file = two.file(service, "001", "raise ValueError('no')", parent=None)
    assert two("apply", "--yes", "--service", service).code == 1
    file.write_text(file.read_text().replace("raise ValueError('no')", "pass"))
    assert two("apply", "--yes", "--service", service).code == 0


@BOTH
def test_what_comes_between_the_plan_and_the_lock_is_seen(
    two: Project, service: str, pg: Connection, mongo_db: Mongo
) -> None:
    plan = str(two.folder / "saved.plan")
    assert two("plan", "--service", service, "--out", plan).code == 0
    pg.execute("CREATE TABLE users (id int)")
    mongo_db.users.insert_one({})
    assert two("apply", plan).code in (4, 5)
    refused(two("apply", "--yes", "--service", service), "it has users")


@pytest.mark.parametrize(
    ("makes", "found"),
    [
        ("CREATE TABLE users (id int)", "users"),
        ("CREATE SCHEMA app CREATE TABLE users (id int)", "app.users"),
        ("CREATE VIEW v AS SELECT 1 AS one", "v"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 AS one", "v"),
        ("CREATE TYPE mood AS ENUM ('sad')", "mood"),
        ("CREATE TYPE pair AS (a int, b int)", "pair"),
        ("CREATE DOMAIN positive AS int CHECK (VALUE > 0)", "positive"),
        ("CREATE SEQUENCE numbers", "numbers"),
        ("CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "f(integer)"),
        ("CREATE TABLE alembic_version (version_num varchar(32)); CREATE TABLE t (id serial)", "t"),  # a schema dump
    ],
)
def test_everything_that_somebody_made_counts(two: Project, pg: Connection, makes: str, found: str) -> None:
    pg.execute(makes.encode())
    refused(two("apply", "--yes", "--service", "shop"), f"it has {found}\n")


@pytest.mark.parametrize(
    "makes",
    [
        'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"',
        "CREATE SCHEMA app",
        "CREATE TABLE alembic_version (version_num varchar(32))",  # after `alembic downgrade base`
        "CREATE TABLE knex_migrations (id serial, name text, batch int, migration_time timestamptz)",
    ],
)
def test_an_extension_a_schema_and_an_empty_record_are_nothing(two: Project, pg: Connection, makes: str) -> None:
    pg.execute(makes.encode())
    assert two("apply", "--yes", "--service", "shop").code == 0


def test_collections_that_hold_nothing_and_views_count(two: Project, mongo_db: Mongo) -> None:
    mongo_db.create_collection("pymongo_migrate")  # an empty record says nothing
    mongo_db.create_collection("users")
    mongo_db.create_collection("adults", viewOn="users", pipeline=[])
    refused(two("apply", "--yes", "--service", "bank"), "it has adults, users\n")


def test_a_record_of_pymongo_migrate_that_has_all_undone_is_a_record(two: Project, mongo_db: Mongo) -> None:
    mongo_db.users.insert_one({})
    mongo_db.pymongo_migrate.insert_one({"name": "001", "applied": None})
    assert two("apply", "--yes", "--service", "bank").code == 0


def test_many_tables_are_not_all_named(two: Project, pg: Connection) -> None:
    for number in range(9):
        pg.execute(f"CREATE TABLE t{number} (id int)".encode())
    pg.execute('CREATE TABLE "VersionInfo_ChangeLog" (id int)')
    refused(two("plan", "--service", "shop"), "it has VersionInfo_ChangeLog, t0, t1, t2, t3 and 5 more")


def test_a_bare_alembic_is_refused_too_and_may_stamp(
    project: Project, postgres: PostgresServer, tmp_path: Path
) -> None:
    """With our env.py: `upgrade` runs our history as `apply` does, and `stamp` says what was applied."""
    from tests.servers import fresh_postgres

    with fresh_postgres(postgres) as url, psycopg.connect(url, autocommit=True) as connection:
        project.add("shop", url)
        project.table("shop", "001")
        (tmp_path / "alembic.ini").write_text("[shop]\nscript_location = shop\n")
        (tmp_path / "shop" / "env.py").write_text("from dataops.backends.postgres.env import run\n\nrun('shop')\n")
        connection.execute("CREATE TABLE t_001 (id int)")
        upgraded = project.run("alembic", "-n", "shop", "upgrade", "head")
        assert (upgraded.code != 0, "not empty" in upgraded.stderr + upgraded.stdout) == (True, True)
        assert project.run("alembic", "-n", "shop", "stamp", "001").code == 0
        assert project("status", "--check").code == 0
