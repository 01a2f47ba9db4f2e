"""The fixture with which an application's tests get migrated databases, used by a project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import clean_environment

TESTS = """
import os
import psycopg
import pytest
from pymongo import MongoClient


@pytest.mark.parametrize("turn", range(3))
def test_a_clean_copy(dataops_databases, turn):
    assert os.environ["SHOP_URL"] == dataops_databases["shop"]
    assert os.environ["BANK_URL_CON"] == dataops_databases["bank"]
    with psycopg.connect(dataops_databases["shop"], autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (1,)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("003",)
        connection.execute("INSERT INTO things VALUES (2), (3)")
    with MongoClient(dataops_databases["bank"]) as client:
        db = client.get_default_database()
        assert [one["_id"] for one in db.accounts.find()] == ["first"]
        assert [one["_id"] for one in db.rich.find()] == ["first"]
        assert list(db.accounts.index_information()) == ["_id_", "mail"]
        assert db.accounts.index_information()["mail"]["unique"]
        db.accounts.insert_one({"_id": turn, "mail": "m"})
        with pytest.raises(Exception, match="Document failed validation"):
            db.accounts.insert_one({"_id": turn + 10, "mail": 1})
"""


def run(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in clean_environment().items() if name not in project.env}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", project.folder, *options],
        cwd=project.folder, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def application(two: Project) -> Project:
    two.file("shop", "003", "op.execute('CREATE TABLE things (id int)'); op.execute('INSERT INTO things VALUES (1)')")
    two.file(
        "bank",
        "003",
        "db.create_collection('accounts', validator={'$jsonSchema': {'properties': {'mail': {'bsonType': 'string'}}}})"
        "; db.accounts.create_index('mail', name='mail', unique=True)"
        "; db.accounts.insert_one({'_id': 'first', 'mail': 'a'})"
        "; db.create_collection('rich', viewOn='accounts', pipeline=[])",
    )
    (two.folder / "test_application.py").write_text(TESTS)
    return two


def test_each_test_gets_a_clean_copy_on_servers_that_are_named(
    two: Project, postgres: PostgresServer, mongo: MongoServer
) -> None:
    servers = [postgres.url("postgres"), mongo.url("admin")]
    done = run(application(two), *(f"--dataops-scratch={url}" for url in servers))
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_servers_are_started_where_none_is_named_and_a_broken_history_is_told(two: Project) -> None:
    assert "3 passed" in run(application(two)).stdout
    two.file("shop", "004", "op.execute('SELECT nothing FROM nowhere')")
    done = run(two)
    assert done.returncode == 1
    assert "our history cannot be built" in done.stdout
    assert 'relation "nowhere" does not exist' in done.stdout


def test_a_history_that_expects_a_collection_of_its_application_is_applied(project: Project, mongo_url: str) -> None:
    project.add("bank", mongo_url).needs_an_application("bank")
    (project.folder / "test_application.py").write_text("def test_it(dataops_databases):\n    pass\n")
    done = run(project)
    assert "1 passed" in done.stdout, done.stdout


def test_a_project_without_the_fixture_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_it():\n    assert not {'pymongo', 'psycopg', 'dataops.scratch'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout
