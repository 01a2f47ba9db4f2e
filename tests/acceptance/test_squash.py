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
from pymongo import MongoClient
from pymongo.database import Database

from dataops.dev import MongoServer, PostgresServer
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
    assert name == ("030_squashed.py" if service == "shop" else "030.py")
    assert (made.json["replaces"], len(made.json["removed"])) == (IDS, 30 if service == "shop" else 29)
    assert project("lint").code == 0
    commit(project)

    project.env[variable] = all_of_it
    before = project("history", "--json").json["entries"]
    assert project("status", "--check").code == 0
    assert project("wait", "--timeout", "1s").code == 0
    assert project("plan", "--json").json["services"][0]["steps"] == []
    applied = project("apply", "--yes", "--json")
    assert (applied.code, applied.json["done"]) == (0, [])
    assert project("history", "--json").json["entries"] == before
    for wanted in (["--steps", "1"], ["--to", f"{service}/017"], ["--to", f"{service}/base"]):
        refused = project("rollback", "--yes", *wanted)
        assert refused.code == 7, refused.stderr
    assert "030_squashed.py took its place" in project("rollback", "--yes", "--to", "017").stderr or service == "bank"

    project.env[variable] = none
    assert project("status", "--check").code == 2
    applied = project("apply", "--yes", "--json")
    assert (applied.code, len(applied.json["done"])) == (0, 1)
    assert project("status", "--check").code == 0
    assert project("rollback", "--yes").code == 7

    project.env[variable] = some
    for command in (["apply", "--yes"], ["plan"], ["status", "--check"], ["rollback", "--yes", "--steps", "1"]):
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
