"""Rolling back: the newest run everywhere, proved possible before anything is touched."""

from __future__ import annotations

import pytest

from tests.projects import Project
from tests.terminal import Terminal


def _applied(project: Project) -> dict[str, int]:
    return {row["service"]: row["applied"] for row in project("status", "--json").json["services"]}


def _run_of(project: Project, *args: str) -> str:
    answer = project("apply", "--yes", "--json", *args)
    assert answer.code == 0
    return str(answer.json["run"])


def test_with_nothing_said_the_newest_run_is_undone_on_every_service_it_touched(two: Project) -> None:
    _run_of(two, "--to", "shop/001")
    _run_of(two)
    assert asked(two, "y")[0] == 0
    assert _applied(two) == {"shop": 1, "bank": 0}


def asked(project: Project, answer: str, *args: str) -> tuple[int, str]:
    """Roll back at a terminal, and answer the question. Returns the exit code, and all that was said."""
    with Terminal(project, "rollback", *args) as terminal:
        if answer:
            terminal.read_until("[y/N]")
            terminal.press(f"{answer}\r")
        return terminal.ended(), " ".join(terminal.text.split())


def test_the_question_names_the_run_its_author_its_age_and_the_databases(two: Project) -> None:
    two.env["DATAOPS_ACTOR"] = "ann"
    run = _run_of(two)
    code, text = asked(two, "n")
    assert code == 75
    assert f"run {run} (ann@" in text
    assert "Roll back 4 migrations in 127.0.0.1:" in text
    assert "ago, 4 migrations of shop, bank)? [y/N]" in text or "ago, 4 migrations of bank, shop)? [y/N]" in text
    named = "".join(f'{name} = "{two.env[key]}"\n' for name, key in (("shop", "SHOP_URL"), ("bank", "BANK_URL_CON")))
    with (two.folder / "dataops.toml").open("a") as file:
        file.write(f"[environments.staging]\n{named}")
    assert "Roll back 4 migrations in environment staging: run" in asked(two, "n", "--env", "staging")[1]
    assert _applied(two) == {"shop": 2, "bank": 2}


def test_a_second_rollback_refuses_and_names_the_run_that_stands(two: Project) -> None:
    two.env["DATAOPS_ACTOR"] = "ann"
    first = _run_of(two, "--to", "shop/001")
    _run_of(two)
    assert asked(two, "y")[0] == 0
    for args in ([], ["--yes"]):
        code, text = asked(two, "", *args)
        assert code == 7
        assert "the newest thing that happened is the rollback of" in text
        assert f"these runs stand: {first} (ann@" in text
        assert f"dataops rollback --run {first}" in text
    refused = two("plan", "--direction", "rollback")
    assert (refused.code, first in refused.stderr) == (7, True)
    assert _applied(two) == {"shop": 1, "bank": 0}
    assert two("rollback", "--yes", "--run", first).code == 0
    assert _applied(two) == {"shop": 0, "bank": 0}
    code, text = asked(two, "")
    assert (code, "nothing to roll back" in text) == (0, True)


def test_without_a_terminal_somebody_has_to_say_how_far(two: Project) -> None:
    run = _run_of(two)
    for args in ([], ["--yes"], ["--yes", "--json"]):
        refused = two("rollback", *args)
        assert (refused.code, run in refused.stderr, "--run" in refused.stderr) == (64, True, True)
    assert _applied(two) == {"shop": 2, "bank": 2}
    assert run in two("plan", "--direction", "rollback", "--json").stdout  # a plan is only looked at


def test_what_happened_in_another_service_does_not_count(two: Project) -> None:
    run = _run_of(two)
    assert two("rollback", "--yes", "--run", run, "--service", "bank").code == 0
    assert _applied(two) == {"shop": 2, "bank": 0}
    assert asked(two, "")[0] == 7
    assert asked(two, "y", "--service", "shop")[0] == 0
    assert _applied(two) == {"shop": 0, "bank": 0}


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_rollback_that_was_killed_goes_on_with_the_same_run(two: Project, service: str) -> None:
    """001, 002 by one run, 003, 004 by the next; its rollback is killed in 003."""
    old = _run_of(two)
    two.file(service, "003", down="here('x', db)" if service == "bank" else "here('x')", head="repeatable = True")
    two.table(service, "004")
    run = _run_of(two)
    with two.running("rollback", "--yes", "--run", run) as process:
        two.reached("x")
        process.kill()
        process.wait()
    two.go("x")
    assert asked(two, "y")[0] == 0
    assert _applied(two) == {"shop": 2, "bank": 2}
    for args in (["--run", run], ["--run", run[:-2]]):  # a Job that is repeated undoes nothing more
        again = two("rollback", "--yes", *args)
        assert (again.code, "nothing to roll back" in again.stderr) == (0, True)
    code, text = asked(two, "")
    assert (code, old in text) == (7, True)
    assert _applied(two) == {"shop": 2, "bank": 2}


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_run_that_failed_half_way_is_the_newest(two: Project, service: str) -> None:
    old = _run_of(two)
    two.table(service, "003")
    two.file(service, "004", "raise ValueError('no')")
    assert two("apply", "--yes").code == 1
    assert asked(two, "y")[0] == 0
    assert _applied(two) == {"shop": 2, "bank": 2}
    assert two("apply", "--yes", "--steps", "1").code == 0
    assert two("rollback", "--yes", "--steps", "1").code == 0
    two.file(service, "003", "raise ValueError('no')", parent="002")
    two.path(service, "004").unlink()
    assert two("apply", "--yes").code == 1  # at its first step
    code, text = asked(two, "")
    assert (code, f"these runs stand: {old}" in text) == (7, True)
    assert _applied(two) == {"shop": 2, "bank": 2}


def test_steps_are_undone_newest_first_in_each_service(two: Project) -> None:
    _run_of(two)
    answer = two("rollback", "--yes", "--json", "--steps", "4")
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
    assert two("rollback", "--yes", "--run", first).code == 0
    assert two("rollback", "--yes", "--run", f"{first}0").code == 64


def test_the_command_of_the_refusal_undoes_what_it_says(two: Project) -> None:
    """shop: 001* 002*   bank: 001* 002*   (shop/001 and bank/001 by the first run, the rest by the second)"""
    first = _run_of(two, "--to", "shop/001")
    second = _run_of(two, "--service", "shop", "--service", "bank")
    refused = two("rollback", "--yes", "--run", first, "--service", "shop", "--service", "bank")
    hint = refused.stderr.split("hint: ")[1]
    assert f"this undoes {second} (" in hint
    command = hint[hint.index("dataops rollback") :].split()
    assert command[1:] == ["rollback", "--run", second, "--run", first, "--service", "shop", "--service", "bank"]
    assert two(*command[1:], "--yes").code == 0
    assert _applied(two) == {"shop": 0, "bank": 0}


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_plan_does_not_undo_what_was_applied_again_meanwhile(two: Project, service: str) -> None:
    run = _run_of(two)
    with Terminal(two, "rollback", "--run", run) as terminal:
        terminal.read_until("[y/N]")
        assert two("rollback", "--yes", "--run", run, "--service", service).code == 0
        again = _run_of(two)
        terminal.press("y\r")
        assert terminal.ended() == 5
        assert again in terminal.text
    assert _applied(two) == {"shop": 2, "bank": 2}


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
    answer = two("rollback", "--yes", "--run", _run_of(two))
    assert answer.code == 7
    assert "shop/003" in answer.stderr
    assert _applied(two) == {"shop": 3, "bank": 2}


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_an_edited_file_refuses_the_whole_before_anything_is_touched(two: Project, service: str) -> None:
    _run_of(two)
    file = two.path(service, "001")
    file.write_text(file.read_text().replace("t_001", "t_other"))
    answer = two("rollback", "--yes", "--steps", "4")
    assert answer.code == 4
    assert file.name in answer.stderr
    assert _applied(two) == {"shop": 2, "bank": 2}


def test_a_rollback_that_fails_says_what_is_done_what_failed_and_what_is_left(two: Project) -> None:
    two.file("shop", "003", "op.execute('SELECT 1')", "op.execute('SELECT 1 / 0')")
    two.table("shop", "004")
    _run_of(two, "--service", "shop")
    answer = two("rollback", "--yes", "--steps", "4", "--service", "shop", "--json")
    assert answer.code == 1
    result = answer.json
    assert (result["done"], [failed["step"] for failed in result["failed"]], result["left"]) == (
        ["shop/004"],
        ["shop/003"],
        ["shop/002", "shop/001"],
    )
    assert _applied(two)["shop"] == 3
