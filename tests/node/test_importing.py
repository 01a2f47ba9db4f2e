"""Projects of the real dbmate, drizzle-kit and knex become ours, and those tools still agree. With --with-node only."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dataops.dev import PostgresServer
from tests.node.tool import Tool
from tests.projects import Project
from tests.servers import Answer


@pytest.fixture
def theirs(tmp_path: Path, modules: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "node_modules").symlink_to(modules)
    return folder


@pytest.fixture
def project(theirs: Path, postgres: PostgresServer) -> Project:
    """Theirs, too: `begun` makes it one of ours."""
    return Project(theirs, {"DATAOPS_SCRATCH": postgres.url()})


def begun(project: Project, url: str) -> None:
    """Call init, and do what it writes into dataops.toml: first look at the database, then import its migrations."""
    assert "found: " in ran(project("init", "--yes")).stdout
    path = project.folder / "dataops.toml"
    text = path.read_text()
    [variable] = re.findall(r'url_env = "(\w+)"', text)
    project.env[variable] = url
    ran(project("status", "--check"))
    engine, folder = re.findall(r"# ((?:engine|folder) = .*)", text)
    path.write_text(re.sub("observe = .*", f"{engine}\n{folder}", text, count=1))
    [command] = re.findall(r"`dataops (import [^`]+)`", text)
    ran(project(*shlex.split(command)))


def ran(answer: Answer, code: int = 0) -> Answer:
    assert answer.code == code, answer.stdout + answer.stderr
    return answer


def adopted_and_used(project: Project, agrees: Callable[[], None], pg: psycopg.Connection[Any]) -> list[str]:
    """adopt finds no difference; a new migration goes there and back; the other tool agrees all the time."""
    row = ran(project("adopt", "--write", "--json", timeout=120)).json["services"][0]
    assert (row["written"], row["differences"]) == (True, [])
    ran(project("plan", "--detailed-exitcode"))
    agrees()
    path = Path(ran(project("new", "shop", "add later", "--json")).json["file"])
    path.write_text(re.sub(r'""\)\n', '"CREATE TABLE later ()")\n', path.read_text(), count=1).replace(
        'op.execute("")', 'op.execute("DROP TABLE later")'
    ))  # fmt: skip
    ran(project("lint"))
    run = ran(project("apply", "--yes", "--json")).json["run"]
    assert pg.execute("SELECT to_regclass('later')::text").fetchone() == ("later",)
    agrees()
    ran(project("rollback", "--yes", "--run", run))
    agrees()
    return list(row["to_record"])


def test_dbmate(project: Project, theirs: Path, modules: Path, pg: psycopg.Connection[Any], pg_url: str) -> None:
    dbmate = Tool(
        theirs, modules, (str(modules / "dbmate/dist/cli.js"), "--no-dump-schema", "--url", with_ssl_off(pg_url))
    )
    folder = theirs / "db/migrations"
    folder.mkdir(parents=True)
    (folder / "20240101120000_the users.sql").write_text(
        "-- migrate:up\nCREATE TABLE users (id int, name text DEFAULT 'a :b 100%');\n"
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;\n\n"
        "-- migrate:down\nDROP FUNCTION f;\nDROP TABLE users;\n"
    )
    (folder / "20240102120000_index.sql").write_text(
        "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY users_name ON users (name);\n"
        "\n-- migrate:down transaction:false\nDROP INDEX CONCURRENTLY users_name;\n"
    )
    dbmate("up")
    begun(project, pg_url)
    assert not list(project.folder.glob("**/adopt.toml"))

    def agrees() -> None:
        assert "Pending: 0" in dbmate("status")

    assert adopted_and_used(project, agrees, pg) == ["20240101120000", "20240102120000"]


def with_ssl_off(url: str) -> str:
    return url if "sslmode" in url else f"{url}{'&' if '?' in url else '?'}sslmode=disable"


def test_drizzle(project: Project, theirs: Path, modules: Path, pg: psycopg.Connection[Any], pg_url: str) -> None:
    drizzle = Tool(theirs, modules, (str(modules / "drizzle-kit/bin.cjs"),))
    config = {"dialect": "postgresql", "schema": "./schema.ts", "out": "./out", "dbCredentials": {"url": pg_url}}
    (theirs / "drizzle.config.json").write_text(json.dumps(config))
    schema = 'import { pgTable, serial, text, index } from "drizzle-orm/pg-core";\n'
    users = 'export const users = pgTable("users", {{ id: serial().primaryKey(), name: text().default("a :b") }}{});\n'
    configured = ("--config", "drizzle.config.json")
    (theirs / "schema.ts").write_text(schema + users.format(""))
    drizzle("generate", *configured, "--name", "one")
    (theirs / "schema.ts").write_text(schema + users.format(', (t) => [index("by_name").on(t.name)]'))
    drizzle("generate", *configured, "--name", "two")
    drizzle("migrate", *configured)
    begun(project, pg_url)

    def agrees() -> None:
        before = pg.execute("SELECT * FROM drizzle.__drizzle_migrations").fetchall()
        drizzle("migrate", *configured)
        assert pg.execute("SELECT * FROM drizzle.__drizzle_migrations").fetchall() == before

    assert adopted_and_used(project, agrees, pg) == ["0000", "0001"]


def test_node_pg_migrate(
    project: Project,
    theirs: Path,
    modules: Path,
    pg: psycopg.Connection[Any],
    pg_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", pg_url)
    tool = Tool(theirs, modules, (str(modules / "node-pg-migrate/bin/node-pg-migrate.js"),))
    (theirs / "package.json").write_text('{"dependencies": {"node-pg-migrate": "8"}}')
    (theirs / "migrations").mkdir()
    users = "-- Up Migration\nCREATE TABLE users (id int);\n\n-- Down Migration\nDROP TABLE users"
    for name, text in {
        "1700000000000_the-users.sql": users,
        "1700000000001_more.sql": "CREATE TABLE more (note text DEFAULT 'a :b {c}');\n",
    }.items():
        (theirs / "migrations" / name).write_text(text)
    tool("up")
    begun(project, pg_url)

    def agrees() -> None:
        assert "No migrations to run!" in tool("up")

    assert adopted_and_used(project, agrees, pg) == ["1700000000000", "1700000000001"]


USERS = """
exports.up = (knex) => knex.schema.createTable("users", (table) => {
  table.increments("id");
  table.string("name").index();
});
exports.down = (knex) => knex.schema.dropTable("users");
"""


def test_knex(project: Project, theirs: Path, modules: Path, pg: psycopg.Connection[Any], pg_url: str) -> None:
    """A draft, which somebody writes, and then adopt finds no difference."""
    (theirs / "knexfile.js").write_text(f"module.exports = {json.dumps({'client': 'pg', 'connection': pg_url})};")
    knex = Tool(theirs, modules, (str(modules / "knex/bin/cli.js"), "--knexfile", "knexfile.js"))
    (theirs / "migrations").mkdir()
    (theirs / "migrations/20240101120000_add users.js").write_text(USERS)
    knex("migrate:latest")
    begun(project, pg_url)
    found = ran(project("lint", "--json"), 4).json["findings"]
    assert sorted(one["code"] for one in found) == ["F001", "H010"]
    (path,) = (one for one in project.folder.glob("*/versions/*.py"))
    assert USERS.strip().splitlines()[-1] in path.read_text()
    up, down, rest = path.read_text().split("    raise NotImplementedError", 2)
    written = (
        "CREATE TABLE users (id serial PRIMARY KEY, name varchar(255)); CREATE INDEX users_name_index ON users (name)"
    )
    path.write_text(
        f'{up}    op.execute("{written}")  # dataops: ignore[squawk/*] as knex makes it\n{down.partition(chr(10))[2]}'
        f'    op.execute("DROP TABLE users")\n{rest.partition(chr(10))[2]}'
    )

    def agrees() -> None:
        assert "Already up to date" in knex("migrate:latest")

    assert adopted_and_used(project, agrees, pg) == ["20240101120000"]
    configured = project.folder / "dataops.toml"
    configured.write_text(configured.read_text().replace("\nurl_env", "\nmirror = true\nurl_env", 1))
    ran(project("rollback", "--yes", "--to", "shop/base"))
    assert "add users.js" in knex("migrate:status")
    ran(project("apply", "--yes", "--to", "20240101120000"))
    agrees()
