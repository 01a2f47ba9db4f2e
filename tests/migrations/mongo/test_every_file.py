"""What every MongoDB migration promises, for each file: there and back, cut anywhere, twice, on nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from pymongo.database import Database
from pymongo.errors import OperationFailure

from tests.migrations.mongo.conftest import Befores
from tests.migrations.mongo.history import Document, File, Snapshot, assert_same, data, files, like, lost, state
from tests.migrations.mongo.wire import Wire, is_cut
from tests.seed import HISTORY

every_file = pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in files()])


def test_the_files_are_one_chain_in_the_order_of_the_facts() -> None:
    """The order is that of `dependencies`; nothing is missing, nothing is there twice."""
    after = {file.module.dependencies[0] if file.module.dependencies else None: file for file in files()}
    chain: list[str] = []
    while (last := after.get(chain[-1] if chain else None)) is not None:
        chain.append(last.name)
    assert tuple(chain) == HISTORY


@every_file
def test_a_file_says_what_it_is(file: File) -> None:
    """Name, dependencies and repeatable as literals; a title; and how it differs from the original."""
    tree = ast.parse(file.source)
    literals = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in {"name", "dependencies", "repeatable", "reversible"}
    }
    previous = [HISTORY[file.number - 2]] if file.number > 1 else []
    assert literals == {"name": file.name, "dependencies": previous, "repeatable": True}
    text = ast.get_docstring(tree) or ""
    assert text.splitlines()[0].endswith(".")
    assert "\n\nUndone " in text
    assert "\n\nStashed: " in text
    assert "\n\nDiffers from the original: " in text


@every_file
def test_there_and_back(file: File, befores: Befores, db: Database[Document]) -> None:
    """The very documents and indexes, no stash left, and the same again."""
    befores[file.number].restore(db)
    before = state(db)
    file.upgrade(db)
    after = state(db)
    assert data(after) != data(before), "the seeds do not touch what this migration does"
    file.downgrade(db)
    assert_same(state(db), before)
    file.upgrade(db)
    assert_same(like(state(db), before), like(after, before))


@every_file
def test_twice_is_once(file: File, befores: Befores, db: Database[Document]) -> None:
    """Nothing new the second time, and the way back still leads to the beginning; that can be gone twice too."""
    befores[file.number].restore(db)
    before = state(db)
    file.upgrade(db)
    once = state(db)
    file.upgrade(db)
    assert_same(state(db), once)
    file.downgrade(db)
    assert_same(state(db), before)
    file.downgrade(db)
    assert_same(state(db), before)


@every_file
def test_cut_anywhere_on_the_way_there(
    file: File, befores: Befores, db: Database[Document], wired: Database[Document], wire: Wire
) -> None:
    """Stopped before or in the middle of any write: run again, it ends as if never stopped, and goes back; or go
    back at once."""
    befores[file.number].restore(db)
    before = state(db)
    file.upgrade(db)
    applied = state(db)
    after = like(applied, before)
    meant = lost(before, applied)
    for write, half in _cuts(file, "upgrade", wired, wire, befores[file.number], db):
        stopped = state(db)
        file.upgrade(db)
        finished = state(db)
        assert_same(like(finished, before), after, f"cut at write {write}, half: {half}")
        assert lost(stopped, finished) <= meant, "a value made up before the cut was made up anew after it"
        file.downgrade(db)
        assert_same(state(db), before, f"cut at write {write}, half: {half}, and back")
    for write, half in _cuts(file, "upgrade", wired, wire, befores[file.number], db):
        file.downgrade(db)
        assert_same(state(db), before, f"back at once after a cut at write {write}, half: {half}")


@every_file
def test_cut_anywhere_on_the_way_back(
    file: File, befores: Befores, db: Database[Document], wired: Database[Document], wire: Wire
) -> None:
    """The same for the rollback; or go there again at once."""
    befores[file.number].restore(db)
    before = state(db)
    file.upgrade(db)
    applied = Snapshot.of(db)
    after = like(state(db), before)
    for write, half in _cuts(file, "downgrade", wired, wire, applied, db):
        file.downgrade(db)
        assert_same(state(db), before, f"cut at write {write}, half: {half}")
    for write, half in _cuts(file, "downgrade", wired, wire, applied, db):
        file.upgrade(db)
        assert_same(like(state(db), before), after, f"there again after a cut at write {write}, half: {half}")
        file.downgrade(db)
        assert_same(state(db), before, f"cut at write {write}, half: {half}, there and back")


def _cuts(
    file: File,
    way: str,
    wired: Database[Document],
    wire: Wire,
    start: Snapshot,
    db: Database[Document],
) -> Iterator[tuple[int, bool]]:
    """Run it from `start` and cut it, at every write in turn: before it, and in the middle of it where it has one.

    The loop body gets the database as it then stands.
    """
    write = 1
    while True:
        for half in (False, True):
            start.restore(db)
            wire.cut_at(write, half=half)
            try:
                getattr(file, way)(wired)
            except OperationFailure as error:
                if not is_cut(error):
                    raise
            else:
                assert not wire.is_down, "it went on after an error"
                wire.mend()
                return
            was_half = wire.was_half
            wire.mend()
            if half and not was_half:
                continue
            yield write, half
        write += 1


@every_file
def test_an_empty_database(file: File, db: Database[Document]) -> None:
    Snapshot({}, {}).restore(db)
    file.upgrade(db)
    once = state(db)
    file.upgrade(db)
    assert_same(state(db), once)
    file.downgrade(db)
    assert_same(state(db), {})


@every_file
def test_a_missing_collection(file: File, befores: Befores, db: Database[Document]) -> None:
    """Without each of the collections that it mentions in turn."""
    for missing in befores[file.number].collections:
        if f'"{missing}"' in file.source:
            befores[file.number].restore(db, without=missing)
            before = state(db)
            file.upgrade(db)
            file.downgrade(db)
            assert_same(state(db), before, f"without {missing}")
