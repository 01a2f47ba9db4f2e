"""Rolling back: the newest run everywhere, proved possible before anything is touched."""

from __future__ import annotations

import pytest

from tests.projects import Project


def _applied(project: Project) -> dict[str, int]:
    return {row["service"]: row["applied"] for row in project("status", "--json").json["services"]}


def _run_of(project: Project, *args: str) -> str:
    answer = project("apply", "--yes", "--json", *args)
    assert answer.code == 0
    return str(answer.json["run"])


def test_with_nothing_said_the_newest_run_is_undone_on_every_service_it_touched(two: Project) -> None:
    _run_of(two, "--to", "shop/001")
    _run_of(two)
    assert two("rollback", "--yes").code == 0
    assert _applied(two) == {"shop": 1, "bank": 0}
    assert two("rollback", "--yes").code == 0
    assert _applied(two) == {"shop": 0, "bank": 0}
    empty = two("rollback", "--yes")
    assert (empty.code, "nothing to roll back" in empty.stderr) == (0, True)


def test_steps_are_undone_newest_first_in_each_service(two: Project) -> None:
    _run_of(two)
    answer = two("rollback", "--yes", "--json")
    done = answer.json["done"]
    for service in ("shop", "bank"):
        assert [step for step in done if step.startswith(service)] == [f"{service}/002", f"{service}/001"]


def test_a_run_is_chosen_by_its_id_and_refused_when_another_stands_on_it(two: Project) -> None:
    first = _run_of(two, "--to", "shop/001")
    second = _run_of(two, "--to", "shop/002")
    refused = two("rollback", "--yes", "--run", first)
    assert refused.code == 4
    assert second in refused.stderr
    assert two("rollback", "--yes", "--run", second).code == 0
    assert two("rollback", "--yes", "--run", first).code == 0
    assert two("rollback", "--yes", "--run", first).code == 64


def test_how_far_is_said_by_steps_by_a_migration_or_by_base(two: Project) -> None:
    _run_of(two)
    assert two("rollback", "--yes", "--steps", "1", "--service", "shop").code == 0
    assert _applied(two) == {"shop": 1, "bank": 2}
    assert two("rollback", "--yes", "--to", "bank/001").code == 0
    assert _applied(two) == {"shop": 1, "bank": 1}
    assert two("rollback", "--yes", "--to", "base", "--service", "bank").code == 0
    assert _applied(two) == {"shop": 1, "bank": 0}
    assert two("rollback", "--yes", "--to", "shop/001", "--steps", "1").code == 64


def test_an_irreversible_step_refuses_the_whole_before_anything_is_touched(two: Project) -> None:
    two.file("shop", "003", "op.execute('SELECT 1')", down=None)
    assert "(1 irreversible)" in two("plan").stdout.splitlines()[-1]
    _run_of(two)
    answer = two("rollback", "--yes")
    assert answer.code == 7
    assert "shop/003" in answer.stderr
    assert _applied(two) == {"shop": 3, "bank": 2}


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_an_edited_file_refuses_the_whole_before_anything_is_touched(two: Project, service: str) -> None:
    _run_of(two)
    file = two.path(service, "001")
    file.write_text(file.read_text().replace("t_001", "t_other"))
    answer = two("rollback", "--yes")
    assert answer.code == 4
    assert file.name in answer.stderr
    assert _applied(two) == {"shop": 2, "bank": 2}


def test_a_rollback_that_fails_says_what_is_done_what_failed_and_what_is_left(two: Project) -> None:
    two.file("shop", "003", "op.execute('SELECT 1')", "op.execute('SELECT 1 / 0')")
    two.table("shop", "004")
    _run_of(two, "--service", "shop")
    answer = two("rollback", "--yes", "--service", "shop", "--json")
    assert answer.code == 1
    result = answer.json
    assert (result["done"], [failed["step"] for failed in result["failed"]], result["left"]) == (
        ["shop/004"],
        ["shop/003"],
        ["shop/002", "shop/001"],
    )
    assert _applied(two)["shop"] == 3
