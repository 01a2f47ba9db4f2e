"""A step that is half done comes first, in whatever direction the next run goes: every cell of the recovery table.

Each case has a step of one kind, which is stopped half-way in one direction, by a kill or by an error, and then a run
in one direction. Either that run ends the half-done step and goes on, and the data is as if nothing had happened, or it
is refused (6) with the command that ends the step.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from tests.projects import Project, until
from tests.terminal import Terminal

UP, DOWN = "apply", "rollback"

STOP = """
import pathlib

def stop(name, *db):
    # Half-way: stay here for a kill, or fail, as the test has asked for.
    if pathlib.Path("fail").exists() and not {looking}:
        raise ValueError("half-way")
    here(name, *db)
"""

MONGO = {
    "neither": (
        "db.c.update_many({}, {'$inc': {'a': 1}})\nstop('up', db)\ndb.c.update_many({}, {'$inc': {'b': 1}})",
        "db.c.update_many({}, {'$inc': {'b': -1}})\nstop('down', db)\ndb.c.update_many({}, {'$inc': {'a': -1}})",
    ),
    "repeatable": (
        "db.c.update_many({}, {'$set': {'a': 1}})\nstop('up', db)\ndb.c.update_many({}, {'$set': {'b': 1}})",
        "db.c.update_many({}, {'$set': {'b': 0}})\nstop('down', db)\ndb.c.update_many({}, {'$set': {'a': 0}})",
    ),
    "both ways": (
        """
        with applying(db, "002") as stash:
            stash.keep("c", {"a": 0}, ["a"])
            stash.keep("c", {"b": 0}, ["b"], label="b")
            db.c.update_many({"a": 0}, {"$set": {"a": 1}})
            stop("up", db)
            db.c.update_many({"b": 0}, {"$set": {"b": 1}})
        """,
        """
        with undoing(db, "002") as stash:
            stash.restore("c", {"a": 1})
            stop("down", db)
            stash.restore("c", {"b": 1}, label="b")
        """,
    ),
}
BLOCK = "with op.get_context().autocommit_block():\n    {}\n    stop('{}')\n    {}"
POSTGRES = {
    "neither": (
        BLOCK.format("op.execute('UPDATE c SET a = a + 1')", "up", "op.execute('UPDATE c SET b = b + 1')"),
        BLOCK.format("op.execute('UPDATE c SET b = b - 1')", "down", "op.execute('UPDATE c SET a = a - 1')"),
    ),
    "repeatable": (
        BLOCK.format("op.execute('UPDATE c SET a = 1')", "up", "op.execute('UPDATE c SET b = 1')"),
        BLOCK.format("op.execute('UPDATE c SET b = 0')", "down", "op.execute('UPDATE c SET a = 0')"),
    ),
}
CASES = [
    (service, promise, half, how, then)
    for service, files in (("bank", MONGO), ("shop", POSTGRES))
    for promise in files
    for half in (UP, DOWN)
    for how in ("killed", "failed")
    for then in (UP, DOWN)
]


@pytest.fixture
def small(project: Project, pg_url: str, mongo_url: str) -> Project:
    """A PostgreSQL `shop` and a MongoDB `bank`, each with a first migration that makes three rows."""
    project.add("shop", pg_url)
    project.add("bank", mongo_url, timeouts={"lease": "2s"})
    up = "op.execute('CREATE TABLE c (a int, b int)')\nop.execute('INSERT INTO c VALUES (0, 0), (0, 0), (0, 0)')"
    project.file("shop", "001", up, "op.execute('DROP TABLE c')")
    project.file("bank", "001", "db.c.insert_many([{'a': 0, 'b': 0} for _ in range(3)])", "db.c.drop()")
    assert project("apply", "--yes").code == 0
    return project


def values(service: str, pg: psycopg.Connection[Any], db: Database[dict[str, Any]]) -> set[tuple[int, int]]:
    """The different values of a and b that are there now."""
    if service == "shop":
        return set(pg.execute("SELECT a, b FROM c").fetchall())
    return {(found["a"], found["b"]) for found in db.c.find()}


def add_step(project: Project, service: str, promise: str) -> None:
    """The second migration: it sets a and then b, and can be stopped between the two, in both directions."""
    up, down = (POSTGRES if service == "shop" else MONGO)[promise]
    looking = "op.get_context().as_sql" if service == "shop" else "db[0].client.address[0].endswith('.sock')"
    head = STOP.replace("{looking}", looking)
    head += "" if promise == "neither" else "\nrepeatable = True\n"
    head += "\nfrom dataops.stash.mongo import applying, undoing\n" if promise == "both ways" else ""
    project.file(service, "002", up, down, head=head)


def command(direction: str, service: str) -> list[str]:
    return [direction, "--yes", "--service", service, *(["--steps", "1"] if direction == DOWN else [])]


def stop_half_way(project: Project, service: str, half: str, how: str) -> None:
    mark = project.folder / "fail"
    if how == "failed":
        mark.touch()
        assert project(*command(half, service)).code == 1
        mark.unlink()
    else:
        name = "up" if half == UP else "down"
        with project.running(*command(half, service)) as process:
            project.reached(name)
            process.kill()
            process.wait()
    for name in ("up", "down"):
        project.go(name)


@pytest.mark.parametrize(("service", "promise", "half", "how", "then"), CASES)
def test_a_half_done_step_comes_first(
    small: Project,
    pg: psycopg.Connection[Any],
    mongo_db: Database[dict[str, Any]],
    service: str,
    promise: str,
    half: str,
    how: str,
    then: str,
) -> None:
    add_step(small, service, promise)
    if half == DOWN:
        small.go("up")
        assert small(*command(UP, service)).code == 0
        (small.folder / "up").unlink()
        (small.folder / "up.go").unlink()
    stop_half_way(small, service, half, how)
    between = values(service, pg, mongo_db)
    assert between == {(1, 0)} if not (promise == "both ways" and half == DOWN) else {(0, 1)}

    word = "interrupted" if promise == "neither" else "half done"
    until(lambda: f"{word}: {half} 002" in small("status").stdout, 30)  # a MongoDB lease has to end first
    if then == half:  # everything that looks tells it, and nothing but the end of this step is done
        assert small("status", "--check").code == 6
        assert small("wait", "--timeout", "1s", "--service", service).code == 6
        assert small("stash", "prune", "--yes", f"{service}/002").code in (6, 64)

    goes_on = promise == "both ways" or (promise == "repeatable" and half == then)
    answer = small(*command(then, service))
    if not goes_on:
        assert answer.code == 6, answer.stderr
        assert values(service, pg, mongo_db) == between
        ends = re.search(r"hint: .*?(dataops (?:resolve|apply|rollback) [^;]*?)(?:  or  |;)", answer.stderr)
        assert ends is not None, answer.stderr
        if promise == "neither":
            set_back(service, pg, mongo_db)
            words = ["resolve", f"{service}/002", "--not-applied", "--reason", "set back by hand"]
            assert small(*words).code == 0
        else:
            assert small(*ends[1].split()[1:], "--yes").code == 0
        small(*command(then, service))
    else:
        assert answer.code == 0, answer.stderr
        assert "HALF DONE" in answer.stderr
    assert small("status", "--service", service, "--json").json["services"][0]["interrupted"] is None

    # However it went on, it ends as if nothing had happened.
    assert small("apply", "--yes", "--service", service).code == 0
    assert values(service, pg, mongo_db) == {(1, 1)}
    assert small("status", "--check", "--service", service).code == 0
    assert small("rollback", "--yes", "--steps", "1", "--service", service).code == 0
    assert values(service, pg, mongo_db) == {(0, 0)}


@pytest.mark.parametrize(
    ("promise", "then", "code"),
    [("neither", UP, 6), ("repeatable", UP, 6), ("both ways", UP, 0), ("repeatable", DOWN, 0)],
)
def test_a_run_waits_for_a_step_whose_run_may_have_died(
    project: Project, mongo_url: str, mongo_db: Database[dict[str, Any]], promise: str, then: str, code: int
) -> None:
    """As long as the lease of a killed rollback lasts, the record shows its step: nothing seems to be left to apply."""
    project.add("bank", mongo_url, timeouts={"lease": "8s"}, onto_existing=True)
    project.file("bank", "001", "db.c.insert_one({'a': 0, 'b': 0})", "db.c.drop()")
    add_step(project, "bank", promise)
    project.go("up")
    assert project(*command(UP, "bank")).code == 0
    stop_half_way(project, "bank", DOWN, "killed")
    looks = [project("status", "--check"), project("wait", "--timeout", "1ms", "--service", "bank")]
    assert all(look.code != 0 for look in looks)
    answer = project(*command(then, "bank"))
    assert answer.code == code, answer.stderr
    if code:
        assert "rollback of 002 was started" in answer.stderr
        return
    value = 1 if then == UP else 0
    assert [(found["a"], found["b"]) for found in mongo_db.c.find()] == [(value, value)]
    assert project("status", "--json").json["services"][0]["interrupted"] is None


def set_back(service: str, pg: psycopg.Connection[Any], db: Database[dict[str, Any]]) -> None:
    """What a person does before saying that the step is not applied."""
    if service == "shop":
        pg.execute("UPDATE c SET a = 0, b = 0")
    else:
        db.c.update_many({}, {"$set": {"a": 0, "b": 0}})


def test_a_step_that_fails_before_its_first_write_is_not_half_done(small: Project) -> None:
    small.file("bank", "002", "db.c.find_one()\nraise ValueError('at once')")
    answer = small("apply", "--yes", "--service", "bank")
    assert answer.code == 1
    assert "changed nothing" in answer.stderr
    small.file("bank", "002", "db.c.update_many({}, {'$inc': {'a': 1}})", parent="001")
    assert small("apply", "--yes", "--service", "bank").code == 0


def test_a_failure_says_what_was_sent_and_how_to_go_on(small: Project) -> None:
    small.file("bank", "002", "db.c.update_many({}, {'$inc': {'n': 1}})\nraise ValueError('half-way')")
    answer = small("apply", "--yes", "--service", "bank")
    assert answer.code == 1
    assert "update c" in answer.stderr
    assert "1 write" in answer.stderr
    assert "dataops resolve bank/002 --applied" in answer.stderr
    assert "dataops resolve bank/002 --not-applied" in answer.stderr
    assert small("apply", "--yes", "--service", "bank").code == 6


def test_nothing_else_of_the_service_runs_before_the_half_done_step(small: Project) -> None:
    """`apply --to` of an older one, and `rollback` under a half-done step of which the record knows nothing."""
    add_step(small, "bank", "repeatable")
    stop_half_way(small, "bank", UP, "failed")
    assert small("apply", "--yes", "--to", "bank/001").code == 6
    assert small("rollback", "--yes", "--to", "bank/base").code == 6
    assert small("plan").code == 0
    assert "HALF DONE" in small("plan").stderr + small("plan").stdout


def test_a_step_whose_file_became_one_transaction_meanwhile_is_still_half_done(
    small: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    """What counts is the file that was run, and not the one that is there now."""
    add_step(small, "shop", "neither")
    stop_half_way(small, "shop", UP, "killed")
    path = small.path("shop", "002")
    path.write_text(path.read_text().replace("with op.get_context().autocommit_block():", "if True:"))
    until(lambda: "interrupted: apply 002" in small("status").stdout)
    answer = small(*command(UP, "shop"))
    assert answer.code == 6, answer.stderr
    assert values("shop", pg, mongo_db) == {(1, 0)}


def test_rollback_by_steps_counts_the_half_done_step(
    small: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    """A rollback of one step was killed, and another service has a newer migration: the same command ends the first."""
    add_step(small, "bank", "repeatable")
    small.go("up")
    assert small(*command(UP, "bank")).code == 0
    small.table("shop", "002")
    assert small(*command(UP, "shop")).code == 0
    stop_half_way(small, "bank", DOWN, "killed")
    answer = small("rollback", "--yes", "--steps", "1")
    assert (answer.code, values("bank", pg, mongo_db)) == (0, {(0, 0)}), answer.stderr
    assert pg.execute("SELECT to_regclass('t_002')::text").fetchone() == ("t_002",)


@pytest.mark.parametrize("how", ["killed", "failed"])
def test_a_repeated_rollback_of_a_run_goes_on_with_what_it_was_taking_back(
    small: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]], how: str
) -> None:
    """The run left its step half done, and its rollback ended half-way too: the step is of both runs."""
    add_step(small, "bank", "both ways")
    stop_half_way(small, "bank", UP, "killed")
    for name in ("down", "down.go"):
        (small.folder / name).unlink(missing_ok=True)
    [run] = {line["run"] for line in small("history", "--json").json["entries"] if line["migration"] == "002"}
    back = ["rollback", "--yes", "--run", run]
    if how == "failed":
        (small.folder / "fail").touch()
        assert small(*back).code == 1
        (small.folder / "fail").unlink()
    else:
        with small.running(*back) as process:
            small.reached("down")
            process.kill()
            process.wait()
    small.go("down")
    answer = small(*back)
    assert (answer.code, values("bank", pg, mongo_db)) == (0, {(0, 0)}), answer.stderr
    assert "1 rolled back" in answer.stdout
    assert small("status", "--check").code == 2
    assert "nothing to roll back" in small(*back).stderr


@pytest.mark.parametrize("half", [UP, DOWN])
def test_a_plan_tells_of_a_step_that_is_running(small: Project, half: str) -> None:
    add_step(small, "bank", "repeatable")
    if half == DOWN:
        small.go("up")
        assert small(*command(UP, "bank")).code == 0
    with small.running(*command(half, "bank")):
        small.reached("up" if half == UP else "down")
        answer = small("plan", "--detailed-exitcode")
        assert answer.code == 2
        assert f"{half} of 002 is running, or its run has died: locked now by" in answer.stdout


def test_older_code_does_not_wait_for_what_newer_code_applies_but_for_what_it_takes_back(small: Project) -> None:
    add_step(small, "bank", "repeatable")
    small.configure(bank={"ahead": "allow"})
    path, wait = small.path("bank", "002"), ("wait", "--service", "bank", "--timeout", "1s")
    with small.running(*command(UP, "bank")):
        small.reached("up")
        newer = path.read_text()
        path.unlink()
        assert small(*wait).code == 0
        assert small("status", "--check").code == 0
    path.write_text(newer)
    small.go("up")
    assert small(*command(UP, "bank")).code == 0
    with small.running(*command(DOWN, "bank")):
        small.reached("down")
        path.unlink()
        assert small(*wait).code == 3
        assert small(*wait, "--allow-ahead").code == 3
    until(lambda: "interrupted: rollback 002" in small("status").stdout)
    for answer in (small(*wait), small(*wait, "--allow-ahead"), small("status", "--check")):
        assert answer.code == 6
        assert "its file is missing" in answer.stderr
        assert "--not-applied" not in answer.stderr  # which only code with the file can record
    assert small("resolve", "bank/002", "--applied", "--reason", "put back by hand").code == 0
    assert small(*wait).code == 0


def test_the_question_of_a_rollback_calls_a_half_done_step_what_it_is(small: Project) -> None:
    add_step(small, "bank", "both ways")
    stop_half_way(small, "bank", UP, "failed")
    with Terminal(small, "rollback") as terminal:
        terminal.read_until("[y/N]")
        terminal.press("n\n")
        terminal.ended()
    assert ": 1 half-done migration? " in terminal.text
