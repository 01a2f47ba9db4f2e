"""Two branches added a migration after the same one: `dataops rebase` puts one after the other."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psycopg
from pymongo.database import Database

from dataops.files import ids
from tests.acceptance.test_bad_input import refused
from tests.projects import Project


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def commit(project: Project, message: str) -> None:
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-m", message)


def branch(project: Project) -> None:
    git(project.folder, "init")
    commit(project, "the first")
    git(project.folder, "checkout", "-b", "ours")


def meanwhile(project: Project, service: str, id_: str, *, parent: str) -> None:
    """Somebody else's migration comes into main, and main into our branch."""
    git(project.folder, "checkout", "main")
    project.file(service, id_, parent=parent)
    commit(project, id_)
    git(project.folder, "checkout", "ours")
    git(project.folder, "merge", "main")


def test_the_branch_comes_after_the_base_by_one_line_unless_it_is_applied(
    project: Project, pg_url: str, pg: psycopg.Connection[Any]
) -> None:
    """
    main: a -- d
          └── b -- c: ours, rebased: a -- d -- b -- c
    """
    project.add("shop", pg_url)
    project.table("shop", "a")
    branch(project)
    project.table("shop", "b").write_bytes(
        project.path("shop", "b").read_bytes().replace(b"down_revision = 'a'", b"down_revision: str | None = 'a'  # x")
    )
    project.table("shop", "c")
    commit(project, "ours")
    nothing = project("rebase", "shop")
    assert (nothing.code, nothing.stdout) == (0, "") and "1 head" in nothing.stderr
    assert project("apply", "--yes").code == 0

    git(project.folder, "checkout", "main")
    project.file("shop", "d", parent="a")
    commit(project, "d")
    git(project.folder, "checkout", "ours")
    assert "git merge main" in project("rebase", "shop").stderr
    assert "dataops rebase shop --base main" in project("lint", "--base", "main", "--no-squawk").stdout
    git(project.folder, "merge", "main")

    assert "dataops rebase shop" in project("plan").stderr
    assert "dataops rebase shop" in project("lint", "--no-squawk").stdout
    answer = project("rebase", "shop")
    refused(answer, 7, "b and 1 migration on top of it applied", "dataops rollback --service shop --to a")
    assert git(project.folder, "status", "--porcelain") == ""

    git(project.folder, "checkout", "--detach", "HEAD^1")  # as the hint says
    assert project("rollback", "--service", "shop", "--to", "a", "--yes").code == 0
    git(project.folder, "checkout", "ours")
    answer = project("rebase", "shop", "--json")
    assert answer.json["files"] == [
        {"file": str(project.path("shop", "b")), "was": str(project.path("shop", "b")), "id": "b", "parents": ["d"]}
    ]
    assert answer.json["asked"] is True
    assert git(project.folder, "diff", "--numstat").split() == ["1", "1", "shop/versions/b.py"]
    assert b"down_revision: str | None = 'd'  # x" in project.path("shop", "b").read_bytes()
    assert project("apply", "--yes").code == 0
    assert pg.execute("SELECT version_num FROM alembic_version").fetchall() == [("c",)]


def test_numbers_that_collide_get_new_ones_and_all_that_names_the_file_follows(
    project: Project, mongo_url: str, mongo_db: Database[dict[str, Any]]
) -> None:
    """
    main: 0001_a -- 0002_x -- 0003_y
          └── 0002_b -- 0003_c: ours, which become 0004_b and 0005_c
    """
    project.add("bank", mongo_url)
    project.table("bank", "0001_a")
    branch(project)
    second = project.file("bank", "0002_b", "db.b.insert_one({'_id': (FOLDER / '0002_b.json').read_text()})")
    head = "import pathlib\nFOLDER = pathlib.Path(__file__).parent\nname = '0002_b'\n"
    second.write_text(second.read_text().replace("import time", head))
    second.with_suffix(".json").write_text("{}")
    project.file("bank", "0003_c")
    commit(project, "ours")
    meanwhile(project, "bank", "0002_x", parent="0001_a")
    meanwhile(project, "bank", "0003_y", parent="0002_x")

    del project.env["BANK_URL_CON"]
    answer = project("rebase", "bank", "--base", "main")
    assert answer.code == 0
    assert "0002_b comes after 0003_y now, and is called 0004_b" in answer.stderr
    assert "No database was asked" in answer.stderr and "BANK_URL_CON" in answer.stderr
    assert sorted(path.name for path in project.place("bank").glob("*_*")) == [
        "0001_a.py", "0002_x.py", "0003_y.py", "0004_b.json", "0004_b.py", "0005_c.py",
    ]  # fmt: skip
    project.env["BANK_URL_CON"] = mongo_url
    assert project("apply", "--yes").code == 0
    assert mongo_db.b.find_one() == {"_id": "{}"}
    assert project.run("pymongo-migrate", "show", "-u", mongo_url, "-m", "bank").code == 0


def test_a_time_that_is_older_gets_a_newer_one(project: Project, pg_url: str) -> None:
    """Alembic's own file, with its docstring, in latin-1 and with a mark; a database that does not answer is told."""
    project.add("shop", pg_url)
    project.file("shop", "20240101000000")
    branch(project)
    text = (
        '# coding: latin-1\r\n"""Gr\xfc\xdfe\r\n\r\nRevision ID: 20240102000000\r\nRevises: 20240101000000\r\n"""\r\n'
        'revision = "20240102000000"\r\ndown_revision = ("20240101000000",)\r\n\r\n\r\n'
        'def upgrade(): pass\r\n\r\n\r\ndef downgrade(): pass\r\n'
    )  # fmt: skip
    (project.place("shop") / "20240102000000_greet.py").write_bytes(text.encode("latin-1"))
    commit(project, "ours")
    meanwhile(project, "shop", "20240103000000", parent="20240101000000")

    project.env["SHOP_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    answer = project("rebase", "shop", "--json")
    assert answer.code == 0 and answer.json["asked"] is False
    (moved,) = answer.json["files"]
    assert ids.time_of(moved["id"]) > "20240103000000"
    assert Path(moved["file"]).name == f"{moved['id']}_greet.py"
    expected = text.replace("20240102000000", moved["id"]).replace("20240101000000", "20240103000000")
    assert Path(moved["file"]).read_bytes() == expected.encode("latin-1")
    assert not Path(moved["was"]).exists()
    project.env["SHOP_URL"] = pg_url
    assert project("plan").code == 0


def test_what_git_cannot_decide_is_refused_and_nothing_is_written(project: Project, pg_url: str) -> None:
    project.add("shop", pg_url)
    for id_, parent in (("a", None), ("b", "a"), ("c", "a")):
        project.file("shop", id_, parent=parent)
    refused(project("rebase", "shop"), 64, "no git repository", "name a parent by hand")
    git(project.folder, "init", "-b", "trunk")
    commit(project, "all at once")
    refused(project("rebase", "shop"), 64, "origin/main, origin/master, main, master", "--base BRANCH")
    refused(project("rebase", "shop", "--base", "nowhere"), 64, "git knows no revision nowhere")
    refused(project("rebase", "shop", "--base", "trunk"), 4, "b.py and c.py are on trunk both")
    git(project.folder, "rm", "-q", "--cached", "shop/versions/b.py", "shop/versions/c.py")
    git(project.folder, "commit", "-m", "neither")
    refused(project("rebase", "shop", "--base", "trunk"), 4, "none of b.py and c.py is on trunk")
    refused(project("rebase", "shopp", "--base", "trunk"), 64, "no service shopp")
    assert git(project.folder, "diff", "--stat") == ""
