"""import, from outside: files of other tools become ours, and databases that those tools migrated are adopted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dataops.dev import PostgresServer
from tests.contract.test_records import DRIZZLE, FLYWAY, GOLANG, GOOSE, LIQUIBASE, NODE_PG_MIGRATE, PRISMA, SQLX
from tests.integration.test_schema import DATA, schema_of
from tests.projects import Project
from tests.servers import Answer

USERS = r"""-- The users; with what a shell or a driver might take for its own.
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL DEFAULT 'a :b 100% %s \n "c" $1');
CREATE FUNCTION greet(who text) RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
  RETURN 'Hello; ' || who || (5 % 3)::text;
END $body$;
INSERT INTO users VALUES (1, 'x:y; ''' || E'\'' || 'QQQ' || '10:30'), (2, U&'\0041');
CREATE VIEW first AS SELECT (array[1,2,3])[1 :2] AS two, '{"a": 1}'::jsonb ->> 'a' AS one;
""".replace("QQQ", '"""')
INDEX = "CREATE INDEX CONCURRENTLY users_name ON users (name);\n"


DUMP = r"""--
-- PostgreSQL database dump
--

\restrict 8Rl3

-- Dumped from database version 17.6

SET statement_timeout = 0;
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;

CREATE TYPE public.mood AS ENUM (
    'sad',
    'happy'
);

CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT 1;
 SELECT 2;
END;

CREATE TABLE public.things (
    id integer NOT NULL,
    mood public.mood DEFAULT 'sad'::public.mood,
    note text DEFAULT 'a :b; 100%'::text
);

CREATE VIEW public.v AS
 SELECT things.id FROM public.things;

ALTER TABLE ONLY public.things
    ADD CONSTRAINT things_pkey PRIMARY KEY (id);

--
-- PostgreSQL database dump complete
--

\unrestrict 8Rl3
"""


@pytest.fixture
def project(tmp_path: Path, pg_url: str, postgres: PostgresServer) -> Project:
    folder = tmp_path / "ours"
    folder.mkdir()
    return Project(folder, {"DATAOPS_SCRATCH": postgres.url()}).add("shop", pg_url)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    return folder


def put(folder: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def ran(answer: Answer, code: int = 0) -> Answer:
    assert answer.code == code, answer.stdout + answer.stderr
    return answer


def imported(project: Project, tool: str, folder: Path, code: int = 0, *more: str) -> dict[str, Any]:
    return dict(ran(project("import", "shop", "--from", tool, str(folder), "--json", *more), code).json)


def ids(project: Project) -> list[str]:
    """Those that a plan for an empty database has, in its order."""
    return [step["migration"] for step in ran(project("plan", "--json")).json["services"][0]["steps"]]


def files(project: Project) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(project.folder.rglob("*")) if path.is_file()}


def query(pg: psycopg.Connection[Any], text: str) -> list[tuple[Any, ...]]:
    return pg.execute(text.encode()).fetchall()


def adopted(project: Project) -> list[str]:
    """What adopt takes over without a difference, when nothing is left to apply then."""
    row = ran(project("adopt", "--write", "--json", timeout=120)).json["services"][0]
    assert (row["written"], row["differences"]) == (True, [])
    ran(project("plan", "--detailed-exitcode"))
    return list(row["to_record"])


# --- what the SQL does


def test_sql_means_to_the_server_what_it_meant_there(
    project: Project, theirs: Path, pg: psycopg.Connection[Any], postgres: PostgresServer
) -> None:
    """Compared with the same text sent as it is, in another database."""
    put(
        theirs,
        {
            "20240101_users.up.sql": USERS,
            "20240101_users.down.sql": "DROP VIEW first; DROP FUNCTION greet;\nDROP TABLE users;\n",
            "20240102_index.up.sql": "-- no-transaction\n" + INDEX,
            "20240102_index.down.sql": "-- no-transaction\nDROP INDEX CONCURRENTLY users_name",
        },
    )
    imported(project, "sqlx", theirs)
    lint = ran(project("lint", "--json"))
    assert lint.json["findings"] == []
    plan = ran(project("plan", "--json")).json["services"][0]["steps"]
    assert [(step["migration"], step["title"], step["transactional"]) for step in plan] == [
        ("20240101", "Users", True),
        ("20240102", "Index", False),
    ]
    assert [step["opaque"] for step in plan] == [None, None]
    assert "greet(who text)" in plan[0]["commands"][1]
    assert "'a :b 100% %s \\n \"c\" $1'" in plan[0]["commands"][0]
    ran(project("apply", "--yes"))
    pg.execute("CREATE SCHEMA expected")
    pg.execute("SET search_path = expected")
    pg.execute(USERS.encode())
    for text in (
        "SELECT * FROM {}.users ORDER BY id",
        "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = '{}.users'::regclass",
        "SELECT prosrc FROM pg_proc WHERE pronamespace = '{}'::regnamespace",
        "SELECT two::text, one FROM {}.first",
    ):
        assert query(pg, text.format("public")) == query(pg, text.format("expected"))
    pg.execute("DROP SCHEMA expected CASCADE")
    ran(project("rollback", "--yes", "--steps", "2"))
    assert query(
        pg, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname ~ 'users'"
    ) == [(0,)]


def test_an_edit_of_the_sql_is_an_edit_of_the_migration(project: Project, theirs: Path) -> None:
    put(theirs, {"1_users.sql": "CREATE TABLE users (id int);"})
    imported(project, "sqlx", theirs)
    ran(project("apply", "--yes"))
    (path,) = project.place("shop").glob("*.py")
    path.write_text(path.read_text().replace("id int", "id bigint"))
    assert "EditedAfterApply" in ran(project("status", "--check", "--json"), 4).stdout


def test_windows_files_keep_the_line_ends_of_their_data(
    project: Project, theirs: Path, pg: psycopg.Connection[Any]
) -> None:
    text = "\ufeffCREATE TABLE notes (\r\n  note text\r\n);\r\nINSERT INTO notes VALUES ('two\r\nlines \\');\r\n"
    put(theirs, {"1_notes.sql": text})
    imported(project, "sqlx", theirs)
    ran(project("apply", "--yes"))
    assert query(pg, "SELECT note FROM notes") == [("two\r\nlines \\",)]


def test_a_dump_as_the_first_file_is_run(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    """pg_dump empties the search_path for the rest of the session, and newer ones write lines for psql."""
    put(theirs, {"1_all.sql": DUMP, "2_more.up.sql": "CREATE TABLE more ();", "2_more.down.sql": "DROP TABLE more"})
    found = imported(project, "sqlx", theirs)
    assert [(one["what"], one["stops"]) for one in found["to_do"]] == [
        ("\\restrict and \\unrestrict of pg_dump are left out", False),
        ("the empty search_path of pg_dump is left out", False),
    ]
    assert ran(project("lint", "--json")).json["findings"] == []
    ran(project("apply", "--yes"))
    assert query(pg, "INSERT INTO things (id) VALUES (1) RETURNING note, f()") == [("a :b; 100%", 2)]
    assert query(pg, "SELECT version_num FROM alembic_version") == [("2",)]
    ran(project("rollback", "--yes", "--steps", "1"))


def test_a_whole_dump_makes_the_shop_that_was_dumped(project: Project, theirs: Path, pg_url: str) -> None:
    """shop.dump.sql is what pg_dump 15 --inserts --no-owner wrote of shop.sql."""
    put(theirs, {"V20240301101500__start.sql": (DATA / "shop.dump.sql").read_text()})
    found = imported(project, "flyway", theirs)
    assert [one["what"] for one in found["to_do"] if one["stops"]] == []
    ran(project("apply", "--yes"))
    assert ";\n".join((*schema_of(pg_url).statements, "")) == (DATA / "shop.schema.sql").read_text()
    ran(project("status", "--check"))


# --- adopted without a difference


def test_sqlx(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    content = {"20240101120000_the users.sql": USERS, "20240102120000_index.sql": "-- no-transaction\n" + INDEX}
    put(theirs, content)
    pg.execute(USERS.encode())
    pg.execute(INDEX.encode())
    pg.execute(SQLX.encode())
    for name, text in content.items():
        version, _, rest = name.partition("_")
        pg.execute(
            "INSERT INTO _sqlx_migrations VALUES (%s, %s, now(), true, %s, 1)",
            [int(version), rest.removesuffix(".sql"), hashlib.sha384(text.encode()).digest()],
        )
    found = imported(project, "sqlx", theirs)
    assert found["next"] == "dataops adopt --service shop"
    assert adopted(project) == ["20240101120000", "20240102120000"]
    project.configure(shop={"mirror": True})
    ran(project("rollback", "--yes", "--to", "shop/20240101120000"), 7)  # sqlx had no way back for it
    assert query(pg, "SELECT count(*) FROM _sqlx_migrations") == [(2,)]


def test_golang_migrate(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    """It records the newest number only. Its files have a transaction of their own, or none."""
    put(
        theirs,
        {
            "000001_users.up.sql": f"BEGIN;\n{USERS}COMMIT;\n",
            "000001_users.down.sql": "DROP VIEW first; DROP FUNCTION greet; DROP TABLE users;",
            "000009_index.up.sql": INDEX,
            "000009_index.down.sql": "DROP INDEX users_name;",
            "000010_later.up.sql": "CREATE TABLE later ();",
            "000010_later.down.sql": "DROP TABLE later;",
        },
    )
    for text in (USERS, INDEX, GOLANG, "INSERT INTO schema_migrations VALUES (9, false)"):
        pg.execute(text.encode())
    found = imported(project, "golang-migrate", theirs)
    assert [(one["stops"], "BEGIN and COMMIT are left out" in one["what"]) for one in found["to_do"]] == [(False, True)]
    row = ran(project("adopt", "--write", "--json", timeout=120)).json["services"][0]
    assert (row["to_record"], row["differences"]) == (["000001", "000009"], [])
    assert ids(project) == ["000010"]
    ran(project("apply", "--yes"))


def test_goose(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    function = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'"
    put(
        theirs,
        {
            "00001_users.sql": "-- +goose Up\nCREATE TABLE a (id int);\n-- +goose StatementBegin\n"
            f"{function};\n-- +goose StatementEnd\n-- +goose Down\nDROP FUNCTION f;\nDROP TABLE a;\n",
            "00010_index.sql": "-- +goose NO TRANSACTION\r\n-- +goose Up\r\nCREATE INDEX CONCURRENTLY ai ON a (id);\r\n"
            "-- +goose Down\r\nDROP INDEX CONCURRENTLY ai;\r\n",
        },
    )
    for text in ("CREATE TABLE a (id int)", function, "CREATE INDEX ai ON a (id)", GOOSE):
        pg.execute(text.encode())
    pg.execute("INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (10, true)")
    imported(project, "goose", theirs)
    assert adopted(project) == ["00001", "00010"]
    pg.execute("DROP TABLE goose_db_version")
    ran(project("rollback", "--yes", "--to", "shop/base"))
    assert ids(project) == ["00001", "00010"]
    ran(project("apply", "--yes"))
    assert query(pg, "SELECT f()") == [(1,)]


def test_flyway(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    put(
        theirs,
        {
            "V1__a.sql": "CREATE TABLE a (id int);",
            "V1.10__c.sql": "CREATE INDEX CONCURRENTLY ai ON a (id);",
            "sub/V1_9__b.sql": "CREATE TABLE b ();",
            "U1_9__b.sql": "DROP TABLE b;",
            "B1.9__all.sql": "CREATE TABLE a (id int); CREATE TABLE b ();",
            "R__views.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS one;",
        },
    )
    for text in (
        "CREATE TABLE a (id int)",
        "CREATE TABLE b ()",
        "CREATE INDEX ai ON a (id)",
        "CREATE VIEW v AS SELECT 1 AS one",
    ):
        pg.execute(text.encode())
    pg.execute(FLYWAY.encode())
    rows = [("1", "V1__a.sql"), ("1.9", "sub/V1_9__b.sql"), ("1.10", "V1.10__c.sql"), (None, "R__views.sql")]
    for rank, (version, script) in enumerate(rows, 1):
        pg.execute(
            "INSERT INTO flyway_schema_history VALUES (%s, %s, 'x', 'SQL', %s, 5, 'u', now(), 0, true)",
            [rank, version, script],
        )
    found = imported(project, "flyway", theirs)
    assert found["left_out"] == ["B1.9__all.sql: a short cut for what the files up to its version make"]
    assert [one["what"] for one in found["to_do"]] == ["repeatable: from now on, a change of it is a new migration"]
    assert adopted(project) == ["1", "1_9", "1_10", "views"]
    assert ran(project("lint", "--json")).json["findings"] == []


def test_prisma(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    text = '-- CreateTable\nCREATE TABLE "User" (\n    "id" SERIAL NOT NULL,\n    PRIMARY KEY ("id")\n);\n'
    put(
        theirs,
        {
            "migrations/20240101120000_init/migration.sql": text,
            "migrations/migration_lock.toml": 'provider = "postgresql"\n',
        },
    )
    for statement in (text, PRISMA):
        pg.execute(statement.encode())
    pg.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) VALUES ('1', %s, %s, now())",
        [hashlib.sha256(text.encode()).hexdigest(), "20240101120000_init"],
    )
    imported(project, "prisma", theirs)
    assert adopted(project) == ["20240101120000"]


def test_node_pg_migrate(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    put(theirs, {"1700000000000_a-b.sql": "-- Up Migration\nCREATE TABLE a ();\n-- Down Migration\nDROP TABLE a;\n"})
    for statement in ("CREATE TABLE a ()", NODE_PG_MIGRATE):
        pg.execute(statement.encode())
    pg.execute("INSERT INTO pgmigrations (name, run_on) VALUES ('1700000000000_a-b', now())")
    imported(project, "node-pg-migrate-sql", theirs)
    assert adopted(project) == ["1700000000000"]


def test_liquibase(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    """Two change sets have the id 1: the record tells them apart by their files."""
    put(
        theirs,
        {
            "a.sql": "--liquibase formatted sql\n\n"
            "--changeset ann:1\nCREATE TABLE a (id int);\n--rollback DROP TABLE a;\n"
            "--changeset bob:two-words runInTransaction:false\nCREATE INDEX CONCURRENTLY ai ON a (id);\n",
            "b.sql": "-- liquibase formatted sql\n-- changeset ann:1\nCREATE TABLE b ();\n",
        },
    )
    for text in ("CREATE TABLE a (id int)", "CREATE TABLE b ()", "CREATE INDEX ai ON a (id)", LIQUIBASE):
        pg.execute(text.encode())
    for order, (id_, author, file) in enumerate(
        [("1", "ann", "a.sql"), ("two-words", "bob", "a.sql"), ("1", "ann", "b.sql")]
    ):
        pg.execute(
            "INSERT INTO databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype)"
            " VALUES (%s, %s, %s, now(), %s, 'EXECUTED')",
            [id_, author, file, order],
        )
    imported(project, "liquibase-sql", theirs)
    assert adopted(project) == ["c0001", "c0002", "c0003"]


def test_drizzle(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    table = 'CREATE TABLE "a" (\n\t"id" serial PRIMARY KEY NOT NULL\n);\n'
    text = f'{table}--> statement-breakpoint\nCREATE INDEX "ai" ON "a" ("id")'
    put(
        theirs,
        {
            "0000_wise_owl.sql": text,
            "meta/_journal.json": '{"version": "7", "dialect": "postgresql", "entries": '
            '[{"idx": 0, "version": "7", "when": 1700000000000, "tag": "0000_wise_owl", "breakpoints": true}]}',
            "0001_left.sql": "SELECT 1;",
        },
    )
    for statement in (text, DRIZZLE):
        pg.execute(statement.encode())
    pg.execute(
        "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, 1700000000000)",
        [hashlib.sha256(text.encode()).hexdigest()],
    )
    found = imported(project, "drizzle", theirs)
    assert found["left_out"] == ["0001_left.sql: meta/_journal.json does not name it"]
    assert adopted(project) == ["0000"]


def test_what_came_later_is_imported_after_what_is_here(
    project: Project, theirs: Path, pg: psycopg.Connection[Any]
) -> None:
    """1 -- 9, then 10 as well: ids have other zeros than they would have now, and none is written twice."""
    put(theirs, {"1_a.sql": "CREATE TABLE a ();", "9_b.sql": "CREATE TABLE b ();"})
    imported(project, "sqlx", theirs)
    (project.folder / "shop/adopt.toml").write_text(
        "# ours\n" + (project.folder / "shop/adopt.toml").read_text() + "[knex]\n"
    )
    before = files(project)
    found = imported(project, "sqlx", theirs)
    assert (found["files"], found["here_already"], files(project)) == ([], 2, before)
    (project.folder / "shop/adopt.toml").unlink()  # or it was killed before it wrote that
    assert len(imported(project, "sqlx", theirs)["files"]) == 1
    (project.folder / "shop/adopt.toml").write_bytes(before[str(project.folder / "shop/adopt.toml")])
    put(theirs, {"10_c.sql": "CREATE TABLE c ();"})
    found = imported(project, "sqlx", theirs)
    assert [Path(one).name for one in found["files"]] == ["10_c.py", "adopt.toml"]
    assert ids(project) == ["1", "9", "10"]
    text = (project.folder / "shop/adopt.toml").read_text()
    assert text.startswith("# ours\n")
    assert text.count("checksum") == 3


# --- what is left to a person


@pytest.mark.parametrize(
    ("tool", "name", "text", "finding"),
    [
        ("sqlx", "1_a.sql", "\\set ON_ERROR_STOP on\nCREATE TABLE a ();", "line 1 has what only psql understands"),
        ("sqlx", "1_a.sql", "SELECT 1;\n\\i other.sql\n", "line 2 has what only psql understands"),
        ("sqlx", "1_a.sql", "SELECT :'name';", "line 1 has what only psql understands: :'name'"),
        ("sqlx", "1_a.sql", "CREATE TABLE a (b text);\nCOPY a FROM stdin;\n'x;\n\\.\n", "line 2 copies from the file"),
        ("flyway", "V1__a.sql", "CREATE TABLE ${name} ();", "flyway puts a value in the place of ${name}"),
        ("goose", "1_a.sql", "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '${X}';", "goose puts environment variables"),
        ("goose", "1_a.go", "package migrations", "write here what 1_a.go does"),
        ("knex", "1_a.js", "exports.up = knex => knex.raw('\\\\d');\r\n", "write here what 1_a.js does"),
        ("typeorm", "17-A.ts", "class A17 implements MigrationInterface {}", "write here what 17-A.ts does"),
        ("django", "shop/migrations/0001_initial.py", "from django.db import migrations", "write here what"),
    ],
)
def test_what_cannot_run_as_it_is_fails_until_it_is_written_and_lint_names_it(
    project: Project, theirs: Path, tool: str, name: str, text: str, finding: str
) -> None:
    put(theirs, {name: text})
    found = imported(project, tool, theirs)
    assert found["next"] == "dataops lint --service shop"
    assert [one["what"] for one in found["to_do"] if one["stops"]] == [found["to_do"][0]["what"]]
    report = ran(project("lint", "--json"), 4).json["findings"]
    assert [one["code"] for one in report if one["code"] != "H010"] == ["F001"]
    assert finding in report[0]["message"]
    draft = not name.endswith(".sql")
    assert [one["code"] for one in report if one["code"] == "H010"] == (["H010"] if draft else [])
    assert ran(project("apply", "--yes"), 1)
    again = imported(project, tool, theirs)
    assert (again["files"], again["here_already"]) == ([], 1)


def test_drafts_for_mongodb_name_what_is_left(tmp_path: Path, mongo_url: str, theirs: Path) -> None:
    (tmp_path / "ours").mkdir()
    project = Project(tmp_path / "ours").add("shop", mongo_url)
    text = "module.exports = { async up(db) { await db.collection('a').updateMany({}, {}); } };\n"
    put(theirs, {"20240101000000-a b.js": text, "20240102000000-c.ts": text, "types.d.ts": ""})
    imported(project, "migrate-mongo", theirs)
    report = ran(project("lint", "--json"), 4).json["findings"]
    assert sorted((Path(one["file"]).name, one["code"]) for one in report) == [
        (name, code) for name in ("20240101000000-a-b.py", "20240102000000-c.py") for code in ("F001", "H010", "M010")
    ]
    assert text.strip() in (project.place("shop") / "20240102000000-c.py").read_text()
    assert 'name = "20240101000000-a b.js"' in (project.folder / "shop/adopt.toml").read_text()


# --- what is refused, and then nothing is written


@pytest.mark.parametrize(
    ("tool", "content", "code", "words"),
    [
        ("sqlx", {"1_a.sql": "SELECT 1;", "2_b.sql": b"SELECT '\xe9';"}, 4, "2_b.sql:1: not utf-8 at byte 8"),
        ("sqlx", {"1_a.sql": "SELECT 1;\nSELECT 'x;\n"}, 4, "1_a.sql:2: a quote begins here and never ends"),
        ("sqlx", {"1_a.sql": "DO $x$ BEGIN; END $$;\n"}, 4, "1_a.sql:1: the quote $x$ begins here"),
        ("sqlx", {"1_a.sql": "/* /* */ SELECT 1"}, 4, "1_a.sql:1: a comment begins here"),
        ("sqlx", {"1_a.sql": "SELECT 1;\0"}, 4, "null character"),
        ("sqlx", {"1_a.sql": "", "01_b.sql": ""}, 4, "has the version 1 too"),
        ("sqlx", {"1_a.down.sql": ""}, 4, "there is no file that goes up with it"),
        ("sqlx", {}, 4, "has no migrations of sqlx"),
        ("dbmate", {"1_a.sql": "SELECT 1;"}, 4, "it has no -- migrate:up"),
        ("dbmate", {"1_a.sql": "SELECT 1;\n-- migrate:up\n"}, 4, "it has SQL before -- migrate:up"),
        ("goose", {"1_a.sql": "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;"}, 4, "1_a.sql:2: +goose Statement"),
        ("goose", {"1_a.sql": "SELECT 1;"}, 4, "it has SQL before -- +goose Up"),
        ("prisma", {"migration_lock.toml": 'provider = "mysql"', "1/migration.sql": ""}, 4, "its provider is mysql"),
        ("drizzle", {"0000_a.sql": ""}, 4, "there is no meta/_journal.json"),
        ("drizzle", {"meta/_journal.json": "{}"}, 4, "it is not what drizzle-kit writes"),
        (
            "drizzle",
            {"meta/_journal.json": '{"dialect": "postgresql", "entries": [{"tag": "0000_a", "when": 1}]}'},
            4,
            "it names 0000_a.sql, which is not there",
        ),
        ("django", {"a/migrations/0001_a.py": "x ="}, 4, "it is not Python"),
        ("liquibase-sql", {"a.sql": "--liquibase formatted sql\n--changeset ann\n"}, 4, "a.sql:2: this changeset has"),
        ("migrate-mongo", {"1-a.js": ""}, 64, "is for MongoDB, and this service is a PostgreSQL"),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_written(
    project: Project, theirs: Path, tool: str, content: dict[str, Any], code: int, words: str
) -> None:
    put(theirs, content)
    before = files(project)
    answer = ran(project("import", "shop", "--from", tool, str(theirs)), code)
    assert words in answer.stderr
    assert "hint: " in answer.stderr
    assert files(project) == before


def test_another_encoding_is_read_when_it_is_named(project: Project, theirs: Path, pg: psycopg.Connection[Any]) -> None:
    marked = b"\xef\xbb\xbf" + "COMMENT ON TABLE a IS 'é'".encode()  # one with a mark is in UTF-8 all the same
    put(theirs, {"1_a.sql": "CREATE TABLE a (b text DEFAULT 'é');".encode("latin-1"), "2_b.sql": marked})
    imported(project, "sqlx", theirs, 0, "--encoding", "latin-1")
    ran(project("apply", "--yes"))
    assert query(pg, "INSERT INTO a DEFAULT VALUES RETURNING b") == [("é",)]
    assert query(pg, "SELECT obj_description('a'::regclass)") == [("é",)]
    unknown = ran(project("import", "shop", "--from", "sqlx", "x", "--encoding", "no"), 64)
    assert "there is no encoding" in unknown.stderr
    assert "is no folder" in ran(project("import", "shop", "--from", "sqlx", str(theirs / "no")), 64).stderr


def test_files_of_ones_own_are_left_alone(project: Project, theirs: Path) -> None:
    project.table("shop", "20240101")
    put(theirs, {"20230101_a.sql": "SELECT 1;"})
    before = files(project)
    assert "none of them is of" in ran(project("import", "shop", "--from", "sqlx", str(theirs)), 4).stderr
    assert files(project) == before


def test_a_file_in_the_way_or_a_folder_that_cannot_be_written_leaves_everything_as_it_was(
    project: Project, theirs: Path
) -> None:
    put(theirs, {"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 1;"})
    blocked = project.place("shop") / "2_b.py"
    blocked.symlink_to("/proc/nowhere")
    assert "2_b.py" in ran(project("import", "shop", "--from", "sqlx", str(theirs)), 4).stderr
    blocked.unlink()
    (project.folder / "shop/adopt.toml").symlink_to("/proc/nowhere/adopt.toml")  # a folder that cannot be written
    before = files(project)
    answer = ran(project("import", "shop", "--from", "sqlx", str(theirs)), 10)
    assert "nothing was written" in answer.stderr
    assert files(project) == before
    assert list(project.place("shop").iterdir()) == []


def test_a_service_without_a_folder_gets_one(project: Project, theirs: Path) -> None:
    project.place("shop").rmdir()
    (project.folder / "shop").rmdir()
    put(theirs, {"1_a.sql": "SELECT 1;"})
    answer = ran(project("import", "shop", "--from", "sqlx", str(theirs)))
    assert answer.stdout.splitlines()[0].endswith("shop/versions/1_a.py")
    assert "Next: dataops adopt --service shop" in answer.stderr
    assert ids(project) == ["1"]


def test_an_adopt_toml_behind_a_link_gets_its_tables_where_it_is(project: Project, theirs: Path) -> None:
    put(theirs, {"1_a.sql": "SELECT 1;"})
    elsewhere = project.folder / "elsewhere.toml"
    elsewhere.write_text("# ours\n")
    elsewhere.chmod(0o640)
    (project.folder / "shop/adopt.toml").symlink_to(elsewhere)
    imported(project, "sqlx", theirs)
    assert (project.folder / "shop/adopt.toml").is_symlink()
    assert elsewhere.read_text().startswith("# ours\n\n[sqlx.migrations.")
    assert elsewhere.stat().st_mode & 0o777 == 0o640


def test_an_adopt_toml_that_takes_no_more_tables_is_left_alone(project: Project, theirs: Path) -> None:
    put(theirs, {"1_a.sql": "SELECT 1;"})
    (project.folder / "shop/adopt.toml").write_text("sqlx = { retired = [] }\n")
    before = files(project)
    answer = ran(project("import", "shop", "--from", "sqlx", str(theirs)), 4)
    assert "these tables cannot be added at its end" in answer.stderr
    assert files(project) == before
