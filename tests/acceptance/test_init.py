"""`dataops init`: from somebody's project, as it is, to a dataops.toml with which everything works."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from dataops import config
from tests.projects import Project
from tests.servers import Answer

Connection = psycopg.Connection[Any]
Mongo = Database[dict[str, Any]]

ENV_URL = (
    'config.set_main_option("sqlalchemy.url", os.environ["SHOP_URL"].replace("postgresql:", "postgresql+psycopg:"))'
)

TABLE = '''"""Create {id}."""
from alembic import op

revision = {id!r}
down_revision = {parent!r}


def upgrade():
    op.execute("CREATE TABLE t_{id} (id int)")


def downgrade():
    op.execute("DROP TABLE t_{id}")
'''

COLLECTION = '''"""
Fill {id}
"""
import pymongo

name = {id!r}
dependencies = {parents!r}


def upgrade(db: "pymongo.database.Database"):
    db.c_{id}.insert_one({{"_id": 1}})


def downgrade(db: "pymongo.database.Database"):
    db.c_{id}.drop()
'''


def alembic_project(project: Project, *, folder: str = "migrations") -> None:
    """As `alembic init` makes it, with the URL from a variable, and two revisions."""
    assert project.run("alembic", "init", folder).code == 0
    env = project.folder / folder / "env.py"
    text = env.read_text()
    env.write_text(text.replace("config = context.config", f"import os\nconfig = context.config\n{ENV_URL}"))
    for id_, parent in (("a1", None), ("a2", "a1")):
        (project.folder / folder / "versions" / f"{id_}_.py").write_text(TABLE.format(id=id_, parent=parent))


def mongo_project(project: Project, folder: str = "docs/pymongo_migrations") -> Path:
    place = project.folder / folder
    place.mkdir(parents=True)
    for id_, parents in (("m1", []), ("m2", ["m1"])):
        (place / f"{id_}.py").write_text(COLLECTION.format(id=id_, parents=parents))
    return place


def content(project: Project) -> dict[str, list[str]]:
    """Every file and folder of the project."""
    return {str(place): sorted(files) for place, _, files in os.walk(project.folder)}


def refused(answer: Answer, code: int, *words: str) -> None:
    assert answer.code == code, answer.stderr
    assert "hint: " in answer.stderr
    for word in words:
        assert word in answer.stderr


# --- projects that need nothing but a paragraph


def test_an_alembic_project_and_a_pymongo_migrate_folder_go_all_the_way(
    project: Project, pg_url: str, pg: Connection, mongo_url: str, mongo_db: Mongo
) -> None:
    alembic_project(project)
    place = mongo_project(project)
    project.env |= {"SHOP_URL": pg_url, "DOCS_MONGODB_CON": mongo_url}
    (project.folder / "docs" / "notes.py").write_text("print('not a migration')\n")
    pymongo_migrate = ["-u", mongo_url, "-m", str(place)]
    assert project.run("alembic", "upgrade", "a1").code == 0
    assert project.run("pymongo-migrate", "migrate", *pymongo_migrate, "m1").code == 0

    answer = project("init", "--yes")
    assert answer.code == 0, answer.stderr
    assert "1 of 2 migrations applied, by the record of alembic" in answer.stdout
    assert "1 of 2 migrations applied, by the record of pymongo-migrate" in answer.stdout
    settings = config.read(project.folder / "dataops.toml").services
    assert {name: one.url_variable for name, one in settings.items()} == {
        "docs": "DOCS_MONGODB_CON",
        project.folder.name.lower(): "SHOP_URL",
    }
    plan = project("plan", "--json").json
    assert {step.rpartition("/")[2] for step in plan["order"]} == {"a2", "m2"}
    run = project("apply", "--yes", "--json").json["run"]
    assert project("status", "--check").code == 0
    assert "(head)" in project.run("alembic", "current").stdout
    shown = project.run("pymongo-migrate", "show", *pymongo_migrate).stdout
    assert "Not applied" not in shown
    assert project("rollback", "--yes", "--run", run).code == 0
    assert "a1" in project.run("alembic", "current").stdout
    assert project.run("pymongo-migrate", "show", *pymongo_migrate).stdout.count("Not applied") == 1
    assert mongo_db.list_collection_names(filter={"name": {"$regex": "^c_"}}) == ["c_m1"]
    assert pg.execute("SELECT relname FROM pg_class WHERE relname LIKE 't\\_%'").fetchall() == [("t_a1",)]
    assert project("apply", "--yes").code == 0
    assert "(head)" in project.run("alembic", "current").stdout


def test_new_services_in_an_empty_folder_work_with_every_tool(project: Project, pg_url: str, mongo_url: str) -> None:
    answer = project("init", "--postgresql", "shop", "--mongodb", "docs", "--yes")
    assert answer.code == 0, answer.stderr
    assert "Set SHOP_PG_CON to postgresql://USER:PASSWORD@HOST/DATABASE" in answer.stderr
    assert "Set DOCS_MONGODB_CON to mongodb://USER:PASSWORD@HOST/DATABASE" in answer.stderr
    assert "Next: dataops status, then dataops plan" in answer.stderr
    project.env |= {"SHOP_PG_CON": pg_url, "DOCS_MONGODB_CON": mongo_url}
    assert len(project("plan", "--json").json["order"]) == 2
    assert project("new", "shop", "second one").code == 0
    assert project("apply", "--yes").code == 0
    assert "(head)" in project.run("alembic", "-n", "shop", "current").stdout
    assert project.run("alembic", "-n", "shop", "downgrade", "-1").code == 0
    assert project.run("alembic", "-n", "shop", "revision", "-m", "by alembic").code == 0
    place = str(project.folder / "migrations" / "docs")
    assert "Not applied" not in project.run("pymongo-migrate", "show", "-u", mongo_url, "-m", place).stdout
    assert project("apply", "--yes").code == 0
    assert project("rollback", "--yes", "--steps", "1").code == 0


def test_what_comes_next_depends_on_what_the_database_says(project: Project, pg_url: str, pg: Connection) -> None:
    alembic_project(project)
    project.env["SHOP_URL"] = pg_url

    def said() -> str:
        (project.folder / "dataops.toml").unlink(missing_ok=True)
        answer = project("init", "--yes", "--json")
        assert answer.code == 0, answer.stderr
        assert answer.json["next"] == [answer.json["next"][0]]
        return f"{answer.json['services'][0]['standing']} | {answer.json['next'][0]}"

    name = project.folder.name.lower()
    assert said() == f"empty | dataops plan --service {name}"
    pg.execute("CREATE TABLE old (id int)")
    assert said() == f"no record, and not empty: 1 object such as old | dataops baseline {name} --to a2"
    pg.execute("CREATE TABLE schema_migrations (version text PRIMARY KEY)")
    pg.execute("INSERT INTO schema_migrations VALUES ('1')")
    assert said() == f"no record of alembic, but one of dbmate | dataops adopt --service {name}"
    tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    assert pg.execute(tables).fetchone() == (2,), "init only looks"


def test_a_database_that_cannot_be_asked_is_told_after_the_file_is_written(project: Project) -> None:
    alembic_project(project)
    project.env["SHOP_URL"] = "postgresql://u:s3cret@127.0.0.1:1/x"
    answer = project("init", "--yes")
    refused(answer, 10, "127.0.0.1")
    assert "s3cret" not in answer.stderr
    assert (project.folder / "dataops.toml").is_file()


def test_without_a_configuration_every_command_leads_to_init(project: Project) -> None:
    for command in (["plan"], ["status"], ["apply", "--yes"], ["lint"], ["dev", "up"]):
        refused(project(*command), 4, "no dataops.toml in", "dataops init")


# --- bad input


def test_a_dataops_toml_that_exists_is_not_touched(project: Project) -> None:
    mongo_project(project)
    path = project.folder / "dataops.toml"
    path.write_text("# mine\n")
    refused(project("init", "--yes"), 4, "exists already; nothing was written")
    assert path.read_text() == "# mine\n"
    path.unlink()
    path.symlink_to("nowhere")
    refused(project("init", "--yes"), 4, "exists already; nothing was written")


def test_nothing_is_written_without_consent(project: Project) -> None:
    mongo_project(project)
    before = content(project)
    refused(project("init"), 64, "there is no terminal to ask for consent", "dataops init --yes")
    assert content(project) == before


def test_a_folder_without_migrations_leads_to_new_ones(project: Project) -> None:
    refused(project("init", "--yes"), 64, "no migrations in", "dataops init --postgresql NAME")
    assert content(project) == {str(project.folder): []}


@pytest.mark.parametrize("name", ["my shop", "1st", "a/b", "-x", "", "é", "a.b", "x\ny"])
def test_names_that_are_no_identifiers_are_refused(project: Project, name: str) -> None:
    refused(project("init", f"--postgresql={name}", "--yes"), 64, "cannot be the name of a service")
    assert content(project) == {str(project.folder): []}


def test_two_services_in_one_folder_are_refused(project: Project) -> None:
    answer = project("init", "--postgresql", "shop", "--mongodb", "shop", "--yes")
    refused(answer, 64, "two services would have the name shop, and the same folder")
    alembic_project(project)
    (project.folder / "migrations" / "m1.py").write_text(COLLECTION.format(id="m1", parents=[]))
    refused(project("init", "--yes"), 4, "files of both Alembic and pymongo-migrate, such as m1.py")
    assert not (project.folder / "dataops.toml").exists()


def test_a_new_service_does_not_go_into_a_folder_that_is_not_empty(project: Project) -> None:
    place = project.folder / "migrations" / "shop"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    before = content(project)
    refused(project("init", "--postgresql", "shop", "--mongodb", "docs", "--yes"), 4, "is not empty")
    assert content(project) == before


def test_an_ini_that_is_not_valid_has_its_line(project: Project) -> None:
    alembic_project(project)
    ini = project.folder / "alembic.ini"
    good = ini.read_text()
    ini.write_text(good.replace("script_location = %(here)s/migrations", "script_location = %(there)s/migrations"))
    refused(project("init", "--yes"), 4, "alembic.ini", "script_location")
    ini.write_text("no section = 1\n")
    refused(project("init", "--yes"), 4, "alembic.ini")
    ini.write_text(good.replace("driver://user:pass@localhost/dbname", "postgresql://%(NOT_THERE)s@db/x"))
    assert project("init", "--yes").code == 0, "env.py may give that value"


def test_an_env_py_that_fails_is_told_with_its_line(project: Project, pg_url: str) -> None:
    alembic_project(project)
    env = project.folder / "migrations" / "env.py"
    env.write_text(f"{env.read_text()}\nopen('/nowhere/.env')\n")
    project.env["SHOP_URL"] = pg_url
    lines = len(env.read_text().splitlines())
    refused(project("init", "--yes"), 4, f"env.py:{lines}")


def test_a_folder_that_cannot_be_written_is_refused_before_anything_else(project: Project) -> None:
    """/proc takes no files from anybody, not even from root."""
    answer = project("init", "--postgresql", "shop", "--yes", "--config", "/proc/self/dataops.toml")
    refused(answer, 10, "dataops.toml", "nothing was written")


def test_what_was_made_is_taken_away_again_when_a_file_cannot_be_written(project: Project) -> None:
    """The folder of the second service cannot be made, because a file of its name is there."""
    (project.folder / "migrations").write_text("a file\n")
    refused(project("init", "--postgresql", "shop", "--yes"), 10, "nothing was written")
    assert content(project) == {str(project.folder): ["migrations"]}


def test_a_folder_with_a_hundred_thousand_files_is_no_trouble(project: Project) -> None:
    mongo_project(project)
    for name in ("data", "node_modules/x"):
        place = project.folder / name
        place.mkdir(parents=True)
        for number in range(50_000):
            os.mknod(place / f"{number}.sql")
    begun = time.monotonic()
    answer = project("init", "--yes", "--json")
    assert answer.code == 0, answer.stderr
    assert [one["tool"] for one in answer.json["found"]] == ["pymongo-migrate"]
    assert time.monotonic() - begun < 5


def test_an_ordinary_answer_in_json_has_everything(project: Project) -> None:
    place = mongo_project(project)
    answer = project("init", "--yes", "--json")
    assert answer.code == 0
    assert json.loads(answer.stdout) == {
        "files": [str(project.folder / "dataops.toml")],
        "found": [{"tool": "pymongo-migrate", "folder": str(place), "migrations": 2, "problem": None}],
        "services": [
            {
                "name": "docs",
                "engine": "mongodb",
                "folder": str(place),
                "observe": None,
                "variable": "DOCS_MONGODB_CON",
                "standing": None,
                "error": None,
            }
        ],
        "next": ["dataops status", "dataops plan"],
        "exit_code": 0,
    }


# --- projects of other tools


def test_what_another_tool_migrates_is_observed_and_taken_over_as_the_file_says(
    project: Project, pg_url: str, pg: Connection
) -> None:
    """The comments beside `observe` are followed to the letter."""
    place = project.folder / "billing" / "migrations"
    place.mkdir(parents=True)
    sql = "-- migrate:up\nCREATE TABLE bills (id int PRIMARY KEY);\n\n-- migrate:down\nDROP TABLE bills;\n"
    (place / "20240101000000_create_bills.sql").write_text(sql)
    pg.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
    pg.execute("INSERT INTO schema_migrations VALUES ('20240101000000')")
    pg.execute("CREATE TABLE bills (id int PRIMARY KEY)")
    project.env["DATABASE_URL"] = pg_url
    answer = project("init", "--yes")
    assert answer.code == 0, answer.stderr
    assert "billing: dbmate has applied 20240101000000 last" in answer.stdout
    assert project("wait", "--timeout", "5s").code == 0

    path = project.folder / "dataops.toml"
    lines = path.read_text().splitlines()
    beside = next(line for line in lines if "dataops import" in line)
    commands = [words.split()[1:] for words in beside.split("`")[1::2]]
    assert commands == [
        ["import", "billing", "--from", "dbmate", "billing/migrations"],
        ["adopt", "--service", "billing"],
    ]
    kept = [line.removeprefix("# ") if " = " in line else line for line in lines if not line.startswith("observe")]
    path.write_text("\n".join(kept) + "\n")
    for command in commands:
        done = project(*command, timeout=120)
        assert done.code == 0, done.stderr
    assert project("adopt", "--write", timeout=120).code == 0
    assert project("status", "--check").code == 0
