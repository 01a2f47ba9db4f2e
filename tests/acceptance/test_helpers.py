"""Modules of a project that its migration files import: a change of one is told, and refused where a file pins it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.projects import Project

Connection = psycopg.Connection[Any]

MONGO_HELPER = "def fill(db):\n    db.notes.insert_one({'_id': 1})\n"
PG_HELPER = "from shop.names import TABLE\n\n\ndef up():\n    return f'CREATE TABLE {TABLE} (id int)'\n"


@pytest.fixture
def shop(project: Project, pg_url: str, mongo_url: str) -> Project:
    """A PostgreSQL service `shop` and a MongoDB service `docs`, whose files import modules of a package `shop`."""
    project.add("shop", pg_url, folder="migrations").add("docs", mongo_url, folder="steps")
    package = project.folder / "shop"
    package.mkdir(exist_ok=True)
    for name, text in {
        "__init__": "import json\n",
        "tables": PG_HELPER,
        "names": "TABLE = 'orders'\n",
        "notes": MONGO_HELPER,
        "unused": "X = 1\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    (project.folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\nprepend_sys_path = .\n")
    (project.folder / "migrations" / "versions").mkdir(parents=True)
    (project.folder / "steps").mkdir()
    project.env["PYTHONPATH"] = str(project.folder)  # as pymongo-migrate finds them too
    return project


def pg_file(project: Project, id_: str, parent: str | None, head: str = "", up: str = "pass") -> Path:
    path = project.folder / "migrations" / "versions" / f"{id_}.py"
    path.write_text(
        f'"""{id_}."""\nfrom alembic import op\n{head}\nrevision = {id_!r}\ndown_revision = {parent!r}\n\n\n'
        f"def upgrade():\n    {up}\n\n\ndef downgrade():\n    op.execute('SELECT 1')\n"
    )
    return path


def mongo_file(project: Project, id_: str, head: str = "") -> Path:
    path = project.folder / "steps" / f"{id_}.py"
    path.write_text(
        f'"""{id_}."""\nfrom shop import notes\n{head}\ndependencies = []\n\n\n'
        "def upgrade(db):\n    notes.fill(db)\n\n\ndef downgrade(db):\n    db.notes.drop()\n"
    )
    return path


def told(project: Project) -> list[str]:
    answer = project("status", "-v")
    assert answer.code == 0, answer.stderr
    return sorted(line for line in answer.stderr.splitlines() if "imports changed" in line)


def test_a_change_of_an_imported_module_is_told_and_refuses_nothing(shop: Project, pg: Connection) -> None:
    for at, parent in enumerate([None, "a0", "a1"]):
        head = "from shop.tables import up" if at < 2 else "from shop import unused"
        pg_file(shop, f"a{at}", parent, head, "op.execute(up())" if at == 0 else "op.execute('SELECT 1')")
    mongo_file(shop, "first")
    assert shop("apply", "--yes").code == 0
    assert told(shop) == []

    shop_folder = shop.folder / "shop"
    (shop_folder / "names.py").write_text("TABLE = 'orders'  # a remark changes nothing\n")
    (shop_folder / "__init__.py").write_text("import json\nimport shop.other\n")
    (shop_folder / "other.py").write_text("")
    assert told(shop) == [
        "docs: imports changed since: shop/__init__.py (1 migration)",
        "shop: imports changed since: shop/__init__.py (3 migrations)",
    ]
    (shop_folder / "__init__.py").write_text("import json\n")
    (shop_folder / "names.py").write_text("TABLE = 'bills'\n")
    (shop_folder / "notes.py").unlink()
    assert told(shop) == [
        "docs: imports changed since: shop/notes.py (1 migration)",
        "shop: imports changed since: shop/names.py (2 migrations)",
    ]
    looked = {one["service"]: one["imports_changed"] for one in shop("status", "--json").json["services"]}
    assert looked == {"shop": {"shop/names.py": ["a0", "a1"]}, "docs": {"shop/notes.py": ["first"]}}
    assert "imports" not in shop("status").stderr
    assert shop("plan", "--service", "shop").code == 0

    assert shop("rollback", "--service", "shop", "--yes", "--to", "a0").code == 0
    assert told(shop)[1:] == ["shop: imports changed since: shop/names.py (1 migration)"]


def test_a_journal_of_an_earlier_version_gets_room_for_it(shop: Project, pg: Connection) -> None:
    pg_file(shop, "a0", None, "from shop.tables import up", "op.execute(up())")
    assert shop("apply", "--service", "shop", "--yes").code == 0
    pg.execute("ALTER TABLE dataops_history.dataops_journal DROP COLUMN imports")
    (shop.folder / "shop" / "names.py").write_text("TABLE = 'bills'\n")
    assert shop("status", "-v", "--service", "shop").code == 0
    assert shop("plan", "--service", "shop").code == 0

    pg_file(shop, "a1", "a0", "from shop import unused")
    assert shop("apply", "--service", "shop", "--yes").code == 0
    (shop.folder / "shop" / "unused.py").write_text("X = 2\n")
    assert told(shop)[-1] == "shop: imports changed since: shop/unused.py (1 migration)"


def test_a_journal_that_cannot_get_room_for_it_is_written_all_the_same(shop: Project, pg: Connection) -> None:
    pg_file(shop, "a0", None)
    assert shop("apply", "--service", "shop", "--yes").code == 0
    pg.execute("ALTER TABLE dataops_history.dataops_journal DROP COLUMN imports")
    pg_file(shop, "a1", "a0", "from shop import unused")
    reader = "LOCK TABLE dataops_history.dataops_journal IN ACCESS SHARE MODE"  # as pg_dump has it, for long
    with pg.transaction():
        pg.execute(reader)
        done = shop("apply", "--service", "shop", "--yes")
    assert done.code == 0, done.stderr
    assert [one["event"] for one in shop("history", "--json").json["entries"]][:2] == ["succeeded", "started"]


@pytest.mark.parametrize("service", ["shop", "docs"])
def test_what_a_file_pins_counts_as_a_part_of_it(shop: Project, service: str) -> None:
    helper = shop.folder / "shop" / ("tables.py" if service == "shop" else "notes.py")
    pin = f'depends = ["shop/{helper.name}", "seed.csv"]\n'
    (shop.folder / "seed.csv").write_text("1\n")
    if service == "shop":
        path = pg_file(shop, "a0", None, f"from shop.tables import up\n{pin}", "op.execute(up())")
    else:
        path = mongo_file(shop, "a0", pin)
    assert shop("apply", "--service", service, "--yes").code == 0
    before = helper.read_text()
    helper.write_text(before + "# a remark\n")
    assert shop("plan", "--service", service).code == 0

    helper.write_text(before + "X = 1\n")
    refused = shop("plan", "--service", service, "--json")
    assert refused.code == 4, refused.stderr
    assert refused.json["error"]["migration"] == "a0"
    assert f"shop/{helper.name}" in refused.json["error"]["message"]
    assert "imports changed" not in shop("status", "-v", "--service", service).stderr
    helper.write_text(before)
    (shop.folder / "seed.csv").write_text("2\n")
    assert shop("plan", "--service", service).code == 4

    (shop.folder / "seed.csv").unlink()
    gone = shop("plan", "--service", service)
    assert gone.code == 4, gone.stderr
    assert f"{path.name}: depends names seed.csv, and there is no such file" in gone.stderr
    linted = shop("lint", "--service", service, "--no-squawk", "--json").json["findings"]
    assert [one["code"] for one in linted if one["code"] in ("H011", "H018")] == ["H018"]


def test_lint_finds_an_edit_of_what_is_pinned_since_the_base(shop: Project) -> None:
    pg_file(shop, "a0", None, 'from shop.tables import up\ndepends = ["shop/tables.py"]\n', "op.execute(up())")
    git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    for command in (["init", "-b", "main"], ["add", "."], ["commit", "-m", "one"], ["checkout", "-b", "ours"]):
        subprocess.run([*git, *command], cwd=shop.folder, check=True, capture_output=True)
    lint = ("lint", "--service", "shop", "--no-squawk", "--base", "main", "--json")
    assert shop(*lint).json["findings"] == []
    helper = shop.folder / "shop" / "tables.py"
    helper.write_text(helper.read_text().replace("id int", "id bigint"))
    (found,) = (one for one in shop(*lint).json["findings"] if one["code"] == "H012")
    assert found["message"].startswith("shop/tables.py, which it depends on, is not what main has")


def test_depends_has_to_be_a_list_of_files(shop: Project) -> None:
    pg_file(shop, "a0", None, "depends = {1: 2}")
    refused = shop("plan", "--service", "shop")
    assert refused.code == 4
    assert "depends has to be a list of files" in refused.stderr
