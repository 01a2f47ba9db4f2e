"""The text that makes a database again: equal from PostgreSQL 14 to 18, and from what it has made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from pymongo.database import Database

from dataops import catalogue, contents, kinds, schemafile
from dataops.backends import WritesSchema, connect
from dataops.dev import PostgresServer
from dataops.dumping import structure
from dataops.model import Service
from dataops.schema import Schema
from tests.servers import fresh_postgres

DATA = Path(__file__).parent / "data"


def service(kind: kinds.Kind, url: str) -> Service:
    return Service("shop", kind, url, Path())


def schema_of(url: str, *, most_rows: int = 1000) -> Schema:
    database = connect(service(kinds.POSTGRESQL, url))
    assert isinstance(database, WritesSchema)
    return database.schema(most_rows=most_rows)


def test_a_shop_with_everything_is_written_in_the_same_words_by_every_version(
    pg: psycopg.Connection[Any], pg_url: str, postgres: PostgresServer
) -> None:
    """shop.schema.sql was written by PostgreSQL 18; CI runs this on each version."""
    pg.execute((DATA / "shop.sql").read_bytes())
    schema = schema_of(pg_url)
    assert ";\n".join((*schema.statements, "")) == (DATA / "shop.schema.sql").read_text()
    assert (schema.data, schema.left_out, schema.unwritten) == (
        {"checked": 1, "currencies": 2, "events": 1, "tree": 2},
        {},
        (),
    )
    with fresh_postgres(postgres) as url, psycopg.connect(url) as other:
        for statement in schema.statements:
            other.execute(statement.encode())
        other.commit()
        assert schema_of(url) == schema
        one, again = connect(service(kinds.POSTGRESQL, pg_url)), connect(service(kinds.POSTGRESQL, url))
        strict = [replace(each.catalogue(), open=frozenset()) for each in (one, again)]
        assert catalogue.compare(*strict, details=True) == ()
        assert contents.compare(one.contents(), again.contents()) == ()


def test_objects_that_few_databases_have_are_made_again_by_the_file_for_git(
    pg: psycopg.Connection[Any], pg_url: str, postgres: PostgresServer
) -> None:
    """rare.schema.sql was written by PostgreSQL 18, too."""
    pg.execute((DATA / "rare.sql").read_bytes())
    if pg.info.server_version >= 150000:
        pg.execute("CREATE PUBLICATION parts FOR TABLE books (id, title) WHERE (id > 1)")
        pg.execute("CREATE PUBLICATION parts_too FOR TABLE books, TABLES IN SCHEMA app")
    database = connect(service(kinds.POSTGRESQL, pg_url))
    text = schemafile.made(database.service, "007", database.catalogue(), structure(database)).sql
    assert "not written" not in text
    with fresh_postgres(postgres) as url, psycopg.connect(url) as other:
        other.execute(text.encode())
        other.commit()
        again = connect(service(kinds.POSTGRESQL, url))
        assert schemafile.made(again.service, "007", again.catalogue(), structure(again)).sql == text
        strict = [replace(each.catalogue(), open=frozenset()).with_bodies() for each in (database, again)]
        assert catalogue.compare(*strict) == ()
    lines = [part for part in text.split("\n\n") if "PUBLICATION parts" not in part]
    assert "\n\n".join(lines) == (DATA / "rare.schema.sql").read_text()


def test_the_files_for_git_are_the_same_from_every_version(pg: psycopg.Connection[Any], pg_url: str) -> None:
    """They were written by PostgreSQL 18, too. A right and a row are not in them."""
    pg.execute((DATA / "shop.sql").read_bytes())
    pg.execute(b"GRANT ALL ON ALL TABLES IN SCHEMA public TO public")
    pg.execute((DATA / "more.sql").read_bytes())
    database = connect(service(kinds.POSTGRESQL, pg_url))
    file = schemafile.made(database.service, "007", database.catalogue(), structure(database))
    for path, text in file.texts(Path("shop.files")).items():
        assert text == (DATA / path).read_text(), path
    assert schemafile.load(DATA / "shop.files", database.service) == file


def test_what_is_not_written_is_named(pg: psycopg.Connection[Any], pg_url: str) -> None:
    """Rare objects, and rows where there are too many."""
    pg.execute("CREATE TABLE numbers (n int)")
    pg.execute("INSERT INTO numbers SELECT generate_series(1, 11)")
    pg.execute("CREATE TABLE few (n int)")
    pg.execute("INSERT INTO few VALUES (1)")
    pg.execute("CREATE FOREIGN DATA WRAPPER nothing")
    pg.execute(SQL("ALTER DATABASE {} SET app.key = 'secret'").format(Identifier(pg.info.dbname)))
    pg.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    schema = schema_of(pg_url, most_rows=10)
    assert (schema.data, schema.left_out) == ({"few": 1}, {"numbers": 11})
    assert "setting of the database: app.key" in schema.unwritten
    found = [name.split(" for role")[0].split(" on ")[0] for name in schema.unwritten]
    assert {name.split(" ")[0] for name in found} >= {"default", "foreign-data", "setting"}


def test_collections_and_documents_are_made_again(mongo_db: Database[dict[str, Any]], mongo_url: str) -> None:
    """What the Python makes in an empty database is written in the same words again."""
    import datetime

    from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp

    db = mongo_db
    db.create_collection("log", capped=True, size=4096, max=10)
    db.create_collection("german", collation={"locale": "de", "strength": 2})
    db.german.create_index("name")
    db.german.create_index("plain", collation={"locale": "simple"})
    db.create_collection("weather", timeseries={"timeField": "at", "metaField": "place", "granularity": "hours"})
    db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    rule = {"$jsonSchema": {"required": ["name"], "properties": {"name": {"bsonType": "string"}}}}
    db.create_collection("people", validator=rule, validationLevel="moderate", validationAction="warn")
    db.people.create_index([("title", "text"), ("body", "text")], weights={"title": 3}, default_language="german")
    db.people.create_index([("at", 1)], expireAfterSeconds=60, partialFilterExpression={"at": {"$gt": 5}})
    db.people.create_index([("place", "2dsphere"), ("odd name.x", -1)], sparse=True, name='my "index"')
    db.people.create_index([("$**", 1)], wildcardProjection={"a": 1})
    db.create_collection("adults", viewOn="people", pipeline=[{"$match": {"age": {"$gte": 18}}}])
    db.kinds.insert_many(
        [
            {"_id": ObjectId("6b0b5eb184be37612eb32e57"), "b": True, "n": None, "s": 'it\'s "so" \\ \n', "f": 1.0},
            {"_id": "two", "l": Int64(5), "i": 5, "d": Decimal128("1.10"), "x": Binary(b"\0\1", 5), "e": {}, "a": []},
            {
                "_id": 3,
                "t": datetime.datetime(2024, 2, 3, 4, 5, 6, 789000, datetime.UTC),
                "r": Regex("^a", "i"),
                "ts": Timestamp(1, 2),
            },
        ]
    )
    one = connect(service(kinds.MONGODB, mongo_url))
    assert isinstance(one, WritesSchema)
    schema, catalogue_before, contents_before = one.schema(most_rows=100), one.catalogue(), one.contents()
    assert schema.data == {"kinds": 3}
    for name in db.list_collection_names():
        if not name.startswith("system."):
            db.drop_collection(name)
    for _ in range(2):  # stopped anywhere, it may be run again
        names: dict[str, Any] = {"db": db}
        exec("\n".join((*schema.imports, *schema.statements)), names)
    assert catalogue.compare(catalogue_before, one.catalogue(), details=True) == ()
    assert contents.compare(contents_before, one.contents()) == ()
    assert one.schema(most_rows=100) == schema
    assert one.schema(most_rows=2).left_out == {"kinds": 3}
    one.close()
