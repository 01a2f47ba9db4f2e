"""`inspect` says what is in a database, and shows no value of it."""

from __future__ import annotations

from typing import Any

import psycopg
from bson import ObjectId
from pymongo.database import Database

from tests.projects import Project
from tests.servers import Answer


def parts(answer: Answer, kind: str) -> dict[str, dict[str, Any]]:
    assert answer.code == 0, answer
    return {part["name"]: part for part in answer.json["parts"] if part["kind"] == kind}


def test_inspect_says_what_a_postgresql_database_has(
    project: Project, pg_url: str, pg: psycopg.Connection[Any]
) -> None:
    project.add("shop", pg_url)
    project.file(
        "shop",
        "001",
        'op.execute("CREATE TABLE users (id int PRIMARY KEY, mail text NOT NULL, phone text, age int DEFAULT 7)")',
    )
    project.file("shop", "002", 'op.execute("CREATE INDEX ON users (mail)")')
    project.file("shop", "003", 'op.create_index("by_phone", "users", ["phone"], unique=True)')
    project.file("shop", "004", 'op.execute("CREATE TABLE orders (buyer int REFERENCES users, CHECK (buyer > 0))")')
    assert project("apply", "--yes", "--to", "003").code == 0
    pg.execute(
        "INSERT INTO users SELECT n, 'ann-' || n, CASE WHEN n % 4 = 0 THEN 'p' || n END FROM generate_series(1, 400) n"
    )
    pg.execute("ANALYZE users")
    assert project("inspect", "shop", "-o", "name").stdout == "users\n"  # nothing of dataops, nothing of Alembic

    answer = project("inspect", "shop", "users", "--json")
    assert answer.json["place"]["rows"] == answer.json["sampled"] == 400
    columns = parts(answer, "field")
    assert {name: column["share"] for name, column in columns.items()} == {"id": 1, "mail": 1, "phone": 0.25, "age": 1}
    assert columns["age"]["definition"] == "integer DEFAULT 7"
    assert columns["phone"]["named_in"] == ["001", "003"]
    indexes = parts(answer, "index")
    assert indexes["by_phone"]["definition"] == "UNIQUE btree (phone)"
    assert (indexes["by_phone"]["named_in"], indexes["users_mail_idx"]["named_in"]) == (["003"], ["002"])

    assert project("apply", "--yes").code == 0
    pg.execute("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    pg.execute("CREATE TRIGGER watching BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION nothing()")
    shown = project("inspect", "shop", "users", "-o", "wide").stdout
    assert shown.startswith("shop, table users: about 400 rows, sample of 400 rows\n")
    assert "orders: FOREIGN KEY (buyer) REFERENCES users(id)" in shown and "BEFORE UPDATE ON users" in shown
    assert "ann-" not in shown
    orders = project("inspect", "shop", "orders", "--json")
    assert {one["definition"] for one in parts(orders, "constraint").values()} == {
        "FOREIGN KEY (buyer) REFERENCES users(id)",
        "CHECK ((buyer > 0))",
    }
    assert {one["share"] for one in parts(orders, "field").values()} == {None}  # nothing is in it

    wrong = project("inspect", "shop", "user")
    assert (wrong.code, wrong.stderr) == (
        64,
        "error: shop: there is no table or collection user\nhint: did you mean dataops inspect shop users\n",
    )


def test_a_big_table_is_sampled_a_locked_one_is_named_and_a_view_is_not_run(
    project: Project, pg_url: str, pg: psycopg.Connection[Any]
) -> None:
    project.add("shop", pg_url, timeouts={"connect": "2s"})
    pg.execute("CREATE TABLE big AS SELECT n, CASE WHEN n % 2 = 0 THEN n END AS half FROM generate_series(1, 60000) n")
    pg.execute("ANALYZE big")
    pg.execute("CREATE TABLE cut (at int) PARTITION BY RANGE (at)")
    pg.execute("CREATE TABLE cut_1 PARTITION OF cut FOR VALUES FROM (0) TO (9)")
    pg.execute("CREATE VIEW seen AS SELECT pg_sleep(60)::text AS slept, n FROM big")
    answer = project("inspect", "shop", "big", "--json")
    assert 0 < answer.json["sampled"] <= 1000
    assert 0.4 < parts(answer, "field")["half"]["share"] < 0.6
    assert parts(project("inspect", "shop", "cut", "--json"), "partition")["cut_1"]["definition"].startswith("FOR VAL")
    view = project("inspect", "shop", "seen")
    assert (view.code, view.stderr) == (
        0,
        "views and foreign tables are not sampled: that would run a query elsewhere\n",
    )

    pg.execute('CREATE SCHEMA other; CREATE TABLE other."Odd 100%" ("a b%" int); CREATE TABLE empty ()')
    assert parts(project("inspect", "shop", "Odd 100%", "--json"), "field")["a b%"]["definition"] == "integer"
    nothing = project("inspect", "shop", "empty", "--json")
    assert (nothing.json["parts"], nothing.json["notes"], nothing.stderr) == ([], [], "")

    with psycopg.connect(pg_url) as other:
        other.execute("LOCK TABLE big")
        locked = project("inspect", "shop")
    assert locked.code == 3
    assert "big is held by process" in locked.stderr


def test_inspect_says_what_a_mongodb_database_has(
    project: Project, mongo_url: str, mongo_db: Database[dict[str, Any]]
) -> None:
    project.add("bank", mongo_url)
    project.file("bank", "001", 'db.users.create_index("mail", unique=True)')
    project.file("bank", "002", 'db.users.create_index([("tags", 1)], name="by_tag")')
    assert project("apply", "--yes").code == 0
    mongo_db.users.insert_many(
        {
            "mail": f"ann-{n}@example.org",
            "age": n if n % 2 else float(n),
            "home": {"town": "X", "rooms": [{"size": 1}, {"size": None}]},
            "seen": {f"bob{n}": n},
            "by_mail": {f"ann-{n}@example.org": {"paid": True}},
            "by_id": {str(ObjectId()): 1},
            **({"tags": ["a"]} if n % 4 == 0 else {}),
        }
        for n in range(200)
    )
    mongo_db.command("collMod", "users", validator={"mail": {"$type": "string"}})
    mongo_db.create_collection("few", viewOn="users", pipeline=[{"$match": {"age": 1}}])

    assert project("inspect", "bank", "-o", "csv").stdout.splitlines()[1].startswith("few,view,,")
    assert project("inspect", "bank", "-o", "name").stdout == "few\nusers\n"
    answer = project("inspect", "bank", "users", "--json")
    assert answer.json["sampled"] == answer.json["place"]["rows"] == 200
    found = {name: (field["definition"], field["share"]) for name, field in parts(answer, "field").items()}
    assert found == {
        "_id": ("objectId", 1),
        "age": ("double or int", 1),
        "by_id": ("object", 1),
        "by_id.*": ("int", None),
        "by_mail": ("object", 1),
        "by_mail.*": ("object", None),
        "by_mail.*.paid": ("bool", None),
        "home": ("object", 1),
        "home.rooms": ("array", 1),
        "home.rooms[]": ("object", 1),
        "home.rooms[].size": ("int or null", 1),
        "home.town": ("string", 1),
        "mail": ("string", 1),
        "seen": ("object", 1),
        "seen.*": ("int", None),
        "tags": ("array", 0.25),
        "tags[]": ("string", 0.25),
    }
    indexes = parts(answer, "index")
    assert (indexes["mail_1"]["definition"], indexes["mail_1"]["named_in"]) == ("(mail: 1) unique", ["001"])
    assert indexes["by_tag"]["named_in"] == ["002"]
    assert "$type" in parts(answer, "validator")["users"]["definition"]
    assert "example.org" not in answer.stdout and "bob" not in answer.stdout
    assert project("inspect", "bank", "users", "--sample", "50", "--json").json["sampled"] == 50
