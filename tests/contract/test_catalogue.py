"""What databases are made of and what they hold: change one thing, and exactly that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import psycopg
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import MongoClient
from pymongo.database import Database

from dataops import backends, contents
from dataops.backends import connect
from dataops.backends.mongo.contents import elements
from dataops.backends.postgres import catalogue
from dataops.catalogue import compare
from dataops.dev import MongoServer, PostgresServer
from dataops.errors import PermissionDenied
from dataops.kinds import MONGODB, POSTGRESQL
from dataops.model import Service
from tests.servers import fresh_name, fresh_postgres

Mongo = Database[dict[str, Any]]


def service(url: str) -> Service:
    kind = POSTGRESQL if url.startswith("postgres") else MONGODB
    return Service("it", kind, url, Path("nowhere"))


@dataclass
class Live:
    """A database, a way to change it, and what then differs from what it was when we began."""

    database: backends.Database
    change: Callable[[Any], object]

    def __post_init__(self) -> None:
        self.before = self.database.catalogue()
        self.held = self.database.contents()

    def differences(self, change: Any) -> list[str]:
        self.change(change)
        return [str(difference) for difference in compare(self.before, self.database.catalogue())]

    def complete_differences(self, change: Any) -> list[str]:
        self.change(change)
        return [str(difference) for difference in compare(self.before, self.database.catalogue(), details=True)]

    def changes(self, change: Any) -> list[str]:
        self.change(change)
        return [str(change) for change in contents.compare(self.held, self.database.contents())]


# --- PostgreSQL

RICH = """
CREATE EXTENSION pgcrypto;
CREATE SCHEMA app;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);
CREATE TYPE pair AS (one int, two text);
CREATE TYPE span AS RANGE (subtype = timestamptz);
CREATE COLLATION plain (provider = libc, locale = 'C');
CREATE SEQUENCE loose_seq;
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "fullName" varchar(40) NOT NULL,
    mood mood DEFAULT 'ok',
    balance cents NOT NULL DEFAULT 0,
    number serial,
    place bigint GENERATED ALWAYS AS IDENTITY,
    twice int GENERATED ALWAYS AS (number * 2) STORED,
    tag text COLLATE "C",
    at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT users_name_unique UNIQUE ("fullName"),
    CONSTRAINT users_tag_check CHECK (tag IN ('a', 'b'))
);
CREATE INDEX users_lower ON users (lower("fullName"), at DESC) WHERE tag IS NOT NULL;
CREATE STATISTICS users_stat ON mood, tag FROM users;
CREATE TABLE messages (id int PRIMARY KEY, user_id uuid REFERENCES users (id) ON DELETE CASCADE, body jsonb);
CREATE TABLE app.settings (name varchar(40) PRIMARY KEY, value text);
CREATE TABLE logs (at date NOT NULL, line text) PARTITION BY RANGE (at);
CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX logs_at ON logs (at);
CREATE VIEW named AS SELECT id, "fullName" FROM users WHERE tag = 'a';
CREATE VIEW joined AS SELECT u.id, m.body FROM users u JOIN messages m ON m.user_id = u.id;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM users;
CREATE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM messages';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
CREATE RULE no_delete AS ON DELETE TO app.settings DO INSTEAD NOTHING;
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON messages FOR SELECT USING (id > 0);
COMMENT ON COLUMN users.mood IS 'how they feel';
INSERT INTO users (id, "fullName") VALUES ('00000000-0000-0000-0000-00000000000a', 'ana');
INSERT INTO users (id, "fullName") VALUES ('00000000-0000-0000-0000-00000000000b', 'bob');
INSERT INTO messages VALUES (1, NULL, '{"a": 1}'), (2, NULL, '{"a": 2}'), (3, NULL, NULL);
INSERT INTO logs VALUES ('2026-05-05', 'one'), ('2026-05-05', 'one'), ('2026-05-06', 'two');
"""


@pytest.fixture
def rich(pg_url: str, pg: psycopg.Connection[Any]) -> Iterator[Live]:
    pg.execute(RICH.encode())
    database = connect(service(pg_url))
    yield Live(database, lambda statement: pg.execute(statement.encode()))
    database.close()


PG_DIFFERENCES = [
    ("CREATE TABLE note (id int)", "table note: here, but not expected"),
    ("DROP TABLE app.settings", "table app.settings: missing here"),
    ("DROP SCHEMA app CASCADE; CREATE SCHEMA elsewhere", None),
    ("ALTER TABLE app.settings SET UNLOGGED", "table app.settings: here unlogged, expected plain"),
    (
        "ALTER TABLE messages DISABLE ROW LEVEL SECURITY",
        "table messages: here plain, expected row level security",
    ),
    ("ALTER TABLE users ADD note text", "column users.note: here, but not expected (text)"),
    ("ALTER TABLE app.settings DROP value", "column app.settings.value: missing here, expected text"),
    (
        "ALTER TABLE users ALTER at TYPE timestamp",
        None,  # the index on it too
    ),
    (
        "ALTER TABLE users ALTER at DROP NOT NULL",
        "column users.at: here timestamp with time zone DEFAULT CURRENT_TIMESTAMP, "
        "expected timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP",
    ),
    (
        "ALTER TABLE users ALTER at SET DEFAULT now()",
        "column users.at: here timestamp with time zone NOT NULL DEFAULT now(), "
        "expected timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP",
    ),
    (
        "ALTER TABLE app.settings ALTER name TYPE varchar(50)",
        "column app.settings.name: here character varying(50) NOT NULL, expected character varying(40) NOT NULL",
    ),
    (
        "ALTER TABLE users ALTER place SET GENERATED BY DEFAULT",
        "column users.place: here bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY, "
        "expected bigint NOT NULL GENERATED ALWAYS AS IDENTITY",
    ),
    (
        "ALTER TABLE users ALTER twice DROP EXPRESSION",
        "column users.twice: here integer, expected integer GENERATED ALWAYS AS ((number * 2)) STORED",
    ),
    (
        "ALTER TABLE users DROP CONSTRAINT users_name_unique",
        'constraint users.users_name_unique: missing here, expected UNIQUE ("fullName")',
    ),
    (
        "ALTER TABLE messages DROP CONSTRAINT messages_user_id_fkey,"
        " ADD CONSTRAINT messages_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)",
        "constraint messages.messages_user_id_fkey: here FOREIGN KEY (user_id) REFERENCES users(id), "
        "expected FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
    ),
    (
        "ALTER TABLE users RENAME CONSTRAINT users_name_unique TO users_name_key",
        None,  # one is missing, one is not expected
    ),
    (
        "ALTER TABLE users ADD CONSTRAINT c CHECK (number > 0) NOT VALID",
        "constraint users.c: here, but not expected (CHECK ((number > 0)) NOT VALID)",
    ),
    ("CREATE INDEX by_at ON users (at)", "index users.by_at: here, but not expected (btree (at))"),
    (
        "DROP INDEX users_lower; CREATE UNIQUE INDEX users_lower ON users"
        ' (lower("fullName"), at DESC) WHERE tag IS NOT NULL',
        'index users.users_lower: here UNIQUE btree (lower(("fullName")::text), at DESC) WHERE (tag IS NOT NULL), '
        'expected btree (lower(("fullName")::text), at DESC) WHERE (tag IS NOT NULL)',
    ),
    ("DROP INDEX logs_at", "index logs.logs_at: missing here, expected btree (at)"),
    ("DROP STATISTICS users_stat", "statistics users_stat: missing here, expected ON mood, tag FROM users"),
    (
        "CREATE OR REPLACE VIEW named AS SELECT id, \"fullName\" FROM users WHERE tag = 'b'",
        "view named: here SELECT id, \"fullName\" FROM users WHERE (tag = 'b'::text), "
        "expected SELECT id, \"fullName\" FROM users WHERE (tag = 'a'::text)",
    ),
    (
        "DROP MATERIALIZED VIEW totals",
        "view totals: missing here, expected materialized SELECT count(*) AS n FROM users",
    ),
    (
        "ALTER SEQUENCE loose_seq INCREMENT 2",
        "sequence loose_seq: here bigint from 1 to 9223372036854775807 by 2, "
        "expected bigint from 1 to 9223372036854775807 by 1",
    ),
    (
        "DROP FUNCTION plus;CREATE FUNCTION plus(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'",
        "function plus(integer, integer): here (a integer, b integer DEFAULT 2) RETURNS integer LANGUAGE sql STABLE, "
        "expected (a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE",
    ),
    (
        "ALTER FUNCTION plus SECURITY DEFINER",
        "function plus(integer, integer): here (a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE "
        "SECURITY DEFINER, expected (a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE",
    ),
    ("CREATE OR REPLACE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7'", ""),
    ("DROP PROCEDURE tidy", "function tidy(): missing here, expected () procedure LANGUAGE sql VOLATILE"),
    (
        "DROP AGGREGATE total(int)",
        "function total(integer): missing here, "
        "expected (integer) RETURNS integer aggregate of int4pl on integer LANGUAGE internal IMMUTABLE",
    ),
    (
        "ALTER TYPE mood ADD VALUE 'glad' BEFORE 'happy'",
        "type mood: here enum ('sad', 'ok', 'glad', 'happy'), expected enum ('sad', 'ok', 'happy')",
    ),
    (
        "ALTER DOMAIN cents DROP CONSTRAINT cents_check",
        "type cents: here domain over bigint, expected domain over bigint CHECK ((VALUE >= 0))",
    ),
    (
        "ALTER TYPE pair ADD ATTRIBUTE three int",
        "type pair: here composite (one integer, two text, three integer), expected composite (one integer, two text)",
    ),
    ("DROP TYPE span", "type span: missing here, expected range over timestamp with time zone"),
    (
        "ALTER TABLE users DISABLE TRIGGER users_touch",
        "trigger users.users_touch: here TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION "
        "touch(), disabled, expected TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()",
    ),
    (
        "DROP RULE no_delete ON app.settings",
        "rule app.settings.no_delete: missing here, "
        "expected CREATE RULE no_delete AS ON DELETE TO app.settings DO INSTEAD NOTHING;",
    ),
    (
        "ALTER POLICY own ON messages USING (id > 1)",
        "policy messages.own: here permissive for SELECT to public USING ((id > 1)), "
        "expected permissive for SELECT to public USING ((id > 0))",
    ),
    ("CREATE EXTENSION hstore", ""),  # whoever hosts the server may have added one
    ("DROP EXTENSION pgcrypto", "extension pgcrypto: missing here"),
    ("DROP COLLATION plain", "collation plain: missing here, expected libc C"),
    ("COMMENT ON TABLE users IS 'people'", ""),
    ("GRANT SELECT ON users TO public", ""),
    ("CREATE TABLE alembic_version (version_num text); CREATE TABLE knex_migrations (id serial, name text)", ""),
    ("CREATE SCHEMA dataops_stash_1; CREATE TABLE dataops_stash_1.users (id int)", ""),
    (
        "ALTER TABLE messages DROP user_id CASCADE; ALTER TABLE messages ADD user_id uuid REFERENCES users (id) "
        "ON DELETE CASCADE; CREATE VIEW joined AS SELECT u.id, m.body FROM users u JOIN messages m ON m.user_id = u.id",
        "",
    ),  # at another place now
    ("CREATE TABLE logs_2027 PARTITION OF logs FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')", None),
]


@pytest.mark.parametrize(("statement", "expected"), [case for case in PG_DIFFERENCES if case[1] is not None])
def test_one_change_in_postgresql_is_one_difference(rich: Live, statement: str, expected: str) -> None:
    assert rich.differences(statement) == ([expected] if expected else [])


def test_some_changes_in_postgresql_are_several_differences(rich: Live) -> None:
    """With every part that follows from the change, and nothing else."""
    rich.change("ALTER TABLE users RENAME CONSTRAINT users_name_unique TO users_name_key")
    rich.change("CREATE TABLE logs_2027 PARTITION OF logs FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
    rich.change("ALTER TABLE users ALTER at DROP DEFAULT, ALTER at TYPE timestamp")
    rich.change("DROP SCHEMA app CASCADE")
    assert rich.differences("CREATE SCHEMA elsewhere") == [
        "schema app: missing here",
        "table app.settings: missing here",
        "schema elsewhere: here, but not expected",
        "table logs_2027: here, but not expected (partition of logs, FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'))",
        "column users.at: here timestamp without time zone NOT NULL, "
        "expected timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP",
        'constraint users.users_name_key: here, but not expected (UNIQUE ("fullName"))',
        'constraint users.users_name_unique: missing here, expected UNIQUE ("fullName")',
    ]


def test_an_invalid_index_is_a_difference(rich: Live, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE INDEX messages_body ON messages (body)")
    expected = rich.database.catalogue()
    pg.execute("DROP INDEX messages_body")
    pg.execute("CREATE FUNCTION fails(jsonb) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1 / 0; END'")
    with pytest.raises(psycopg.errors.DivisionByZero):
        pg.execute("CREATE INDEX CONCURRENTLY messages_body ON messages (fails(body))")
    pg.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_lower'::regclass")
    differences = [str(difference) for difference in compare(expected, rich.database.catalogue())]
    assert differences == [
        "function fails(jsonb): here, but not expected ((jsonb) RETURNS integer LANGUAGE plpgsql IMMUTABLE)",
        "index messages.messages_body: here btree (fails(body)) INVALID, expected btree (body)",
        'index users.users_lower: here btree (lower(("fullName")::text), at DESC) WHERE (tag IS NOT NULL) INVALID, '
        'expected btree (lower(("fullName")::text), at DESC) WHERE (tag IS NOT NULL)',
    ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "CREATE OR REPLACE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7'",
            "body of function plus(integer, integer): here SELECT 7, expected SELECT a+b",
        ),
        (
            "CREATE OR REPLACE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS"
            " 'SELECT  a\n + b'",
            "",
        ),
        ("COMMENT ON TABLE users IS 'people'", "comment on users: here, but not expected ('people')"),
        ("COMMENT ON COLUMN users.mood IS NULL", "comment on users.mood: missing here, expected 'how they feel'"),
        ("COMMENT ON FUNCTION plus IS 'adds'", "comment on plus(integer, integer): here, but not expected ('adds')"),
        ("GRANT SELECT ON users TO public", None),
        ("GRANT SELECT (id) ON users TO public", "grants on users.id: here, but not expected (=r/dataops)"),
    ],
)
def test_bodies_comments_and_grants_count_where_all_is_asked_for(
    rich: Live, statement: str, expected: str | None
) -> None:
    found = rich.complete_differences(statement)
    if expected is None:
        [told] = found
        assert told.startswith("grants on users: here, but not expected (=r/dataops, dataops=a")
    else:
        assert found == ([expected] if expected else [])


def test_a_catalogue_is_the_same_for_a_user_who_may_only_look(
    rich: Live, postgres: PostgresServer, pg_url: str, pg: psycopg.Connection[Any]
) -> None:
    name = fresh_name("looker")
    pg.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'".encode())
    database = connect(service(postgres.url(pg_url.rpartition("/")[2], name, "secret")))
    try:
        assert compare(rich.before, database.catalogue(), details=True) == ()
        with pytest.raises(PermissionDenied):
            database.contents()
        pg.execute(
            f"GRANT USAGE ON SCHEMA app TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA public, app TO {name}".encode()
        )
        with pytest.raises(PermissionDenied, match="row-level security"):  # it would see a part of the rows
            database.contents()
        pg.execute(f"ALTER ROLE {name} BYPASSRLS".encode())
        assert contents.compare(rich.held, database.contents()) == ()
    finally:
        database.close()
        pg.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


def test_a_schema_of_our_own_is_compared_like_public(postgres: PostgresServer, pg_url: str) -> None:
    statements = (
        "CREATE TABLE {0}t (id uuid DEFAULT gen_random_uuid(), of int REFERENCES {0}o); CREATE INDEX i ON {0}t (of)"
    )
    with fresh_postgres(postgres) as other, psycopg.connect(other, autocommit=True) as there:
        with psycopg.connect(pg_url, autocommit=True) as here:
            here.execute(("CREATE TABLE o (id int PRIMARY KEY);" + statements.format("")).encode())
        there.execute(
            ("CREATE SCHEMA app; CREATE TABLE app.o (id int PRIMARY KEY);" + statements.format("app.")).encode()
        )
        one, two = connect(service(pg_url)), connect(service(f"{other}?options=-csearch_path%3Dapp"))
        assert compare(one.catalogue(), two.catalogue()) == ()
        assert one.contents().keys() == two.contents().keys() == {"o", "t"}


PG_CHANGES = [
    ("UPDATE messages SET body = '{\"a\": 3}' WHERE id = 2", ["messages.body: different in 1 row (2)"]),
    ("UPDATE messages SET body = 'null' WHERE body IS NULL", ["messages.body: different in 1 row (3)"]),
    ("DELETE FROM messages WHERE id < 3", ["messages: 2 rows missing here (1, 2)"]),
    ("INSERT INTO messages VALUES (9)", ["messages: 1 row here, but not expected (9)"]),
    ("UPDATE users SET tag = ''", ["users.tag: different in 2 rows (00000000-0000-0000-0000-00000000000a, "
                                   "00000000-0000-0000-0000-00000000000b)"]),
    (
        # two rows exchange their values: the bag of values is what it was
        "UPDATE messages SET body = jsonb_build_object('a', 3 - (body->>'a')::int) WHERE body IS NOT NULL",
        ["messages.body: different in 2 rows (1, 2)"],
    ),
    ("UPDATE logs SET line = 'three' WHERE line = 'two'", ["logs.line: rows are different"]),
    ("DELETE FROM logs WHERE ctid = '(0,1)'", ["logs: 1 row missing here"]),
    ("UPDATE users SET mood = mood; VACUUM", []),
    ("ALTER TABLE messages DROP body CASCADE", ["messages.body: different in 3 rows (1, 2, 3)"]),
    ("TRUNCATE logs; INSERT INTO logs VALUES ('2026-05-06', 'two'), ('2026-05-05', 'one'), ('2026-05-05', 'one')", []),
    ("CREATE TABLE note AS SELECT 1 AS id", []),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), PG_CHANGES)
def test_changed_rows_are_told_by_column_and_key(rich: Live, statement: str, expected: list[str]) -> None:
    statement = statement.replace("UPDATE users SET tag = ''", "ALTER TABLE users DROP CONSTRAINT users_tag_check; "
                                                              "UPDATE users SET tag = ''")  # fmt: skip
    for one in statement.split("; "):
        rich.change(one)
    assert rich.changes("SELECT 1") == expected


def test_of_a_large_table_only_the_sums_are_kept(rich: Live, pg: psycopg.Connection[Any]) -> None:
    pg.execute("INSERT INTO messages SELECT n, NULL, '{}' FROM generate_series(100, 12000) n")
    before = rich.database.contents()
    assert before["messages"].each is None and before["messages"].count == 11_904
    pg.execute("UPDATE messages SET body = '[]' WHERE id = 777")
    assert [str(c) for c in contents.compare(before, rich.database.contents())] == ["messages.body: rows are different"]


def test_rows_with_two_keys_are_told_apart(pg_url: str, pg: psycopg.Connection[Any]) -> None:
    pg.execute("CREATE TABLE pairs (a text, b text, c int, PRIMARY KEY (a, b))")
    pg.execute("INSERT INTO pairs VALUES ('a, b', 'c', 1), ('a', 'b, c', 2), ('', '', 3)")
    live = Live(connect(service(pg_url)), lambda statement: pg.execute(statement.encode()))
    assert live.changes("UPDATE pairs SET c = 9 WHERE c < 3") == [
        'pairs.c: different in 2 rows (("a, b",c), (a,"b, c"))'
    ]


# --- MongoDB


ONE = {"_id": 1}
FIRST = {**ONE, "phone": "1", "n": 1, "deep": {"a": 1, "b": [1, 2]}}


@pytest.fixture
def documents(mongo_url: str) -> Iterator[Live]:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        db = client.get_default_database()
        db.create_collection("names", collation={"locale": "en", "strength": 2})
        db.names.create_index("name")
        db.create_collection("capped", capped=True, size=4096)
        db.create_collection("readings", timeseries={"timeField": "at"})
        db.create_collection("checked", validator={"n": {"$type": "int"}}, validationLevel="moderate")
        db.users.create_index({"phone": 1}, unique=True, sparse=True, name="phone_1")
        db.users.create_index({"name": 1, "at": -1}, name="name_1_at_-1")
        db.users.create_index("seen", expireAfterSeconds=60)
        db.users.create_index([("place", "2dsphere")])
        db.users.create_index([("about", "text")], weights={"about": 3})
        db.users.create_index("age", partialFilterExpression={"age": {"$gt": 18}})
        db.create_collection("grown", viewOn="users", pipeline=[{"$match": {"age": {"$gt": 18}}}])
        db.users.insert_many(
            [
                FIRST,
                {"_id": ObjectId("0" * 24), "phone": "2", "n": None},
                {"_id": "x", "phone": "3"},
            ]
        )
        database = connect(service(mongo_url))
        yield Live(database, lambda change: change(db))
        database.close()


def reindex(name: str, keys: dict[str, Any], **options: Any) -> Callable[[Mongo], None]:
    def change(db: Mongo) -> None:
        db.users.drop_index(name)
        db.command("createIndexes", "users", indexes=[{"name": name, "key": keys, **options}])

    return change


ENGLISH = '{"collation": {"locale": "en", "strength": 2}}'

MONGO_DIFFERENCES: dict[str, tuple[Callable[[Mongo], object], str]] = {
    "a collection more": (lambda db: db.create_collection("note"), "collection note: here, but not expected"),
    "a collection less": (lambda db: db.drop_collection("users"), "collection users: missing here"),
    "another collation": (
        lambda db: (db.drop_collection("capped"), db.create_collection("capped", collation={"locale": "de"})),
        'collection capped: here {"collation": {"locale": "de"}}, expected {"capped": true, "size": 4096}',
    ),
    "an index more": (lambda db: db.users.create_index("x"), "index users.x_1: here, but not expected ((x: 1))"),
    "an index less": (
        lambda db: db.users.drop_index("name_1_at_-1"),
        "index users.name_1_at_-1: missing here, expected (name: 1, at: -1)",
    ),
    "an index with a collation": (
        lambda db: db.names.drop_index("name_1"),
        f"index names.name_1: missing here, expected (name: 1) {ENGLISH}",
    ),
    "no longer sparse": (
        reindex("phone_1", {"phone": 1}, unique=True),
        "index users.phone_1: here (phone: 1) unique, expected (phone: 1) sparse unique",
    ),
    "another time to live": (
        reindex("seen_1", {"seen": 1}, expireAfterSeconds=61.0),
        'index users.seen_1: here (seen: 1) {"expireAfterSeconds": 61}, expected (seen: 1) {"expireAfterSeconds": 60}',
    ),
    "another condition": (
        reindex("age_1", {"age": 1}, partialFilterExpression={"age": {"$gt": 21}}),
        'index users.age_1: here (age: 1) {"partialFilterExpression": {"age": {"$gt": 21}}}, '
        'expected (age: 1) {"partialFilterExpression": {"age": {"$gt": 18}}}',
    ),
    "another order of keys": (
        reindex("name_1_at_-1", {"at": -1, "name": 1}),
        "index users.name_1_at_-1: here (at: -1, name: 1), expected (name: 1, at: -1)",
    ),
    "the same in other numbers": (
        reindex("name_1_at_-1", {"name": 1.0, "at": Int64(-1)}, background=True),
        "",
    ),
    "no validator": (
        lambda db: (db.drop_collection("checked"), db.create_collection("checked")),
        "validator checked.validator: missing here, "
        'expected {"validationLevel": "moderate", "validator": {"n": {"$type": "int"}}}',
    ),
    "a stricter validator": (
        lambda db: db.command("collMod", "checked", validationLevel="strict"),
        'validator checked.validator: here {"validator": {"n": {"$type": "int"}}}, '
        'expected {"validationLevel": "moderate", "validator": {"n": {"$type": "int"}}}',
    ),
    "a validator more": (
        lambda db: db.command("collMod", "users", validator={"x": 1}),
        'validator users.validator: here, but not expected ({"validator": {"x": 1}})',
    ),
    "another view": (
        lambda db: db.command("collMod", "grown", viewOn="users", pipeline=[]),
        'view grown: here {"pipeline": [], "viewOn": "users"}, '
        'expected {"pipeline": [{"$match": {"age": {"$gt": 18}}}], "viewOn": "users"}',
    ),
    "what is not the application's": (
        lambda db: [db[name].insert_one({}) for name in ("pymongo_migrate", "dataops_journal", "changelog")],
        "",
    ),
}


@pytest.mark.parametrize("case", MONGO_DIFFERENCES)
def test_one_change_in_mongodb_is_one_difference(documents: Live, case: str) -> None:
    change, expected = MONGO_DIFFERENCES[case]
    assert documents.differences(change) == ([expected] if expected else [])


def test_every_index_of_mongodb_is_told_with_its_options(documents: Live) -> None:
    told = {name: text for (kind, name), text in documents.before.objects.items() if kind == "index"}
    assert told["users.place_2dsphere"] == "(place: 2dsphere)"
    assert told["users.about_text"].startswith('(_fts: text, _ftsx: 1) {"default_language": "english"')
    assert '"weights": {"about": 3}' in told["users.about_text"]
    assert told["users.age_1"].endswith('"partialFilterExpression": {"age": {"$gt": 18}}}')


MONGO_CHANGES: dict[str, tuple[Callable[[Mongo], object], list[str]]] = {
    "a long": (
        lambda db: db.users.update_one(ONE, {"$set": {"n": Int64(1)}}),
        ["users.n: different in 1 document (1)"],
    ),
    "a double": (lambda db: db.users.update_one(ONE, {"$set": {"n": 1.0}}), ["users.n: different in 1 document (1)"]),
    "a decimal": (
        lambda db: db.users.update_one(ONE, {"$set": {"n": Decimal128("1")}}),
        ["users.n: different in 1 document (1)"],
    ),
    "something deep inside": (
        lambda db: db.users.update_one(ONE, {"$set": {"deep.b.1": "2"}}),
        ["users.deep: different in 1 document (1)"],
    ),
    "absent and not null": (
        lambda db: db.users.update_one({"phone": "2"}, {"$unset": {"n": 1}}),
        ["users.n: different in 1 document (000000000000000000000000)"],
    ),
    "a document less": (lambda db: db.users.delete_one({"_id": "x"}), ['users: 1 document missing here ("x")']),
    "another _id": (
        lambda db: (db.users.delete_one(ONE), db.users.insert_one({**FIRST, "_id": 1.0})),
        ["users: 1 document missing here (1)", "users: 1 document here, but not expected (1.0)"],
    ),
    "another order of fields": (
        lambda db: (db.users.delete_one(ONE), db.users.insert_one(dict(reversed(FIRST.items())))),
        [],
    ),
    "a stash": (lambda db: db["dataops_stash_1.users"].insert_one({}), []),
}


@pytest.mark.parametrize("case", MONGO_CHANGES)
def test_changed_documents_are_told_by_field_and_id(documents: Live, case: str) -> None:
    change, expected = MONGO_CHANGES[case]
    assert documents.changes(change) == expected


def test_every_type_of_bson_is_read() -> None:
    """What a document is cut into is what the driver finds in it."""
    values: dict[str, Any] = {
        "double": 1.5,
        "string": "a\0b",
        "document": {"a": [1, {}]},
        "array": [1, "x"],
        "binary": Binary(b"\x00\x01", 5),
        "id": ObjectId(),
        "true": True,
        "date": datetime(2026, 1, 1, tzinfo=UTC),
        "null": None,
        "regex": Regex("a.b", "im"),
        "code": Code("f()"),
        "scoped": Code("f()", {"a": 1}),
        "int": 1,
        "timestamp": Timestamp(1, 2),
        "long": Int64(1),
        "decimal": Decimal128("1.0"),
        "least": MinKey(),
        "most": MaxKey(),
        "é": "",
    }
    cut = dict(elements(bson.encode(values)))
    assert cut == {
        name: bson.encode({"": value})[4:5] + bson.encode({"": value})[6:-1] for name, value in values.items()
    }


def test_of_a_large_collection_only_the_sums_are_kept(documents: Live) -> None:
    documents.change(lambda db: db.many.insert_many([{"_id": n, "n": n, "x": "a"} for n in range(10_001)]))
    before = documents.database.contents()
    assert before["many"].each is None and before["many"].count == 10_001
    documents.change(lambda db: db.many.update_one({"_id": 77}, {"$set": {"x": "b"}}))
    assert [str(c) for c in contents.compare(before, documents.database.contents())] == [
        "many.x: documents are different"
    ]


def test_a_user_who_may_only_read_can_look_at_mongodb(mongo_with_passwords: MongoServer) -> None:
    name = fresh_name("trial")
    with MongoClient[dict[str, Any]](mongo_with_passwords.url()) as client:
        client[name].users.create_index("phone")
        client[name].users.insert_one({"_id": 1})
        client.admin.command("createUser", name, pwd="secret", roles=[{"role": "read", "db": name}])
    database = connect(service(mongo_with_passwords.url(name, name, "secret")))
    try:
        assert set(database.catalogue().objects) == {("collection", "users"), ("index", "users.phone_1")}
        assert database.contents()["users"].count == 1
    finally:
        database.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT x FROM generate_series(1, 3) WITH ORDINALITY g(x, y)",
        "SELECT i, s FROM ( VALUES (1,'w.i'::text), (2,'b'::text)) w(i, s)",
        "SELECT id FROM t TABLESAMPLE bernoulli (5)",
        "SELECT t.*::t AS whole, id FROM t",
        "SELECT json_agg(t.*) AS j FROM t",
        "SELECT id FROM ( SELECT t.id FROM t) q",
        "SELECT id FROM ONLY t",
        "SELECT a AS id FROM t x(a)",
        "SELECT q.id FROM ( SELECT u.id FROM u) q, t",
        "SELECT t.id FROM (t JOIN u USING (id))",
    ],
)
def test_the_words_of_a_view_do_not_depend_on_the_version(pg: psycopg.Connection[Any], query: str) -> None:
    """They are those of PostgreSQL 16 and later, and SQL that makes the same view again."""
    pg.execute("CREATE TABLE t (id int); CREATE TABLE u (id int)")
    with pg.transaction(force_rollback=True):
        pg.execute(f"CREATE VIEW v AS {query}".encode())
        assert catalogue.read(pg).objects["view", "v"] == query
