"""The history, file by file and against a base: each rule, broken and kept, and one bad file beside good ones."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymongo_migrate.generate import generate_migration_module_in_dir  # type: ignore[import-untyped]

from dataops import scaffold
from dataops.errors import ConfigError, ExitCode, UsageError
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.lint import Report
from dataops.model import Service
from tests.lint.samples import linted, mongo_file, postgres_file, project, told

PG, MONGO = POSTGRESQL, MONGODB


def pg(folder: Path, files: Mapping[str, str | bytes], base: str | None = None) -> Report:
    return linted([project(folder, files, PG)], base=base, ask_squawk=False)


def one(id_: str, parent: str | None = None, up: str = "pass", down: str = "pass", more: str = "") -> str:
    return postgres_file(up, down, id_=id_, parent=parent, more=more)


A, B, C = "20240101000000", "20240102000000", "20240103000000"


def chain(**changes: str) -> dict[str, str | bytes]:
    """a -- b -- c"""
    return {"a.py": one(A), "b.py": one(B, A), "c.py": one(C, B), **{f"{n}.py": text for n, text in changes.items()}}


def where(report: Report) -> list[str]:
    return [f"{finding.path.name}:{finding.line} {finding.rule.code}" for finding in report.findings]


def test_a_chain_is_fine(tmp_path: Path) -> None:
    report = pg(tmp_path, chain())
    assert where(report) == []
    assert [path.name for _, path in report.files] == ["a.py", "b.py", "c.py"]


@pytest.mark.parametrize("parent", ["0004", "6cfbb0b3f329", "step_4", "c0002"])
def test_only_two_times_can_be_compared(tmp_path: Path, parent: str) -> None:
    assert where(pg(tmp_path, {"a.py": one(parent), "b.py": one(A, parent)})) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"x.py": "def ("}, ["x.py:1 H001"]),
        ({"x.py": "a = 1\nif a\n    b"}, ["x.py:2 H001"]),
        ({"x.py": b"a = '\xff'"}, ["x.py:1 H001"]),
        ({"x.py": b"a = '\0'"}, ["x.py:1 H001"]),
        ({"x.py": "a = 1\n"}, ["x.py:1 H002"]),
        ({"x.py": "a = 1\nrevision = make()\ndown_revision = None\n"}, ["x.py:3 H002"]),
        ({"x.py": "a = 1\nrevision = 'm'\ndown_revision = make()\n"}, ["x.py:3 H002"]),
        ({"x.py": one(B, A)}, ["x.py:3 H003"]),
        ({"x.py": "a = 1\nrevision = 'm'\ndown_revision = {'a': 1}\n"}, ["x.py:3 H002"]),
        ({"x.py": one("20240104000000", "20240103000001")}, ["x.py:4 H005"]),
        ({"x.py": one("20240104000000", B)}, ["x.py:4 H006"]),
        ({"x.py": one("20240104000000")}, ["x.py:4 H006"]),
        ({"a.py": one(A, C)}, ["a.py:4 H008", "c.py:4 H007"]),
        ({"x.py": one("20240102000001", C)}, ["x.py:4 H008"]),
        ({"x.py": one("20240104000000", C).partition("\n")[2]}, ["x.py:1 H009"]),
        ({"x.py": one("20240104000000", C).replace('"""', "#")}, ["x.py:2 H009"]),
        ({"c.py": one(C, B).partition("def downgrade")[0].replace("reversible = True\n", "")}, ["c.py:5 H010"]),
        ({"c.py": one(C, B, "op.execute('SELECT 1')").replace("reversible = True\n", "")}, ["c.py:7 H010"]),
        ({"c.py": one(C, B, down="raise RuntimeError")}, ["c.py:5 H010"]),
        ({"c.py": one(C, B).replace("reversible = True", "reversible = False")}, ["c.py:5 H010"]),
        ({"c.py": one(C, B).replace("reversible = True", "reversible = False\nirreversible_because = ' '")},
         ["c.py:5 H010"]),
        ({"c.py": one(C, B).replace("reversible = True", "")}, ["c.py:6 H015"]),
        ({"c.py": one(C, B, "op.execute('SELECT 1')", "op.execute('')")}, ["c.py:8 H015"]),
        ({"x.py": one("a" * 33, C)}, ["x.py:3 H016"]),
        ({"x.py": one("add-a@b+c:d", C)}, ["x.py:3 H017"]),
        ({"c.py": one(C, B, more="depends = ['nowhere.sql']\n")}, ["c.py:10 H018"]),
        ({"c.py": one(C, B, more="import app.models\n")}, ["c.py:10 H011"]),
        ({"c.py": one(C, B, "from ..app import models")}, ["c.py:7 H011"]),
        ({"c.py": one(C, B, down="import importlib; importlib.import_module('app.models')")}, ["c.py:9 H011"]),
    ],
)  # fmt: skip
def test_each_rule_is_found_and_the_good_files_are_not_blamed(
    tmp_path: Path, files: dict[str, str | bytes], expected: list[str]
) -> None:
    of_running = ("P00", "F00")  # an import that fails
    found = [one for one in where(pg(tmp_path, chain() | files)) if not any(code in one for code in of_running)]
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        one("20240104000000", C).replace("reversible = True", "reversible = False\nirreversible_because = 'gone'"),
        one("20240103000000ff", C),
        one("ae1027a6acf", C),
        one("a" * 32, C),
        one("20240104000000", C, more="import json, decimal\nfrom sqlalchemy import text\nimport dataops.progress"),
        one("20240104000000", C, more="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import app.models"),
        one("20240104000000", C, "op.execute('SELECT 1')", "op.execute('SELECT 1')").replace("reversible = True\n", ""),
    ],
)
def test_what_is_fine_is_left_in_peace(tmp_path: Path, text: str) -> None:
    assert where(pg(tmp_path, chain() | {"x.py": text})) == []


@pytest.mark.parametrize("kind", [PG, MONGO])
def test_a_new_file_is_a_template_until_somebody_writes_it(tmp_path: Path, kind: Kind) -> None:
    (path,) = scaffold.new(project(tmp_path, {}, kind), "Add last_used_by", datetime(2024, 1, 1, tzinfo=UTC)).files
    found = linted([project(tmp_path, {}, kind)], ask_squawk=False)
    assert "H015" in {finding.rule.code for finding in found.findings}
    path.write_text(
        path.read_text().replace("pass", "db.command('ping')").replace('execute("")', 'execute("SELECT 1")')
    )
    found = linted([project(tmp_path, {}, kind)], ask_squawk=False)
    assert "H015" not in {finding.rule.code for finding in found.findings}


PARENTS = {"a": None, "b": "a", "c": "a", "d": "b"}


def test_a_file_of_alembic_or_pymongo_migrate_is_a_template_too_and_a_merge_is_none(tmp_path: Path) -> None:
    """
    a -- b -- d    d merges, and does nothing
     └-- c ---┘
    """
    empty = {id_: one(id_, parent).replace("reversible = True\n", "") for id_, parent in PARENTS.items()}
    merge = empty["d"].replace("down_revision = 'b'", "down_revision = ('b', 'c')")
    files: dict[str, str | bytes] = {f"{id_}.py": text for id_, text in (empty | {"d": merge}).items()}
    assert [each for each in where(pg(tmp_path, files)) if "H015" in each] == [f"{id_}.py:5 H015" for id_ in "abc"]
    generate_migration_module_in_dir(tmp_path, "20240101000000_first")
    found = linted([Service("docs", MONGO, "", tmp_path)])
    assert "H015" in {finding.rule.code for finding in found.findings}


def test_ids_of_different_lengths_are_compared_as_texts(tmp_path: Path) -> None:
    """20221010162913 -- 2022110622030802 -- 20221216205608: as numbers, the last would be the second."""
    ids = ["20221010162913-a", "2022110622030802-b", "20221216205608-c"]
    files = {
        f"{id_}.py": mongo_file("pass", id_=id_).replace(
            "dependencies = []", f"dependencies = {ids[max(at - 1, 0) : at]}"
        )
        for at, id_ in enumerate(ids)
    }
    assert where(linted([project(tmp_path, files)])) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (mongo_file("pass", id_="20240102000000-other"), "H002:6"),
        (mongo_file("pass", id_="20240102000000-b").replace("[]", "'20240101000000-a'"), "H002:6"),
        (mongo_file("pass", id_="20240102000000-b").replace("[]", "['20240101000000-a', 'x']"), "H005:6"),
        (mongo_file("pass", id_="20240102000000-b").replace("[]", "['20240101000000-x']"), "H005:6"),
        (mongo_file("pass", id_="20240102000000-b"), "H006:6"),
    ],
)
def test_the_same_for_mongodb(tmp_path: Path, text: str, expected: str) -> None:
    files = {"20240101000000-a.py": mongo_file("pass"), "20240102000000-b.py": text}
    assert told(linted([project(tmp_path, files)])) == [expected]


def test_one_broken_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """a -- (b: broken) -- c: c's parent is not missing, it is broken."""
    files = {"20240101000000-a.py": mongo_file("db.users.drop()"), "20240102000000-b.py": "def (",
             "20240103000000-c.py": mongo_file("db.a.update_many({}, {'$inc': {'n': 1}})", id_="20240103000000-c")
             .replace("[]", "['20240102000000-b']")}  # fmt: skip
    report = linted([project(tmp_path, files)])
    assert [one[15:] for one in where(report)] == ["a.py:10 M005", "b.py:1 H001", "c.py:10 M004"]
    assert where(pg(tmp_path / "pg", chain(b=one(B, A) + "def ("))) == ["b.py:11 H001"]


def test_a_file_that_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    project(tmp_path, chain(), PG)
    (tmp_path / "versions" / "d.py").symlink_to("nowhere")
    (tmp_path / "versions" / "e.py").mkdir()
    assert where(pg(tmp_path, {})) == ["d.py:1 H001", "e.py:1 H001"]


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    service = project(tmp_path / "here", {})
    (tmp_path / "here").rmdir()
    with pytest.raises(ConfigError, match="does not exist"):
        linted([service])


# --- against a base


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """main: a -- b -- c; we are on a branch of it."""
    folder = tmp_path / "checkout"
    project(folder / "service", chain(), PG)
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "three migrations")
    git(folder, "checkout", "-b", "ours")
    return folder


def against(checkout: Path, base: str = "main") -> list[str]:
    return where(pg(checkout / "service", {}, base))


def rewrite(checkout: Path, name: str, text: str) -> None:
    (checkout / "service" / "versions" / name).write_text(text)


def test_an_edited_migration_is_found_where_it_was_edited(checkout: Path) -> None:
    rewrite(checkout, "b.py", one(B, A, "x = 1\nop.execute('SELECT 1')\n", more="# a remark"))
    assert against(checkout) == ["b.py:7 H012"]
    git(checkout, "commit", "-am", "edited")
    assert against(checkout) == ["b.py:7 H012"]


def test_comments_docstrings_and_formatting_are_no_edit(checkout: Path) -> None:
    text = one(B, A).replace(f"Do {B}.", "Do something else.").replace("pass", "pass  # why\n")
    rewrite(checkout, "b.py", text)
    assert against(checkout) == []


def test_another_parent_is_an_edit(checkout: Path) -> None:
    """a -- x -- b -- c: somebody squeezed x in."""
    rewrite(checkout, "x.py", one("20240101120000", A))
    rewrite(checkout, "b.py", one(B, "20240101120000"))
    assert against(checkout) == ["b.py:4 H012"]


def test_a_removed_and_a_renamed_migration_are_found(checkout: Path) -> None:
    place = checkout / "service" / "versions"
    (place / "c.py").unlink()
    (place / "b.py").rename(place / "b_with_another_name.py")
    assert against(checkout) == ["c.py:1 H013"]


def test_an_edit_that_broke_the_file_is_told_once(checkout: Path) -> None:
    rewrite(checkout, "c.py", "def (")
    assert against(checkout) == ["c.py:1 H001"]


def test_new_migrations_are_no_edit_of_the_base(checkout: Path) -> None:
    rewrite(checkout, "d.py", one("20240104000000", C))
    assert against(checkout) == []


def test_a_base_that_has_gone_on_is_no_removal_but_two_heads(checkout: Path) -> None:
    """
    main: a -- b -- c -- e
                    └── d: ours
    """
    git(checkout, "checkout", "main")
    rewrite(checkout, "e.py", one("20240105000000", C))
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", "meanwhile")
    git(checkout, "checkout", "ours")
    assert against(checkout) == []
    rewrite(checkout, "d.py", one("20240104000000", C))
    assert against(checkout) == ["d.py:4 H014"]


def test_an_edit_may_be_ignored_with_a_reason(checkout: Path) -> None:
    text = one(B, A, "x = 1").replace("x = 1", "x = 1  # dataops: ignore[H012] it never ran anywhere: it failed")
    rewrite(checkout, "b.py", text)
    report = pg(checkout / "service", {}, "main")
    assert where(report) == []
    assert [ignore.reason for _, ignore in report.ignored] == ["it never ran anywhere: it failed"]


def test_what_is_wrong_with_old_files_is_left_out_and_counted(checkout: Path) -> None:
    """b has an import, on main and here; d is ours and has one too."""
    git(checkout, "checkout", "main")
    rewrite(checkout, "b.py", one(B, A, more="if False:\n    import app.models"))
    git(checkout, "commit", "-am", "an import")
    git(checkout, "checkout", "-B", "ours")
    rewrite(checkout, "d.py", one("20240104000000", C, more="if False:\n    import app.models"))
    service = project(checkout / "service", {}, PG)
    assert where(linted([service], ask_squawk=False)) == ["b.py:11 H011", "d.py:11 H011"]
    report = linted([service], base="main", ask_squawk=False)
    assert (where(report), report.left_out) == (["d.py:11 H011"], 1)
    report = linted([service], base="main", old_files_too=True, ask_squawk=False)
    assert (where(report), report.left_out) == (["b.py:11 H011", "d.py:11 H011"], 0)
    rewrite(checkout, "b.py", one(B, A, more="if False:\n    import app.models  # a remark"))
    assert against(checkout) == ["d.py:11 H011"]
    rewrite(checkout, "b.py", one(B, A, "x = 1", more="if False:\n    import app.models"))
    assert against(checkout) == ["b.py:7 H012", "b.py:11 H011", "d.py:11 H011"]


def test_what_this_branch_breaks_in_old_files_is_told(checkout: Path) -> None:
    """0.py, of ours, has the same id and parent as a.py, and the module that an old file imports is gone."""
    git(checkout, "checkout", "main")
    rewrite(checkout, "c.py", one(C, B, more="import module_that_is_gone"))
    git(checkout, "commit", "-am", "an import")
    git(checkout, "checkout", "-B", "ours")
    rewrite(checkout, "0.py", one(A))
    assert against(checkout) == ["a.py:3 H003", "c.py:10 P001"]


def test_a_folder_that_the_base_does_not_have_has_nothing_to_compare(checkout: Path) -> None:
    report = pg(checkout / "another", chain(), "main")
    assert where(report) == []


@pytest.mark.parametrize("base", ["nobody", "-x", "", "main:service", "HEAD~7"])
def test_a_base_that_git_does_not_know_is_a_usage_error(checkout: Path, base: str) -> None:
    with pytest.raises(UsageError) as caught:
        pg(checkout / "service", {}, base or " ")
    assert caught.value.exit_code is ExitCode.USAGE
    assert "git knows no revision" in caught.value.message
    assert caught.value.hint


def test_a_shallow_checkout_says_how_to_deepen_it(checkout: Path, tmp_path: Path) -> None:
    """
    main: c1 -- c2          what is cloned: c3, and c2 as main
            └── c3: ours
    """
    git(checkout, "commit", "--allow-empty", "-m", "ours")
    git(checkout, "checkout", "main")
    git(checkout, "commit", "--allow-empty", "-m", "meanwhile")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--depth", "1", "--branch", "ours", f"file://{checkout}", str(shallow))
    with pytest.raises(UsageError, match="in this shallow checkout") as caught:
        pg(shallow / "service", {}, "origin/main")
    assert "fetch-depth: 0" in caught.value.hint
    git(shallow, "fetch", "--depth", "1", "origin", "main:refs/remotes/origin/main")
    with pytest.raises(UsageError, match="this checkout is shallow") as caught:
        pg(shallow / "service", {}, "origin/main")
    assert "fetch-depth: 0" in caught.value.hint
    git(shallow, "fetch", "--unshallow", "origin")
    assert against(shallow, "origin/main") == []


def test_outside_of_git_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="is in no git repository"):
        pg(tmp_path, chain(), "main")


def test_without_git_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not installed"):
        pg(tmp_path, chain(), "main")
