"""A policy, as people meet it: `plan` says what it refuses, `apply` refuses, a saved plan keeps what was allowed."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.projects import Project
from tests.terminal import Terminal


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    """A database with a table with rows, and a migration that drops it."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE old AS SELECT generate_series(1, 100) AS a; ANALYZE old")
    project.add("shop", pg_url, onto_existing=True)
    project.file("shop", "001", "op.execute('DROP TABLE old')", "op.execute('CREATE TABLE old (a int)')")
    return project


def policy(project: Project, text: str) -> None:
    path = project.folder / "dataops.toml"
    path.write_text(path.read_text() + text)


def test_a_hazard_that_is_asked_for_has_to_be_allowed(shop: Project) -> None:
    policy(shop, '[policy]\nask = ["destroys-data"]\n')
    planned = shop("plan")
    assert planned.code == 0
    assert "shop/001: destroys-data, breaks-application" in planned.stdout
    rule = "shop/001: 100 rows of public.old, which nothing keeps (ask destroys-data)"
    assert f"the policy would refuse it now: {rule}" in planned.stdout
    refused = shop("apply", "--yes")
    assert (refused.code, refused.stdout) == (7, "")
    assert f"[policy] forbids this: {rule}" in refused.stderr
    assert "dataops apply --allow destroys-data" in refused.stderr
    assert shop("status", "--check").code == 2
    assert shop("apply", "--yes", "--allow", "destroys-data").code == 0


def test_a_saved_plan_keeps_what_was_allowed(shop: Project) -> None:
    policy(shop, '[policy]\nask = ["destroys-data"]\n')
    for name, allowed, code in (("a.plan", (), 7), ("b.plan", ("--allow", "destroys-data"), 0)):
        assert shop("plan", "--out", name, *allowed).code == 0
        assert shop("apply", name).code == code
    assert json.loads(Path(shop.folder / "b.plan").read_text())["allowed"] == ["destroys-data"]


def test_an_environment_is_stricter_and_is_named_by_option_or_variable(shop: Project) -> None:
    policy(shop, '[policy.environments.live]\nrefuse = ["destroys-data"]\n')
    assert shop("plan").stdout.count("the policy would refuse") == 0
    assert shop("plan", "--policy", "live").stdout.count("the policy would refuse") == 1
    refused = shop("apply", "--yes", "--allow", "destroys-data", env={"DATAOPS_POLICY": "live"})
    assert refused.code == 7
    assert "[policy.environments.live] forbids this" in refused.stderr
    unknown = shop("apply", "--yes", "--policy", "life")
    assert unknown.code == 64
    assert "did you mean live?" in unknown.stderr
    assert shop("apply", "--yes").code == 0


def test_the_answer_for_programs_has_the_rules(shop: Project) -> None:
    policy(shop, '[policy]\nrefuse = ["destroys-data"]\nrows = 10\n')
    assert shop("plan", "--json").json["forbidden"] == [
        {
            "rule": "refuse destroys-data",
            "step": "shop/001",
            "text": "100 rows of public.old, which nothing keeps",
            "allow": None,
        }
    ]
    assert "the policy would refuse it now" in shop("plan", "--format", "markdown").stdout


def test_a_backup_has_to_be_new_where_the_policy_says_so(shop: Project) -> None:
    policy(shop, '[policy]\nbackup = "backup.done"\nbackup_max_age = "1h"\n')
    refused = shop("apply", "--yes")
    assert refused.code == 7
    assert "no backup, nothing was done" in refused.stderr
    (shop.folder / "backup.done").write_text("complete\n")
    assert shop("apply", "--yes").code == 0


def test_a_backup_of_an_option_does_not_take_the_place_of_that_of_the_policy(shop: Project) -> None:
    policy(shop, '[policy]\nbackup = "backup.done"\n')
    (shop.folder / "mine").write_text("complete\n")
    refused = shop("apply", "--yes", "--require-backup-marker", "mine")
    assert refused.code == 7
    assert "backup.done" in refused.stderr


def test_the_backup_is_looked_at_again_when_a_person_has_answered(shop: Project) -> None:
    policy(shop, '[policy]\nbackup = "backup.done"\n')
    marker = shop.folder / "backup.done"
    marker.write_text("complete\n")
    with Terminal(shop, "apply") as terminal:
        terminal.read_until("Apply 1 migration?")
        marker.unlink()
        terminal.press("y\n")
        assert terminal.ended() == 7
    assert shop("status", "--check").code == 2


def test_nobody_chooses_a_milder_policy_for_an_environment_that_has_its_own(shop: Project, pg_url: str) -> None:
    rules = '[policy.environments.live]\nrefuse = ["destroys-data"]\n[policy.environments.mild]\nrows = 1_000_000\n'
    policy(shop, f'[environments.live]\nshop = "{pg_url}"\n[environments.other]\nshop = "{pg_url}"\n{rules}')
    refused = shop("apply", "--yes", "--env", "live", "--policy", "mild")
    assert refused.code == 64
    assert "environment live has a policy of its own" in refused.stderr
    assert shop("apply", "--yes", "--env", "live", "--policy", "live").code == 7
    assert shop("plan", "--env", "other", "--policy", "live").stdout.count("the policy would refuse") == 1


def test_a_lock_that_is_held_while_another_table_is_changed_counts_as_blocked(project: Project, pg_url: str) -> None:
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE small (a int); CREATE TABLE big AS SELECT generate_series(1, 300000) AS a; ANALYZE"
        )
    project.add("shop", pg_url, onto_existing=True)
    project.file("shop", "001", "op.execute('ALTER TABLE small ADD b int'); op.execute('UPDATE big SET a = 1')", "pass")
    policy(project, '[policy]\nblocked = "1s"\n')
    refused = project("apply", "--yes")
    assert refused.code == 7
    assert "others may have to wait" in refused.stderr


def test_a_policy_that_makes_no_sense_is_refused_with_its_place(shop: Project) -> None:
    policy(shop, '[policy.environments.live]\nrefuse = ["destroy-data"]\n')
    refused = shop("plan")
    assert refused.code == 4
    assert "[policy.environments.live]: refuse: there is no hazard 'destroy-data'" in refused.stderr
    assert "did you mean destroys-data?" in refused.stderr


def test_what_lint_finds_in_the_pending_files_stands_with_their_steps(shop: Project) -> None:
    shop.file("shop", "002", "op.execute('CREATE TABLE fresh (a int)')", None)
    step = shop("plan", "--json").json["services"][0]["steps"][1]
    assert {"code": "H010", "severity": "warning"}.items() <= step["findings"][0].items()
    assert "lint: 1 finding, H010 (-v shows all)" in shop("plan").stdout
    assert "warning H010 in line" in shop("plan", "-v").stdout
    assert "warning H010 in line" in shop("plan", "--format", "markdown").stdout
