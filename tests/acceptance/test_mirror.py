"""mirror = true: what our commands do, the other tool finds in its own record, and has nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from tests.contract.test_records import DBMATE, KNEX, SQLX
from tests.oldtools import OldTool
from tests.projects import Project, ended, until
from tests.servers import Answer, fresh_mongo, fresh_postgres

A, B, C = "20240101", "20240102", "20240103"


class Mirrored:
    """A service `it` with A and B, both described, on an empty database; `old` is what is mirrored."""

    def __init__(self, folder: Path, tool: str, url: str, scratch: str) -> None:
        self.old = OldTool(tool, url)
        self.project = Project(folder, {"DATAOPS_SCRATCH": scratch})
        self.project.add("it", url, mirror=True, timeouts={"lease": "2s", "lock": "20s"})
        self.project.table("it", A)
        self.project.table("it", B)
        self.describe(A, B)

    def describe(self, *ids: str) -> None:
        self.old.described(self.project, "it", *ids)

    def applied(self) -> int:
        row = self.project("status", "--json").json["services"][0]
        return int(row["applied"])


@pytest.fixture(params=["sqlx", "knex", "migrate-mongo"])
def it(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer, mongo: MongoServer
) -> Iterator[Mirrored]:
    if request.param == "migrate-mongo":
        with fresh_mongo(mongo) as url:
            yield Mirrored(tmp_path, request.param, url, mongo.url())
        return
    with fresh_postgres(postgres) as url:
        yield Mirrored(tmp_path, request.param, url, postgres.url())


def test_a_database_made_from_nothing_is_ready_for_the_other_tool(it: Mirrored) -> None:
    answer = it.project("apply", "--yes")
    assert (answer.code, it.old.record()) == (0, it.old.expected(A, B))
    for command in (["status", "--check"], ["plan", "--detailed-exitcode"], ["apply", "--yes"], ["adopt"]):
        assert (command, it.project(*command).code) == (command, 0)
    assert it.old.record() == it.old.expected(A, B)


@pytest.mark.parametrize(("tool", "theirs"), [("sqlx", SQLX), ("knex", KNEX)])
def test_the_tables_are_made_as_the_other_tool_makes_them(
    tmp_path: Path, pg_url: str, postgres: PostgresServer, tool: str, theirs: str
) -> None:
    one = Mirrored(tmp_path, tool, pg_url, postgres.url())
    assert one.project("apply", "--yes", "--to", A).code == 0

    def shape(connection: psycopg.Connection[object]) -> list[object]:
        return connection.execute("""
            SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                   pg_get_expr(d.adbin, d.adrelid), a.attnum
              FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
              LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
             WHERE pg_table_is_visible(c.oid) AND a.attnum > 0
               AND (c.relname LIKE '\\_sqlx%' OR c.relname LIKE 'knex%')
             ORDER BY 1, 6""").fetchall()

    with fresh_postgres(postgres) as other, psycopg.connect(other) as connection:
        connection.execute(theirs.encode())
        expected = shape(connection)
    with psycopg.connect(pg_url) as connection:
        assert shape(connection) == expected
        if tool == "knex":
            assert connection.execute("SELECT index, is_locked FROM knex_migrations_lock").fetchall() == [(1, 0)]


def test_apply_after_an_adoption_goes_on_in_the_other_record(it: Mirrored) -> None:
    it.old.applies(A)
    before = it.old.raw()
    assert it.project("adopt", "--write").code == 0
    assert it.old.raw() == before
    assert it.project("apply", "--yes").code == 0
    assert it.old.record() == it.old.expected(A, B, batches=(1, 2))
    assert it.old.raw()[0] == before[0]


def test_a_run_is_one_batch_of_knex(tmp_path: Path, pg_url: str, postgres: PostgresServer) -> None:
    one = Mirrored(tmp_path, "knex", pg_url, postgres.url())
    one.project.table("it", C)
    assert one.project("apply", "--yes", "--steps", "2").code == 0
    assert one.project("apply", "--yes").code == 0
    assert one.old.record() == one.old.expected(A, B, C, batches=(1, 1, 2))


def test_rollback_takes_the_row_away_and_apply_brings_it_back(it: Mirrored) -> None:
    assert it.project("apply", "--yes").code == 0
    assert it.project("rollback", "--yes", "--steps", "1").code == 0
    assert (it.old.record(), it.applied()) == (it.old.expected(A), 1)
    assert it.project("apply", "--yes").code == 0
    assert it.project("rollback", "--yes", "--to", "it/base").code == 0
    assert (it.old.record(), it.applied()) == ([], 0)
    assert it.project("apply", "--yes").code == 0
    assert len(it.old.record()) == 2


def test_what_was_adopted_can_be_rolled_back_out_of_both_records(it: Mirrored) -> None:
    it.old.applies(A, B)
    assert it.project("adopt", "--write").code == 0
    assert it.project("rollback", "--yes", "--steps", "1").code == 0
    assert (it.old.record(), it.applied()) == (it.old.expected(A), 1)
    assert it.project("status", "--check").code == 2
    assert it.project("apply", "--yes").code == 0
    assert it.old.record() == it.old.expected(A, B, batches=(1, 2))


def test_a_failing_migration_is_in_neither_record(it: Mirrored) -> None:
    it.project.file("it", C, "raise RuntimeError('no')")
    it.describe(A, B, C)
    assert it.project("apply", "--yes").code == 1
    assert (it.old.record(), it.applied()) == (it.old.expected(A, B), 2)
    it.project.file("it", C, "pass", parent=B)
    assert it.project("apply", "--yes").code == 0
    assert it.old.record() == it.old.expected(A, B, C, batches=(1, 1, 2))


def test_a_failing_rollback_leaves_both_records(it: Mirrored) -> None:
    it.project.file("it", C, "pass", "[][0]")
    it.describe(A, B, C)
    assert it.project("apply", "--yes").code == 0
    assert it.project("rollback", "--yes", "--steps", "1").code == 1
    assert (it.old.record(), it.applied()) == (it.old.expected(A, B, C), 3)


def test_a_record_that_lacks_some_is_completed_even_when_nothing_is_left_to_apply(it: Mirrored) -> None:
    """mirror was off for a while; or the process was killed between the two records of the last step."""
    it.project.configure(it={"mirror": False})
    assert it.project("apply", "--yes").code == 0
    it.project.configure(it={"mirror": True})
    assert it.project("apply", stdin="").code == 64  # to write there is asked for, too
    assert it.project("apply", "--yes").code == 0
    assert (it.old.record(), it.applied()) == (it.old.expected(A, B), 2)


def test_a_record_that_lacks_some_is_completed_before_the_next_step(it: Mirrored) -> None:
    it.old.applies(A)
    assert it.project("adopt", "--write").code == 0
    it.project.configure(it={"mirror": False})
    assert it.project("apply", "--yes").code == 0
    it.project.table("it", C)
    it.describe(A, B, C)
    it.project.configure(it={"mirror": True})
    assert it.project("apply", "--yes").code == 0
    assert it.old.record() == it.old.expected(A, B, C, batches=(1, 2, 3))


@pytest.mark.parametrize("it", ["knex", "migrate-mongo"], indirect=True)
def test_a_name_that_is_there_in_another_spelling_is_not_written_twice(it: Mirrored) -> None:
    it.old.applies(A)
    if it.old.tool == "knex":
        with it.old.postgres() as connection:
            connection.execute("UPDATE knex_migrations SET name = %s", [f"{A}.ts"])
    else:
        with it.old.mongo() as db:
            db.changelog.update_one({}, {"$set": {"fileName": f"{A}.js"}})
    assert it.project("adopt", "--write").code == 0
    assert it.project("apply", "--yes").code == 0
    assert len(it.old.record()) == 2
    assert it.project("rollback", "--yes", "--to", "it/base").code == 0
    assert it.old.record() == []


@pytest.mark.parametrize("described", [(), (A,)])
def test_sqlx_needs_to_know_what_its_row_has_to_say(
    tmp_path: Path, pg_url: str, postgres: PostgresServer, described: tuple[str, ...]
) -> None:
    """Refused at the plan, before anything is touched: with a wrong row the service would not start."""
    one = Mirrored(tmp_path, "sqlx", pg_url, postgres.url())
    one.describe(*described)
    for command in (["plan"], ["apply", "--yes"]):
        answer = one.project(*command, "--json")
        assert (answer.code, answer.json["error"]["kind"]) == (4, "ConfigError")
        assert "adopt.toml" in answer.json["error"]["hint"]
    with psycopg.connect(pg_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relname = 't_20240101'").fetchone() == (0,)
    assert one.project("apply", "--yes", "--to", A).code == (0 if described else 4)


def test_a_checksum_that_is_none_is_refused_at_the_plan(tmp_path: Path, pg_url: str, postgres: PostgresServer) -> None:
    one = Mirrored(tmp_path, "sqlx", pg_url, postgres.url())
    toml = tmp_path / "it" / "adopt.toml"
    toml.write_text(toml.read_text().replace('checksum = "', 'checksum = "zz'))
    assert one.project("plan").code == 4


@pytest.mark.parametrize("it", ["sqlx", "knex"], indirect=True)
def test_the_old_tool_that_was_quicker_is_not_overtaken(it: Mirrored) -> None:
    """It applies B after we have looked and before our step: the step is refused, and nothing is done twice."""
    it.project.file("it", C, "pass")
    it.describe(A, B, C)
    path = it.project.path("it", A)
    path.write_text(path.read_text().replace('\n    op.execute("CREATE', "\n    here('a')\n    op.execute(\"CREATE"))
    with it.project.running("apply", "--yes") as process:
        it.project.reached("a")
        with it.old.postgres() as connection:  # the record of knex is locked by us: write beside its lock
            it.old.create()
            if it.old.tool == "sqlx":
                connection.execute("INSERT INTO _sqlx_migrations VALUES (%s, 'b', now(), true, %s, 1)", [int(B), b"x"])
            else:
                connection.execute("INSERT INTO knex_migrations (name, batch) VALUES (%s, 9)", [f"{B}.mjs"])
        it.project.go("a")
        answer = ended(process)
    assert (answer.code, "dataops adopt" in answer.stderr) == (4, True)
    assert it.applied() == 1


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_the_next_run_heals_both_records(it: Mirrored, seed: int) -> None:
    ids = [A, B, *(f"202402{day:02}" for day in range(1, 5))]
    for parent, id_ in zip([None, *ids], ids, strict=False):
        if it.old.tool == "migrate-mongo":
            up = f"time.sleep(0.05)\ndb.t_{id_}.replace_one({{'_id': 1}}, {{'_id': 1}}, upsert=True)"
            it.project.file("it", id_, up, f"db.t_{id_}.drop()", head="repeatable = True", parent=parent)
        else:
            it.project.file("it", id_, f"op.execute('CREATE TABLE t_{id_} ()')\ntime.sleep(0.05)", parent=parent)
    it.describe(*ids)
    random = Random(seed)
    for _ in range(2):
        with it.project.running("apply", "--yes") as process:
            time.sleep(random.uniform(0.3, 1.3))  # the moment is the test, not a wait
            process.kill()
            process.wait()
        # The second record may lack the last step, never have one that ours lacks.
        row = it.project("status", "--json").json["services"][0]
        assert sum(int(found["applied"]) for found in row["foreign"]) <= row["applied"]
    answer = it.project("apply", "--yes")
    assert (answer.code, answer.stderr if answer.code else "") == (0, "")
    assert [row[0] for row in it.old.record()] == [row[0] for row in it.old.expected(*ids)]
    assert it.applied() == len(ids)


def test_killed_between_the_two_records_of_the_last_step_an_apply_completes_the_second(
    tmp_path: Path, mongo_url: str, mongo: MongoServer
) -> None:
    one = Mirrored(tmp_path, "migrate-mongo", mongo_url, mongo.url())
    assert one.project("apply", "--yes").code == 0
    one.old.takes_back(B, change=False)
    with one.old.mongo() as db:  # the row, and the end of the step, come after our own record
        db.dataops_journal.delete_one({"migration": B, "event": "succeeded"})
    assert one.project("plan", "--detailed-exitcode").code == 0
    assert one.project("apply", "--yes").code == 0
    assert one.old.record() == one.old.expected(A, B)


def test_what_the_other_tool_takes_back_is_seen_struck_and_run_again(it: Mirrored) -> None:
    assert it.project("apply", "--yes", "--to", f"it/{A}").code == 0
    assert it.project("apply", "--yes").code == 0
    it.old.takes_back(B)
    commands = (["plan"], ["apply", "--yes"], ["status", "--check"], ["wait", "--timeout", "1s"])
    for command in (*commands, ["rollback", "--yes", "--steps", "1"]):
        answer = it.project(*command)
        assert (command, answer.code) == (command, 4)
        assert f"{it.old.tool} has taken back {B}, which was mirrored to it" in answer.stderr + answer.stdout
    assert "dataops adopt --service it --write" in it.project("plan").stderr
    adopted = it.project("adopt", "--write", "--json").json["services"][0]
    assert (adopted["to_strike"], adopted["written"], it.applied()) == ([B], True, 1)
    assert it.project("apply", "--yes").code == 0
    assert it.old.record() == it.old.expected(A, B, batches=(1, 2))
    it.old.takes_back(B)  # all of it: the record of migrate-mongo is then an empty collection
    it.old.takes_back(A)
    assert it.project("plan").code == 4
    assert it.project("adopt", "--write").code == 0
    assert (it.applied(), it.project("apply", "--yes").code, it.applied()) == (0, 0, 2)


@pytest.mark.parametrize("rolled_back", [False, True])
def test_a_row_that_was_completed_later_is_known_to_be_ours(it: Mirrored, rolled_back: bool) -> None:
    """A and B are applied when nothing is mirrored; with C, the other record gets all three."""
    it.project.configure(it={"mirror": False})
    assert it.project("apply", "--yes").code == 0
    it.project.table("it", C)
    it.describe(A, B, C)
    it.project.configure(it={"mirror": True})
    assert it.project("apply", "--yes").code == 0
    if rolled_back:
        assert it.project("rollback", "--yes", "--steps", "1").code == 0
    else:
        it.old.takes_back(C)
    it.old.takes_back(B)
    refused = it.project("plan")
    assert (refused.code, f"{it.old.tool} has taken back {B}, which was mirrored to it" in refused.stderr) == (4, True)
    assert it.project("adopt", "--write").code == 0
    assert it.applied() == 1
    assert it.project("apply", "--yes").code == 0
    assert (len(it.old.record()), it.applied()) == (3, 3)


def test_what_came_after_something_that_was_taken_back_can_be_rolled_back(
    tmp_path: Path, pg_url: str, postgres: PostgresServer
) -> None:
    """A*, B* adopted from dbmate, C* by us; dbmate takes back B. Every hint is a command that works."""
    project = Project(tmp_path, {"DATAOPS_SCRATCH": postgres.url()})
    project.add("it", pg_url)
    for id_ in (A, B, C):
        project.table("it", id_)

    def said(*command: str) -> Answer:
        answer = project(*command)
        assert answer.code == 4
        return answer

    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute(f"{DBMATE}; CREATE TABLE t_{A} (id int); CREATE TABLE t_{B} (id int)".encode())
        connection.execute("INSERT INTO schema_migrations VALUES (%s), (%s)", [A, B])
        assert project("adopt", "--write").code == 0
        assert project("apply", "--yes").code == 0
        connection.execute("DELETE FROM schema_migrations WHERE version = %s", [B])
        connection.execute(f"DROP TABLE t_{B}".encode())
        undo, follow = f"dataops rollback --to it/{B}", "dataops adopt --service it --write"
        for command in (["plan"], ["apply", "--yes"], ["adopt"]):
            hint = said(*command).stderr
            assert (command, undo in hint, follow in hint) == (command, True, True)
        assert undo in said("rollback", "--yes", "--to", "it/base").stderr
        assert project(*undo.split()[1:], "--yes").code == 0
        assert follow in said("plan").stderr
        assert project(*follow.split()[1:]).code == 0
        assert project("apply", "--yes").code == 0
        assert project("status", "--check").code == 0
        hint = said(
            "rollback", "--yes", "--to", "it/base"
        ).stderr  # A is in the record of dbmate, which none can mirror
        assert ("mirror = true" in hint, "let dbmate take it back" in hint) == (False, True)


@pytest.mark.parametrize("it", ["knex", "migrate-mongo"], indirect=True)
def test_a_record_by_another_name_is_named_adopted_and_mirrored(it: Mirrored) -> None:
    """The first apply and adopt name it, adopt.toml says it, and then everything is as with the usual name."""
    it.old.applies(A)
    if it.old.tool == "knex":
        place = "ops.steps"
        with it.old.postgres() as connection:
            connection.execute("CREATE SCHEMA ops")
            for name in ("", "_lock"):
                connection.execute(f"ALTER TABLE knex_migrations{name} RENAME TO steps{name}".encode())
                connection.execute(f"ALTER TABLE steps{name} SET SCHEMA ops".encode())
    else:
        place = "migrations"
        with it.old.mongo() as db:
            db.changelog.rename(place)
    for command in (["plan"], ["apply", "--yes"], ["adopt"]):
        answer = it.project(*command)
        assert (command, answer.code) == (command, 4)
        assert f"{place} looks like the record of {it.old.tool}" in answer.stderr
    assert f'[{it.old.tool}] with record = "{place}"' in answer.stderr
    toml = it.project.folder / "it" / "adopt.toml"
    toml.write_text(f'{toml.read_text()}record = "{place}"\n')
    adopted = it.project("adopt", "--write", "--json")
    assert (adopted.code, adopted.json["services"][0]["place"]) == (0, place), adopted.stdout
    assert it.project("apply", "--yes").code == 0
    assert (it.project("status", "--check").code, it.project("drift").code) == (0, 0)

    def written() -> list[str]:
        if it.old.tool == "knex":
            with it.old.postgres() as connection:
                return [str(name) for (name,) in connection.execute("SELECT name FROM ops.steps ORDER BY id")]
        with it.old.mongo() as db:
            assert "changelog" not in db.list_collection_names()
            return [str(row["fileName"]) for row in db[place].find().sort("appliedAt", 1)]

    names = [str(row[0] if it.old.tool == "knex" else row[0][1]) for row in it.old.expected(A, B)]
    assert written() == names
    assert it.project("rollback", "--yes", "--steps", "1").code == 0
    assert written() == names[:1]
    toml.write_text(toml.read_text().replace(place, f"t_{A}"))  # not a record of anything
    wrong = it.project("adopt", "--write")
    assert (wrong.code, "correct record under" in wrong.stderr, written()) == (4, True, names[:1])


@pytest.mark.parametrize("tool", ["knex", "migrate-mongo"])
def test_a_database_made_from_nothing_gets_the_record_under_its_own_name(
    tmp_path: Path, pg_url: str, postgres: PostgresServer, mongo_url: str, mongo: MongoServer, tool: str
) -> None:
    of = {"knex": (pg_url, postgres.url()), "migrate-mongo": (mongo_url, mongo.url())}
    one = Mirrored(tmp_path, tool, *of[tool])
    toml = tmp_path / "it" / "adopt.toml"
    toml.write_text(f'{toml.read_text()}record = "steps"\n')
    assert one.project("apply", "--yes").code == 0
    assert one.project("status", "--json").json["services"][0]["foreign"][0]["place"] == "steps"
    assert one.project("drift").code == 0


HASH = "5" * 64


def test_migrate_mongo_with_hashes_gets_the_hash_or_nothing_is_applied(
    tmp_path: Path, mongo_url: str, mongo: MongoServer
) -> None:
    """With useFileHash it would run a migration again whose row has no hash, or another one."""
    one = Mirrored(tmp_path, "migrate-mongo", mongo_url, mongo.url())
    one.old.applies(A)
    with one.old.mongo() as db:
        db.changelog.update_one({}, {"$set": {"fileHash": HASH}})
        assert one.project("adopt", "--write").code == 0
        answer = one.project("plan")
        assert (answer.code, f"hash of {B}" in answer.stderr, "useFileHash" in answer.stderr) == (4, True, True)
        toml = tmp_path / "it" / "adopt.toml"
        toml.write_text(f'{toml.read_text()}[migrate-mongo.migrations."{B}"]\nchecksum = "{HASH.upper()}"\n')
        assert one.project("apply", "--yes").code == 0
        assert [row["fileHash"] for row in db.changelog.find()] == [HASH, HASH]


@pytest.mark.parametrize("mirror", [True, False])
def test_an_apply_waits_for_the_lock_of_the_other_tool_and_then_gives_up(
    tmp_path: Path, mongo_url: str, mongo: MongoServer, mirror: bool
) -> None:
    one = Mirrored(tmp_path, "migrate-mongo", mongo_url, mongo.url())
    one.project.configure(it={"mirror": mirror, "timeouts": {"lease": "2s", "lock": "600ms"}})
    one.old.applies(A)
    assert one.project("adopt", "--write").code == 0
    with one.old.mongo() as db:
        db.changelog_lock.insert_one({"createdAt": datetime.now(UTC)})
        answer = one.project("apply", "--yes")
        assert (answer.code, "db.changelog_lock.deleteMany({})" in answer.stderr, one.applied()) == (3, True, 1)
        one.project.configure(it={"timeouts": {"lease": "2s", "lock": "30s"}})
        with one.project.running("apply", "--yes") as process:
            until(lambda: db.dataops_lock.count_documents({"run": {"$gt": ""}}))
            db.changelog_lock.delete_many({})
            assert ended(process).code == 0
    assert one.applied() == 2


def test_a_plan_says_what_has_to_be_deployed_first(it: Mirrored) -> None:
    """knex and sqlx refuse to start on a row without a file, so the service with the file comes first."""
    deploy = {
        "knex": f"first deploy a version of it that has {A}.mjs, {B}.mjs",
        "sqlx": f"first deploy a version of it that has {A}_the_{A}.sql, {B}_the_{B}.sql",
        "migrate-mongo": "",
    }[it.old.tool]
    plan = it.project("plan")
    assert (plan.code, deploy in plan.stdout, "first deploy" in plan.stdout) == (0, True, bool(deploy))
    answer = it.project("plan", "--json").json["services"][0]
    assert (answer["deploy_first"] or "").startswith(deploy)
    assert ("first deploy" in it.project("plan", "--format", "markdown").stdout) is bool(deploy)
    assert it.project("apply", "--yes").code == 0
    assert "first deploy" not in it.project("plan").stdout
    back = it.project("plan", "--direction", "rollback", "--steps", "1")
    assert f"{it.old.tool} would run again what it still has" in back.stdout


def test_an_older_image_finds_the_database_ahead_and_not_moved_on(it: Mirrored) -> None:
    assert it.project("apply", "--yes").code == 0
    it.project.path("it", B).unlink()
    it.describe(A)
    for command in (["plan"], ["apply", "--yes"], ["status", "--check"], ["wait", "--timeout", "5s"]):
        assert (command, it.project(*command).code) == (command, 9)
    it.project.configure(it={"ahead": "allow"})
    for command in (["plan"], ["apply", "--yes"], ["status", "--check"], ["wait", "--timeout", "5s"]):
        assert (command, it.project(*command).code) == (command, 0)


def test_a_concurrent_index_is_mirrored_too(tmp_path: Path, pg_url: str, postgres: PostgresServer) -> None:
    """Outside of a transaction, and while a starting pod waits for sqlx's lock of nobody."""
    one = Mirrored(tmp_path, "sqlx", pg_url, postgres.url())
    index = f"op.execute('CREATE INDEX CONCURRENTLY ix ON t_{A} (id)')"
    one.project.file("it", C, f"with op.get_context().autocommit_block():\n    {index}", "op.execute('DROP INDEX ix')")
    one.describe(A, B, C)
    assert one.project("apply", "--yes").code == 0
    assert one.old.record() == one.old.expected(A, B, C)
    assert one.project("rollback", "--yes", "--steps", "1").code == 0
    assert one.old.record() == one.old.expected(A, B)


def test_a_knex_that_is_running_is_waited_for(tmp_path: Path, pg_url: str, postgres: PostgresServer) -> None:
    one = Mirrored(tmp_path, "knex", pg_url, postgres.url())
    one.old.create()
    with one.old.postgres() as connection:
        connection.execute("UPDATE knex_migrations_lock SET is_locked = 1")
        with one.project.running("apply", "--yes") as process:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dataops/%'"
            deadline = time.monotonic() + 20
            while connection.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert process.poll() is None
            connection.execute("UPDATE knex_migrations_lock SET is_locked = 0")
            assert ended(process).code == 0
    assert one.old.record() == one.old.expected(A, B)


def test_a_tool_that_never_ends_is_given_up_on(tmp_path: Path, pg_url: str, postgres: PostgresServer) -> None:
    one = Mirrored(tmp_path, "knex", pg_url, postgres.url())
    one.project.configure(it={"timeouts": {"lock": "300ms"}})
    one.old.create()
    with one.old.postgres() as connection:
        connection.execute("UPDATE knex_migrations_lock SET is_locked = 1")
    assert one.project("apply", "--yes").code == 3
    assert (one.old.record(), one.applied()) == ([], 0)


def test_the_other_record_never_has_what_ours_lacks(tmp_path: Path, mongo_with_passwords: MongoServer) -> None:
    """Or it would look as if the other tool had moved on. Here the row cannot be struck: nothing may be removed."""
    actions = [
        "find", "insert", "update", "listCollections", "listIndexes", "createCollection", "createIndex",
        "dropCollection", "collStats", "dbStats",
    ]  # fmt: skip
    with fresh_mongo(mongo_with_passwords) as url, MongoClient[dict[str, Any]](url) as client:
        one = Mirrored(tmp_path, "migrate-mongo", url, url)
        db = client.get_default_database()
        for path in one.project.place("it").glob("*.py"):  # else a person has to say what became of the rollback
            path.write_text(f"{path.read_text()}\nrepeatable = True\n")
        assert one.project("apply", "--yes").code == 0
        privilege = {"resource": {"db": db.name, "collection": ""}, "actions": actions}
        db.command("createRole", "removes_nothing", privileges=[privilege], roles=[])
        db.command("createUser", "keeper", pwd="pw", roles=["removes_nothing"])
        parts = urlsplit(url)
        options = parts.query.replace("authSource=admin", f"authSource={db.name}")
        limited = f"mongodb://keeper:pw@{parts.netloc.rpartition('@')[2]}/{db.name}?{options}"
        try:
            answer = one.project("rollback", "--yes", "--steps", "1", env={"IT_URL_CON": limited})
            assert (answer.code, "Traceback" in answer.stderr) == (10, False)
            row = one.project("status", "--json").json["services"][0]
            assert (row["applied"], row["foreign"][0]["moved_on"]) == (2, [])
            assert one.project("rollback", "--yes", "--steps", "1").code == 0
            assert (one.old.record(), one.applied()) == (one.old.expected(A), 1)
        finally:
            db.command("dropUser", "keeper")
            db.command("dropRole", "removes_nothing")
