"""`dataops prove` finds every way in which a migration does not lead back, and says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project

Prove = Callable[..., Any]

NOT_BACK = "time.sleep(0)"
"""A downgrade that does nothing, though it does not look empty."""


@pytest.fixture
def prove(project: Project, postgres: PostgresServer, mongo: MongoServer) -> Prove:
    """Prove the project on the servers of the tests: `prove("--since", ...)`."""
    project.add("shop", postgres.url()).add("bank", mongo.url("bank"))
    project.env.clear()  # it asks for no URL

    def run(*args: str) -> Any:
        return project("prove", "--scratch", postgres.url(), "--scratch", mongo.url(), *args, timeout=120)

    return run


def differences(answer: Any, service: str) -> list[tuple[str | None, str, str]]:
    found = next(row for row in answer.json["services"] if row["service"] == service)
    return [(one["migration"], one["when"], one["difference"]) for one in found["differences"]]


def databases(postgres: PostgresServer) -> list[str]:
    import psycopg

    with psycopg.connect(postgres.url()) as connection:
        return [row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()]


def seeds(project: Project, text: str) -> str:
    path = project.folder / "seeds.py"
    path.write_text(text)
    return str(path)


SOWN = """
def seed(service, database):
    if service == "bank":
        database.users.insert_many([{"_id": number, "phone": str(number), "spare": number} for number in range(20)])

def seed_after(service, migration, database):
    if migration == "001" and service == "shop":
        database.execute("INSERT INTO t_001 (id) VALUES (1), (2)")
"""


def test_what_leads_there_and_back_is_proved(project: Project, prove: Prove, postgres: PostgresServer) -> None:
    project.table("shop", "001")
    project.file(
        "shop", "002", 'op.execute("ALTER TABLE t_001 ADD note text")', 'op.execute("ALTER TABLE t_001 DROP note")'
    )
    project.file(
        "bank",
        "a",
        'db.users.update_many({}, {"$rename": {"phone": "tel"}}); db.users.create_index("tel")',
        'db.users.drop_index("tel_1"); db.users.update_many({}, {"$rename": {"tel": "phone"}})',
    )
    answer = prove("--seed", seeds(project, SOWN.partition("def seed_after")[0]), "--json")
    assert (answer.code, differences(answer, "shop"), differences(answer, "bank")) == (0, [], [])
    assert [row["seeded"] for row in answer.json["services"]] == [True, True]
    assert not [name for name in databases(postgres) if name.startswith("dataops_scratch_")]


def test_what_a_history_expects_of_its_application_is_there(project: Project, prove: Prove) -> None:
    project.needs_an_application("bank")
    answer = prove("--service", "bank", "--json")
    assert (answer.code, differences(answer, "bank")) == (0, []), answer
    assert prove("--service", "bank", "--since", "003").code == 0
    project.configure(bank={"application": []})
    refused = prove("--service", "bank", "--json")
    assert (refused.code, "application = [" in refused.stdout) == (1, True), refused
    project.configure(bank={"application": ["users"]})
    project.file("bank", "004", 'db.users.create_index("spare")', NOT_BACK)
    answer = prove("--service", "bank", "--json")
    assert {one[0] for one in differences(answer, "bank")} == {"004", None}


def test_what_is_not_as_it_was_is_told_by_table_index_and_field(project: Project, prove: Prove) -> None:
    project.file(
        "shop",
        "001",
        'op.execute("CREATE TABLE t_001 (id int PRIMARY KEY, code text)")',
        'op.execute("DROP TABLE t_001")',
    )
    project.file("shop", "002", 'op.execute("CREATE INDEX IF NOT EXISTS by_code ON t_001 (code)")', NOT_BACK)
    project.file(
        "shop", "003", "op.execute(\"UPDATE t_001 SET code = 'x'\")", "op.execute('UPDATE t_001 SET code = NULL')"
    )
    project.file("bank", "a", 'db.users.update_many({}, {"$unset": {"spare": ""}})', NOT_BACK)
    project.file("bank", "b", 'db.users.delete_one({"_id": 3})', NOT_BACK)
    path = seeds(
        project,
        SOWN.replace("t_001 (id) VALUES (1), (2)", "t_001 VALUES (1, 'a'), (2, NULL)"),
    )
    answer = prove("--seed", path, "--json")
    assert answer.code == 8
    shop, bank = differences(answer, "shop"), differences(answer, "bank")
    assert ("002", "rolled back", "index t_001.by_code: here, but not expected (btree (code))") in shop
    assert ("003", "rolled back", "t_001.code: different in 1 row (1)") in shop
    assert any(
        m == "a" and when == "rolled back" and "users.spare: different in 20 documents" in d for m, when, d in bank
    )
    assert ("b", "rolled back", "users: 1 document missing here (3)") in bank
    assert any(migration is None and "users.spare" in difference for migration, _, difference in bank)


def test_rows_that_a_dropped_table_takes_with_it_are_told(project: Project, prove: Prove) -> None:
    project.table("shop", "001")
    project.table("shop", "002")
    answer = prove("--seed", seeds(project, SOWN), "--json", "--service", "shop")
    assert (answer.code, differences(answer, "shop")) == (
        8,
        [(None, "applied again", "t_001: 2 rows missing here")],
    )


def test_values_that_are_made_anew_each_time_do_not_count(project: Project, prove: Prove) -> None:
    project.file(
        "bank",
        "a",
        """
        from uuid import uuid4
        for one in db.users.find():
            db.users.update_one(one, {"$set": {"uuid": str(uuid4())}})
        """,
        'db.users.update_many({}, {"$unset": {"uuid": ""}})',
    )
    answer = prove("--seed", seeds(project, SOWN), "--json", "--service", "bank")
    assert (answer.code, differences(answer, "bank")) == (0, [])


def test_what_a_server_makes_by_itself_is_no_difference(project: Project, prove: Prove) -> None:
    """Rows without an id get the next one, and an index makes its collection."""
    tables = "CREATE TABLE {0} (id {1} PRIMARY KEY, name text); INSERT INTO {0} (name) VALUES ('first')"
    identity, serial = (
        tables.format(*pair) for pair in (("roles", "bigint GENERATED ALWAYS AS IDENTITY"), ("users", "serial"))
    )
    project.file("shop", "001", f'op.execute("{identity}; {serial}")', 'op.execute("DROP TABLE roles, users")')
    project.file(
        "shop",
        "002",
        """
        op.execute("INSERT INTO roles (name) VALUES ('admin'), ('user')")
        op.execute("CREATE TABLE members (role bigint REFERENCES roles)")
        op.execute("INSERT INTO members SELECT id FROM roles")
        op.execute("INSERT INTO users (name) VALUES ('ann')")
        """,
        """
        op.execute("DROP TABLE members")
        op.execute("DELETE FROM roles WHERE name <> 'first'; DELETE FROM users WHERE name <> 'first'")
        """,
    )
    project.file("bank", "a", 'db.fresh.create_index("x", name="by_x")', 'db.fresh.drop_index("by_x")')
    project.file("bank", "b", 'db.other.insert_one({"_id": 1})', "db.other.delete_many({})")
    answer = prove("--json")
    assert (answer.code, differences(answer, "shop"), differences(answer, "bank")) == (0, [], [])
    project.file("bank", "c", 'db.third.create_index("x", name="by_x")', NOT_BACK)
    project.file("bank", "d", 'db.create_collection("e", collation={"locale": "de"})', NOT_BACK)
    answer = prove("--json", "--service", "bank")
    assert [(name, told.partition(":")[0]) for name, when, told in differences(answer, "bank") if name] == [
        ("c", "collection third"),
        ("d", "collection e"),
    ]


def test_what_the_second_application_loses_is_found(project: Project, prove: Prove) -> None:
    project.file(
        "bank",
        "a",
        'db.users.update_many({"done": {"$exists": False}}, {"$set": {"kind": "old", "done": True}})',
        'db.users.update_many({}, {"$unset": {"kind": ""}}); db.marks.insert_one({"_id": 1})',
        head="",
    )
    answer = prove("--seed", seeds(project, SOWN), "--json", "--service", "bank")
    found = differences(answer, "bank")
    assert answer.code == 8
    assert any(when == "applied again" and "users.kind: different in 20 documents" in told for _, when, told in found)


def test_a_migration_that_fails_is_an_error_of_its_own_and_hides_nothing(project: Project, prove: Prove) -> None:
    project.file("shop", "001", "time.sleep(0)", 'op.execute("SELECT 1/0")')
    project.file("bank", "a", 'db.users.delete_one({"_id": 3})', NOT_BACK)
    answer = prove("--seed", seeds(project, SOWN), "--json")
    assert answer.code == 1
    assert answer.json["services"][0]["problem"]["migration"] == "001"
    assert differences(answer, "bank")


def test_only_the_newest_are_proved_with_since(project: Project, prove: Prove) -> None:
    project.file(
        "shop", "001", 'op.execute("CREATE TABLE IF NOT EXISTS t_001 (id int)")', NOT_BACK
    )  # it does not lead back
    project.file("shop", "002", 'op.execute("CREATE TABLE t_002 (id int)")', 'op.execute("DROP TABLE t_002")')
    answer = prove("--since", "shop/002", "--json")
    assert (answer.code, answer.json["services"][0]["migrations"]) == (0, ["002"])
    assert prove("--since", "shop/001").code == 8
    assert prove("--since", "shop/nine").code == 64


def test_an_irreversible_migration_is_only_proved_to_apply(project: Project, prove: Prove) -> None:
    project.table("shop", "001")
    project.file("shop", "002", 'op.execute("DROP TABLE t_001")', None)
    answer = prove("--json", "--service", "shop")
    assert (answer.code, differences(answer, "shop")) == (0, [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def seed(service, database):\n    1 / 0", "ZeroDivisionError"),
        ("import nowhere", "ModuleNotFoundError"),
        ("other = 1", "neither seed() nor seed_after()"),
    ],
)
def test_a_seed_file_that_does_not_work_is_a_usage_error(project: Project, prove: Prove, text: str, told: str) -> None:
    project.table("shop", "001")
    answer = prove("--seed", seeds(project, text), "--json", "--service", "shop")
    assert (answer.code, told in answer.json["error"]["message"]) == (64, True)
    assert prove("--seed", str(project.folder / "nowhere.py")).code == 64


def test_the_formats_of_a_pipeline(project: Project, prove: Prove, tmp_path: Path) -> None:
    project.table("shop", "001")
    project.file("shop", "002", 'op.execute("CREATE TABLE IF NOT EXISTS t_002 (id int)")', NOT_BACK)
    report = tmp_path / "prove.xml"
    answer = prove("--service", "shop", "--format", "junit", "--report", str(report))
    assert answer.code == 8
    assert "difference" in answer.stdout
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    cases = {case.get("name"): len(case.findall("failure")) for case in suite.findall("testcase")}
    assert cases == {"001": 0, "002": 1, "the whole way": 1}
    assert (
        "::error file=shop/versions/002.py,line=1,title=shop/002::rolled back: table t_002"
        in prove("--service", "shop", "--format", "github").stdout
    )
