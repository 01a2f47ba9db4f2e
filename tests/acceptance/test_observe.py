"""observe: databases that others migrate, seen in status and waited for, never written to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from dataops.dev import PostgresServer
from tests.contract.test_records import DBMATE, FLYWAY, GOLANG, GOOSE, KNEX, LIQUIBASE, POP, PRISMA, SQLX
from tests.oldtools import OldTool
from tests.projects import Project, ended
from tests.servers import Answer, fresh_postgres

Connection = psycopg.Connection[Any]


class Observed:
    """`theirs` is migrated by others; `ours`, in the same project, has one migration of our own."""

    def __init__(self, project: Project, url: str, ours: str) -> None:
        self.project = project
        self.url = url
        project.add("ours", ours)
        project.table("ours", "001")
        project.add("theirs", url)
        self.configure(observe="pop")

    def configure(self, **settings: Any) -> None:
        """Its whole table of dataops.toml."""
        self.project._tables["theirs"] = {"url_env": "THEIRS_URL", **settings}
        if self.url.startswith("mongodb"):
            self.project._tables["theirs"] = {"env_prefix": "THEIRS_URL", **settings}
        self.project.configure()

    def __call__(self, *args: str, **more: Any) -> Answer:
        return self.project(*args, **more)

    def row(self, code: int = 0, *args: str) -> dict[str, Any]:
        """What `status --json` says of it."""
        answer = self("status", "--json", "--service", "theirs", *args)
        assert answer.code == code
        (row,) = answer.json["services"]
        return dict(row)


@pytest.fixture
def it(project: Project, postgres: PostgresServer) -> Iterator[Observed]:
    with fresh_postgres(postgres) as url, fresh_postgres(postgres) as ours:
        yield Observed(project, url, ours)


@pytest.fixture
def theirs(it: Observed) -> Iterator[Connection]:
    with psycopg.connect(it.url, autocommit=True) as connection:
        yield connection


def test_it_shows_where_others_have_come(it: Observed, theirs: Connection) -> None:
    theirs.execute(POP.encode())
    theirs.execute("INSERT INTO schema_migration (version) VALUES ('20150100000001000000'), ('20230705000000000001')")
    row = it.row(0, "--check")
    assert (row["revision"], row["applied"], row["at"]) == ("20230705000000000001", 2, None)
    assert (row["observed"], row["waiting"], row["problem"]) == ("pop", None, None)
    assert "up to date" in it("status", "--service", "theirs").stdout


def test_all_services_are_shown_ours_and_theirs(it: Observed) -> None:
    answer = it("status", "--json")
    assert [row["service"] for row in answer.json["services"]] == ["ours", "theirs"]
    assert it("status").code == 0


SHAPES = {
    "sqlx": (SQLX, "INSERT INTO _sqlx_migrations VALUES (1, 'd', now() - interval '3 days', true, 'x', 1)"),
    "knex": (KNEX, "INSERT INTO knex_migrations VALUES (1, '1_a.ts', 1, now() - interval '3 days')"),
    "flyway": (
        FLYWAY,
        "INSERT INTO flyway_schema_history"
        " VALUES (1, '1', 'd', 'SQL', 'V1__a.sql', 1, 'u', now() - interval '3 days', 1, true)",
    ),
    "liquibase": (
        LIQUIBASE,
        "INSERT INTO databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype)"
        " VALUES ('1', 'a', 'f', now() - interval '3 days', 1, 'EXECUTED')",
    ),
    "prisma": (
        PRISMA,
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at)"
        " VALUES ('i', 'c', '1_a', now() - interval '3 days')",
    ),
    "goose": (
        GOOSE,
        "INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (1, true, now() - interval '3 days')",
    ),
}


@pytest.mark.parametrize("tool", list(SHAPES))
def test_the_age_is_told_whatever_kind_of_time_the_tool_keeps(it: Observed, theirs: Connection, tool: str) -> None:
    """Some keep a zone, and some do not."""
    for statement in SHAPES[tool]:
        theirs.execute(statement.encode())
    it.configure(observe=tool)
    answer = it("status", "--check", "--service", "theirs", env={"COLUMNS": "300"})
    assert answer.code == 0
    assert " days old" in answer.stdout or "1 day old" in answer.stdout
    assert it.row()["at"].endswith("+00:00")


@pytest.mark.parametrize(("tool", "table"), [("golang-migrate", GOLANG), ("dbmate", DBMATE)])
def test_a_tool_without_times_has_no_age(it: Observed, theirs: Connection, tool: str, table: str) -> None:
    theirs.execute(table.encode())
    theirs.execute(f"INSERT INTO schema_migrations VALUES (7{', false' if tool == 'golang-migrate' else ''})".encode())
    it.configure(observe=tool)
    assert (it.row()["revision"], it.row()["at"]) == ("7", None)
    assert it("status", "--check", "--service", "theirs").code == 0


BROKEN = {
    "sqlx": (SQLX, "INSERT INTO _sqlx_migrations VALUES (1, 'd', now(), false, 'x', 1)"),
    "golang-migrate": (GOLANG, "INSERT INTO schema_migrations VALUES (1, true)"),
    "prisma": (PRISMA, "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('i', 'c', '1')"),
}


@pytest.mark.parametrize("tool", list(BROKEN))
def test_a_migration_that_broke_is_told_and_not_waited_for(it: Observed, theirs: Connection, tool: str) -> None:
    for statement in BROKEN[tool]:
        theirs.execute(statement.encode())
    it.configure(observe=tool)
    row = it.row(6, "--check")
    assert (row["problem"]["kind"], row["problem"]["migration"]) == ("InterruptedStep", "1")
    assert it("status").code == 0
    assert it("wait", "--service", "theirs", "--timeout", "180s", timeout=90).code == 6


@pytest.mark.parametrize("prepare", ["", POP, KNEX + "UPDATE knex_migrations_lock SET is_locked = 1"])
def test_what_is_not_there_yet_is_pending(it: Observed, theirs: Connection, prepare: str) -> None:
    if prepare:
        theirs.execute(prepare.encode())
    it.configure(observe="knex" if prepare.startswith(KNEX) else "pop")
    assert it.row()["waiting"]
    row = it.row(2, "--check")
    assert (row["revision"], row["problem"]) == (None, None)
    assert it("wait", "--service", "theirs", "--timeout", "200ms").code == 3


def test_wait_ends_when_others_have_applied_what_is_expected(it: Observed, theirs: Connection) -> None:
    it.configure(observe="pop", expect="20230705000000000001")
    theirs.execute(POP.encode())
    theirs.execute("INSERT INTO schema_migration (version) VALUES ('20150100000001000000')")
    assert it.row(2, "--check")["revision"] == "20150100000001000000"
    with it.project.running("wait", "--service", "theirs", "--timeout", "60s") as process:
        assert process.stderr is not None
        assert "20230705000000000001" in process.stderr.readline()
        theirs.execute("INSERT INTO schema_migration (version) VALUES ('20230705000000000001')")
        assert ended(process).code == 0
    assert it("status", "--check", "--service", "theirs").code == 0


def test_wait_without_a_name_waits_for_ours_only(it: Observed) -> None:
    assert it("apply", "--yes").code == 0
    assert it("wait", "--timeout", "200ms", env={"THEIRS_URL": ""}).code == 0


def test_wait_for_both_names_both(it: Observed, theirs: Connection) -> None:
    theirs.execute(POP.encode())
    theirs.execute("INSERT INTO schema_migration (version) VALUES ('1')")
    wait = ["wait", "--timeout", "200ms", "--service", "ours", "--service", "theirs", "--json"]
    assert it(*wait).code == 3
    assert it("apply", "--yes").code == 0
    answer = it(*wait)
    assert (answer.code, [row["service"] for row in answer.json["services"]]) == (0, ["ours", "theirs"])


@pytest.mark.parametrize(
    "command",
    [
        ["plan"],
        ["apply", "--yes"],
        ["rollback", "--yes"],
        ["adopt", "--write"],
        ["history"],
    ],
)
def test_nothing_else_touches_it(it: Observed, theirs: Connection, command: list[str]) -> None:
    theirs.execute(SQLX.encode())
    theirs.execute("INSERT INTO _sqlx_migrations VALUES (1, 'd', now(), true, 'x', 1)")
    it.configure(observe="sqlx")
    assert it(*command, "--service", "theirs").code == 64
    it(*command)
    tables = theirs.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    assert tables.fetchall() == [("_sqlx_migrations",)]


@pytest.mark.parametrize(
    "args", [["baseline", "theirs", "--to", "1"], ["resolve", "theirs/1", "--applied", "--reason", "r"]]
)
def test_what_names_it_otherwise_is_a_usage_error_too(it: Observed, args: list[str]) -> None:
    assert it(*args).code == 64


def test_who_may_only_look_is_enough_and_who_may_not_is_told(it: Observed, theirs: Connection) -> None:
    theirs.execute(SQLX.encode())
    theirs.execute("INSERT INTO _sqlx_migrations VALUES (1, 'd', now(), true, 'x', 1)")
    theirs.execute("CREATE ROLE watches_only LOGIN PASSWORD 'secret-of-nobody'")
    it.configure(observe="sqlx")
    url = it.url.replace(urlsplit(it.url).netloc.rpartition("@")[0], "watches_only:secret-of-nobody")
    status = ["status", "--check", "--service", "theirs", "--json"]
    try:
        answer = it(*status, env={"THEIRS_URL": url})
        assert (answer.code, answer.json["services"][0]["problem"]["kind"]) == (10, "PermissionDenied")
        theirs.execute("GRANT SELECT ON _sqlx_migrations TO watches_only")
        assert it(*status, env={"THEIRS_URL": url}).code == 0
    finally:
        theirs.execute("DROP OWNED BY watches_only")
        theirs.execute("DROP ROLE watches_only")


def test_a_server_that_is_not_there_is_told_beside_the_others(it: Observed) -> None:
    answer = it("status", "--json", env={"THEIRS_URL": "postgres://u:p@127.0.0.1:1/x"})
    assert answer.code == 10
    assert [row["reachable"] for row in answer.json["services"]] == [True, False]


def test_another_tools_record_is_not_the_one_that_is_observed(it: Observed, theirs: Connection) -> None:
    theirs.execute(KNEX.encode())
    theirs.execute("INSERT INTO knex_migrations (name) VALUES ('a.ts')")
    assert it.row(2, "--check")["applied"] == 0


def test_migrate_mongo_is_observed(project: Project, mongo_url: str, pg_url: str) -> None:
    it = Observed(project, mongo_url, pg_url)
    it.configure(observe="migrate-mongo", expect="20240102")
    old = OldTool("migrate-mongo", mongo_url)
    old.applies("20240101")
    assert it.row(2, "--check")["revision"] == "20240101.ts"
    old.applies("20240102")
    row = it.row(0, "--check")
    assert (row["revision"], row["at"], row["applied"]) == ("20240102.ts", "2024-03-01T09:32:00+00:00", 2)
    with old.mongo() as db:
        assert set(db.list_collection_names()) == {"changelog", "t_20240101", "t_20240102"}
        db.changelog_lock.insert_one({"createdAt": 1})
    assert it.row(2, "--check")["waiting"]
