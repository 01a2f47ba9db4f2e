"""A folder of files becomes one chain, or a refusal that names them."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from dataops.errors import BrokenFile, ConfigError, DataopsError, ExitCode, HistoryError, UsageError
from dataops.files import chain
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import Migration, Service
from dataops.planning.target import find_target
from dataops.text import near
from tests.unit.sample import migration, text

PG, MONGO = POSTGRESQL, MONGODB


def folder(tmp_path: Path, content: Mapping[str, str | bytes], kind: Kind = PG) -> Path:
    """A service's folder with these files."""
    place = tmp_path / "versions" if kind is PG else tmp_path
    place.mkdir(exist_ok=True)
    for name, written in content.items():
        (place / name).write_bytes(written.encode() if isinstance(written, str) else written)
    return tmp_path


def write_chain(tmp_path: Path, parents: Mapping[str, str | None], kind: Kind = PG) -> Path:
    """One file for each id, named in the reverse of their order, so that names say nothing about it."""
    names = {id_: f"{id_}.py" if kind is MONGO else f"{99 - at}_{id_}.py" for at, id_ in enumerate(parents)}
    return folder(tmp_path, {names[id_]: text(id_, parent, kind) for id_, parent in parents.items()}, kind)


def refused(by: type[DataopsError], place: Path, kind: Kind = PG) -> DataopsError:
    with pytest.raises(by) as caught:
        chain.load("voucher", kind, place)
    assert type(caught.value) is by
    assert caught.value.service == "voucher"
    assert caught.value.exit_code is ExitCode.INVALID
    assert caught.value.hint
    return caught.value


# --- the chain


@pytest.mark.parametrize("kind", [POSTGRESQL, MONGODB])
def test_the_order_is_that_of_the_parents_and_not_of_the_names(tmp_path: Path, kind: Kind) -> None:
    """z -- m -- a"""
    loaded = chain.load("voucher", kind, write_chain(tmp_path, {"z": None, "m": "z", "a": "m"}, kind))
    assert [(m.id, m.parent, m.kind) for m in loaded] == [("z", None, kind), ("m", "z", kind), ("a", "m", kind)]


def test_ids_with_more_digits_are_not_later(tmp_path: Path) -> None:
    """20221010162913 -- 2022110622030802 -- 20230106142545: as numbers, the middle one would be the last."""
    ids = ["20221010162913-a", "2022110622030802-b", "20230106142545-c"]
    place = write_chain(tmp_path, dict(zip(ids, [None, *ids[:-1]], strict=True)), MONGO)
    assert [m.id for m in chain.load("api", MONGO, place)] == ids


def test_a_file_is_kept_as_it_is(tmp_path: Path) -> None:
    (one,) = chain.load("voucher", PG, folder(tmp_path, {"a_first.py": text("a", None, PG)}))
    assert one == Migration("a", (), tmp_path / "versions" / "a_first.py", PG, text("a", None, PG).encode())
    assert one.title == "Do a."


def test_a_folder_without_migrations_is_an_empty_chain(tmp_path: Path) -> None:
    place = folder(tmp_path, {"__init__.py": "raise 1", "README.md": "", ".hidden.py": "(", "__main__.py": "("})
    assert chain.load("voucher", PG, place) == ()


def test_loading_runs_no_code(tmp_path: Path) -> None:
    loaded = chain.load("voucher", PG, folder(tmp_path, {"a.py": text("a", None, PG) + "\nraise SystemExit\n"}))
    assert [m.id for m in loaded] == ["a"]


@pytest.mark.parametrize("kind", [POSTGRESQL, MONGODB])
def test_two_heads_are_refused_and_named(tmp_path: Path, kind: Kind) -> None:
    """a -- b
    └── c
    """
    error = refused(HistoryError, write_chain(tmp_path, {"a": None, "b": "a", "c": "a"}, kind), kind)
    names = "97_c.py and 98_b.py" if kind is PG else "b.py and c.py"
    assert error.message == f"two heads: {names} both come after a"
    third = refused(HistoryError, write_chain(tmp_path, {"d": "a"}, kind), kind)
    assert third.message.startswith("3 heads: ") and "all come after a" in third.message


@pytest.mark.parametrize("kind", [POSTGRESQL, MONGODB])
def test_two_first_migrations_are_refused_and_named(tmp_path: Path, kind: Kind) -> None:
    """a -- b    c"""
    error = refused(HistoryError, write_chain(tmp_path, {"a": None, "b": "a", "c": None}, kind), kind)
    assert error.message == f"two first migrations: {'97_c.py and 99_a.py' if kind is PG else 'a.py and c.py'}"


def test_a_diamond_has_an_order(tmp_path: Path) -> None:
    """pymongo-migrate itself runs d before its parent c here:

    a -- b -- d
    └─── c ───┘
    """
    place = write_chain(tmp_path, {"a": None, "b": "a", "c": "a"}, MONGO)
    (place / "d.py").write_text('dependencies = ["b", "c"]\n')
    assert [m.id for m in chain.load("api", MONGO, place)] == ["a", "c", "b", "d"]


def test_a_parent_may_be_needed_too(tmp_path: Path) -> None:
    """a -- b -- c, where c says again that it depends on b."""
    place = write_chain(tmp_path, {"a": None, "b": "a", "c": "b"}, PG)
    (path,) = (place / "versions").glob("*_c.py")
    path.write_text(path.read_text() + "\ndepends_on = 'b'\n")
    assert [m.id for m in chain.load("voucher", PG, place)] == ["a", "b", "c"]


@pytest.mark.parametrize("seed", range(20))
def test_branches_come_in_the_order_of_alembic(tmp_path: Path, seed: int) -> None:
    """Random histories with branches, merges and depends_on; each ends in one head."""
    chance, ids = random.Random(seed), [f"{at:02}" for at in range(12)]
    lines: dict[str, tuple[list[str], list[str]]] = {}
    heads: list[str] = []
    for id_ in ids[:-1]:
        parents = [chance.choice(list(lines))] if lines else []
        if len(heads) > 1 and chance.random() < 0.3:
            parents = chance.sample(heads, 2)
        needs = [chance.choice(list(lines))] if lines and chance.random() < 0.2 else []
        lines[id_] = (parents, [one for one in needs if one not in parents])
        heads = [one for one in heads if one not in parents] + [id_]
    lines[ids[-1]] = (heads, [])
    place = folder(tmp_path, {
        f"{id_}.py": f"revision = {id_!r}\ndown_revision = {tuple(parents) or None!r}\ndepends_on = {needs or None!r}\n"
        "def upgrade(): pass\ndef downgrade(): pass\n"
        for id_, (parents, needs) in lines.items()
    })  # fmt: skip
    ours = [m.id for m in chain.load("voucher", PG, place)]
    for id_, (parents, needs) in lines.items():
        assert all(ours.index(one) < ours.index(id_) for one in (*parents, *needs))
    script = ScriptDirectory(str(tmp_path))
    theirs = [step.revision.revision for step in script._upgrade_revs("head", "base")]
    if not any(needs for _, needs in lines.values()):
        assert ours == theirs


@pytest.mark.parametrize("parents", [{"a": "c", "b": "a", "c": "b"}, {"x": None, "a": "b", "b": "a"}, {"a": "a"}])
def test_a_cycle_is_refused_and_its_files_named(tmp_path: Path, parents: dict[str, str | None]) -> None:
    """c -- a -- b -- c    x    a -- b -- a    a -- a"""
    error = refused(HistoryError, write_chain(tmp_path, parents, MONGO), MONGO)
    members = ", ".join(f"{id_}.py" for id_ in parents if id_ != "x")
    assert error.message == f"a cycle: {members} never reach a first migration"


def test_a_missing_parent_is_refused_with_near_names(tmp_path: Path) -> None:
    """a1 -- (a2) -- a3"""
    error = refused(HistoryError, write_chain(tmp_path, {"20240101": None, "20240103": "20240102"}, MONGO), MONGO)
    assert error.message == "20240103.py: its parent 20240102 does not exist"
    assert error.hint == "did you mean 20240101?"


def test_an_id_that_two_files_have_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, {"x.py": text("a", None, PG), "y.py": text("a", None, PG)})
    assert refused(HistoryError, place).message == "two files have the id a: x.py and y.py"


# --- one file


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("a.py", "down_revision = None\n", "a.py: it does not say revision = ..."),
        ("a.py", 'revision = "a"\n', "a.py: it does not say down_revision = ... as a literal at the top level"),
        ("a.py", 'revision = "a"\ndown_revision = (\n"b"\ndef upgrade(:\n', "a.py:"),
        ("a.py", b"revision = (\n'\xff')\ndown_revision = None\n", "a.py:2: (unicode error)"),
        ("a.py", "", "a.py: it does not say down_revision"),
    ],
)
def test_a_file_that_is_no_alembic_migration_is_named(
    tmp_path: Path, name: str, written: str | bytes, message: str
) -> None:
    assert message in refused(BrokenFile, folder(tmp_path, {name: written})).message


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("a.py", "", "a.py: it does not say dependencies = ... as a literal at the top level"),
        ("a.py", 'name = "b"\ndependencies = []\n', "a.py: name is 'b', but pymongo-migrate wants the file's own name"),
        ("a.py", 'dependencies = "b"\n', "a.py: dependencies has to be a list of names"),
        ("a.py", "dependencies = None\n", "a.py: dependencies has to be a list of names"),
        ("a.py", "dependencies = [1]\n", "a.py: dependencies has to be a list of names"),
        ("a.py", "dependencies = [\n", "a.py:1: '[' was never closed"),
    ],
)
def test_a_file_that_is_no_mongodb_migration_is_named(tmp_path: Path, name: str, written: str, message: str) -> None:
    assert message in refused(BrokenFile, folder(tmp_path, {name: written}, MONGO), MONGO).message


@pytest.mark.parametrize("parent", ["5", "[5]", "{'b': 1}"])
def test_a_parent_of_a_strange_type_is_refused(tmp_path: Path, parent: str) -> None:
    place = folder(tmp_path, {"a.py": f'revision = "a"\ndown_revision = {parent}\n'})
    assert "a.py: down_revision has to name " in refused(BrokenFile, place).message


def test_a_mongodb_migration_needs_no_name_and_may_give_its_parents_as_a_tuple(tmp_path: Path) -> None:
    place = folder(tmp_path, {"a.py": "dependencies = ()\n", "b.py": "dependencies = ('a',)\n"}, MONGO)
    assert [(m.id, m.parent) for m in chain.load("api", MONGO, place)] == [("a", None), ("b", "a")]


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """A dangling link, so that root cannot read it either."""
    place = folder(tmp_path, {"a.py": text("a", None, PG)})
    os.symlink("nowhere", place / "versions" / "b.py")
    assert refused(BrokenFile, place).message == f"{place}/versions/b.py: No such file or directory"


def test_a_folder_that_ends_in_py_is_named(tmp_path: Path) -> None:
    place = folder(tmp_path, {})
    (place / "versions" / "a.py").mkdir()
    assert "a.py: Is a directory" in refused(BrokenFile, place).message


@pytest.mark.parametrize("kind", [POSTGRESQL, MONGODB])
def test_a_missing_folder_is_named(tmp_path: Path, kind: Kind) -> None:
    error = refused(ConfigError, tmp_path / "nowhere", kind)
    assert error.message == f"the folder {tmp_path}/nowhere{'/versions' if kind is PG else ''} does not exist"


# --- names


HISTORY = [migration(id_) for id_ in ("20240101", "20240102", "2024010203")]
VOUCHER = Service("voucher", POSTGRESQL, "", Path("pg"), tuple(HISTORY))


@pytest.mark.parametrize(("wanted", "found"), [("20240101", 0), ("20240102", 1), ("2024010203", 2), ("202401020", 2)])
def test_find_takes_an_id_or_its_beginning(wanted: str, found: int) -> None:
    assert find_target([VOUCHER], f"voucher/{wanted}") == (VOUCHER, HISTORY[found])


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        ("2024", "2024 could be any of 20240101, 20240102, 2024010203", "write more of the id"),
        ("20240103", "there is no migration 20240103", "20240102 or 20240101?"),
        ("x", "there is no migration x", "there are: 20240101, 20240102, 2024010203"),
    ],
)
def test_find_refuses_with_near_names(wanted: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_target([VOUCHER], f"voucher/{wanted}")
    assert caught.value.service == "voucher"
    assert caught.value.message == message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        ([], "there are none yet"),
        (["api", "api-keys"], "did you mean api or api-keys?"),
        (["aaa", "bbb", "ccc", "ddd", "eee", "fff"], "there are among others: bbb, ccc, ddd, eee, fff"),
    ],
)
def test_near_names(names: list[str], hint: str) -> None:
    assert near("api-", names) == hint
