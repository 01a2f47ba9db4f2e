"""A hint that has a command in it has one that works: each is taken out of what a refusal prints, and run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from dataops.dev import PostgresServer
from tests.contract.test_records import DBMATE, DJANGO, KNEX
from tests.projects import Project
from tests.servers import Answer

_COMMAND = re.compile(
    r"dataops [a-z][^;,?:`]*?(?=  or  |; |, | and apply| lists| shows| writes| or |[;,?`]|$)", re.MULTILINE
)


def hint(answer: Answer, code: int) -> str:
    """The hints of a refusal with this exit code."""
    assert answer.code == code, answer
    found = re.findall(r"^hint: (.*)$", answer.stderr, re.MULTILINE)
    assert found, answer.stderr
    return "\n".join(found)


def commands(text: str) -> list[list[str]]:
    """The command lines in a hint, as a person would copy them; a word in capitals gets a value."""
    given = {"FILE": "next.plan", "ID": "002", "REV": "002"}
    return [[given.get(word, word) for word in shlex.split(line)[1:]] for line in _COMMAND.findall(text)]


def followed(project: Project, answer: Answer, code: int, *, expected: set[str], fine: tuple[int, ...] = (0,)) -> None:
    """Run every command in the hints of this refusal. `expected` are the first words that have to be among them."""
    lines = commands(hint(answer, code))
    assert expected <= {line[0] for line in lines}, hint(answer, code)
    for line in lines:
        asks = line[0] in ("apply", "rollback") and "--yes" not in line
        done = project(*line, *(["--yes"] if asks else []))
        assert done.code in fine, (line, done)


def test_what_a_wrong_command_line_is_told_works(two: Project, tmp_path: Path) -> None:
    for line, expected in (
        ("statsu", set()),
        ("status --servce x", {"status"}),
        ("plan --steps x", {"plan"}),
        ("resolve shop/001", {"resolve"}),
        ("resolve shop/001 --applied --not-applied --reason x", {"docs"}),
        ("stash prune --older-than 3", {"stash"}),
        ("explain M999", {"docs", "explain"}),
        ("docs nosuch", {"docs"}),
        ("docs operations nosuch", {"docs"}),
        ("history nosuch", {"history"}),
        ("--env nosuch status", {"docs"}),
        ("inspect shop nosuch", {"inspect"}),
        ("apply nosuch.plan", {"plan"}),
        ("apply", {"plan"}),
        ("resolve shop/001 --applied --reason x", {"apply"}),
    ):
        followed(two, two(*line.split()), 64, expected=expected)
    wrong = two("statsu")
    assert "error: there is no command statsu\n" in wrong.stderr
    assert hint(wrong, 64) == "did you mean status or stash? see dataops --help"
    ambiguous = two("plan", "--to", "002")
    assert hint(ambiguous, 64) == "name the service too, for example shop/002"
    assert hint(two("apply", "--to", "01"), 64) == "did you mean 001?"
    assert "0 is less than 1" in two("plan", "--steps", "0").stderr
    assert two("apply", "--yes").code == 0
    followed(two, two("rollback"), 64, expected={"rollback"})
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    nothing = Project(empty, {**two.env, "XDG_STATE_HOME": str(empty)})
    assert hint(two("status", cwd=Path("/")), 4).startswith("dataops init writes one")
    try:
        followed(nothing, nothing("dev", "url"), 10, expected={"dev"}, fine=(0, 4))
    finally:
        assert nothing("dev", "down").code == 0


def test_what_a_refusal_for_a_reason_of_the_database_says_works(
    two: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    pg.execute("CREATE TABLE there_before (id int)")
    refused = two("apply", "--yes", "--service", "shop")
    assert {line[0] for line in commands(hint(refused, 4))} >= {"adopt", "baseline", "docs"}
    pg.execute("DROP TABLE there_before")

    assert two("plan", "--out", "old.plan", "--service", "shop").code == 0
    assert two("apply", "--yes", "--service", "shop", "--to", "001").code == 0
    followed(two, two("apply", "old.plan"), 5, expected={"plan"})

    two.file("bank", "003", "db.half.insert_one({'_id': 1})\nraise RuntimeError('no')", "db.half.drop()")
    failed = two("apply", "--yes")
    assert failed.code == 1
    refused = two("apply", "--yes")
    assert [line[0] for line in commands(hint(refused, 6))] == ["resolve", "resolve", "docs"]
    # the second answer comes too late: nothing is undecided any more
    followed(two, two("status", "--check"), 6, expected={"resolve"}, fine=(0, 64))

    two.file("shop", "003", "op.execute('CREATE TABLE s3 (id int)')", "op.execute('DROP TABLE s3')")
    assert two("apply", "--yes", "--service", "shop").code == 0
    pg.execute("DROP TABLE s3")  # as `alembic downgrade` does
    pg.execute("UPDATE alembic_version SET version_num = '002'")
    followed(two, two("plan", "--service", "shop"), 4, expected={"resolve"})
    assert two("status", "--check", "--service", "shop").code in (0, 2)


A, B, C = "20240101", "20240102", "20240103"
DBMATE_HAS = f"{DBMATE}; INSERT INTO schema_migrations VALUES ('{A}'), ('{B}'); CREATE TABLE t_{A} (id int)"
THERE = f"{DBMATE_HAS}; CREATE TABLE t_{B} (id int)"
ADOPTED, APPLIED = ["adopt --write"], ["adopt --write", "apply --yes"]
MOVES_ON = f"INSERT INTO schema_migrations VALUES ('{C}'); CREATE TABLE t_{C} (id int)"
APPLIES_IT = f"INSERT INTO schema_migrations VALUES ('{B}'); CREATE TABLE t_{B} (id int)"
TAKES_BACK = f"DELETE FROM schema_migrations WHERE version = '{B}'; DROP TABLE t_{B}"
SEQUELIZE = (
    f'CREATE TABLE "SequelizeMeta" (name text PRIMARY KEY); CREATE TABLE t_{A} (id int); CREATE TABLE t_{B} (id int)'
)
DJANGO_HAS = (
    f"{DJANGO}; INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '{A}', now()), "
    f"('stock', '{A}', now()), ('shop', '{B}', now()); CREATE TABLE t_{A} (id int); CREATE TABLE t_{B} (id int)"
)
ADOPTIONS: dict[str, tuple[list[str], str, int, str]] = {
    # what is done first (SQL, or commands), the command that is refused, its code, and what a person then does
    "it moved on": ([THERE, *ADOPTED, MOVES_ON], "plan", 4, ""),
    "it took back": ([THERE, *ADOPTED, TAKES_BACK], "apply --yes", 4, ""),
    "it took back below ours": ([THERE, *APPLIED, TAKES_BACK], "adopt --write", 4, ""),
    "and a rollback through it": ([THERE, *APPLIED, TAKES_BACK], "rollback --yes --to it/base", 4, ""),
    "a rollback of what is adopted": ([THERE, *ADOPTED], f"rollback --yes --to it/{A}", 4, TAKES_BACK),
    "its record has another name": (
        [THERE, "ALTER TABLE schema_migrations RENAME TO my_migrations"], "apply --yes", 4,
        'toml: [dbmate]\nrecord = "my_migrations"',
    ),
    "a record that nobody can read": ([SEQUELIZE], "adopt", 4, "ignore: SequelizeMeta"),
    "no record": ([f"CREATE TABLE t_{A} (id int); CREATE TABLE t_{B} (id int)"], "adopt", 4, ""),
    "a row that no file describes": (
        [THERE, "INSERT INTO schema_migrations VALUES ('1')"], "adopt --write", 4, 'toml: [dbmate]\nretired = ["1"]',
    ),
    "two applications": ([DJANGO_HAS], "adopt --write", 4, 'toml: [django]\napp = "shop"'),
    "a hole": ([THERE, TAKES_BACK, MOVES_ON], "adopt --write", 4, APPLIES_IT),
    "it is migrating": (
        [f"{KNEX}; INSERT INTO knex_migrations (name) VALUES ('{A}'); UPDATE knex_migrations_lock SET is_locked = 1; "
         f"CREATE TABLE t_{A} (id int)"], "adopt --write", 3, "UPDATE knex_migrations_lock SET is_locked = 0",
    ),
    "it is not as it should be": ([DBMATE_HAS], "adopt --write", 8, f"CREATE TABLE t_{B} (id int)"),
}  # fmt: skip


@pytest.mark.parametrize("situation", ADOPTIONS)
def test_every_refusal_of_adoption_leads_to_a_healthy_end(
    project: Project, pg: psycopg.Connection[Any], pg_url: str, postgres: PostgresServer, situation: str
) -> None:
    """Whatever the hint says is done: by the person, once, and then by the commands in it, until nothing is refused."""
    before, refused, code, by_hand = ADOPTIONS[situation]
    project.env["DATAOPS_SCRATCH"] = postgres.url()
    project.add("it", pg_url)
    for id_ in (A, B, C):
        project.table("it", id_)
    for step in before:
        if step.startswith(("adopt", "apply")):
            assert project(*step.split()).code == 0
        else:
            pg.execute(step.encode())
    answer = project(*refused.split())
    text = hint(answer, code)
    if by_hand.startswith("toml: "):
        (project.folder / "it" / "adopt.toml").write_text(by_hand.removeprefix("toml: "))
    elif by_hand.startswith("ignore: "):
        assert "name SequelizeMeta in `ignore`" in text
        project.configure(it={"ignore": [by_hand.removeprefix("ignore: ")]})
    elif by_hand:
        pg.execute(by_hand.encode())
    for _ in range(5):
        lines = [line for line in commands(text) if line[0] in ("adopt", "baseline", "rollback")]
        for line in lines or [["adopt", "--service", "it"]]:
            line = [B if word == "002" else word for word in line]
            answer = project(*line, "--yes" if line[0] == "rollback" else "--write")
            if answer.code == 0:
                break
        answer = project("apply", "--yes")
        if answer.code == 0:
            break
        text = hint(answer, 4)
    assert (answer.code, project("status", "--check").code) == (0, 0), answer.stderr
    assert {f"t_{id_}" for id_ in (A, B, C)} <= {
        str(name) for (name,) in pg.execute("SELECT relname FROM pg_class WHERE relname LIKE 't\\_%'")
    }
