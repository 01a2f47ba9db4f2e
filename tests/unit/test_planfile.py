"""A plan on disk: exactly what was shown, or refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dataops import __version__
from dataops.errors import CannotWrite, DataopsError, EditedAfterApply, ExitCode, StalePlan, UsageError
from dataops.kinds import MONGODB
from dataops.model import Direction, Identity, Plan, State
from dataops.planning import planfile, planner
from tests.unit.sample import edited, state, step

API = state(
    "m* -- n+",
    name="api",
    kind=MONGODB,
    identity=Identity("replica set rs0 65f0", "galoy", "a:27017,b:27017/galoy", frozenset({"aa", "bb"})),
)
VOUCHER = state("a* -- b -- c")
PLAN = planner.plan_apply([API, VOUCHER])


def saved(tmp_path: Path, plan: Plan = PLAN) -> Path:
    path = tmp_path / "today.plan"
    planfile.save(plan, path)
    return path


def refused(by: type[DataopsError], what: Callable[[], object]) -> DataopsError:
    with pytest.raises(by) as caught:
        what()
    assert type(caught.value) is by
    return caught.value


def test_a_plan_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    assert planfile.verify(planfile.load(saved(tmp_path)), [API, VOUCHER]) == replace(PLAN, saved=True)


def test_a_rollback_comes_back_as_a_rollback(tmp_path: Path) -> None:
    now = state("a* -- b* -- c*")
    plan = planner.plan_rollback([now], steps=2)
    held = planfile.verify(planfile.load(saved(tmp_path, plan)), [now])
    undone = (step(now, "c", Direction.ROLLBACK), step(now, "b", Direction.ROLLBACK))
    assert (held.direction, held.steps) == (Direction.ROLLBACK, undone)


def test_an_empty_plan_comes_back_empty(tmp_path: Path) -> None:
    now = state("a*")
    assert planfile.verify(planfile.load(saved(tmp_path, planner.plan_apply([now]))), [now]).steps == ()


def test_the_format_is_what_docs_json_says(tmp_path: Path) -> None:
    content = json.loads(saved(tmp_path).read_text())
    assert len(content.pop("digest")) == 64
    assert content == {
        "format": 1,
        "dataops": __version__,
        "direction": "apply",
        "services": {
            "api": {
                "identity": {
                    "server": "replica set rs0 65f0",
                    "database": "galoy",
                    "address": "a:27017,b:27017/galoy",
                    "marks": ["aa", "bb"],
                },
                "applied": ["m"],
                "files": {one.id: one.checksum for one in API.service.migrations},
                "fingerprint": planfile.fingerprint(API),
                "onto_existing": False,
            },
            "voucher": {
                "identity": {
                    "server": "PostgreSQL system 1",
                    "database": "voucher (oid 5)",
                    "address": "db:5432/voucher",
                    "marks": [],
                },
                "applied": ["a"],
                "files": {one.id: one.checksum for one in VOUCHER.service.migrations},
                "fingerprint": planfile.fingerprint(VOUCHER),
                "onto_existing": False,
            },
        },
        "steps": [["api", "n"], ["voucher", "b"], ["voucher", "c"]],
        "allowed": [],
    }


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    url = "postgresql://someone:hunter2@db:5432/voucher"
    now = replace(VOUCHER, service=replace(VOUCHER.service, url=url))
    text = saved(tmp_path, planner.plan_apply([now])).read_text()
    assert "hunter2" not in text
    assert "someone" not in text


def test_only_its_owner_may_read_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = saved(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_saving_again_replaces_it(tmp_path: Path) -> None:
    path = saved(tmp_path)
    saved(tmp_path, planner.plan_apply([VOUCHER]))
    assert list(planfile.load(path).services) == ["voucher"]


@pytest.mark.parametrize("place", ["nowhere/today.plan", "file/today.plan", "folder"])
def test_where_nothing_can_be_written_that_is_told_and_nothing_is_left(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    error = refused(CannotWrite, lambda: planfile.save(PLAN, tmp_path / place))
    assert error.exit_code is ExitCode.UNREACHABLE
    assert error.message.startswith(f"{tmp_path / place}: ")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


# --- something else than a plan, and plans that are not whole


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"{}", b'{"format": 1}', b"\xff\xfe", b"PK\x03"])
def test_something_else_than_a_plan_is_no_plan(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "today.plan"
    path.write_bytes(content)
    error = refused(UsageError, lambda: planfile.load(path))
    assert (error.message, error.exit_code) == (f"{path} is not a plan file", ExitCode.USAGE)


def test_a_plan_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert refused(UsageError, lambda: planfile.load(path)).message == f"{path}: No such file or directory"
    assert refused(UsageError, lambda: planfile.load(tmp_path)).message == f"{tmp_path}: Is a directory"


def test_a_plan_that_was_cut_off_is_no_plan(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:length])
        refused(UsageError, lambda: planfile.load(path))


def change(content: dict[str, Any], at: str, to: Any) -> None:
    *way, last = at.split(".")
    for key in way:
        content = content[key]
    content[last] = to


@pytest.mark.parametrize(
    ("at", "to"),
    [
        ("format", 2),
        ("direction", "rollback"),
        ("steps", []),
        ("services.voucher.applied", []),
        ("services.voucher.identity.address", "production:5432/voucher"),
        ("services.voucher.files.b", "0" * 64),
        ("services.voucher.fingerprint", "0" * 64),
        ("digest", "0" * 64),
        ("new", 1),
    ],
)
def test_a_plan_that_was_edited_is_stale(tmp_path: Path, at: str, to: Any) -> None:
    path = saved(tmp_path)
    content = json.loads(path.read_text())
    change(content, at, to)
    path.write_text(json.dumps(content))
    error = refused(StalePlan, lambda: planfile.load(path))
    assert error.exit_code is ExitCode.STALE
    assert "dataops plan --out FILE" in error.hint


def test_only_formatting_and_order_of_keys_may_change(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert planfile.verify(planfile.load(path), [API, VOUCHER]).steps == PLAN.steps


# --- a plan that no longer fits says what changed


OTHER = VOUCHER.service.by_id["b"].text.replace(b"CREATE TABLE b", b"CREATE TABLE bb")
COMMENT = VOUCHER.service.by_id["b"].text + b"# why\n"


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        (state("a* -- b* -- c"), ["voucher: b has been applied"]),
        (state("a -- b -- c"), ["voucher: a has been rolled back"]),
        (state("a* -- b -- c -- d"), ["voucher: d is a new file"]),
        (state("a* -- b"), ["voucher: c has no file any more"]),
        (edited(VOUCHER, "b", OTHER), ["voucher: b has been edited"]),
        (state("a* -- c -- b"), ["voucher: b has been edited", "voucher: c has been edited"]),
        (state("a* -- b* -- c* -- (d)*"), ["b has been applied", "c has been applied", "d has been applied"]),
        (
            replace(VOUCHER, identity=replace(VOUCHER.identity, address="production:5432/voucher")),
            ["planned for voucher (oid 5) on db:5432/voucher (PostgreSQL system 1), this is voucher (oid 5) on prod"],
        ),
        (replace(VOUCHER, identity=replace(VOUCHER.identity, server="PostgreSQL system 2")), ["PostgreSQL system 2)"]),
        (replace(VOUCHER, identity=replace(VOUCHER.identity, database="voucher (oid 6)")), ["(oid 6) on db"]),
    ],
    ids=["applied", "rolled back", "new", "gone", "edited", "reordered", "ahead", "address", "server", "database"],
)
def test_a_plan_that_no_longer_fits_says_what_changed(tmp_path: Path, now: State, changes: list[str]) -> None:
    path = saved(tmp_path, planner.plan_apply([VOUCHER]))
    error = refused(StalePlan, lambda: planfile.verify(planfile.load(path), [now]))
    assert error.exit_code is ExitCode.STALE
    for change_ in changes:
        assert change_ in error.message


def test_a_comment_in_a_file_is_no_change(tmp_path: Path) -> None:
    path = saved(tmp_path, planner.plan_apply([VOUCHER]))
    assert len(planfile.verify(planfile.load(path), [edited(VOUCHER, "b", COMMENT)]).steps) == 2


def test_a_plan_for_one_mongodb_cannot_reach_another_of_the_same_name(tmp_path: Path) -> None:
    """What it calls itself is the same; its collections are not. New ones are fine, and none at all is not."""
    path = saved(tmp_path, planner.plan_apply([API]))

    def marked(*marks: str) -> list[State]:
        return [replace(API, identity=replace(API.identity, marks=frozenset(marks)))]

    assert planfile.verify(planfile.load(path), marked("aa", "bb", "cc"))
    for marks in ((), ("aa",), ("cc", "dd")):
        error = refused(StalePlan, partial(planfile.verify, planfile.load(path), marked(*marks)))
        assert "planned for a database of this name with other collections" in error.message


def test_a_plan_for_an_empty_mongodb_cannot_reach_one_that_has_collections(tmp_path: Path) -> None:
    empty = replace(API, identity=replace(API.identity, marks=frozenset()))
    path = saved(tmp_path, planner.plan_apply([empty]))
    assert planfile.verify(planfile.load(path), [empty])
    refused(StalePlan, lambda: planfile.verify(planfile.load(path), [API]))


def test_a_plan_made_beside_edited_history_is_refused_as_that(tmp_path: Path) -> None:
    """The file was edited before the plan was made, and the plan was made by a version that did not look."""
    changed = edited(VOUCHER, "a", b"x = 1\n")
    path = saved(tmp_path, Plan(Direction.APPLY, (), (changed,)))
    refused(EditedAfterApply, lambda: planfile.verify(planfile.load(path), [changed]))
