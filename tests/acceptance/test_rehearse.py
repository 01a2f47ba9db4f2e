"""`dataops rehearse` runs what is pending on a copy with a sample, and a plan knows what that has measured."""

from __future__ import annotations

import json
import random
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg
import pytest
from bson import ObjectId
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from dataops.planning import rehearsals
from tests.projects import Project
from tests.servers import fresh_mongo, fresh_postgres

Rehearse = Callable[..., Any]

SCHEMA = """
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE, born date NOT NULL,
    boss bigint, CONSTRAINT by_boss FOREIGN KEY (boss) REFERENCES users
);
CREATE TABLE teams (id int PRIMARY KEY, head bigint NOT NULL REFERENCES users, best int);
CREATE TABLE members (team int REFERENCES teams, who bigint REFERENCES users, PRIMARY KEY (team, who));
ALTER TABLE teams ADD FOREIGN KEY (best, head) REFERENCES members DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE log (at timestamptz, what text) PARTITION BY RANGE (at);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE hidden (id int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a trigger ran'; END $$;
INSERT INTO users (email, born, boss)
SELECT 'u' || n || '@example.org', '2000-01-01', CASE WHEN n > 1 THEN n / 2 END FROM generate_series(1, 6000) n;
INSERT INTO users (email, born, boss) SELECT 'x' || n, '1990-01-01', 1 FROM generate_series(1, 20000) n;
BEGIN;
INSERT INTO teams SELECT n, 6000 + n, n FROM generate_series(1, 40) n;
INSERT INTO members SELECT n, 6000 + n FROM generate_series(1, 40) n;
COMMIT;
INSERT INTO log SELECT '2026-05-05', 'x' FROM generate_series(1, 300);
CREATE TRIGGER never BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION never();
CREATE SCHEMA app; CREATE TABLE app.things (id int PRIMARY KEY); INSERT INTO app.things VALUES (1);
CREATE VIEW bosses AS SELECT DISTINCT boss FROM users;
ANALYZE users;
"""


@pytest.fixture
def shop(project: Project, postgres: PostgresServer) -> Iterator[str]:
    """A live database that was there before its first migration."""
    with fresh_postgres(postgres) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA.encode())
        project.add("shop", url, onto_existing=True)
        yield url


@pytest.fixture
def rehearse(project: Project, postgres: PostgresServer) -> Rehearse:
    def run(*args: str) -> Any:
        return project("rehearse", "--scratch", postgres.url(), *args, timeout=120)

    return run


def test_a_plan_is_rehearsed_on_a_sample_and_then_knows_its_times(
    project: Project, rehearse: Rehearse, shop: str, postgres: PostgresServer
) -> None:
    project.file(
        "shop",
        "001",
        """
        op.execute("ALTER TABLE users ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()")
        op.execute("UPDATE users SET email = 'new ' || email WHERE born = '1990-01-01'")
        op.execute("CREATE INDEX by_born ON users (born)")
        """,
        """
        op.execute("DROP INDEX by_born")
        op.execute("UPDATE users SET email = substr(email, 5) WHERE born = '1990-01-01'")
        op.execute("ALTER TABLE users DROP COLUMN token")
        """,
    )
    answer = rehearse("--sample", "2000", "--mask", "users.email", "--json")
    assert answer.code == 0, answer.stderr
    [one] = answer.json["services"]
    assert (one["differences"], one["failed"], one["notes"]) == ([], None, [])
    users = one["tables"]["public.users"]
    assert 2000 <= users["rows"] < 12000
    assert 25000 < users["live"] < 27000
    assert one["tables"]["public.teams"] == {"rows": 40, "live": 40}
    assert one["tables"]["public.log"] == {"rows": 300, "live": 300}

    up, down = one["steps"]
    add, update, index = up["statements"]
    assert (up["direction"], down["direction"]) == ("apply", "rollback")
    assert {"object": "public.users", "mode": "AccessExclusiveLock"} in add["locks"]
    assert "public.users" in add["rewritten"]
    assert update["changed"] > 1000
    assert index["rewritten"] == []
    for statement in up["statements"]:
        assert statement["live"], (statement["statement"], statement["foreseen"])
        assert statement["live"]["low"] < statement["live"]["high"]
        assert statement["live"]["basis"].startswith("measured on a sample of 1 in ")

    path = project.folder / ".dataops" / "rehearsal.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "example.org" not in text
    assert "UPDATE" not in text
    planned = project("plan", "--json").json["services"][0]["steps"][0]["effects"]
    assert {effect["seconds"]["basis"] for effect in planned} == {add["live"]["basis"]}
    assert "measured on a sample of 1 in" in project("plan", "-v").stdout
    assert "measured on a sample of 1 in" in project("plan", "--format", "markdown").stdout

    project.path("shop", "001").write_text(project.path("shop", "001").read_text().replace("by_born", "by_day"))
    planned = project("plan", "--json").json["services"][0]["steps"][0]["effects"]
    assert {effect["seconds"]["basis"] for effect in planned} == {"the size of the table"}
    content = json.loads(text)
    path.write_text(json.dumps({**content, "version": 99}))
    assert project("plan").code == 0

    with psycopg.connect(shop) as connection:
        assert connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)
    with psycopg.connect(postgres.url()) as connection:
        names = [row[0] for row in connection.execute("SELECT datname FROM pg_database")]
    assert not [name for name in names if name.startswith("dataops_scratch_")]


def test_what_would_fail_live_fails_here_and_names_the_statement(
    project: Project, rehearse: Rehearse, shop: str
) -> None:
    """
    001* -- 002 -- 003   (* applied)   002 is irreversible, and 003 fails on the data
    """
    project.table("shop", "001")
    assert project("apply", "--yes").code == 0
    project.file("shop", "002", 'op.execute("DELETE FROM log")', None)
    project.file("shop", "003", 'op.execute("ALTER TABLE hidden ALTER id TYPE bigint")')
    irreversible = rehearse("--to", "shop/002", "-v")
    assert irreversible.code == 0
    assert "not rolled back, because 002 cannot be" in irreversible.stdout
    assert "300 changed" in irreversible.stdout

    project.file("shop", "004", "op.execute(\"INSERT INTO users (email, born) VALUES ('x', '2000-01-01')\")")
    answer = rehearse("--sample", "300", "--json")
    assert answer.code == 8
    [one] = answer.json["services"]
    failed = one["failed"]
    assert (failed["migration"], failed["statement"]) == ("004", "INSERT INTO users (email, born) VALUES (?, ?)")
    assert "a trigger ran" in failed["problem"]["message"]
    assert [step["migration"] for step in one["steps"]] == ["002", "003"]
    shown = rehearse("--no-data")
    assert shown.code == 8
    assert "FAILED: apply 004" in shown.stdout


def test_rows_are_shown_before_and_after_and_masked_values_nowhere(
    project: Project, rehearse: Rehearse, shop: str
) -> None:
    project.file(
        "shop", "001", "op.execute(\"UPDATE users SET boss = 1, email = email || '!' WHERE id = 1\")", "time.sleep(0)"
    )
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("CREATE TABLE list (id int PRIMARY KEY, before int REFERENCES list)")
        connection.execute("INSERT INTO list SELECT n, nullif(n - 1, 0) FROM generate_series(1, 5000) n; ANALYZE list")
        connection.execute(
            "CREATE DOMAIN mail AS text CHECK (value ~ '@'); ALTER TABLE users ADD mail mail DEFAULT 'm@x'"
        )
    shown = rehearse(
        "-v", "--sample", "300", "--mask", "users.email", "--mask", "public.users.born", "--mask", "users.mail"
    )
    assert "cannot be copied" not in shown.stdout  # the domain refuses what takes the place of another text
    assert "m@x" not in shown.stdout
    assert shown.code == 8  # it does not lead back
    assert "public" in shown.stdout
    assert "public.list.before: NULL in " in shown.stdout  # it refers to all of itself
    assert "boss: null" in shown.stdout
    assert "boss: 1" in shown.stdout
    assert "u1@" not in shown.stdout
    assert "rolled back: users.boss: different in 1 row" in shown.stdout
    wrong = rehearse("--mask", "users.id")
    assert (wrong.code, "foreign key" in wrong.stderr) == (64, True)
    assert rehearse("--no-data", "--mask", "nothing.mail").code == 64


def test_it_tells_what_it_could_not_read_and_goes_on(
    project: Project, rehearse: Rehearse, shop: str, postgres: PostgresServer
) -> None:
    project.file(
        "shop", "001", 'op.execute("ALTER TABLE log ADD COLUMN n int")', 'op.execute("ALTER TABLE log DROP n")'
    )
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute(
            "CREATE ROLE looker LOGIN PASSWORD 'looker'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker;"
            "REVOKE SELECT ON members FROM looker"
        )
    try:
        name = shop.rpartition("/")[2]
        project.env["SHOP_URL"] = postgres.url(name, "looker", "looker")
        answer = rehearse("--json")
        assert answer.code == 0, answer.stderr
        [one] = answer.json["services"]
        notes = " ".join(one["notes"])
        assert "public.members is empty in the rehearsal: this user may not read it" in notes
        assert "public.hidden: row security hides rows" in notes
        assert "public.teams.best: NULL in 40 rows of the sample, because the rows they refer to are not in it" in notes
        bare = rehearse("--no-data", "--json").json["services"][0]
        assert {of["rows"] for of in bare["tables"].values()} == {0}
    finally:
        with psycopg.connect(shop, autocommit=True) as connection:
            connection.execute("DROP OWNED BY looker; DROP ROLE looker")
    assert rehearse("--no-data", "--sample", "5").code == 64


def test_documents_are_rehearsed_too(project: Project, mongo: MongoServer) -> None:
    with fresh_mongo(mongo) as url, MongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        db.create_collection("users", validator={"old": {"$exists": True}})
        db.users.insert_many(
            [{"_id": n, "mail": f"u{n}@example.org", "tags": [{"by": "Ann"}]} for n in range(5000)],
            bypass_document_validation=True,
        )
        db.users.create_index("mail", unique=True)
        db.create_collection("few", capped=True, size=4096)
        db.few.insert_one({"_id": ObjectId(), "at": 1})
        db.command({"create": "mails", "viewOn": "users", "pipeline": [{"$project": {"mail": 1}}]})
        project.add("bank", url, onto_existing=True)
        project.file(
            "bank",
            "a",
            """
            db.command({"collMod": "users", "validator": {}})
            db.users.update_many({}, {"$set": {"state": "new"}})
            db.users.create_index("state")
            """,
            """
            db.users.drop_index("state_1")
            db.users.update_many({}, {"$unset": {"state": ""}})
            db.command({"collMod": "users", "validator": {"old": {"$exists": True}}})
            """,
        )
        more = ("--scratch", mongo.url(), "--sample", "500", "--mask", "users.mail", "--mask", "users.tags.by")
        answer = project("rehearse", *more, "--json")
        assert answer.code == 0, answer.stderr
        [one] = answer.json["services"]
        assert (one["differences"], one["failed"]) == ([], None)
        (note,) = one["notes"]
        assert "the validator of users refuses documents of the sample" in note
        assert one["tables"] == {"few": {"rows": 1, "live": 1}, "users": {"rows": 500, "live": 5000}}
        update = next(s for s in one["steps"][0]["statements"] if s["statement"] == "update users")
        assert (update["changed"], update["live"]["basis"]) == (500, "measured on a sample of 1 in 10")
        assert "measured on a sample of 1 in 10" in project("plan", "-v").stdout

        project.file("bank", "b", "db.users.create_index('state', unique=True, name='only')")
        shown = project("rehearse", *more, "-v")
        assert shown.code == 8
        assert "FAILED: apply b" in shown.stdout
        assert "createIndexes users" in shown.stdout
        assert "state: new" in project("rehearse", *more, "--to", "bank/a", "-v").stdout
        assert not [text for text in ("@example.org", "Ann") if text in shown.stdout + shown.stderr]
        assert not [name for name in client.list_database_names() if name.startswith("dataops_scratch_")]


def test_a_validator_that_refuses_what_masks_make_lets_the_steps_run(
    project: Project, mongo: MongoServer, mongo_url: str
) -> None:
    with MongoClient[dict[str, object]](mongo_url) as client:
        db = client.get_default_database()
        db.create_collection("users", validator={"mail": {"$regex": "@"}})
        db.users.insert_many([{"_id": n, "mail": f"u{n}@example.org"} for n in range(20)])
    project.add("bank", mongo_url, onto_existing=True)
    project.file(
        "bank",
        "a",
        "db.users.update_many({}, {'$set': {'state': 1}})",
        "db.users.update_many({}, {'$unset': {'state': 1}})",
    )
    answer = project("rehearse", "--scratch", mongo.url(), "--mask", "users.mail")
    assert answer.code == 0, answer.stdout + answer.stderr
    assert "the validator of users refuses documents of the sample" in answer.stdout


def test_the_copy_has_the_search_path_the_roles_and_the_rights_of_the_live_database(
    project: Project, shop: str
) -> None:
    """A rehearsal has a server of its own where none is named: of the same version, and with the same roles."""
    name = shop.rpartition("/")[2]
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute(
            "CREATE ROLE things_owner; CREATE ROLE things_reader; GRANT SELECT ON app.things TO things_reader"
        )
        connection.execute(
            "CREATE TYPE app.mood AS ENUM ('good'); CREATE FUNCTION app.one() RETURNS int LANGUAGE sql AS 'SELECT 1';"
            " ALTER TABLE app.things OWNER TO things_owner; ALTER TYPE app.mood OWNER TO things_owner;"
            " ALTER FUNCTION app.one() OWNER TO things_owner"
        )
        connection.execute(f"ALTER DATABASE {name} SET search_path = app, public".encode())
    try:
        project.file(
            "shop",
            "001",
            """
            op.execute(
                "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_class WHERE relowner = 'things_owner'::regrole) >= 1"
                " AND (SELECT count(*) FROM pg_proc WHERE proowner = 'things_owner'::regrole) = 1"
                " AND (SELECT count(*) FROM pg_type WHERE typowner = 'things_owner'::regrole AND typtype = 'e') = 1;"
                " END $$"
            )
            op.execute("ALTER TABLE things ALTER id TYPE bigint")
            op.execute("GRANT INSERT ON things TO things_reader")
            """,
            """
            op.execute("REVOKE INSERT ON things FROM things_reader")
            op.execute("ALTER TABLE things ALTER id TYPE int")
            """,
        )
        answer = project("rehearse", "--json", timeout=120)
        assert answer.code == 0, answer.stderr
        [one] = answer.json["services"]
        assert (one["notes"], one["steps"][0]["statements"][1]["rewritten"]) == ([], ["app.things"])
    finally:
        with psycopg.connect(shop, autocommit=True) as connection:
            connection.execute("DROP OWNED BY things_reader, things_owner; DROP ROLE things_reader, things_owner")


def test_locks_of_statements_outside_of_a_transaction_are_seen(project: Project, rehearse: Rehearse, shop: str) -> None:
    """They are given back when the statement is done. Another session keeps this one waiting, so that it is seen."""
    project.file(
        "shop",
        "001",
        """
        with op.get_context().autocommit_block():
            op.execute("CREATE INDEX CONCURRENTLY by_born ON users (born, email, id, (born + 1), (email || 'x'))")
            op.execute("SELECT count(*) FROM users, pg_sleep(0.2)")
        """,
        "op.execute('DROP INDEX by_born')",
    )
    answer = rehearse("--sample", "20000", "--json")
    assert answer.code == 0, answer.stderr
    built = next(
        one for one in answer.json["services"][0]["steps"][0]["statements"] if one["statement"].startswith("CREATE")
    )
    assert {"object": "public.users", "mode": "ShareUpdateExclusiveLock"} in built["locks"]


def test_short_and_harmless_statements_are_folded_and_pipelines_read_the_rest(
    project: Project, rehearse: Rehearse, shop: str
) -> None:
    project.file(
        "shop",
        "001",
        """
        for number in range(30):
            op.execute(f"CREATE TABLE small_{number} (id int)")
        op.execute("ALTER TABLE users ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()")
        """,
        """
        op.execute("ALTER TABLE users DROP COLUMN token")
        for number in range(30):
            op.execute(f"DROP TABLE small_{number}")
        """,
    )
    shown = rehearse()
    assert shown.code == 0, shown.stderr
    assert shown.stdout.count("> CREATE TABLE") < 30
    assert "> ALTER TABLE users ADD COLUMN token" in shown.stdout
    assert "wrote anew: public.users" in shown.stdout
    assert "short and harmless (-v shows all)" in shown.stdout
    assert rehearse("-v").stdout.count("> CREATE TABLE") == 30
    page = rehearse("--format", "markdown").stdout
    assert "### 1 step rehearsed" in page
    assert "| shop | `001` |" in page
    cases = ElementTree.fromstring(rehearse("--format", "junit").stdout)
    assert [case.get("name") for case in cases.iter("testcase")] == ["001", "the way back and forth"]
    assert cases.get("failures") == "0"
    project.file("shop", "002", "op.execute('ALTER TABLE users ADD CHECK (id < 0)')", "pass")
    failed = rehearse("--format", "junit")
    assert (failed.code, ElementTree.fromstring(failed.stdout).get("failures")) == (8, "1")
    assert (
        ":x: failed" in rehearse("--format", "markdown").stdout or "- :x: " in rehearse("--format", "markdown").stdout
    )


def test_a_kill_while_the_times_are_written_leaves_the_old_ones_or_the_new_ones(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from dataops.model import Rehearsed, Sampled\nfrom dataops.planning import rehearsals\n"
        "tables = {f'public.t{n}': Sampled(n, n) for n in range(3000)}\n"
        "while True:\n"
        "    rehearsals.save(Path(sys.argv[1]), [Rehearsed('shop', 'x', datetime.now(UTC), tables)])\n"
        "    print('written', flush=True)\n"
    )
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(random.randint(1, 4)):
                assert process.stdout.readline() == b"written\n"
            process.kill()
        [kept] = rehearsals.load(tmp_path)
        assert len(kept.tables) == 3000
