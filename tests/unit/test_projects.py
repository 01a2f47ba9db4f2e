"""What `dataops init` finds in a folder, and what it makes of it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from dataops import config
from dataops.errors import CannotWrite
from dataops.importing.readers import TOOLS
from dataops.kinds import MONGODB, POSTGRESQL
from dataops.othertools import match
from dataops.projects import proposing, writing
from dataops.projects.finding import find, variable_in

PRISMA = 'datasource db {\n  provider = "postgresql"\n  url = env("BILLING_URL")\n}\n'
KNEX = """module.exports = {
  client: 'pg', connection: process.env.SHOP_DATABASE_URL, migrations: { directory: './db/migrate' } }"""
MIGRATE_MONGO = "module.exports = { mongodb: { url: process.env['MONGO_URL'] }, migrationsDir: 'steps' }"
DJANGO = "class Migration(migrations.Migration):\n    dependencies = []\n"
DRIZZLE = '{"version": "7", "dialect": "postgresql", "entries": []}'
INI = "[alembic]\nscript_location = %(here)s/db\n"
MULTIDB = "[alembic]\nscript_location = db\ndatabases = one, two\n"
ENV = "url = os.environ.get('SHOP_URL')\n"
REVISION = "revision = 'a'\ndown_revision = None\ndef upgrade():\n    pass\n"
PYMONGO = "dependencies = []\ndef upgrade(db):\n    pass\n"


def test_what_is_found_can_be_imported_under_the_name_that_init_writes() -> None:
    assert {proposing.IMPORTED_AS.get(tool, tool) for tool in match.TOOLS} - {match.POP} <= {*TOOLS}


def put(top: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "tool", "folder", "count", "variable"),
    [
        ({"alembic.ini": INI, "db/env.py": ENV, "db/versions/a.py": REVISION}, "alembic", "db", 1, "SHOP_URL"),
        ({"migrations/alembic.ini": "[alembic]\n", "migrations/env.py": "flask"}, "alembic", "migrations", 0, ""),
        (
            {"pyproject.toml": "[tool.alembic]\nscript_location = '%(here)s/db'\n", "db/env.py": ENV},
            "alembic",
            "db",
            0,
            "SHOP_URL",
        ),
        ({"a/b/steps/m1.py": PYMONGO}, "pymongo-migrate", "a/b/steps", 1, ""),
        ({"steps/m1.py": PYMONGO.replace("= []", ": list[str] = []")}, "pymongo-migrate", "steps", 1, ""),
        ({"migrate-mongo-config.js": MIGRATE_MONGO, "steps/1-a.js": ""}, "migrate-mongo", "steps", 1, "MONGO_URL"),
        ({"migrate-mongo-config.ts": "", "migrations/1-a.ts": ""}, "migrate-mongo", "migrations", 1, ""),
        ({"x/knexfile.js": KNEX, "x/db/migrate/1.js": ""}, "knex", "x/db/migrate", 1, "SHOP_DATABASE_URL"),
        (
            {"package.json": '"node-pg-migrate": "8"', "m/1700000000000_a.js": "", "m/1700000000001_b.sql": ""},
            "node-pg-migrate",
            "m",
            2,
            "DATABASE_URL",
        ),
        ({"src/m/1700000000000-A.ts": "class A implements MigrationInterface"}, "typeorm", "src/m", 1, ""),
        ({"db/a.sql": "--liquibase formatted sql\n--changeset ann:1\n"}, "liquibase", "db", 1, ""),
        ({"x/Cargo.toml": "sqlx = 1", "x/migrations/1_a.sql": ""}, "sqlx", "x/migrations", 1, "DATABASE_URL"),
        (
            {"Cargo.toml": "sqlx = 1", "m/1_a.up.sql": "", "m/1_a.down.sql": ""},
            "sqlx",
            "m",
            1,
            "DATABASE_URL",
        ),
        ({"db/migrations/1_a.sql": "-- migrate:up\n"}, "dbmate", "db/migrations", 1, "DATABASE_URL"),
        ({"m/1_a.sql": "-- +goose Up\n"}, "goose", "m", 1, ""),
        ({"m/1_a.up.sql": "", "m/1_a.down.sql": ""}, "golang-migrate", "m", 1, ""),
        ({"m/1_a.up.json": "", "m/1_a.down.json": ""}, "golang-migrate", "m", 1, ""),
        ({"m/V1__a.sql": "", "m/R__b.sql": "", "m/other.sql": ""}, "flyway", "m", 2, ""),
        ({"a/b/src/main/resources/db/migration/V1__a.sql": ""}, "flyway", "a/b/src/main/resources/db/migration", 1, ""),
        (
            {
                "prisma/schema.prisma": PRISMA,
                "prisma/migrations/migration_lock.toml": 'provider = "postgresql"',
                "prisma/migrations/1_a/migration.sql": "",
            },
            "prisma",
            "prisma/migrations",
            1,
            "BILLING_URL",
        ),
        ({"site/manage.py": "", "site/app/migrations/0001_a.py": DJANGO}, "django", "site", 0, ""),
        (
            {
                "drizzle.config.ts": "url: process.env.SHOP_URL",
                "drizzle/meta/_journal.json": DRIZZLE,
                "drizzle/0.sql": "",
            },
            "drizzle",
            "drizzle",
            1,
            "SHOP_URL",
        ),
    ],
)
def test_each_tool_is_known_by_what_it_leaves_behind(
    tmp_path: Path, files: dict[str, str], tool: str, folder: str, count: int, variable: str
) -> None:
    put(tmp_path, files)
    (found,) = find(tmp_path).found
    assert (found.tool, found.folder, found.files, found.variable, found.problem) == (
        tool,
        tmp_path / folder,
        count,
        variable,
        "",
    )
    mongo = tool in ("pymongo-migrate", "migrate-mongo") or any(
        name.endswith(".json") for name in files if "_a" in name
    )
    assert found.engine is (MONGODB if mongo else POSTGRESQL)
    proposals = proposing.propose([found], [], tmp_path, {})
    (tmp_path / "dataops.toml").write_text(proposing.text_of(proposals, tmp_path))
    (read,) = config.read(tmp_path / "dataops.toml").services.values()
    assert (read.kind, read.url_variable) == (found.engine, proposals[0].variable)


@pytest.mark.parametrize(("named", "expected"), [("docs", "docs"), ("YOURDATABASENAME", None)])
def test_migrate_mongo_names_its_database_beside_the_url(tmp_path: Path, named: str, expected: str | None) -> None:
    put(tmp_path, {"migrate-mongo-config.js": f'mongodb: {{ url: "x", databaseName: "{named}" }}'})
    text = proposing.text_of(proposing.propose(find(tmp_path).found, [], tmp_path, {}), tmp_path)
    assert next(iter(tomllib.loads(text)["services"].values())).get("database") == expected


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"alembic.ini": INI}, "env.py"),
        ({"alembic.ini": f"{INI}sqlalchemy.url = sqlite:///x.db\n", "db/env.py": ENV}, "sqlite"),
        ({"alembic.ini": MULTIDB, "db/env.py": "databases = 1"}, "multidb"),
        ({"knexfile.js": "client: 'mysql2'"}, "mysql2"),
        ({"m/migration_lock.toml": 'provider = "sqlite"'}, "sqlite"),
    ],
)
def test_what_dataops_cannot_work_with_is_told(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    put(tmp_path, files)
    (found,) = find(tmp_path).found
    assert problem in found.problem
    assert proposing.propose([found], [], tmp_path, {}) == ()


def test_folders_that_are_not_the_projects_own_are_not_looked_into(tmp_path: Path) -> None:
    skipped = ("node_modules/x", ".git/x", ".venv/x", "mine/lib", "a/b/c/d/e/f/g/h")
    put(tmp_path, {f"{name}/m1.py": PYMONGO for name in skipped} | {"mine/pyvenv.cfg": ""})
    (tmp_path / "again").symlink_to(tmp_path)
    assert find(tmp_path).found == ()


def test_ordinary_files_are_not_taken_for_migrations(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    os.mkfifo(tmp_path / "pipe.sql")
    os.mkfifo(tmp_path / "alembic.ini")
    put(
        tmp_path,
        {
            "a.sql": "SELECT 1",
            "1_a.sql": "",
            "setup.py": "dependencies = []\n",
            "latin.py": "",
            "pyproject.toml": "[project]\nname = 'x'\n",
            "x/pyproject.toml": "not [ toml",
            "makes.py": 'TEXT = """\ndependencies = []\n\ndef upgrade(db):\n    pass\n"""\n',
        },
    )
    (tmp_path / "latin.py").write_bytes(b"# \xe4\n")
    assert find(tmp_path).found == ()


def test_two_sections_with_one_script_location_are_one_service(tmp_path: Path) -> None:
    put(tmp_path, {"alembic.ini": INI + INI.replace("[alembic]", "[test]"), "db/env.py": ENV})
    (found,) = find(tmp_path).found
    assert found.section == "alembic and test"


def test_names_come_from_sections_and_folders_and_differ(tmp_path: Path) -> None:
    top = tmp_path / "my project"
    ini = "[orders]\nscript_location = orders\n[alembic]\nscript_location = alembic\n"
    put(
        top,
        {
            "alembic.ini": ini,
            "orders/env.py": ENV,
            "alembic/env.py": ENV,
            "services/Billing Docs/migrations/m.py": PYMONGO,
            "migrations/m.py": PYMONGO,
            "2nd/migrations/m.py": PYMONGO,
        },
    )
    proposals = proposing.propose(find(top).found, [("orders-docs", MONGODB)], top, {})
    assert sorted((one.name, one.variable) for one in proposals) == [
        ("billing-docs", "BILLING_DOCS_MONGODB_CON"),
        ("db-2nd", "DB_2ND_MONGODB_CON"),
        ("my-project", "MY_PROJECT_PG_CON"),
        ("my-project-docs", "MY_PROJECT_DOCS_MONGODB_CON"),
        ("orders", "ORDERS_PG_CON"),
        ("orders-docs", "ORDERS_DOCS_MONGODB_CON"),
    ]


def test_a_folder_of_any_name_is_written_as_toml(tmp_path: Path) -> None:
    place = tmp_path / 'a "b" \\ \x07ö' / "migrations"
    place.mkdir(parents=True)
    (place / "m1.py").write_text(PYMONGO)
    proposals = proposing.propose(find(tmp_path).found, [], tmp_path, {})
    (service,) = tomllib.loads(proposing.text_of(proposals, tmp_path))["services"].values()
    assert tmp_path / service["folder"] == place


def test_the_variables_of_pymongo_migrate_are_kept_where_they_are_clear(tmp_path: Path) -> None:
    environ = {"PYMONGO_MIGRATE_URI": "mongodb://db/x", "PYMONGO_MIGRATE_COLLECTION": "steps"}
    put(tmp_path, {"a/m.py": PYMONGO})
    text = proposing.text_of(proposing.propose(find(tmp_path).found, [], tmp_path, environ), tmp_path)
    assert tomllib.loads(text)["services"]["a"] == {"engine": "mongodb", "folder": "a", "record": "steps"}
    assert "PYMONGO_MIGRATE_URI" in text
    put(tmp_path, {"b/m.py": PYMONGO})
    proposals = proposing.propose(find(tmp_path).found, [], tmp_path, environ)
    assert [one.variable for one in proposals] == ["A_MONGODB_CON", "B_MONGODB_CON"]


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ('os.environ["DATABASE_URL"]', "DATABASE_URL"),
        ("os.getenv('SHOP_DSN', 'x')", "SHOP_DSN"),
        ("process.env.PG_URL || process.env.PG_URL", "PG_URL"),
        ("process.env.A_URL || process.env.B_URL", ""),
        ("os.environ['SECOND']", ""),
        ("os.environ[name]", ""),
    ],
)
def test_the_variable_of_the_url_is_taken_where_it_is_clear(text: str, variable: str) -> None:
    assert variable_in(text) == variable


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    there = tmp_path / "b" / "there"
    put(tmp_path, {"b/there": "mine"})
    with pytest.raises(CannotWrite):
        writing.write_all({tmp_path / "a" / "x" / "one": "1", tmp_path / "b" / "two": "2", there: "3"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "there"]
    assert there.read_text() == "mine"
    writing.write_all({tmp_path / "a" / "x" / "one": "1"})
    assert (tmp_path / "a" / "x" / "one").read_text() == "1"


def test_a_url_that_alembic_ini_has_is_named_where_it_has_to_be_set(tmp_path: Path) -> None:
    put(tmp_path, {"alembic.ini": INI + "sqlalchemy.url = postgresql+psycopg2://a:b@c/d\n", "db/env.py": "x = 1\n"})
    (one,) = proposing.propose(find(tmp_path).found, [], tmp_path, {})
    shape = "postgresql://USER:PASSWORD@HOST/DATABASE, as sqlalchemy.url in alembic.ini says"
    assert proposing.url_shape(one) == shape
