"""adopt and baseline, from outside: databases that another tool has migrated become ours, and nobody notices."""

from __future__ import annotations

import json
import signal
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from bson import ObjectId
from pymongo import MongoClient

from dataops import dev, scratch
from dataops.dev import MongoServer, PostgresServer
from dataops.errors import ExitCode, ServerUnavailable
from dataops.files import chain
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import Author
from dataops.scratch import Scratch
from tests.contract.test_records import DBMATE, DJANGO, GOLANG, KNEX, SQLX
from tests.oldtools import AT, OldTool, checksum
from tests.projects import Project, ended, until
from tests.servers import ROOT, Answer, Cli, fresh_mongo, fresh_postgres
from tests.unit import sample

A, B, C, D = "20240101", "20240102", "20240103", "20240104"
POSTGRES_TOOLS = ["sqlx", "knex"]
ALL = [*POSTGRES_TOOLS, "migrate-mongo"]


class Legacy:
    """A service `it` with A, B, C in files; A and B were applied by the old tool."""

    def __init__(self, folder: Path, tool: str, url: str, scratch: str) -> None:
        self.tool = tool
        self.url = url
        self.scratch = scratch
        self.old = OldTool(tool, url)
        self.project = Project(folder, {"DATAOPS_SCRATCH": scratch})
        self.project.add("it", url, timeouts={"lease": "2s", "lock": "20s", "connect": "3s"})
        for id_ in (A, B, C):
            self.project.table("it", id_)
        self.old.described(self.project, "it", A, B, C)
        self.old.applies(A, B)

    def __call__(self, *args: str, **more: Any) -> Answer:
        return self.project(*args, **more)

    def adopt(self, *args: str, code: int = 0, **more: Any) -> dict[str, Any]:
        """What `adopt --json` says of the service."""
        answer = self.project("adopt", "--json", *args, **more)
        assert (answer.code, answer.json["exit_code"]) == (code, code), answer.stdout + answer.stderr
        (row,) = answer.json["services"]
        assert (row["problem"] is None) is (code == 0)
        return dict(row)

    def findings(self, row: dict[str, Any]) -> dict[str, str]:
        return {line["migration"]: line["finding"] for line in row["migrations"]}

    def status(self) -> dict[str, Any]:
        return dict(self.project("status", "--json", "--service", "it").json["services"][0])

    def journal(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return list(reversed(self.project("history", "--json", "--service", "it").json["entries"]))

    def objects(self) -> set[str]:
        if self.tool == "migrate-mongo":
            with self.old.mongo() as db:
                return set(db.list_collection_names())
        with self.old.postgres() as connection:
            query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
            return {str(row[0]) for row in connection.execute(query)}

    def native(self) -> list[str]:
        """Our record, as the native tool reads it."""
        if self.tool == "migrate-mongo":
            with self.old.mongo() as db:
                found = db.pymongo_migrate.find({"applied": {"$ne": None}}).sort("applied", 1)
                return [str(one["name"]) for one in found]
        with self.old.postgres() as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                return []
            return [str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version")]

    def nothing_written(self) -> bool:
        return self.native() == [] and self.journal() == []


@pytest.fixture(params=ALL)
def it(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer, mongo: MongoServer
) -> Iterator[Legacy]:
    with legacy(tmp_path, request.param, postgres, mongo) as made:
        yield made


only = pytest.mark.parametrize
on_sqlx = only("it", ["sqlx"], indirect=True)
on_knex = only("it", ["knex"], indirect=True)
on_mongo = only("it", ["migrate-mongo"], indirect=True)
on_postgres = only("it", POSTGRES_TOOLS, indirect=True)


@contextmanager
def legacy(folder: Path, tool: str, postgres: PostgresServer, mongo: MongoServer) -> Iterator[Legacy]:
    if tool == "migrate-mongo":
        with fresh_mongo(mongo) as url:
            yield Legacy(folder, tool, url, mongo.url())
    else:
        with fresh_postgres(postgres) as url:
            yield Legacy(folder, tool, url, postgres.url())


# --- looking, and writing


def test_a_look_says_what_would_be_recorded_and_writes_nothing(it: Legacy) -> None:
    before = it.objects()
    row = it.adopt()
    assert it.findings(row) == {A: "adopted", B: "adopted", C: "missing there"}
    assert (row["service"], row["tool"], row["place"]) == ("it", it.tool, it.old.table)
    assert (row["to_record"], row["to_strike"], row["differences"], row["written"]) == ([A, B], [], [], False)
    assert [line["at"] for line in row["migrations"]][:2] == ["2024-03-01T09:31:00+00:00", "2024-03-01T09:32:00+00:00"]
    assert (it.objects(), it.nothing_written()) == (before, True)


def test_an_adopted_database_is_ours_and_the_other_record_is_as_it_was(it: Legacy) -> None:
    theirs = it.old.raw()
    row = it.adopt("--write")
    assert (row["written"], row["to_record"]) == (True, [A, B])
    assert it.native() == ([A, B] if it.tool == "migrate-mongo" else [B])
    journal = it.journal()
    assert [(e["migration"], e["event"], e["direction"]) for e in journal] == [
        (A, "adopted", "apply"),
        (B, "adopted", "apply"),
    ]
    for entry, minute in zip(journal, (31, 32), strict=True):
        assert entry["reason"].startswith(f"{it.tool}: applied there at 2024-03-01 09:{minute}:00 UTC")
        assert it.old.table in entry["reason"]
    plan = it("plan", "--json").json
    assert plan["order"] == [f"it/{C}"]
    assert it.old.raw() == theirs
    assert it.adopt("--write")["to_record"] == []
    assert len(it.journal()) == 2

    assert it("apply", "--yes").code == 0
    assert it.old.raw() == theirs
    assert it.status()["foreign"][0]["behind"] == [C]
    run = it("history", "--json").json["entries"][0]["run"]
    assert it("rollback", "--yes", "--run", run).code == 0  # not the adoption
    assert (it.status()["revision"], it.old.raw()) == (B, theirs)


@on_mongo
def test_pymongo_migrates_record_has_the_time_of_then(it: Legacy) -> None:
    it.adopt("--write")
    with it.old.mongo() as db:
        found = {one["name"]: one for one in db.pymongo_migrate.find()}
    assert {name: set(one) for name, one in found.items()} == {id_: {"_id", "name", "applied"} for id_ in (A, B)}
    assert f"{found[B]['applied']:%Y-%m-%d %H:%M}" == "2024-03-01 09:32"


def test_a_plan_and_an_apply_are_refused_before_the_adoption(it: Legacy) -> None:
    before = it.objects()
    for command in (["plan"], ["apply", "--yes"], ["rollback", "--yes"], ["status", "--check"]):
        answer = it(*command)
        assert (command, answer.code, "dataops adopt --service it" in answer.stderr) == (command, 4, True)
    assert (it.objects(), it.nothing_written()) == (before, True)


def test_the_lines_for_a_person_name_each_migration(it: Legacy) -> None:
    answer = it("adopt")
    assert answer.code == 0
    for id_, finding in ((A, "adopted"), (B, "adopted"), (C, "missing there")):
        assert any(id_ in line and finding in line for line in answer.stdout.splitlines())
    assert "--write" in answer.stderr


# --- catching up


def test_it_catches_up_after_the_old_tool_has_moved_on(it: Legacy) -> None:
    it.adopt("--write")
    it.old.applies(C)
    theirs = it.old.raw()
    assert it.status()["foreign"][0]["moved_on"] == [C]
    for command in (["status", "--check"], ["plan"], ["apply", "--yes"], ["rollback", "--yes", "--steps", "1"]):
        answer = it(*command)
        assert (command, answer.code, "moved on" in answer.stderr) == (command, 4, True)
    row = it.adopt("--write")
    assert (row["to_record"], it.findings(row)) == (
        [C],
        {A: "recorded here already", B: "recorded here already", C: "adopted"},
    )
    assert [entry["migration"] for entry in it.journal()] == [A, B, C]
    assert (it("status", "--check").code, it("plan", "--detailed-exitcode").code) == (0, 0)
    assert it.old.raw() == theirs


def test_what_no_file_describes_has_to_be_written_first(it: Legacy) -> None:
    it.adopt("--write")
    it.old.applies(C, D)
    assert it.adopt("--write", code=9)["problem"]["migration"].startswith(D)
    assert it("apply", "--yes").code == 4
    it.project.table("it", D)
    it.old.described(it.project, "it", A, B, C, D)
    assert it.adopt("--write")["to_record"] == [C, D]


def test_it_follows_when_the_old_tool_takes_something_back(it: Legacy) -> None:
    it.adopt("--write")
    it.old.takes_back(B)
    for command in (["status", "--check"], ["plan"], ["apply", "--yes"]):
        assert (command, it(*command).code) == (command, 4)
    assert it.status()["foreign"][0]["taken_back"] == [B]
    row = it.adopt("--write")
    assert (row["to_strike"], row["to_record"]) == ([B], [])
    assert (it.status()["revision"], it.status()["pending"]) == (A, [B, C])
    assert [(e["event"], e["direction"]) for e in it.journal()][-1] == ("adopted", "rollback")
    assert it("apply", "--yes").code == 0
    assert it.status()["revision"] == C


def test_all_taken_back_leaves_a_database_at_its_base(it: Legacy) -> None:
    it.adopt("--write")
    it.old.takes_back(B)
    it.old.takes_back(A)
    assert it.adopt("--write")["to_strike"] == [B, A]
    assert it.status()["revision"] is None
    assert it("apply", "--yes").code == 0


@on_knex
def test_a_service_that_is_dropped_from_the_old_record_is_not_compared_any_more(it: Legacy) -> None:
    it.adopt("--write")
    with it.old.postgres() as connection:
        connection.execute("DROP TABLE knex_migrations, knex_migrations_lock")
    assert (it("apply", "--yes").code, it("status", "--check").code) == (0, 0)
    assert it("rollback", "--yes", "--to", f"it/{A}").code == 0


def test_a_rollback_of_what_was_adopted_needs_the_mirror_or_the_end_of_the_old_record(it: Legacy) -> None:
    it.adopt("--write")
    answer = it("rollback", "--yes", "--steps", "1", "--json")
    assert (answer.code, "mirror = true" in answer.json["error"]["hint"]) == (4, True)
    assert it("rollback", "--yes").code == 64  # the adoption is no run


# --- what the database really is


def change(it: Legacy, statement: str) -> None:
    with it.old.postgres() as connection:
        connection.execute(statement.encode())


DIFFERENT = {
    "missing": (f"DROP TABLE t_{B}", f"t_{B}"),
    "unexpected": ("CREATE TABLE stranger (id int)", "stranger"),
    "different": (f"ALTER TABLE t_{A} ALTER COLUMN id TYPE bigint", f"t_{A}.id"),
}


@on_knex
@only("how", list(DIFFERENT))
def test_a_database_that_is_not_what_its_record_says_is_not_adopted(it: Legacy, how: str) -> None:
    statement, name = DIFFERENT[how]
    change(it, statement)
    for write in ([], ["--write"]):
        row = it.adopt(*write, code=8)
        assert (row["problem"]["kind"], row["written"]) == ("DifferencesFound", False)
        assert name in row["problem"]["message"]
    assert it.nothing_written()
    reason = ["--accept-differences", "--reason", "we know of it"]
    assert name in it.adopt(*reason)["differences"][0]
    assert it.nothing_written()
    row = it.adopt("--write", *reason)
    assert (len(row["differences"]), row["written"]) == (1, True)
    first, newest = it.journal()
    assert "we know of it" in newest["reason"] and name in newest["reason"]
    assert "we know of it" not in first["reason"]
    assert it("plan").code == 0


def with_an_index(it: Legacy, unique: bool) -> None:
    up = f"db.t_{B}.create_index('phone', unique={unique}, name='phone')"
    it.project.file("it", B, up, f"db.t_{B}.drop_index('phone')", parent=A)


@on_mongo
def test_a_mongodb_whose_history_would_still_change_it_is_not_adopted(it: Legacy) -> None:
    """B should have made an index; the live one lacks it. What the application made itself is no difference."""
    with_an_index(it, unique=False)
    with it.old.mongo() as db:
        db.things.create_index("by_the_application")
        assert "phone" in it.adopt("--write", code=8)["problem"]["message"]
        assert it.nothing_written()
        db[f"t_{B}"].create_index("phone", name="phone")
        assert it.adopt("--write")["differences"] == []


@only("up", ["", "if 'users' not in db.list_collection_names(): "], ids=["unguarded", "guarded"])
def test_a_mongodb_that_is_as_its_history_makes_it_has_no_difference(
    project: Project, mongo_url: str, mongo: MongoServer, up: str
) -> None:
    """Whether or not the files look around first; and an index of another kind is told by its name."""
    project.env["DATAOPS_SCRATCH"] = mongo.url()
    project.add("bank", mongo_url, timeouts={"lease": "2s"})
    validator = {"mail": {"$type": "string"}}
    project.file("bank", "001", f"{up}db.create_collection('users', validator={validator})")
    project.file("bank", "002", "db.users.create_index('mail', name='mail_1')")
    with MongoClient[dict[str, Any]](mongo_url) as client:
        db = client.get_default_database()
        db.create_collection("users", validator=validator)
        db.users.create_index("mail", name="mail_1", unique=True)
        answer = project("baseline", "bank", "--to", "002")
        assert (answer.code, "index users.mail_1: here (mail: 1) unique, expected" in answer.stderr) == (8, True)
        db.users.drop_index("mail_1")
        db.users.create_index("mail", name="mail_1")
        db.create_collection("the_applications_own").create_index("a", unique=True)
    answer = project("baseline", "bank", "--to", "002", "--write", "--json")
    assert (answer.code, answer.json["differences"], project("drift").code) == (0, [], 0)


@on_mongo
def test_a_unique_index_that_the_history_has_made_is_no_obstacle(it: Legacy) -> None:
    with_an_index(it, unique=True)
    with it.old.mongo() as db:
        db[f"t_{B}"].create_index("phone", unique=True, name="phone")
        assert it.adopt("--write")["differences"] == []


@on_knex
def test_differences_are_accepted_only_for_a_reason(it: Legacy) -> None:
    change(it, "CREATE TABLE stranger (id int)")
    for reason in ([], ["--reason", ""], ["--reason", "  "]):
        assert it("adopt", "--write", "--accept-differences", *reason).code == 64
    assert it("adopt", "--write", "--reason", "it is fine").code == 8  # a reason alone accepts nothing
    assert it.nothing_written()


@on_sqlx
def test_a_checksum_that_is_not_the_known_one_is_a_difference(it: Legacy) -> None:
    change(it, f"UPDATE _sqlx_migrations SET checksum = '\\x{checksum('other')}' WHERE version = {B}")
    row = it.adopt("--write", code=8)
    assert it.findings(row) == {A: "adopted", B: "changed there", C: "missing there"}
    assert it.nothing_written()
    row = it.adopt("--write", "--accept-differences", "--reason", "reformatted")
    assert (len(row["differences"]), row["to_record"]) == (1, [A, B])
    assert "reformatted" in it.journal()[-1]["reason"]
    assert it("plan").code == 0
    assert it.adopt()["to_record"] == []


@on_knex
def test_another_order_there_is_told_and_adopted(it: Legacy) -> None:
    it.old.applies(C)
    change(it, f"UPDATE knex_migrations SET migration_time = migration_time - interval '1 day' WHERE name LIKE '{C}%'")
    row = it.adopt("--write")
    assert it.findings(row) == {A: "out of order", B: "out of order", C: "adopted"}
    assert it("plan", "--detailed-exitcode").code == 0


# --- records that are not well


@on_sqlx
def test_a_migration_that_failed_there_has_to_be_repaired_there(it: Legacy) -> None:
    change(it, f"UPDATE _sqlx_migrations SET success = false WHERE version = {B}")
    row = it.adopt("--write", code=6)
    assert (it.findings(row)[B], row["problem"]["migration"], bool(row["problem"]["hint"])) == ("failed there", B, True)
    assert it.nothing_written()
    assert (it("apply", "--yes").code, it("status", "--check").code) == (6, 6)


@on_knex
def test_a_lock_that_knex_left_behind_is_told_with_the_way_out(it: Legacy) -> None:
    change(it, "UPDATE knex_migrations_lock SET is_locked = 1")
    problem = it.adopt("--write", code=3)["problem"]
    assert "knex migrate:unlock" in problem["hint"]
    assert it.nothing_written()


@on_mongo
def test_an_entry_without_its_file_is_unknown_unless_it_is_retired(it: Legacy) -> None:
    with it.old.mongo() as db:
        db.changelog.insert_one({"fileName": "20210101-gone.ts", "appliedAt": None})
    row = it.adopt("--write", code=4)
    assert it.findings(row)["20210101-gone.ts"] == "unknown to us"
    assert it.nothing_written()
    toml = it.project.folder / "it" / "adopt.toml"
    toml.write_text(toml.read_text() + 'retired = ["20210101-gone.ts"]\n')
    row = it.adopt("--write")
    assert (it.findings(row)["20210101-gone.ts"], row["to_record"]) == ("retired", [A, B])
    assert it("plan").code == 0


@on_mongo
def test_entries_that_are_there_twice_and_with_other_extensions_are_one(it: Legacy) -> None:
    with it.old.mongo() as db:
        db.changelog.update_one({"fileName": f"{A}.ts"}, {"$set": {"fileName": f"{A}.js"}})
        db.changelog.insert_many([{"fileName": f"{B}.ts"}, {"fileName": f"{B}"}, {"fileName": f"{B}.mjs"}])
    assert it.adopt("--write")["to_record"] == [A, B]
    assert it("plan").code == 0


@on_postgres
def test_a_hole_in_the_record_is_refused(it: Legacy) -> None:
    it.old.applies(C)
    it.old.takes_back(B)
    assert it.adopt("--write", code=4)["problem"]["migration"] == B
    assert it.nothing_written()


@on_knex
def test_two_records_have_to_be_chosen_from(it: Legacy) -> None:
    change(it, DBMATE)
    change(it, f"INSERT INTO schema_migrations VALUES ('{A}'), ('{B}')")
    assert it.adopt("--write", code=64)["problem"]["hint"].startswith("say which: --from")
    assert it.nothing_written()
    assert it.adopt("--from", "sqlx", code=4)["problem"]["kind"] == "HistoryError"
    assert it("adopt", "--from", "slqx").code == 64
    assert it.adopt("--write", "--from", "dbmate")["tool"] == "dbmate"
    assert it("plan").code == 0


@on_knex
def test_a_record_that_is_beside_does_not_count(it: Legacy) -> None:
    change(it, DJANGO)
    change(it, "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0001_initial', now())")
    assert it("adopt").code == 64
    it.project.configure(it={"beside": ["django"]})
    assert it.adopt("--write")["tool"] == "knex"
    assert it("apply", "--yes").code == 0
    change(it, "DROP TABLE knex_migrations")
    assert it("adopt").code == 0  # it is ours, and what is beside needs no adoption
    assert it("status", "--check").code == 0


@on_sqlx
def test_the_record_of_another_service_is_recognized(it: Legacy, postgres: PostgresServer) -> None:
    """Two URLs were swapped."""
    with fresh_postgres(postgres) as other:
        it.project.add("other", other)
        it.project.table("other", D)
        env = {"IT_URL": other, "OTHER_URL": it.url}
        answer = it("adopt", "--write", "--json", "--service", "other", env=env)
        (row,) = answer.json["services"]
        assert (answer.code, "record of it" in row["problem"]["hint"]) == (4, True)
        assert it("apply", "--yes", "--service", "other", env=env).code == 4
    assert it.nothing_written()


def test_no_record_is_said_with_the_other_ways(project: Project, pg_url: str, mongo_url: str) -> None:
    for name, url in (("shop", pg_url), ("bank", mongo_url)):
        project.add(name, url)
        project.table(name, "001")
    answer = project("adopt", "--json")
    assert answer.code == 4
    for row in answer.json["services"]:
        assert "dataops apply" in row["problem"]["hint"] and "dataops baseline" in row["problem"]["hint"]
    assert project("apply", "--yes").code == 0
    answer = project("adopt", "--write", "--json")
    assert (answer.code, [row["written"] for row in answer.json["services"]]) == (0, [False, False])


def test_each_service_is_adopted_or_not_by_itself(tmp_path: Path, postgres: PostgresServer, mongo: MongoServer) -> None:
    """One has a stranger in it, the other is as it should be: the exit code is that of the worse."""
    with legacy(tmp_path, "knex", postgres, mongo) as it, fresh_mongo(mongo) as mongo_url:
        change(it, "CREATE TABLE stranger (id int)")
        other = OldTool("migrate-mongo", mongo_url)
        it.project.add("bank", mongo_url, timeouts={"lease": "2s"})
        it.project.table("bank", A)
        other.applies(A)
        answer = it("adopt", "--write", "--json", "--scratch", postgres.url(), "--scratch", mongo.url())
        assert answer.code == 8
        assert {row["service"]: row["written"] for row in answer.json["services"]} == {"it": False, "bank": True}
        assert it.nothing_written()


@contextmanager
def role(it: Legacy, name: str, *grants: str) -> Iterator[str]:
    """The URL of somebody who may connect, and what `grants` say."""
    with it.old.postgres() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret-of-nobody'".encode())
        try:
            for grant in grants:
                connection.execute(f"GRANT {grant} TO {name}".encode())
            yield it.url.replace(urlsplit(it.url).netloc.rpartition("@")[0], f"{name}:secret-of-nobody")
        finally:
            connection.execute(f"DROP OWNED BY {name} CASCADE".encode())
            connection.execute(f"DROP ROLE {name}".encode())


@on_sqlx
def test_who_may_not_read_the_record_is_told_so(it: Legacy) -> None:
    with role(it, "hidden_from", "USAGE ON SCHEMA public") as url:
        answer = it("adopt", "--write", "--json", env={"IT_URL": url})
        assert answer.code == 10
        assert "GRANT SELECT ON _sqlx_migrations" in answer.json["services"][0]["problem"]["hint"]
        assert it("plan", env={"IT_URL": url}).code == 10
    assert it.nothing_written()


@on_sqlx
def test_to_look_is_enough_to_read_and_nothing_half_is_written_without_the_right(it: Legacy) -> None:
    with role(it, "looks_only", "USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public") as url:
        env = {"IT_URL": url}
        assert it("adopt", env=env).code == 0
        answer = it("adopt", "--write", env=env)
        assert (answer.code, "Traceback" in answer.stderr) == (10, False)
    assert it.nothing_written()


# --- where the comparison is built


def scratches(it: Legacy) -> list[str]:
    if it.tool == "migrate-mongo":
        with MongoClient[dict[str, Any]](it.scratch) as client:
            names = client.list_database_names()
    else:
        with psycopg.connect(it.scratch) as connection:
            names = [str(row[0]) for row in connection.execute("SELECT datname FROM pg_database")]
    return [name for name in names if name.startswith(scratch.PREFIX)]


def test_nothing_of_the_comparison_stays(it: Legacy) -> None:
    assert it("adopt").code == 0
    it.project.file("it", B, "raise RuntimeError('not on an empty database')", parent=A)
    answer = it("adopt", "--write")
    assert (answer.code, "Traceback" in answer.stderr) == (1, False)
    assert (scratches(it), it.nothing_written()) == ([], True)
    assert '--accept-differences --reason "..."' in answer.stderr  # a way on, if nothing else helps
    row = it.adopt("--write", "--accept-differences", "--reason", "it needs data")
    assert row["differences"][0].startswith("nothing was compared: our history cannot be built")
    assert ("it needs data" in it.journal()[-1]["reason"], scratches(it), it("plan").code) == (True, [], 0)


@on_knex
def test_a_scratch_server_of_another_major_version_is_told_with_the_differences(it: Legacy) -> None:
    with it.old.postgres() as connection:
        here = connection.info.server_version // 10000
    there = 17 if here != 17 else 15
    with dev.postgres_server(there, stand_in=True) as other:
        assert it.adopt("--scratch", other.url())["differences"] == []
        change(it, "CREATE TABLE stranger (id int)")
        hint = it.adopt("--write", "--scratch", other.url(), code=8)["problem"]["hint"]
    assert hint.startswith(f"our history was run on PostgreSQL {there}, and the database is on PostgreSQL {here}: ")
    assert it.nothing_written()


@on_knex
@only("url", ["not-a-url", "mysql://root@127.0.0.1/x", ""])
def test_a_scratch_server_that_is_no_url_is_a_usage_error(it: Legacy, url: str) -> None:
    assert it("adopt", "--scratch", url, env={"DATAOPS_SCRATCH": ""}).code == 64


@on_knex
def test_a_scratch_server_that_cannot_be_reached_is_told(it: Legacy) -> None:
    row = it.adopt("--scratch", "postgres://u:secret-word@127.0.0.1:1/x", code=10)
    assert "secret-word" not in json.dumps(row)
    assert it.nothing_written()


@on_knex
def test_a_scratch_server_on_which_no_database_may_be_made_is_told(it: Legacy) -> None:
    with role(it, "makes_nothing") as url:
        assert "CREATEDB" in it.adopt("--scratch", url, code=10)["problem"]["hint"]


@only("kind", [POSTGRESQL, MONGODB])
def test_without_any_server_to_build_on_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    def none(*_: object, **__: object) -> object:
        raise ServerUnavailable("no such program on this machine")

    monkeypatch.setattr(dev, "postgres_server", none)
    monkeypatch.setattr(dev, "mongodb_server", none)
    author = Author("run-1", "ana", "pod-1", "1")
    with (
        Scratch(author) as made,
        pytest.raises(ServerUnavailable) as caught,
        made.database(sample.service("a", kind=kind)),
    ):
        pass
    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert "--scratch URL" in caught.value.hint and kind.name in caught.value.hint


@only("it", ["sqlx", "migrate-mongo"], indirect=True)
def test_by_default_a_server_is_started_for_the_while(it: Legacy) -> None:
    assert it.adopt("--write", env={"DATAOPS_SCRATCH": ""})["to_record"] == [A, B]


@on_knex
def test_a_signal_while_the_comparison_is_built_leaves_nothing(it: Legacy) -> None:
    it.project.file("it", A, f"here('building')\nop.execute('CREATE TABLE t_{A} (id int)')", parent=None)
    with it.project.running("adopt", "--write") as process:
        it.project.reached("building")
        process.send_signal(signal.SIGTERM)
        it.project.go("building")
        assert ended(process).code == 75
    assert (scratches(it), it.nothing_written()) == ([], True)


# --- others at the same time


@on_postgres
def test_a_record_that_grows_while_we_look_is_not_adopted_half(it: Legacy) -> None:
    """A later look would take it over whole; this one was of something else."""
    it.project.file("it", A, f"here('building')\nop.execute('CREATE TABLE t_{A} (id int)')", parent=None)
    with it.project.running("adopt", "--write") as process:
        it.project.reached("building")
        it.old.applies(C)
        it.project.go("building")
        assert ended(process).code == 5
    assert it.nothing_written()
    assert it.adopt("--write")["to_record"] == [A, B, C]


@on_sqlx
def test_a_service_that_migrates_right_now_is_waited_for(it: Legacy) -> None:
    from dataops.backends.postgres.othertools import sqlx_lock_key

    with it.old.postgres() as service:
        service.execute("SELECT pg_advisory_lock(%s)", [sqlx_lock_key(service.info.dbname)])
        it.project.configure(it={"timeouts": {"lock": "500ms"}})
        assert it.adopt("--write", code=3)["problem"]["kind"] == "LockNotObtained"
        assert it.native() == []
        it.project.configure(it={"timeouts": {"lock": "30s"}})
        with it.project.running("adopt", "--write") as process:
            ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dataops/%%' AND datname = %s"
            until(lambda: service.execute(ours, [service.info.dbname]).fetchone() == (1,))
            service.execute("SELECT pg_advisory_unlock_all()")
            assert ended(process).code == 0
    assert it.native() == [B]


def test_two_at_once_record_it_once(it: Legacy) -> None:
    with it.project.running("adopt", "--write") as one, it.project.running("adopt", "--write") as two:
        codes = (ended(one).code, ended(two).code)
    assert codes == (0, 0)
    assert [entry["migration"] for entry in it.journal()] == [A, B]
    assert it("plan").code == 0


@only("it", ["knex", "migrate-mongo"], indirect=True)
def test_an_adoption_waits_for_a_running_apply(it: Legacy) -> None:
    """Meanwhile the old tool applies the same, and records it: then nothing is left to take over but D."""
    it.adopt("--write")
    it.project.file("it", C, "here('middle', db)" if it.tool == "migrate-mongo" else "here('middle')", parent=B)
    it.project.table("it", D)
    it.old.described(it.project, "it", A, B, C, D)
    with it.project.running("apply", "--yes", "--to", C) as apply:
        it.project.reached("middle")
        (it.project.folder / "middle").unlink()
        it.old.applies(C, change=False)
        it.old.applies(D)
        with it.project.running("adopt", "--write", "--log-format", "json") as adopt:
            until(lambda: (it.project.folder / "middle").exists() or adopt.poll() is not None)
            assert adopt.poll() is None, ended(adopt)
            it.project.go("middle")
            assert ended(apply).code == 0
            code = ended(adopt).code
    assert code in (0, 5)  # 5: it had looked before C was recorded
    if code == 5:
        it.adopt("--write")
    assert (it.status()["revision"], it("plan", "--detailed-exitcode").code) == (D, 0)
    events = [(entry["migration"], entry["event"]) for entry in it.journal()]
    assert events.count((C, "succeeded")) == 1 and (C, "adopted") not in events
    assert events.count((D, "adopted")) == 1


# --- kill -9


MANY = [f"2023{month:02}{day:02}" for month in range(1, 4) for day in range(1, 11)]


def with_many(made: Legacy) -> Legacy:
    """Thirty more before A."""
    for parent, id_ in zip([None, *MANY], MANY, strict=False):
        made.project.file("it", id_, parent=parent)
    made.project.table("it", B)
    made.project.file("it", A, *_bodies(made), parent=MANY[-1])
    made.project.file("it", B, *_bodies(made, B), parent=A)
    made.project.file("it", C, *_bodies(made, C), parent=B)
    made.old.described(made.project, "it", *MANY, A, B, C)
    made.old.applies(*MANY, change=False)
    return made


def _bodies(made: Legacy, id_: str = A) -> tuple[str, str]:
    if made.tool == "migrate-mongo":
        return f"db.t_{id_}.insert_one({{'_id': 1}})", f"db.t_{id_}.drop()"
    return f"op.execute('CREATE TABLE t_{id_} (id int)')", f"op.execute('DROP TABLE t_{id_}')"


@contextmanager
def watched(made: Legacy) -> Iterator[set[int]]:
    """How many migrations our native record had at any moment in between."""
    seen: set[int] = set()
    over = threading.Event()

    def look() -> None:
        with made.old.mongo() if made.tool == "migrate-mongo" else made.old.postgres() as there:
            ending = False
            while not ending:
                ending = over.is_set()  # asked first: the end has been seen, too
                seen.add(_recorded(there))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        until(lambda: seen)
        yield seen
    finally:
        over.set()
        thread.join()


def _recorded(there: Any) -> int:
    if not isinstance(there, psycopg.Connection):
        return int(there.pymongo_migrate.count_documents({}))
    if there.execute("SELECT to_regclass('dataops_history.dataops_journal')").fetchone() == (None,):
        return 0
    row = there.execute("SELECT count(*) FROM dataops_history.dataops_journal").fetchone()
    return int(row[0]) if row else 0


@only("it", ["sqlx", "migrate-mongo"], indirect=True)
def test_nobody_ever_sees_half_of_it(it: Legacy) -> None:
    whole = len(with_many(it).old.record())
    with watched(it) as seen:
        it.adopt("--write")
    assert (whole, seen) == (len(MANY) + 2, {0, whole})


@only("seed", range(2))
@only("it", ["sqlx", "migrate-mongo"], indirect=True)
def test_killed_at_any_moment_all_of_it_is_recorded_or_nothing(it: Legacy, seed: int) -> None:
    whole = len(with_many(it).old.record())
    theirs = it.old.raw()
    random = Random(seed)
    for _ in range(2):
        with it.project.running("adopt", "--write") as process:
            time.sleep(random.uniform(0.5, 2.5))  # the moment is the test, not a wait
            process.kill()
            process.wait()
        assert (it.status()["applied"], len(it.journal())) in ((0, 0), (whole, whole))
    assert it("adopt", "--write").code == 0
    assert (it.status()["applied"], len(it.journal()), it.old.raw()) == (whole, whole, theirs)
    assert it("plan", "--json").json["order"] == [f"it/{C}"]


def test_killed_in_the_middle_on_a_standalone_it_is_completed_by_the_next(
    tmp_path: Path, mongo_standalone: MongoServer
) -> None:
    """Where there are no transactions, what a kill leaves is a beginning, on which nothing can be built."""
    with fresh_mongo(mongo_standalone) as url:
        made = with_many(Legacy(tmp_path, "migrate-mongo", url, mongo_standalone.url()))
        whole = len(made.old.record())
        with made.old.mongo() as db, made.project.running("adopt", "--write") as process:
            until(lambda: db.pymongo_migrate.count_documents({}) > 3)
            process.kill()
            process.wait()
            assert 3 < db.pymongo_migrate.count_documents({}) < whole
        assert (made("apply", "--yes").code, made("plan").code) == (4, 4)
        assert made("adopt", "--write").code == 0
        assert (made.status()["applied"], made("plan", "--json").json["order"]) == (whole, [f"it/{C}"])


def test_what_fails_in_the_middle_on_a_standalone_is_taken_back(tmp_path: Path, mongo_standalone: MongoServer) -> None:
    """The journal refuses a document: here, by a rule that somebody made."""
    with fresh_mongo(mongo_standalone) as url:
        made = with_many(Legacy(tmp_path, "migrate-mongo", url, mongo_standalone.url()))
        with made.old.mongo() as db:
            db.create_collection("dataops_journal", validator={"migration": {"$ne": B}})
            assert made("adopt", "--write").code != 0
            assert (db.pymongo_migrate.count_documents({}), db.dataops_journal.count_documents({})) == (0, 0)
            db.command("collMod", "dataops_journal", validator={})
            assert made("adopt", "--write").code == 0


# --- a database without any record


def without_record(it: Legacy) -> Legacy:
    if it.tool == "migrate-mongo":
        with it.old.mongo() as db:
            db.drop_collection("changelog")
    else:
        change(it, f"DROP TABLE {it.old.table}")
    return it


def test_a_baseline_says_where_a_database_stands(it: Legacy) -> None:
    without_record(it)
    before = it.objects()
    answer = it("baseline", "it", "--to", B, "--json")
    assert (answer.code, answer.json["to_record"], answer.json["written"]) == (0, [A, B], False)
    assert (it.objects(), it.nothing_written()) == (before, True)
    answer = it("baseline", "it", "--to", B, "--write", "--reason", "restored from a dump", "--json")
    assert (answer.code, answer.json["written"]) == (0, True)
    assert [(e["migration"], e["event"]) for e in it.journal()] == [(A, "adopted"), (B, "adopted")]
    assert all("baseline" in e["reason"] and "restored from a dump" in e["reason"] for e in it.journal())
    assert it("plan", "--json").json["order"] == [f"it/{C}"]
    assert it("baseline", "it", "--to", B, "--write").code == 4
    assert it("apply", "--yes").code == 0


@on_knex
def test_a_baseline_is_checked_like_an_adoption(it: Legacy) -> None:
    without_record(it)
    answer = it("baseline", "it", "--to", C, "--write", "--json")
    assert (answer.code, answer.json["error"]["kind"]) == (8, "DifferencesFound")
    assert f"t_{C}" in answer.json["error"]["message"]
    assert it("baseline", "it", "--to", A, "--write").code == 8
    assert it("baseline", "it", "--to", C, "--accept-differences").code == 64
    assert it.nothing_written()
    answer = it("baseline", "it", "--to", C, "--write", "--accept-differences", "--reason", "later", "--json")
    assert (answer.code, len(answer.json["differences"])) == (0, 1)
    assert f"t_{C}" in it.journal()[-1]["reason"]


@on_postgres
def test_a_baseline_is_for_a_database_without_a_record(it: Legacy) -> None:
    answer = it("baseline", "it", "--to", B, "--write", "--json")
    assert (answer.code, "dataops adopt" in answer.json["error"]["hint"]) == (4, True)
    assert it.nothing_written()


@on_knex
@only("args", [["it", "--to", "2025"], ["it", "--to", "base"], ["that", "--to", A], ["it"]])
def test_a_baseline_of_nothing_known_is_a_usage_error(it: Legacy, args: list[str]) -> None:
    assert it("baseline", *args).code == 64


# --- other tools


@on_knex
def test_golang_migrate_that_stands_at_a_number_has_all_below(it: Legacy) -> None:
    without_record(it)
    change(it, GOLANG)
    change(it, f"INSERT INTO schema_migrations VALUES ({B}, true)")
    assert it.adopt("--write", code=6)["problem"]["migration"] == B
    change(it, "UPDATE schema_migrations SET dirty = false")
    assert it.adopt("--write")["to_record"] == [A, B]
    change(it, f"UPDATE schema_migrations SET version = {A}; DROP TABLE t_{B}")
    assert it.adopt()["to_strike"] == [B]


@on_mongo
def test_an_interrupted_step_of_ours_goes_first(it: Legacy) -> None:
    with it.old.mongo() as db:
        db.dataops_journal.insert_one(
            {
                "_id": ObjectId(), "seq": 1, "run": "r", "migration": A, "direction": "apply", "event": "started",
                "at": None, "seconds": None, "actor": "a", "host": "h", "version": "1", "checksum": "",
                "raw_checksum": "", "error": "", "reason": "",
            }
        )  # fmt: skip
    assert it.adopt("--write", code=6)["problem"]["kind"] == "InterruptedStep"


# --- Blink


PRODUCTION_ORDER = {
    "api-keys": ["20231103084227", "20231115113501", "20231205080519", "20240112183422", "20231215145636"],
    "notifications": [
        "20240111102028", "20210316025847", "20210921115907", "20211013151757", "20220208120856", "20220713122907",
    ],
}  # fmt: skip
FOLDERS = {"api-keys": "api_keys", "notifications": "notifications", "voucher": "voucher"}
VARIABLES = {"api-keys": "API_KEYS_PG_CON", "notifications": "NOTIFICATIONS_PG_CON", "voucher": "VOUCHER_PG_CON"}
UPTO = {
    "api": "20231128111840-re-init-withdraw-fee",
    "api-keys": "20240112183422",
    "notifications": "20240406100757",
    "voucher": "20240520210910",
}


class Blink:
    """Its four databases as sqlx, knex and migrate-mongo left them, up to some migration or whole."""

    def __init__(self, folder: Path, urls: dict[str, str], servers: tuple[str, str], upto: dict[str, str]) -> None:
        self.folder = folder
        self.urls = urls
        self.servers = [argument for url in servers for argument in ("--scratch", url)]
        self.config = folder / "dataops.toml"
        self.configure()
        for service in ("api", *FOLDERS):
            to = ["--to", upto[service]] if service in upto else []
            assert self("apply", "--yes", "--service", service, *to).code == 0
        for service in FOLDERS:
            self._forget_postgres(service)
        self._forget_mongo()

    def configure(self, mirror: bool = False) -> None:
        text = (ROOT / "dataops.toml").read_text()
        text = text.replace('folder = "', f'folder = "{ROOT}/')
        if mirror:
            text = text.replace('folder = "', 'mirror = true\nfolder = "')
        self.config.write_text(text)

    def __call__(self, *args: str) -> Answer:
        return Cli(self.urls)(*args, cwd=self.folder, timeout=180)

    def known(self, service: str) -> dict[str, Any]:
        text = (ROOT / "pg_migrations" / FOLDERS[service] / "adopt.toml").read_text()
        return dict(tomllib.loads(text).get("sqlx", {}).get("migrations", {}))

    def _forget_postgres(self, service: str) -> None:
        """What is ours goes; the other tool's record comes, in the order of Blink's production."""
        with psycopg.connect(self.urls[VARIABLES[service]], autocommit=True) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            assert row is not None
            connection.execute("DROP TABLE alembic_version")
            for (name,) in connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dataops%'"):
                connection.execute(f"DROP SCHEMA {name} CASCADE".encode())
            connection.execute((KNEX if service == "voucher" else SQLX).encode())
            applied = self._chain(service, str(row[0]))
            first = [id_ for id_ in PRODUCTION_ORDER.get(service, []) if id_ in applied]
            for at, id_ in enumerate([*first, *(one for one in applied if one not in first)]):
                if service == "voucher":
                    (path,) = (ROOT / "pg_migrations/voucher/versions").glob(f"{id_}_*.py")
                    connection.execute(
                        "INSERT INTO knex_migrations (name, batch, migration_time) VALUES (%s, 1, %s)",
                        [f"{path.stem}.mjs", AT + timedelta(days=at)],
                    )
                else:
                    known = self.known(service)[id_]
                    connection.execute(
                        "INSERT INTO _sqlx_migrations VALUES (%s, %s, %s, true, %s, 1)",
                        [int(id_), known["description"], AT + timedelta(days=at), bytes.fromhex(known["checksum"])],
                    )

    def _chain(self, service: str, head: str) -> list[str]:
        folder = ROOT / "pg_migrations" / FOLDERS[service]
        ids = [migration.id for migration in chain.load(service, POSTGRESQL, folder)]
        return ids[: ids.index(head) + 1]

    def _forget_mongo(self) -> None:
        with MongoClient[dict[str, Any]](self.urls["MONGODB_CON"]) as client:
            db = client.get_default_database()
            names = [one["name"] for one in db.pymongo_migrate.find({"applied": {"$ne": None}}).sort("applied", 1)]
            for collection in db.list_collection_names():
                if collection.startswith(("dataops_", "pymongo_migrate")):
                    db.drop_collection(collection)
            db.changelog.insert_many(
                [
                    {"fileName": f"{name}.ts", "appliedAt": AT + timedelta(days=at)}
                    for at, name in enumerate(["20210610073725-multi-lnds", *names])
                ]
            )

    def records(self) -> dict[str, list[Any]]:
        """The other tools' records, without times and batches."""
        found: dict[str, list[Any]] = {}
        for service, variable in VARIABLES.items():
            with psycopg.connect(self.urls[variable]) as connection:
                query = "SELECT version, description, success, encode(checksum, 'hex') FROM _sqlx_migrations ORDER BY 1"
                if service == "voucher":
                    query = "SELECT name FROM knex_migrations ORDER BY id"
                found[service] = connection.execute(query.encode()).fetchall()
        with MongoClient[dict[str, Any]](self.urls["MONGODB_CON"]) as client:
            names = client.get_default_database().changelog.find().sort("appliedAt", 1)
            found["api"] = [one["fileName"] for one in names]
        return found


@pytest.fixture
def servers(postgres: PostgresServer, mongo: MongoServer) -> tuple[str, str]:
    return postgres.url(), mongo.url()


def test_blink_is_adopted_whole_in_its_own_order_and_without_a_difference(
    tmp_path: Path, all_urls: dict[str, str], servers: tuple[str, str]
) -> None:
    blink = Blink(tmp_path, all_urls, servers, {})
    before = blink.records()
    answer = blink("adopt", "--write", "--json", *blink.servers)
    assert answer.code == 0, answer.stdout
    rows = {row["service"]: row for row in answer.json["services"]}
    assert {name: (len(row["to_record"]), row["differences"]) for name, row in rows.items()} == {
        "api": (38, []), "api-keys": (5, []), "notifications": (15, []), "voucher": (4, []),
    }  # fmt: skip
    late = {
        name: [line["migration"] for line in row["migrations"] if line["finding"] == "out of order"]
        for name, row in rows.items()
    }
    assert late == {
        "api": [],
        "api-keys": ["20231215145636"],
        "notifications": PRODUCTION_ORDER["notifications"][1:],
        "voucher": [],
    }
    assert [line for line in rows["api"]["migrations"] if line["finding"] == "retired"]
    for command in (["status", "--check"], ["plan", "--detailed-exitcode"], ["apply", "--yes"], ["wait"]):
        assert (command, blink(*command).code) == (command, 0)
    assert blink.records() == before
    # What was thrown away before us cannot be given back.
    assert blink("rollback", "--yes", "--service", "notifications", "--to", "20240417091715").code == 7
    entries = blink("history", "--limit", "100", "--json").json["entries"]
    assert [entry["event"] for entry in entries] == ["adopted"] * 62


def test_a_blink_that_is_behind_goes_on_from_there_in_both_records_and_back(
    tmp_path: Path, all_urls: dict[str, str], servers: tuple[str, str]
) -> None:
    blink = Blink(tmp_path, all_urls, servers, UPTO)
    before = blink.records()
    assert blink("adopt", "--write", *blink.servers).code == 0
    blink.configure(mirror=True)
    plan = blink("plan", "--json").json
    newer = [step for service in plan["services"] for step in service["steps"]]
    assert [step["migration"] for step in newer][:2] == [
        "20231220170640-quiz-new-collection-1",
        "20231220190840-quiz-new-collection-2",
    ]
    assert blink("apply", "--yes").code == 0
    after = blink.records()
    for service in ("api-keys", "notifications"):
        assert after[service] == [
            (int(id_), known["description"], True, known["checksum"])
            for id_, known in sorted(blink.known(service).items())
        ]
    assert [len(after[name]) for name in ("api", "api-keys", "notifications", "voucher")] == [39, 5, 15, 4]
    assert after["voucher"][-1] == ("20250210133521_add_amount_in_sats.mjs",)
    assert after["api"][-1] == "20240424133833-add-account-id-to-invoices.ts"
    assert blink("status", "--check").code == 0
    run = blink("history", "--json").json["entries"][0]["run"]
    assert blink("rollback", "--yes", "--run", run).code == 0
    assert blink.records() == before
