"""The real knex and the real migrate-mongo, from npm, beside dataops. Only with `script/test --with-node`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.node.tool import Tool
from tests.projects import Project
from tests.servers import ROOT

NAMES = [path.stem for path in sorted((ROOT / "pg_migrations/voucher/versions").glob("[0-9]*.py"))]

Document = dict[str, Any]


@pytest.fixture
def voucher(tmp_path: Path, pg_url: str) -> Project:
    """The real voucher history in a project of its own, beside its adopt.toml."""
    project = Project(tmp_path / "ours")
    project.folder.mkdir()
    shutil.copytree(ROOT / "pg_migrations/voucher", project.folder / "voucher")
    project.add("voucher", pg_url)
    return project


@pytest.fixture
def knex(tmp_path: Path, modules: Path, pg_url: str) -> Tool:
    folder = tmp_path / "knex"
    (folder / "migrations").mkdir(parents=True)
    (folder / "node_modules").symlink_to(modules)
    settings = {"client": "pg", "connection": pg_url, "migrations": {"loadExtensions": [".mjs"]}}
    (folder / "knexfile.json").write_text(json.dumps(settings))
    (folder / "knexfile.js").write_text('module.exports = require("./knexfile.json");')
    return Tool(folder, modules, (str(modules / "knex/bin/cli.js"), "--knexfile", "knexfile.js"))


def write_knex(tool: Tool, name: str, statements: list[str] | None) -> None:
    """A migration for knex; without statements one that must never run."""
    body = (
        'throw new Error("this must not run");'
        if statements is None
        else "".join(
            f"await knex.raw({json.dumps(statement.replace('?', chr(92) + '?'))});\n" for statement in statements
        )
    )
    text = f"export async function up(knex) {{ {body} }}\nexport async function down(knex) {{}}\n"
    (tool.folder / "migrations" / f"{name}.mjs").write_text(text)


def test_knex_finds_nothing_to_do_after_our_apply(voucher: Project, knex: Tool) -> None:
    voucher.configure(voucher={"mirror": True})
    for name in NAMES:
        write_knex(knex, name, None)
    assert voucher("apply", "--yes").code == 0
    assert "Already up to date" in knex("migrate:latest")
    assert "No Pending Migration" in knex("migrate:status")
    assert voucher("rollback", "--yes", "--steps", "1").code == 0
    assert f"Found 1 Pending Migration file/files.\n{NAMES[-1]}.mjs" in knex("migrate:status")
    assert voucher("apply", "--yes").code == 0
    assert "Already up to date" in knex("migrate:latest")


def test_we_find_nothing_to_do_after_knex(voucher: Project, knex: Tool) -> None:
    """knex runs what ours would run, adopts it, then goes on by itself, and we catch up."""
    steps = voucher("plan", "--json").json["services"][0]["steps"]
    for name, step in list(zip(NAMES, steps, strict=True))[:-1]:
        write_knex(knex, name, step["commands"])
    assert "Batch 1 run: 3 migrations" in knex("migrate:latest")
    refused = voucher("apply", "--yes", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (4, "HistoryError")
    assert voucher("adopt", "--write").code == 0
    assert [row["pending"] for row in voucher("status", "--json").json["services"]] == [[steps[-1]["migration"]]]

    write_knex(knex, NAMES[-1], steps[-1]["commands"])
    assert "Batch 2 run: 1 migrations" in knex("migrate:latest")
    assert voucher("status", "--check").code == 4
    assert voucher("apply", "--yes").code == 4
    assert voucher("adopt", "--write").code == 0
    assert voucher("plan", "--detailed-exitcode").code == 0
    assert "Already up to date" in knex("migrate:latest")


def test_a_lock_that_a_killed_knex_left_is_named(voucher: Project, knex: Tool) -> None:
    steps = voucher("plan", "--json").json["services"][0]["steps"]
    write_knex(knex, NAMES[0], steps[0]["commands"])
    knex("migrate:latest")
    write_knex(knex, NAMES[1], ["SELECT pg_terminate_backend(pg_backend_pid())"])
    knex("migrate:latest", fails=True)
    knex("migrate:unlock")
    assert voucher("adopt").code == 0
    subprocess.run(
        ["node", "-e", _LOCK, str(knex.folder / "knexfile.json")],
        env={**os.environ, "NODE_PATH": str(knex.modules)},
        check=True,
        timeout=60,
    )
    locked = voucher("adopt", "--write", "--json")
    assert locked.code == 3
    assert "knex migrate:unlock" in locked.json["services"][0]["problem"]["hint"]
    knex("migrate:unlock")
    assert voucher("adopt", "--write").code == 0


_LOCK = """
const { Client } = require("pg");
const client = new Client(require(process.argv[1]).connection);
client.connect().then(() => client.query("UPDATE knex_migrations_lock SET is_locked = 1")).then(() => client.end());
"""


@pytest.fixture
def migrate_mongo(tmp_path: Path, modules: Path, mongo_url: str) -> Tool:
    folder = tmp_path / "migrate-mongo"
    (folder / "migrations").mkdir(parents=True)
    (folder / "node_modules").symlink_to(modules)
    base, _, rest = mongo_url.rpartition("/")
    database, _, options = rest.partition("?")
    config = {
        "mongodb": {"url": f"{base}/?{options}", "databaseName": database, "options": {}},
        "migrationsDir": "migrations",
        "changelogCollectionName": "changelog",
        "migrationFileExtension": ".ts",
        "useFileHash": False,
        "moduleSystem": "commonjs",
    }
    (folder / "migrate-mongo-config.js").write_text(f"module.exports = {json.dumps(config)};")
    return Tool(folder, modules, (str(modules / "migrate-mongo/bin/migrate-mongo.js"),))


def write_mongo(tool: Tool, name: str, body: str) -> None:
    text = f"module.exports = {{ async up(db, client) {{ {body} }}, async down(db, client) {{}} }};"
    (tool.folder / "migrations" / f"{name}.ts").write_text(text)


MUST_NOT_RUN = 'throw new Error("this must not run");'


def test_migrate_mongo_finds_nothing_to_do_after_our_whole_history(
    tmp_path: Path, mongo_url: str, migrate_mongo: Tool
) -> None:
    project = Project(tmp_path / "ours")
    project.folder.mkdir()
    shutil.copytree(ROOT / "mongo_migrations", project.folder / "api")
    project.add("api", mongo_url, mirror=True)
    for path in (project.folder / "api").glob("[0-9]*.py"):
        write_mongo(migrate_mongo, path.stem, MUST_NOT_RUN)
    assert project("apply", "--yes", timeout=120).code == 0
    assert "PENDING" not in migrate_mongo("status")
    assert "MIGRATED UP" not in migrate_mongo("up")
    assert project("rollback", "--yes", "--steps", "2", timeout=120).code == 0
    assert migrate_mongo("status").count("PENDING") == 2


def test_we_find_nothing_to_do_after_migrate_mongo(tmp_path: Path, mongo_url: str, migrate_mongo: Tool) -> None:
    project = Project(tmp_path / "ours")
    project.folder.mkdir()
    project.add("bank", mongo_url)
    for number, field in ((1, "phone"), (2, "email"), (3, "name")):
        project.file("bank", f"2024000{number}-by-{field}", f'db.users.create_index("{field}")', "pass")
    for number, field in ((1, "phone"), (2, "email")):
        write_mongo(
            migrate_mongo, f"2024000{number}-by-{field}", f'await db.collection("users").createIndex({{{field}: 1}});'
        )
    assert migrate_mongo("up").count("MIGRATED UP") == 2
    assert project("apply", "--yes").code == 4
    assert project("adopt", "--write").code == 0
    assert project("status", "--json").json["services"][0]["pending"] == ["20240003-by-name"]
    write_mongo(migrate_mongo, "20240003-by-name", 'await db.collection("users").createIndex({name: 1});')
    assert migrate_mongo("up").count("MIGRATED UP") == 1
    assert project("status", "--check").code == 4
    assert project("adopt", "--write").code == 0
    assert project("plan", "--detailed-exitcode").code == 0
    assert "MIGRATED UP" not in migrate_mongo("up")


def test_an_index_that_migrate_mongo_never_made_is_a_difference(
    tmp_path: Path, mongo_url: str, migrate_mongo: Tool
) -> None:
    project = Project(tmp_path / "ours")
    project.folder.mkdir()
    project.add("bank", mongo_url)
    project.file("bank", "20240001-by-phone", 'db.users.create_index("phone", unique=True)', "pass")
    write_mongo(migrate_mongo, "20240001-by-phone", "")  # it silently does nothing, as seven of Blink's did
    migrate_mongo("up")
    found = project("adopt", "--write", "--json")
    assert found.code == 8
    assert found.json["services"][0]["written"] is False
    assert project("status", "--json").json["services"][0]["applied"] == 0
