"""One file in the place of many: what it makes, and what it means for a database with none, some or all of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dataops.dev import MongoServer, PostgresServer
from tests.acceptance.test_alembic_projects import AlembicProject
from tests.projects import Project
from tests.servers import fresh_mongo, fresh_postgres

IDS = [f"{number:03}" for number in range(1, 31)]


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(project: Project) -> None:
    """Everything in the project's folder but its own configuration of databases."""
    if not (project.folder / ".git").exists():
        git(project.folder, "init", "-q")
    git(project.folder, "add", "-A")
    git(project.folder, "commit", "-qm", "as it is")


def names(project: Project, service: str) -> list[str]:
    return sorted(path.name for path in project.place(service).glob("*.py"))


@pytest.fixture
def places(postgres: PostgresServer, mongo: MongoServer) -> Iterator[Callable[[str], str]]:
    """A new database for each call, of the kind that the service has."""
    with ExitStack() as scope:

        def place(service: str) -> str:
            if service == "shop":
                return scope.enter_context(fresh_postgres(postgres))
            return scope.enter_context(fresh_mongo(mongo))

        yield place


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_thirty_files_become_one(tmp_path: Path, places: Callable[[str], str], service: str) -> None:
    """001 -- ... -- 030, in three databases: at 030, at 017 and empty. Then 031."""
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project").add(service, places(service), timeouts={"lease": "2s"})
    (variable,) = project.env
    all_of_it, some, none = project.env[variable], places(service), places(service)
    for id_ in IDS:
        project.table(service, id_)
    commit(project)
    assert project("apply", "--yes").code == 0
    project.env[variable] = some
    assert project("apply", "--yes", "--to", "017").code == 0

    made = project("squash", service, "--to", "030", "--yes", "--json")
    assert made.code == 0, made.stderr
    (name,) = names(project, service)
    assert (name, made.json["replaces"], len(made.json["removed"])) == ("030.py", IDS, 29)
    commit(project)
    assert project("lint", "--base", "HEAD~1").code == 0

    project.env[variable] = all_of_it
    before = project("history", "--json").json["entries"]
    assert project("status", "--check").code == 0
    assert project("wait", "--timeout", "1s").code == 0
    assert project("plan", "--json").json["services"][0]["steps"] == []
    applied = project("apply", "--yes", "--json")
    assert (applied.code, applied.json["done"]) == (0, [])
    assert project("history", "--json").json["entries"] == before
    for wanted, why in (("017", f"{name} took its place"), ("base", "it stands for 30 migrations")):
        refused = project("rollback", "--yes", "--to", f"{service}/{wanted}")
        assert (refused.code, why in refused.stderr) == (7, True), refused.stderr

    project.env[variable] = none
    assert project("status", "--check").code == 2
    applied = project("apply", "--yes", "--json")
    assert (applied.code, len(applied.json["done"])) == (0, 1)
    assert project("rollback", "--yes").code == 7
    assert project("prove").code == 0

    project.env[variable] = some
    for command in (["apply", "--yes"], ["status", "--check"], ["rollback", "--yes", "--steps", "1"]):
        refused = project(*command)
        assert refused.code == 4
        assert "17 of the 30 migrations that 030 replaces, up to 017" in refused.stderr + refused.stdout
    way_out = re.search(r'git worktree add .*~"', project("apply", "--yes").stderr)
    assert way_out is not None
    subprocess.run(["bash", "-c", way_out[0]], cwd=project.folder, check=True, capture_output=True)
    there = project("apply", "--yes", "--to", f"{service}/030", cwd=project.folder.parent / "before-squash")
    assert there.code == 0, there.stderr
    assert project("status", "--check").code == 0

    project.file(service, "031", parent="030")
    for url in (all_of_it, some, none):
        project.env[variable] = url
        applied = project("apply", "--yes", "--json")
        assert (applied.code, len(applied.json["done"])) == (0, 1)
        assert project("rollback", "--yes", "--steps", "2").code == 7
        assert project("rollback", "--yes", "--steps", "1").code == 0


def test_what_cannot_be_squashed_is_refused_and_nothing_is_changed(project: Project, pg_url: str) -> None:
    """001 -- 002 -- 003, which makes what is not written."""
    project.add("shop", pg_url)
    project.table("shop", "001")
    project.file("shop", "002", 'op.execute("INSERT INTO t_001 VALUES (1), (2)")')
    project.file("shop", "003", 'op.execute("CREATE FOREIGN DATA WRAPPER news")')
    before = {path.name: path.read_bytes() for path in project.place("shop").iterdir()}

    refused = project("squash", "shop", "--to", "002", "--yes")
    assert (refused.code, "git does not have 001.py, 002.py" in refused.stderr) == (7, True)
    shown = project("squash", "shop", "--to", "002", "--out", "look.py", "--rows", "1")
    assert shown.code == 0, shown.stderr
    assert "look at: not in the new file: 2 rows of t_001" in shown.stderr
    assert "- t_001: 2" in (project.folder / "look.py").read_text()
    commit(project)
    assert (asked := project("squash", "shop", "--to", "002")).code == 64
    assert "--yes" in asked.stderr
    assert project("squash", "shop", "--to", "001", "--yes").code == 64
    refused = project("squash", "shop", "--to", "003", "--yes")
    assert (refused.code, "foreign-data wrapper news" in refused.stderr) == (8, True)
    assert {path.name: path.read_bytes() for path in project.place("shop").iterdir()} == before

    with project.path("shop", "001").open("a") as file:
        file.write("# a note\n")
    assert "git does not have 001.py" in project("squash", "shop", "--to", "002", "--yes").stderr
    (project.folder / "names.txt").write_text("a")
    pinning = project.path("shop", "001").read_text() + 'depends = ["names.txt"]\n'
    project.path("shop", "001").write_text(pinning)
    commit(project)
    (project.folder / "names.txt").write_text("b")  # the checksum would be that of a file that nobody else has
    refused = project("squash", "shop", "--to", "002", "--yes")
    assert (refused.code, "git does not have names.txt" in refused.stderr) == (7, True)
    git(project.folder, "checkout", "-q", ".")
    assert project("squash", "shop", "--to", "002", "--yes").code == 0
    git(project.folder, "checkout", "-q", "HEAD", "shop/versions/001.py")
    both = project("status")
    assert (both.code, "whose file is still here: 001.py" in both.stderr) == (4, True)


def test_a_history_with_merges_is_squashed_and_a_bare_alembic_agrees(
    project: Project, pg_url: str, pg: psycopg.Connection[Any], postgres: PostgresServer
) -> None:
    """a1 -- b1 -- m1 -- c1, and b2 beside b1: up to m1, in a database at c1 and in an empty one."""
    made = AlembicProject(project, pg_url)
    made.file("a1")
    made.file("b1", "a1", labels="left")
    made.file("b2", "a1")
    made.file("m1", "b1", "b2")
    made.file("c1", "m1", needs="left")
    made.alembic("upgrade", "b2")
    commit(project)
    assert project("squash", "shop", "--to", "b1", "--yes").code == 64
    squashed = project("squash", "shop", "--to", "m1", "--yes")
    assert squashed.code == 0, squashed.stderr
    refused = project("apply", "--yes")  # in the middle of the fork
    assert (refused.code, "that m1 replaces" in refused.stderr) == (4, True)
    pg.execute("UPDATE alembic_version SET version_num = 'm1'")
    pg.execute("CREATE TABLE t_b1 (id int)")
    pg.execute("CREATE TABLE t_m1 (id int)")
    applied = project("apply", "--yes")
    assert applied.code == 0, applied.stderr
    made.is_at_head()
    with fresh_postgres(postgres) as url:
        project.env = {"SHOP_URL": url}
        made._replace(made.ini, pg_url.split("/")[-1], url.split("/")[-1])
        made.alembic("upgrade", "head")
        assert project("status", "--check").code == 0


def test_a_step_of_an_old_file_that_is_half_done_comes_first(two: Project) -> None:
    """bank: 001*, 002* died half-way; it is squashed with 001 since."""
    two.file("bank", "003", "db.half.insert_one({})\nhere('x', db)", "db.half.drop()")
    commit(two)
    with two.running("apply", "--yes", "--service", "bank") as process:
        two.reached("x")
        process.kill()
        process.wait()
    two.go("x")
    assert two("squash", "bank", "--to", "003", "--yes").code == 0
    for command in (["apply", "--yes"], ["rollback", "--yes", "--steps", "1"], ["status", "--check"]):
        refused = two(*command, "--service", "bank")
        assert (refused.code, "its file is missing" in refused.stderr + refused.stdout) == (6, True), refused
    assert two("resolve", "bank/003", "--applied", "--reason", "r").code == 64


def test_documents_that_a_later_validator_would_refuse_are_in_the_file(project: Project, mongo_url: str) -> None:
    """001 inserts a document, and 002 sets a validator that it does not meet, as a server allows."""
    project.add("bank", mongo_url)
    project.file("bank", "001", 'db.t.insert_one({"_id": 1, "n": 1})\ndb.u.insert_one({"_id": 1, "m": 1})')
    strict = '"validator": {"$jsonSchema": {"required": ["m"]}}'
    project.file("bank", "002", f'db.command({{"collMod": "t", {strict}}})\ndb.command({{"collMod": "u", {strict}}})')
    commit(project)

    squashed = project("squash", "bank", "--to", "002", "--yes")

    assert squashed.code == 0, squashed.stderr
    # Going past a validator is a right of its own, which most users do not have.
    assert project.path("bank", "002").read_text().count("bypass_document_validation") == 1
    assert project("apply", "--yes").code == 0


def test_what_the_old_files_expect_of_the_application_is_lent_to_them(project: Project, mongo_url: str) -> None:
    project.add("bank", mongo_url)
    project.needs_an_application("bank")
    commit(project)
    squashed = project("squash", "bank", "--to", "003", "--yes")
    assert squashed.code == 0, squashed.stderr
    assert project("apply", "--yes").code == 0
    assert project("drift").code == 0


def test_the_schema_of_the_record_may_have_tables_of_the_project(project: Project, pg_url: str) -> None:
    made = AlembicProject(project, pg_url)
    made.configure("version_table='ver', version_table_schema='app'")
    for path in (made.file("a1"), made.file("b1", "a1")):
        path.write_text(path.read_text().replace("TABLE t_", "TABLE app.t_"))
    commit(project)
    squashed = project("squash", "shop", "--to", "b1", "--yes")
    assert squashed.code == 0, squashed.stderr
    assert project("apply", "--yes").code == 0
    made.is_at_head()
