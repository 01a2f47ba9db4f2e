"""What a squashed file means for a database that has none, some or all of what it replaces. No server is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from dataops import source
from dataops.errors import Blocked, CannotWrite, DataopsError, EditedAfterApply, InterruptedStep, OutOfOrder, UsageError
from dataops.kinds import MONGODB
from dataops.model import AppliedMigration, Direction, Entry, JournalEvent, Service, State
from dataops.planning import planner, readiness
from dataops.planning.checks import check
from dataops.planning.decisions import Decision, decide
from dataops.planning.target import find_target
from dataops.squash import saving
from dataops.squash.choosing import choose
from dataops.squash.data import carried
from tests.unit.sample import migration, service, state

E = TypeVar("E", bound=DataopsError)
OLD = {"a": ("sum-a",), "b": ("sum-b",), "c": ("sum-c",)}


def squashed(*there: str, replaces: Mapping[str, tuple[str, ...]] = OLD, last: Entry | None = None) -> State:
    """c, which replaces a -- b -- c, and d after it; `there` is what the record has."""
    new = replace(migration("c", kind=MONGODB, marks="!+"), replaces=replaces)
    made = replace(service("c", kind=MONGODB), migrations=(new, migration("d", "c", kind=MONGODB)))
    applied = tuple(AppliedMigration(id_, checksum=f"sum-{id_}") for id_ in there)
    return replace(
        state("c -- d", kind=MONGODB),
        service=made,
        applied=tuple(one for one in applied if one.id in made.by_id),
        replaced=tuple(one for one in applied if one.id not in made.by_id),
        last=last,
    )


def refused(kind: type[E], call: Callable[[], object]) -> E:
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def steps(now: State) -> list[str]:
    return [step.migration.id for step in planner.plan_apply([now]).steps]


def test_a_database_has_nothing_or_everything_of_what_is_replaced() -> None:
    """c (a, b, c) -- d"""
    assert steps(squashed()) == ["c", "d"]
    assert steps(squashed("a", "b", "c")) == ["d"]
    assert steps(squashed("c")) == ["d"]
    middle = refused(OutOfOrder, lambda: steps(squashed("a", "b")))
    assert "2 of the 3 migrations that c replaces, up to b" in middle.message
    assert "git worktree add" in middle.hint and "dataops apply --to voucher/c" in middle.hint
    assert isinstance(readiness.problem(squashed("a")), OutOfOrder)


@pytest.mark.parametrize("there", [("a", "c"), ("b", "c")])
def test_a_gap_in_the_old_record_is_not_hidden(there: tuple[str, ...]) -> None:
    assert "which it replaces, is not" in refused(OutOfOrder, lambda: check(squashed(*there))).message


def test_a_squashed_file_may_be_squashed_again() -> None:
    """b stood for a and b: a database that has run it has no a."""
    twice = {**OLD, "b": ("sum-b", "sum-of-the-squashed-b")}
    assert steps(squashed("b", "c", replaces=twice)) == ["d"]
    assert steps(squashed("a", "b", "c", replaces=twice)) == ["d"]
    refused(OutOfOrder, lambda: steps(squashed("b", replaces=twice)))


def test_other_code_than_was_squashed_is_found() -> None:
    other = {**OLD, "b": ("another",)}
    assert refused(EditedAfterApply, lambda: check(squashed("a", "b", "c", replaces=other))).migration == "c"
    assert refused(EditedAfterApply, lambda: check(squashed("a", "b", "c", replaces={**OLD, "c": ("another",)})))
    check(squashed("a", "b", "c", replaces={**OLD, "b": ("",)}))


@pytest.mark.parametrize(
    ("there", "direction", "id_"),
    [
        (("a",), Direction.APPLY, "b"),
        ((), Direction.APPLY, "a"),
        (("a", "b"), Direction.APPLY, "c"),
        (("a", "b", "c"), Direction.ROLLBACK, "c"),
    ],
)
def test_a_half_done_step_of_an_old_file_comes_first(there: tuple[str, ...], direction: Direction, id_: str) -> None:
    """The new file is repeatable, and not the one that is half done; so only the record's own answer is taken."""
    last = Entry("run-1", id_, direction, JournalEvent.STARTED, checksum=f"sum-{id_}")
    now = squashed(*there, last=last)
    for call in (lambda: planner.plan_apply([now]), lambda: planner.plan_rollback([now], steps=1)):
        assert "use the code that has it" in refused(InterruptedStep, call).hint
    record = id_ in there
    assert decide(now, id_, applied=record, history=()) == Decision()
    refused(UsageError, lambda: decide(now, id_, applied=not record, history=()))


def test_nobody_goes_behind_it() -> None:
    now = squashed("a", "b", "c")
    assert refused(Blocked, lambda: planner.plan_rollback([now], steps=1)).migration == "c"
    assert "took its place" in refused(Blocked, lambda: find_target([now.service], "voucher/b")).message
    assert find_target([now.service], "c")[1] == now.service.by_id["c"]


def test_what_cannot_be_squashed_is_refused() -> None:
    """a -- b -- d and a -- c -- d: not up to b, because c comes after a."""
    assert "nothing to squash" in refused(UsageError, lambda: choose(service("a -- b"), migration("a"))).message
    merged = replace(migration("d"), parents=("b", "c"))
    fork: Service = replace(service("a"), migrations=(migration("a"), migration("b", "a"), migration("c", "a"), merged))
    found = refused(UsageError, lambda: choose(fork, fork.by_id["b"]))
    assert ("c names a as" in found.message, "--to d" in found.hint) == (True, True)
    assert [one.id for one in choose(fork, merged)] == ["a", "b", "c", "d"]
    refused(UsageError, lambda: choose(replace(fork, mirror="sqlx"), merged))


def test_what_a_file_replaces_is_read_from_its_text() -> None:
    assert source.replaces(b'replaces = {"a": "1", "b": ["2", "3"]}') == {"a": ("1",), "b": ("2", "3")}
    assert source.replaces(b"x = 1") == {}
    for wrong in (b'replaces = ["a"]', b"replaces = {1: '2'}", b"replaces = {'a': []}", b"replaces = {'a': 1}"):
        with pytest.raises(source.Unreadable):
            source.replaces(wrong)


def test_what_cannot_be_removed_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """b cannot be removed, after a was and c was written; then c cannot be written."""
    old = [replace(migration(id_), path=tmp_path / f"{id_}.py") for id_ in "abc"]
    for one in (old[0], old[2]):
        one.path.write_bytes(one.text)
    old[1].path.mkdir()
    with pytest.raises(CannotWrite):
        saving.save(old[2].path, "new", old)
    assert {path.name for path in tmp_path.iterdir()} == {"a.py", "b.py", "c.py"}
    assert (old[0].path.read_bytes(), old[2].path.read_bytes()) == (old[0].text, old[2].text)
    old[1].path.rmdir()
    old[1].path.write_bytes(old[1].text)
    old[2].path.unlink()
    old[2].path.mkdir()
    with pytest.raises(CannotWrite):
        saving.save(old[2].path, "new", old)
    assert (old[0].path.read_bytes(), old[1].path.read_bytes()) == (old[0].text, old[1].text)
    old[2].path.rmdir()
    saving.save(old[2].path, "new", old)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("c.py", "new")]


def test_each_statement_of_a_text_is_looked_at_for_what_it_does_to_data() -> None:
    text = """
def upgrade():
    op.execute('''
        ALTER TABLE orders ADD total int;
        -- all of them
        UPDATE orders SET total = 0; WITH old AS (SELECT 1) DELETE FROM "My S"."T b"; DO $$ BEGIN END $$;
        CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ UPDATE hidden SET a = 1 RETURNING 1 $$
    ''')
    op.execute(f"UPDATE names SET name = 'x{suffix}'")
"""
    assert carried(replace(migration("a"), text=text.encode()), []) == (
        "UPDATE orders", 'DELETE FROM "My S"."T b"', "a block of code, which may change data", "UPDATE names",
    )  # fmt: skip
