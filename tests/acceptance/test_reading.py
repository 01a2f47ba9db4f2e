"""plan, status, history and wait only look: with read-only users, and without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import fresh_mongo, fresh_postgres

QUESTIONS = (
    ["plan"],
    ["plan", "-v"],
    ["plan", "--json"],
    ["plan", "--direction", "rollback", "--to", "shop/base"],
    ["status"],
    ["status", "--json"],
    ["history"],
    ["stash", "list"],
)


def _postgres_snapshot(url: str) -> dict[str, Any]:
    """Every relation, function, schema and role setting of a database, and every row of every table."""
    with psycopg.connect(url) as connection:
        relations = connection.execute(
            "SELECT c.oid::regclass::text, c.relkind, c.relacl::text, c.xmin::text FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\\_%' "
            "AND n.nspname <> 'information_schema' ORDER BY 1"
        ).fetchall()
        rows = {
            name: connection.execute(f"SELECT t::text, xmin::text FROM {name} t ORDER BY 1").fetchall()
            for name, kind, *_ in relations
            if kind == "r"
        }
        schemas = connection.execute("SELECT nspname, nspacl::text FROM pg_namespace ORDER BY 1").fetchall()
        functions = connection.execute("SELECT oid::regprocedure::text, xmin::text FROM pg_proc ORDER BY 1").fetchall()
        return {"relations": relations, "rows": rows, "schemas": schemas, "functions": functions}


def _mongo_snapshot(url: str) -> dict[str, Any]:
    """Every collection with its id and options, its indexes and its documents."""
    with MongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        found = sorted(db.list_collections(), key=lambda one: str(one["name"]))
        return {
            one["name"]: (one["options"], one["info"].get("uuid"), db[one["name"]].index_information(),
                          list(db[one["name"]].find().sort("_id", 1)))
            for one in found
        }  # fmt: skip


@pytest.fixture
def guarded(project: Project, postgres: PostgresServer, mongo_with_passwords: MongoServer) -> Iterator[Project]:
    """A project whose owner's URLs are in `project.env`; `reader` users may only read."""
    with fresh_postgres(postgres) as pg_url, fresh_mongo(mongo_with_passwords) as mongo_url:
        project.add("shop", pg_url).add("bank", mongo_url)
        for service in ("shop", "bank"):
            project.table(service, "001")
            project.table(service, "002")
        yield project


def _readers(project: Project) -> dict[str, str]:
    """Real users of each engine that may read and nothing else, and the environment that makes the command use them."""
    pg_url, mongo_url = project.env["SHOP_URL"], project.env["BANK_URL_CON"]
    database = urlsplit(pg_url).path.lstrip("/")
    role = f"reader_{database}"
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}")
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'readonly'")
        connection.execute(f"GRANT pg_read_all_data TO {role}")
    with MongoClient[dict[str, Any]](mongo_url) as client:
        db = client.get_default_database()
        db.command("createUser", "reader", pwd="readonly", roles=[{"role": "read", "db": db.name}])
        name = db.name
    parts, mongo_parts = urlsplit(pg_url), urlsplit(mongo_url)
    mongo_host = mongo_parts.netloc.rpartition("@")[2]
    replica_set = "&replicaSet=rs0" if "replicaSet=rs0" in mongo_url else ""
    return {
        "SHOP_URL": f"postgres://{role}:readonly@{parts.netloc.rpartition('@')[2]}/{database}",
        "BANK_URL_CON": f"mongodb://reader:readonly@{mongo_host}/{name}?authSource={name}{replica_set}",
    }


def _drop_readers(project: Project) -> None:
    with psycopg.connect(project.env["SHOP_URL"], autocommit=True) as connection:
        database = urlsplit(project.env["SHOP_URL"]).path.lstrip("/")
        connection.execute(f"DROP ROLE reader_{database}")
    with MongoClient[dict[str, Any]](project.env["BANK_URL_CON"]) as client:
        client.get_default_database().command("dropUser", "reader")


@pytest.mark.parametrize("applied", [False, True])
def test_questions_work_for_read_only_users_and_leave_no_trace(guarded: Project, applied: bool) -> None:
    if applied:
        assert guarded("apply", "--yes", "--steps", "3").code == 0
    readers = _readers(guarded)
    before = _postgres_snapshot(guarded.env["SHOP_URL"]), _mongo_snapshot(guarded.env["BANK_URL_CON"])

    for question in QUESTIONS:
        answer = guarded(*question, env=readers)
        assert (question, answer.code, answer.stderr if answer.code else "") == (question, 0, "")
    assert guarded("wait", "--timeout", "100ms", env=readers).code == 3

    after = _postgres_snapshot(guarded.env["SHOP_URL"]), _mongo_snapshot(guarded.env["BANK_URL_CON"])
    assert after == before
    _drop_readers(guarded)


def test_a_read_only_user_who_applies_is_told_about_rights_and_changes_nothing(guarded: Project) -> None:
    readers = _readers(guarded)
    before = _postgres_snapshot(guarded.env["SHOP_URL"]), _mongo_snapshot(guarded.env["BANK_URL_CON"])
    for service in ("shop", "bank"):
        answer = guarded("apply", "--yes", "--service", service, env=readers)
        assert answer.code == 10
        assert "dataops docs operations rights" in answer.stderr
    assert (_postgres_snapshot(guarded.env["SHOP_URL"]), _mongo_snapshot(guarded.env["BANK_URL_CON"])) == before
    _drop_readers(guarded)


def test_planning_takes_no_lock(two: Project) -> None:
    two.file("shop", "003", "here('middle')")
    with two.running("apply", "--yes", "--service", "shop"):
        two.reached("middle")
        answer = two("plan")
        assert answer.code == 0
        assert "locked now by" in answer.stdout
        two.go("middle")


def test_a_statement_that_needs_the_database_is_opaque_and_not_a_traceback(two: Project) -> None:
    two.file("shop", "003", "rows = op.get_bind().exec_driver_sql('SELECT 1').fetchall()\nassert rows")
    two.file("bank", "003", "inserted = db.t.find_one_and_update({}, {'$set': {'a': 1}})\ninserted['a']")
    answer = two("plan")
    assert answer.code == 0
    assert answer.stdout.count("opaque: ") == 2
    assert "Traceback" not in answer.stdout + answer.stderr


def test_the_recorder_lets_no_kind_of_write_through(two: Project, mongo_url: str) -> None:
    writes = """
    from pymongo import DeleteMany, IndexModel, InsertOne, UpdateOne
    db.seen.insert_one({'_id': 1}); db.seen.insert_many([{'_id': 2}, {'_id': 3}])
    db.kept.update_many({}, {'$set': {'a': 1}}); db.kept.update_one({'_id': 1}, {'$set': {'a': 1}}, upsert=True)
    db.kept.replace_one({}, {'b': 1}); db.kept.delete_many({})
    db.kept.find_one_and_delete({}); db.kept.find_one_and_replace({}, {'c': 1})
    db.kept.bulk_write([InsertOne({'x': 1}), UpdateOne({}, {'$set': {'z': 1}}), DeleteMany({})])
    db.kept.aggregate([{'$match': {}}, {'$out': 'copied'}]); db.kept.aggregate([{'$merge': {'into': 'merged'}}])
    db.kept.create_index('a', unique=True); db.kept.create_indexes([IndexModel('b'), IndexModel('c')])
    db.create_collection('made'); db.kept.rename('gone'); db.kept.drop()
    db.command('collMod', 'kept', validator={}); db.kept.drop_indexes()
    list(db.kept.find()); db.kept.count_documents({})
    with db.client.start_session() as session, session.start_transaction():
        db.kept.insert_one({'t': 1}, session=session)
    """
    two.file("bank", "003", writes.replace("\n    ", "\n"))
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.get_default_database().stash_entries.insert_many([{"_id": number} for number in range(5)])
    before = _mongo_snapshot(mongo_url)

    answer = two("plan", "--service", "bank", "--json", "--onto-existing")

    steps = answer.json["services"][0]["steps"]
    commands = " ".join(steps[-1]["commands"])
    assert steps[-1]["opaque"] is None
    expected = ["insert seen", "update kept", "delete kept", "findAndModify kept", '"$out": "copied"', '"$merge"']
    expected += ["createIndexes kept", "create made", "renameCollection", "drop kept", "collMod kept"]
    expected += ["dropIndexes kept", '"a_1"', '"b_1"', '"c_1"']
    assert [word for word in expected if word not in commands] == []
    assert _mongo_snapshot(mongo_url) == before


def test_the_recorder_reads_no_more_than_a_sample(two: Project, mongo_url: str) -> None:
    """Ten thousand documents, one update each: the plan shows some, says so and does not read them all."""
    two.file(
        "bank", "003", "for one in db.many.find():\n    db.many.update_one({'_id': one['_id']}, {'$set': {'a': 1}})"
    )
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.get_default_database().many.insert_many([{"_id": number} for number in range(10_000)])
    step = two("plan", "--service", "bank", "--json", "--onto-existing").json["services"][0]["steps"][-1]
    assert 0 < len(step["commands"]) <= 300
    assert any("limited to samples" in note for note in step["notes"])
