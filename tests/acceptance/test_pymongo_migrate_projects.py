"""Projects of pymongo-migrate, as they are: a paragraph is enough, and its own command line still agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from tests.projects import Project

Mongo = Database[dict[str, Any]]

PARAGRAPH = '[services.docs]\nengine = "mongodb"\nfolder = "steps"\n'


class MongoProject:
    """A project whose files pymongo-migrate has generated, and then somebody has filled in. The first is `initial`."""

    def __init__(self, project: Project, *options: str) -> None:
        self.dataops = project
        self.folder = project.folder / "steps"
        self.options = ["-m", "steps", *options]
        self.folder.mkdir()
        for id_ in ("initial", "second"):
            self.generate(id_)

    def tool(self, *args: str) -> str:
        answer = self.dataops.run("pymongo-migrate", args[0], *self.options, *args[1:])
        assert answer.code == 0, answer.stderr
        return answer.stdout

    def generate(self, id_: str) -> Path:
        self.tool("generate", id_)
        path = self.folder / f"{id_}.py"
        text = path.read_text()
        assert text.count("    pass") == 2
        text = text.replace("    pass", f'    db.c_{id_}.insert_one({{"_id": 1}})', 1)
        path.write_text(text.replace("    pass", f"    db.c_{id_}.drop()", 1))
        return path

    def applied(self) -> list[str]:
        lines = self.tool("show").splitlines()[1:]
        return [line.split("\t")[0].strip() for line in lines if "Not applied" not in line]

    def configure(self, *lines: str) -> None:
        (self.dataops.folder / "dataops.toml").write_text(PARAGRAPH + "".join(f"{line}\n" for line in lines))


def there_and_back(it: MongoProject) -> None:
    """initial* -- second   (* applied by pymongo-migrate)."""
    it.tool("migrate", "initial")
    dataops = it.dataops
    assert dataops("plan", "--json").json["order"] == ["docs/second"]
    done = dataops("apply", "--yes", "--json")
    assert done.code == 0, done.stderr
    assert it.applied() == ["initial", "second"]
    assert dataops("status", "--check").code == 0
    assert dataops("rollback", "--yes", "--run", done.json["run"]).code == 0
    assert it.applied() == ["initial"]
    it.generate("third")
    assert dataops("apply", "--yes").code == 0
    assert it.applied() == ["initial", "second", "third"]
    it.generate("fourth")
    it.tool("migrate")
    assert dataops("status", "--check").code == 0
    assert dataops("rollback", "--yes", "--to", "docs/initial").code == 0
    assert it.applied() == ["initial"]


def test_its_record_may_have_another_name(project: Project, mongo_url: str, mongo_db: Mongo) -> None:
    it = MongoProject(project, "-u", mongo_url, "-c", "steps_done")
    it.configure('url_env = "DOCS_URL"', 'record = "steps_done"')
    project.env["DOCS_URL"] = mongo_url
    there_and_back(it)
    assert set(mongo_db.list_collection_names()) == {"c_initial", "steps_done", "dataops_journal", "dataops_lock"}
    assert {tuple(sorted(one)) for one in mongo_db.steps_done.find()} == {("_id", "applied", "name")}


def test_its_own_variables_lead_to_the_same_database_and_record(
    project: Project, mongo_url: str, mongo_db: Mongo
) -> None:
    """The database in the variable goes before the one in the URL, as in its own command line."""
    project.env |= {
        "PYMONGO_MIGRATE_URI": mongo_url.replace(mongo_db.name, "elsewhere"),
        "PYMONGO_MIGRATE_DATABASE": mongo_db.name,
        "PYMONGO_MIGRATE_COLLECTION": "steps_done",
    }
    it = MongoProject(project)
    it.configure()
    there_and_back(it)
    assert "c_initial" in mongo_db.list_collection_names()
    assert "elsewhere" not in mongo_db.client.list_database_names()


def test_init_keeps_to_its_own_variables(project: Project, mongo_url: str) -> None:
    project.env |= {"PYMONGO_MIGRATE_URI": mongo_url, "PYMONGO_MIGRATE_COLLECTION": "steps_done"}
    it = MongoProject(project)
    it.tool("migrate", "initial")
    answer = project("init", "--yes")
    assert answer.code == 0, answer.stderr
    assert "steps: 1 of 2 migrations applied, by the record of pymongo-migrate" in answer.stdout
    assert 'record = "steps_done"' in (project.folder / "dataops.toml").read_text()
    assert project("apply", "--yes").code == 0
    assert it.applied() == ["initial", "second"]


def test_a_record_that_may_be_meant_for_it_is_not_passed_over(project: Project, mongo_url: str) -> None:
    it = MongoProject(project, "-u", mongo_url, "-c", "steps_done")
    it.configure('url_env = "DOCS_URL"')
    project.env |= {"DOCS_URL": mongo_url, "PYMONGO_MIGRATE_COLLECTION": "steps_done"}
    answer = project("apply", "--yes")
    assert answer.code == 4
    assert "PYMONGO_MIGRATE_COLLECTION is set" in answer.stderr
    assert 'record = "steps_done"' in answer.stderr


@pytest.mark.parametrize("change", ["db.steps_done.drop()", "db['steps_done'].delete_many({})"])
def test_no_file_changes_the_record_under_its_other_name(project: Project, mongo_url: str, change: str) -> None:
    it = MongoProject(project, "-u", mongo_url, "-c", "steps_done")
    it.configure('url_env = "DOCS_URL"', 'record = "steps_done"')
    project.env["DOCS_URL"] = mongo_url
    path = it.generate("third")
    path.write_text(path.read_text().replace("    db.c_third.insert_one", f"    {change}\n    db.c_third.insert_one"))
    assert project("apply", "--yes").code == 4
    assert it.applied() == []
    assert "M011" in project("lint").stdout


def test_its_record_is_no_difference_for_prove(project: Project, mongo_url: str) -> None:
    it = MongoProject(project, "-u", mongo_url, "-c", "steps_done")
    it.configure('url_env = "DOCS_URL"', 'record = "steps_done"')
    answer = project("prove", timeout=120)
    assert answer.code == 0, answer.stdout + answer.stderr


def test_two_services_have_a_variable_each(project: Project, mongo_url: str, mongo_db: Mongo) -> None:
    it = MongoProject(project, "-u", mongo_url)
    it.configure('url_env = "ONE_URL"', '[services.more]\nengine = "mongodb"\nfolder = "steps"\nurl_env = "TWO_URL"')
    other = f"{mongo_db.name}_two"
    project.env |= {"ONE_URL": mongo_url, "TWO_URL": mongo_url.replace(mongo_db.name, other)}
    try:
        assert project("apply", "--yes", "--service", "more").code == 0
        assert it.applied() == []
        assert "c_second" in mongo_db.client[other].list_collection_names()
    finally:
        mongo_db.client.drop_database(other)
