"""A saved plan is applied exactly, without a question, or refused with what has changed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import fresh_mongo, fresh_postgres


def _save(project: Project, *more: str) -> Path:
    path = project.folder / "saved.plan"
    answer = project("plan", "--out", str(path), *more)
    assert (answer.code, answer.stderr.count(str(path))) == (0, 2)
    return path


def test_a_saved_plan_is_applied_without_a_question_and_once(two: Project) -> None:
    path = _save(two)
    answer = two("apply", str(path))
    assert answer.code == 0
    assert "4 applied in 2 services" in answer.stdout

    again = two("apply", str(path))
    assert again.code == 5
    assert "shop: 001 has been applied" in again.stderr


def test_only_what_was_saved_is_applied(two: Project) -> None:
    path = _save(two, "--to", "shop/001")
    assert two("apply", str(path)).code == 0
    rows = {row["service"]: row["applied"] for row in two("status", "--json").json["services"]}
    assert rows == {"shop": 1, "bank": 0}


def test_a_saved_rollback_is_carried_out(two: Project) -> None:
    assert two("apply", "--yes").code == 0
    path = _save(two, "--direction", "rollback", "--to", "bank/001")
    assert two("apply", str(path)).code == 0
    rows = {row["service"]: row["applied"] for row in two("status", "--json").json["services"]}
    assert rows == {"shop": 2, "bank": 1}


def test_a_state_that_moved_is_refused(two: Project) -> None:
    path = _save(two)
    assert two("apply", "--yes", "--to", "bank/001").code == 0
    answer = two("apply", str(path))
    assert answer.code == 5
    assert "bank: 001 has been applied" in answer.stderr


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_an_edited_file_is_refused_and_a_comment_is_not(two: Project, service: str) -> None:
    path = _save(two)
    file = two.path(service, "002")
    text = file.read_text()
    file.write_text(f"# a comment\n{text}")
    other = text.replace("t_002", "t_other")
    assert two("plan").code == 0
    file.write_text(other)
    answer = two("apply", str(path))
    assert answer.code == 5
    assert f"{service}: 002 has been edited" in answer.stderr
    file.write_text(f"# a comment\n{text}")
    assert two("apply", str(path)).code == 0


def test_a_new_file_is_refused(two: Project) -> None:
    path = _save(two)
    two.table("shop", "003")
    answer = two("apply", str(path))
    assert answer.code == 5
    assert "shop: 003 is a new file" in answer.stderr


def test_a_plan_for_staging_cannot_reach_production(two: Project, postgres: PostgresServer, mongo: MongoServer) -> None:
    path = _save(two)
    with fresh_postgres(postgres, "production") as pg_url, fresh_mongo(mongo, "production") as mongo_url:
        for changed in ({"SHOP_URL": pg_url}, {"BANK_URL_CON": mongo_url}):
            answer = two("apply", str(path), env=changed)
            assert answer.code == 5
            assert "planned for" in answer.stderr
    rows = {row["service"]: row["applied"] for row in two("status", "--json").json["services"]}
    assert rows == {"shop": 0, "bank": 0}


def test_a_damaged_plan_is_refused_and_something_else_is_a_usage_error(two: Project) -> None:
    path = _save(two)
    content = json.loads(path.read_text())
    content["steps"] = content["steps"][:1]
    path.write_text(json.dumps(content))
    assert two("apply", str(path)).code == 5
    path.write_text("hello")
    assert two("apply", str(path)).code == 64
    assert two("apply", str(two.folder / "missing.plan")).code == 64


def test_a_plan_file_is_for_its_owner_only_and_takes_no_further_wishes(two: Project) -> None:
    path = _save(two)
    assert path.stat().st_mode & 0o777 == 0o600
    assert two("apply", str(path), "--steps", "1").code == 64
    assert two("apply", str(path), "--service", "shop").code == 64


def test_a_plan_for_a_service_that_is_not_configured_any_more_is_refused(two: Project) -> None:
    path = _save(two)
    config = two.folder / "dataops.toml"
    config.write_text(config.read_text().replace("[services.bank]", "[services.other]"))
    answer = two("apply", str(path))
    assert answer.code == 5
    assert "bank" in answer.stderr


def test_a_plan_is_never_saved_in_the_place_of_something_else(two: Project) -> None:
    pipe, link = two.folder / "pipe", two.folder / "link"
    os.mkfifo(pipe)
    link.symlink_to("elsewhere")
    for path in (pipe, link):
        answer = two("plan", "--out", str(path))
        assert (answer.code, "not a regular file" in answer.stderr) == (10, True)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink() and not (two.folder / "elsewhere").exists()
