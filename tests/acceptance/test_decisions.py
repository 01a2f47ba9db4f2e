"""An interrupted step stays one until it is decided; nothing else that is recorded may hide it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from tests.projects import Project
from tests.servers import Answer


@pytest.fixture
def interrupted(two: Project) -> Project:
    """bank: 001*, 002*, 003 died half-way; it is not repeatable."""
    two.file("bank", "003", "db.half.insert_one({})\nhere('x', db)", "db.half.drop()")
    assert two("apply", "--yes", "--service", "shop").code == 0  # otherwise it may be killed meanwhile, too
    with two.running("apply", "--yes") as process:
        two.reached("x")
        process.kill()
        process.wait()
    two.go("x")
    assert two("apply", "--yes").code == 6
    return two


@pytest.mark.parametrize("answer", ["--applied", "--not-applied"])
def test_resolving_another_migration_does_not_hide_it(interrupted: Project, answer: str) -> None:
    other = "001" if answer == "--applied" else "002"
    said = interrupted("resolve", f"bank/{other}", answer, "--reason", "a typing error")
    assert said.code == 6
    assert "bank/003" in said.stderr
    assert interrupted("apply", "--yes").code == 6
    assert interrupted("resolve", "bank/003", "--not-applied", "--reason", "cleaned up").code == 0
    assert interrupted("apply", "--yes").code == 0


STASHING = """
with applying(db, '{0}') as stash:
    stash.keep('things', {{}}, ['a'])
    db.things.update_many({{}}, {{'$unset': {{'a': ''}}}})
"""
UNSTASHING = """
with undoing(db, '{0}') as stash:
    stash.restore('things', {{'a': ABSENT}})
"""
STASH = "from dataops.stash.mongo import ABSENT, applying, undoing"


def test_pruning_waits_until_an_interrupted_step_is_decided(two: Project, mongo_db: Database[dict[str, Any]]) -> None:
    """What a step put aside before it died is what a person needs; and the entry of pruning must not hide it."""
    mongo_db.things.insert_one({"_id": 1, "a": 5})
    two.configure(bank={"onto_existing": True})
    two.file("bank", "003", STASHING.format("003") + "here('x', db)", UNSTASHING.format("003"), head=STASH)
    with two.running("apply", "--yes") as process:
        two.reached("x")
        process.kill()
        process.wait()
    two.go("x")
    assert two("stash", "prune", "--older-than", "0s", "--yes").code == 6
    assert [kept["migration"] for kept in two("stash", "list", "--json").json["kept"]] == ["003"]
    assert two("apply", "--yes").code == 6


def test_pruning_is_journalled_and_no_run_of_its_own(two: Project, mongo_db: Database[dict[str, Any]]) -> None:
    """001, 002 in one run; 003 (which puts something aside), 004 in the newest: still what rollback means."""
    mongo_db.things.insert_one({"_id": 1, "a": 5})
    assert two("apply", "--yes", "--onto-existing").code == 0
    two.file("bank", "003", STASHING.format("003"), UNSTASHING.format("003"), head=STASH)
    two.table("bank", "004")
    newest = two("apply", "--yes", "--json").json["run"]
    assert two("stash", "prune", "--older-than", "0s", "--yes").code == 0
    assert two("stash", "list", "--json").json["kept"] == []
    entries = two("history", "--json", "--service", "bank").json["entries"]
    assert (entries[0]["event"], entries[0]["migration"]) == ("pruned", "003")
    applied = two("plan", "--json", "--service", "bank").json["services"][0]["applied"]
    assert {one["migration"]: one["run"] for one in applied}["003"] == newest
    refused = two("rollback", "--yes", "--run", newest)
    assert (refused.code, "003" in refused.stderr, "pruned" in refused.stderr) == (7, True, True)
    assert two("rollback", "--yes", "--to", "bank/003").code == 0
    assert two("status", "--check").code == 2


@pytest.mark.parametrize("command", [["rollback", "--yes"], ["rollback", "--yes", "--steps", "1"], ["plan"]])
def test_nothing_is_planned_over_it(interrupted: Project, command: list[str]) -> None:
    assert interrupted(*command).code == 6


def test_a_plan_that_was_saved_before_is_refused(two: Project) -> None:
    two.file("bank", "003", "db.half.insert_one({})\nhere('x', db)", "db.half.drop()")
    plan = str(two.folder / "saved.plan")
    assert two("plan", "--out", plan).code == 0
    with two.running("apply", "--yes") as process:
        two.reached("x")
        process.kill()
        process.wait()
    two.go("x")
    assert two("apply", plan).code in (5, 6)


@pytest.mark.parametrize("wrong", ["bank/004", "bank/00", "shop", "nothing/001", "bank/base", "/", ""])
def test_what_does_not_exist_cannot_be_resolved(two: Project, wrong: str) -> None:
    assert two("resolve", wrong, "--applied", "--reason", "r").code == 64


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_record_keeps_its_order(two: Project, service: str) -> None:
    assert two("resolve", f"{service}/002", "--applied", "--reason", "r").code == 64
    assert two("apply", "--yes").code == 0
    assert two("resolve", f"{service}/001", "--not-applied", "--reason", "r").code == 64
    assert two("resolve", f"{service}/002", "--not-applied", "--reason", " ").code == 64
    assert two("status", "--check").code == 0


def hinted(answer: Answer) -> list[str]:
    """The arguments of the first command in a hint, with a reason."""
    hint = answer.stderr.split("hint: ")[1]
    return hint[hint.index("dataops ") :].replace('"..."', "r").split("; ")[0].split()[1:]


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_what_is_not_undecided_leads_to_rollback_or_apply(two: Project, service: str) -> None:
    assert two("apply", "--yes").code == 0
    refused = two("resolve", f"{service}/002", "--not-applied", "--reason", "r")
    assert (refused.code, "nothing about it is undecided" in refused.stderr) == (64, True)
    assert two(*hinted(refused), "--yes").code == 0
    assert two("status", "--check", "--service", service).code == 2
    refused = two("resolve", f"{service}/002", "--applied", "--reason", "r")
    assert refused.code == 64
    assert two(*hinted(refused), "--yes").code == 0
    assert two("status", "--check").code == 0
    assert "resolved" not in two("history", "--json").stdout


@pytest.mark.parametrize("answer", ["--applied", "--not-applied"])
def test_the_same_answer_twice_is_recorded_once(interrupted: Project, answer: str) -> None:
    said = [interrupted("resolve", "bank/003", answer, "--reason", "r") for _ in range(3)]
    assert [one.code for one in said] == [0, 0, 0]
    assert ["already" in one.stdout for one in said] == [False, True, True]
    assert interrupted("resolve", "bank/003", "--json", answer, "--reason", "r").json["replaced"] == []
    other = "--applied" if answer == "--not-applied" else "--not-applied"
    assert interrupted("resolve", "bank/003", other, "--reason", "r").code == 64
    entries = interrupted("history", "--json", "--service", "bank").json["entries"]
    assert [entry["event"] for entry in entries].count("resolved") == 1
    assert interrupted("apply", "--yes").code == 0


def test_an_interrupted_step_whose_file_is_gone_can_be_decided(interrupted: Project) -> None:
    interrupted.path("bank", "003").unlink()
    refused = interrupted("apply", "--yes")
    assert refused.code == 6
    assert interrupted("resolve", "bank/003", "--applied", "--reason", "r").code == 64  # nobody knows what it is
    assert interrupted("resolve", "bank/003", "--not-applied", "--reason", "r").code == 0
    assert interrupted("status", "--check").code == 0


def test_a_gap_is_closed_by_its_hint(two: Project, mongo_db: Database[dict[str, Any]]) -> None:
    assert two("apply", "--yes").code == 0
    mongo_db.pymongo_migrate.delete_one({"name": "001"})
    mongo_db.dataops_journal.delete_many({"migration": "001"})
    refused = two("apply", "--yes")
    assert (refused.code, hinted(refused)[:3]) == (4, ["resolve", "bank/001", "--applied"])
    assert two(*hinted(refused)).code == 0
    assert two("status", "--check").code == 0


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_files_that_were_squashed_into_one_are_replaced_by_the_hint(two: Project, service: str) -> None:
    """001*, 002* -> s001, which makes the same tables; then 003."""
    assert two("apply", "--yes").code == 0
    two.path(service, "001").unlink()
    two.path(service, "002").unlink()
    two.file(service, "s001", "raise RuntimeError('it must not run')", parent=None)
    refused = two("apply", "--yes")
    assert (refused.code, "s001 replaces what has no file" in refused.stderr) == (4, True)
    command = hinted(refused)
    assert command == ["resolve", f"{service}/s001", "--applied", "--reason", "r"]
    said = two(*command)
    assert (said.code, "replaces 001, 002" in said.stdout) == (0, True)
    assert two("status", "--check").code == 0
    again = two(*command)
    assert (again.code, "already" in again.stdout) == (0, True)
    two.table(service, "003")
    assert two("apply", "--yes").code == 0
    assert two("rollback", "--yes", "--steps", "1").code == 0
    assert two("status", "--check").code == 2


def test_what_an_older_version_has_resolved_half_way_is_mended_by_the_hints(
    two: Project, pg: psycopg.Connection[Any]
) -> None:
    """001*, 002* -> s001, which is in the record, while the journal still has the two others."""
    assert two("apply", "--yes").code == 0
    two.path("shop", "001").unlink()
    two.path("shop", "002").unlink()
    two.file("shop", "s001", parent=None)
    pg.execute("UPDATE alembic_version SET version_num = 's001'")
    for gone in ("001", "002"):
        refused = two("apply", "--yes")
        assert (refused.code, hinted(refused)[1:3]) == (4, [f"shop/{gone}", "--not-applied"])
        assert two(*hinted(refused)).code == 0
    assert two("status", "--check").code == 0
