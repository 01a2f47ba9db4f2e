"""What a plan says of MongoDB's commands, held against what the server does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import SON
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from dataops.backends.mongo.foresight import Foresight
from dataops.dev import MongoServer
from dataops.hazards import HAZARDS
from dataops.model import Effect
from tests.servers import fresh_mongo

Document = dict[str, Any]

OLD = datetime.now(UTC) - timedelta(days=2)
COLLECTIONS: Mapping[str, list[Document]] = {
    "users": [{"_id": n, "email": f"e{n % 3}@x", "n": n, "tags": [n, n + 1], "at": OLD} for n in range(6)],
    "sparse": [{"_id": 1, "a": 1}, {"_id": 2}, {"_id": 3}],
    "nulls": [{"_id": 1, "a": None}, {"_id": 2}],
    "other": [{"_id": 1}],
    "checked": [{"_id": 1, "a": 1}],
    "places": [
        {"_id": 1, "at": {"type": "Point", "coordinates": [1, 2]}, "bad": {"type": "Point", "coordinates": [1, 200]}},
        {"_id": 2, "at": [3, 4], "bad": {"type": "Point", "coordinates": [1, 2]}, "text": "x", "list": [1, 2]},
        {"_id": 3, "at": None, "flat": [500, 500]},
    ],
    "arrays": [{"_id": 1, "a": [1, 2], "b": [3], "c": {"d": [1], "e": [2]}, "o": 1}, {"_id": 2, "a": 1, "e": [4]}],
    "texts": [{"_id": 1, "a": "x"}],
    "moderate": [{"_id": 1, "a": 1}, {"_id": 2, "a": 2}],
}


@pytest.fixture(scope="module")
def client(mongo: MongoServer) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](mongo.url()) as made:
        yield made


@pytest.fixture
def db(mongo: MongoServer) -> Iterator[Database[Document]]:
    with fresh_mongo(mongo) as url, MongoClient[Document](url) as client:
        made = client.get_default_database()
        made.create_collection("checked", validator={"a": {"$type": "int"}})
        for name, documents in COLLECTIONS.items():
            made[name].insert_many(documents)
        made.users.create_index("n", name="n_1")
        made.users.create_index([("email", 1), ("n", 1)], name="both", unique=True)
        made.texts.create_index([("a", "text")], name="a_text")
        made.command("collMod", "moderate", validator={"a": {"$lt": 2}}, validationLevel="moderate")
        made.create_collection("seen", viewOn="users", pipeline=[])
        yield made


def foresee(db: Database[Document], *steps: list[Document]) -> list[tuple[tuple[Effect, ...], tuple[str, ...]]]:
    """What is foreseen of these steps, each a list of commands."""
    foresight = Foresight(db, "dataops_stash_")
    return [foresight.follow([(next(iter(body)), body) for body in step]) for step in steps]


def hazards(*found: tuple[tuple[Effect, ...], tuple[str, ...]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for effects, _ in found:
        for effect in effects:
            for risk in effect.risks:
                assert risk.hazard in HAZARDS
                texts.setdefault(risk.hazard, risk.text)
    return texts


def index(collection: str, key: Document, name: str = "new", **options: Any) -> Document:
    return {"createIndexes": collection, "indexes": [{"key": SON(key), "name": name, **options}]}


def rename(db: str, source: str, to: str, **options: Any) -> Document:
    return {"renameCollection": f"{db}.{source}", "to": f"{db}.{to}", **options}


FAILURES: list[tuple[Document, str | None]] = [
    (index("users", {"email": 1}, unique=True), "e.g. 2 documents of users have the same email"),
    (index("users", {"n": 1}, unique=True), ""),
    (index("users", {"email": 1, "n": -1}, unique=True), ""),
    (index("users", {"tags": 1}, unique=True), "e.g. 2 documents of users have the same tags, with tags = "),
    (index("users", {"email": 1}, unique=True, partialFilterExpression={"n": {"$lt": 3}}), ""),
    (index("sparse", {"a": 1}, unique=True), "e.g. 2 documents of sparse have the same a, with a = null"),
    (index("sparse", {"a": 1}, unique=True, sparse=True), ""),
    (index("nulls", {"a": 1}, unique=True), "e.g. 2 documents of nulls have the same a, with a = null"),
    (index("users", {"n": 1}, "n_1", unique=True), "users has an index n_1 with other options"),
    (index("users", {"email": 1}, "n_1"), "users has an index n_1 with another key"),
    (index("users", {"n": 1}, "n_1"), ""),
    (index("nobody", {"a": 1}, unique=True), ""),
    ({"dropIndexes": "users", "index": "n_1"}, ""),
    ({"dropIndexes": "users", "index": "nothing"}, "users has no index nothing"),
    ({"insert": "users", "documents": [{"_id": 3}]}, "users has a document with one of these _ids already"),
    ({"insert": "users", "documents": [{"_id": 30}]}, ""),
    ({"insert": "checked", "documents": [{"_id": 3, "a": "x"}]}, "the validator of checked refuses a new document"),
    ({"insert": "checked", "documents": [{"_id": 3, "a": 5}]}, ""),
    ({"create": "users"}, "users exists"),
    ({"create": "checked", "capped": True, "size": 4096}, "checked exists"),
    ({"create": "fresh"}, ""),
    (rename("it", "users", "fresh"), ""),
    (rename("it", "users", "other"), "other exists"),
    (rename("it", "users", "other", dropTarget=True), ""),
    (rename("it", "nobody", "fresh"), "nobody is not there"),
    ({"update": "users", "updates": [{"q": {"n": 2}, "u": {"$set": {"x": 1}}, "multi": True}]}, ""),
    ({"delete": "users", "deletes": [{"q": {}, "limit": 0}]}, ""),
    ({"drop": "users"}, ""),
    ({"collMod": "nobody", "validator": {}}, "nobody is not there"),
    ({"collMod": "users", "index": {"name": "nothing", "hidden": True}}, "users has no index nothing"),
    ({"collMod": "users", "index": {"keyPattern": {"n": 1}, "hidden": True}}, ""),
    ({"dropIndexes": "users", "index": "_id_"}, "the index _id_ of users cannot be dropped"),
    ({"dropIndexes": "users", "index": {"n": 1}}, ""),
    ({"dropIndexes": "users", "index": {"z": 1}}, "users has no index with the key {'z': 1}"),
    ({"dropIndexes": "users", "index": ["n_1", "z"]}, "users has no index z"),
    (index("users", {"n": 1}, "another"), "users has this index already, as n_1"),
    (index("users", {"n": 1}, "another", sparse=True), ""),
    (index("users", {"n": -1}, "another"), ""),
    (index("users", {"n": 1}, "n_1", expireAfterSeconds=5), "users has an index n_1 with other options"),
    (index("users", {"tags.0": 1}, unique=True), ""),
    (index("seen", {"n": 1}), "seen is a view"),
    ({"insert": "seen", "documents": [{"_id": 1}]}, "seen is a view"),
    ({"update": "seen", "updates": [{"q": {}, "u": {"$set": {"x": 1}}}]}, "seen is a view"),
    ({"delete": "seen", "deletes": [{"q": {}, "limit": 0}]}, "seen is a view"),
    ({"findAndModify": "seen", "query": {}, "update": {"$set": {"x": 1}}}, "seen is a view"),
    ({"insert": "checked", "documents": [{"_id": 3, "a": "x"}], "bypassDocumentValidation": True}, ""),
    # ---- kinds of indexes
    (index("places", {"at": "2dsphere"}), ""),
    (index("places", {"bad": "2dsphere"}), "places has documents whose bad is no place"),
    (index("places", {"text": "2dsphere"}), "places has documents whose text is no place"),
    (index("places", {"list": "2dsphere"}), ""),
    (index("places", {"flat": "2d"}), "places has documents whose flat is no place"),
    (index("places", {"nothing": "2dsphere"}), ""),
    (index("arrays", {"a": "hashed"}), "arrays has documents whose a is a list"),
    (index("arrays", {"o": "hashed"}), ""),
    (index("arrays", {"a": 1, "b": 1}), "arrays has documents with several lists in a, b"),
    (index("arrays", {"a": 1, "e": 1}), ""),
    (index("arrays", {"c.d": 1, "c.e": 1}), "arrays has documents with several lists in c.d, c.e"),
    (index("arrays", {"a": 1, "o": 1}), ""),
    (index("arrays", {"a": 1, "b": 1}, partialFilterExpression={"o": {"$gt": 5}}), ""),
    (index("texts", {"a": "text"}, "a_text"), ""),
    (index("texts", {"b": "text"}), "texts has an index for texts already, a_text"),
    (index("users", {"email": "text"}), ""),
    (index("users", {"email": "text", "n": "text"}, "more"), ""),
    (index("users", {"$**": 1}), ""),
    (index("users", {"n": "nonsense"}), "n has no such kind of index: nonsense"),
    (index("users", {"a": 1, "b": 1}, expireAfterSeconds=5), "new cannot let documents expire"),
    (index("users", {"at": 1}, "long" * 40), ""),
    # ---- $merge, $out and rename
    ({"aggregate": "users", "pipeline": [{"$merge": {"into": "other"}}], "cursor": {}}, ""),
    (
        {"aggregate": "users", "pipeline": [{"$merge": {"into": "other", "whenMatched": "fail"}}], "cursor": {}},
        "other has documents with the same _id, where $merge is to fail",
    ),
    (
        {
            "aggregate": "sparse",
            "pipeline": [{"$merge": {"into": "places", "whenMatched": "keepExisting"}}],
            "cursor": {},
        },
        "",
    ),
    (
        {
            "aggregate": "sparse",
            "pipeline": [{"$match": {"_id": {"$gt": 8}}}, {"$merge": {"into": "other", "whenMatched": "fail"}}],
            "cursor": {},
        },
        "",
    ),
    (
        {"aggregate": "users", "pipeline": [{"$merge": {"into": "other", "whenNotMatched": "fail"}}], "cursor": {}},
        "other has no document of the same _id for some, where $merge is to fail",
    ),
    (
        {"aggregate": "users", "pipeline": [{"$merge": {"into": "other", "on": "n"}}], "cursor": {}},
        "other has no unique index on n, which $merge needs",
    ),
    (
        {"aggregate": "other", "pipeline": [{"$merge": {"into": "users", "on": ["n", "email"]}}], "cursor": {}},
        None,
    ),
    ({"aggregate": "users", "pipeline": [{"$out": "other"}], "cursor": {}}, ""),
    ({"aggregate": "users", "pipeline": [{"$out": "seen"}], "cursor": {}}, "seen is a view"),
    ({"aggregate": "users", "pipeline": [{"$merge": {"into": "seen"}}], "cursor": {}}, "seen is a view"),
    ({"aggregate": "users", "pipeline": [{"$out": "checked"}], "cursor": {}}, "the validator of checked refuses"),
    ({"aggregate": "checked", "pipeline": [{"$out": "checked"}], "cursor": {}}, ""),
    (
        {"aggregate": "users", "pipeline": [{"$project": {"email": "x"}}, {"$out": "users"}], "cursor": {}},
        None,
    ),
    (rename("it", "users", "seen"), "seen exists"),
    (rename("it", "seen", "fresh"), None),
    (rename("it", "users", "users"), "users exists"),
    # ---- updates against unique indexes and validators
    (
        {"update": "checked", "updates": [{"q": {}, "u": {"$set": {"a": "x"}}, "multi": True}]},
        "the validator of checked",
    ),
    ({"update": "checked", "updates": [{"q": {}, "u": {"$set": {"a": 5}}, "multi": True}]}, ""),
    ({"update": "checked", "updates": [{"q": {"_id": 9}, "u": {"$set": {"a": "x"}}, "multi": True}]}, ""),
    (
        {"update": "checked", "updates": [{"q": {}, "u": {"$unset": {"a": 1}}, "multi": True}]},
        "the validator of checked",
    ),
    (
        {"update": "checked", "updates": [{"q": {}, "u": [{"$set": {"a": "x"}}], "multi": True}]},
        "the validator of checked",
    ),
    ({"update": "checked", "updates": [{"q": {}, "u": {"a": "x"}}]}, "the validator of checked"),
    (
        {
            "update": "checked",
            "updates": [{"q": {}, "u": {"$set": {"a": "x"}}, "multi": True}],
            "bypassDocumentValidation": True,
        },
        "",
    ),
    ({"update": "moderate", "updates": [{"q": {"_id": 2}, "u": {"$set": {"a": 9}}}]}, ""),
    ({"update": "moderate", "updates": [{"q": {"_id": 1}, "u": {"$set": {"a": 9}}}]}, "the validator of moderate"),
    ({"insert": "moderate", "documents": [{"_id": 3, "a": 9}]}, "the validator of moderate refuses a new document"),
    (
        {"update": "users", "updates": [{"q": {}, "u": {"$set": {"email": "e", "n": 5}}, "multi": True}]},
        "users has a unique",
    ),
    ({"update": "users", "updates": [{"q": {}, "u": {"$set": {"email": "e"}}, "multi": True}]}, ""),
    (
        {"update": "users", "updates": [{"q": {"_id": 1}, "u": {"$set": {"_id": 2}}}]},
        "the _id of a document cannot be changed",
    ),
    (
        {"insert": "users", "documents": [{"_id": 90, "email": "e1@x", "n": 1}]},
        "users has a document with the same email, n",
    ),
    ({"insert": "users", "documents": [{"_id": 90, "email": "e1@x", "n": 2}]}, ""),
    (
        {"insert": "users", "documents": [{"_id": 90, "n": 50}, {"_id": 90, "n": 51}]},
        "two of the new documents have the same _id",
    ),
    ({"insert": "users", "documents": [{"_id": 90, "n": 50}, {"_id": 91, "n": 50}]}, "two of the new documents have"),
    ({"insert": "users", "documents": [{"_id": 90, "n": 50}, {"_id": 91, "n": 51}]}, ""),
    # ---- validators
    ({"collMod": "checked", "validator": {"a": {"$nonsense": 1}}}, None),
    ({"collMod": "checked", "validator": {"$jsonSchema": {"bsonType": "object", "required": ["zzz"]}}}, ""),
    ({"collMod": "seen", "validator": {}}, None),
    ({"collMod": "users", "index": {"name": "n_1", "unique": True}}, None),
]


@pytest.mark.parametrize("at", range(len(FAILURES)), ids=lambda at: " ".join(map(str, FAILURES[at][0].values()))[:60])
def test_a_failure_that_the_database_can_know_is_foretold_and_no_other_is(db: Database[Document], at: int) -> None:
    command, text = FAILURES[at]
    if "renameCollection" in command:
        command = {k: v.replace("it.", f"{db.name}.") if isinstance(v, str) else v for k, v in command.items()}
    said = hazards(*foresee(db, [command])).get("will-fail", "")
    try:
        answer = (db.client.admin if "renameCollection" in command else db).command(command)
        failed = str(answer.get("writeErrors", ""))
    except OperationFailure as error:
        failed = str(error)
    if text is None:
        assert not said or failed
        return
    assert bool(said) == bool(failed), (said, failed)
    assert said.startswith(text) and bool(said) == bool(text)


"""Commands, and how what is foretold begins, "" for nothing; None where the server may refuse it all the same."""

UPDATE_EMAIL: Document = {"update": "users", "updates": [{"q": {}, "u": {"$set": {"email": "x"}}, "multi": True}]}
UPDATE_OTHER: Document = {"update": "users", "updates": [{"q": {}, "u": [{"$set": {"x.y": 1}}], "multi": True}]}
UNIQUE_EMAIL = index("users", {"email": 1}, unique=True)
PLANS: dict[str, tuple[list[list[Document]], list[str]]] = {
    "a collection of the plan is no live one": (
        [[{"create": "fresh"}], [{"insert": "fresh", "documents": [{"_id": 1}, {"_id": 1}]}]],
        [],
    ),
    "a field that was set is not asked for": ([[UPDATE_EMAIL], [UNIQUE_EMAIL]], []),
    "another field is asked for": (
        [[UPDATE_OTHER], [UNIQUE_EMAIL]],
        ["e.g. 2 documents of users have the same email"],
    ),
    "after a delete nobody is asked": (
        [[{"delete": "users", "deletes": [{"q": {"n": 1}, "limit": 0}]}], [UNIQUE_EMAIL]],
        [],
    ),
    "what was dropped may be made again": ([[{"drop": "users"}], [{"create": "users"}]], []),
    "an index that was dropped may be made again by another name": (
        [[{"dropIndexes": "users", "index": "n_1"}], [index("users", {"n": 1}, "another")]],
        [],
    ),
    "an index that was dropped may be made again with other options": (
        [[{"dropIndexes": "users", "index": "n_1"}], [index("users", {"n": 1}, "n_1", unique=True)]],
        [],
    ),
    "an index of the plan may be dropped": (
        [[index("users", {"email": 1})], [{"dropIndexes": "users", "index": "new"}]],
        [],
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_followed_step_by_step(db: Database[Document], name: str) -> None:
    steps, failures = PLANS[name]
    found = foresee(db, *steps)
    assert [r.text for effects, _ in found for e in effects for r in e.risks if r.hazard == "will-fail"] == failures


def test_documents_are_counted_and_what_goes_is_told(db: Database[Document]) -> None:
    [(effects, unknown)] = foresee(db, [{"delete": "users", "deletes": [{"q": {"n": {"$gte": 2}}, "limit": 0}]}])
    assert [str(work) for effect in effects for work in effect.work] == ["deletes users (4 documents)"]
    assert hazards((effects, unknown)) == {"destroys-data": "4 documents of users, which nothing keeps"}
    assert hazards(*foresee(db, [{"drop": "users"}]))["destroys-data"] == "6 documents of users, which nothing keeps"
    out = [{"aggregate": "users", "pipeline": [{"$out": "other"}], "cursor": {}}]
    assert hazards(*foresee(db, out))["destroys-data"] == "about 1 documents of other, which $out replaces"
    expired = index("users", {"at": 1}, expireAfterSeconds=3600)
    assert hazards(*foresee(db, [expired]))["destroys-data"] == (
        "6 documents of users are expired already and are deleted within a minute"
    )


def test_documents_that_go_one_by_one_by_a_collation_or_out_of_a_time_series_are_told(db: Database[Document]) -> None:
    db.create_collection("series", timeseries={"timeField": "t"})
    db.series.insert_many([{"t": OLD, "v": 1}, {"t": OLD, "v": 2}])
    loose = {"locale": "en", "strength": 2}
    for command, text in (
        ({"findAndModify": "users", "query": {"n": 1}, "remove": True}, "1 documents of users"),
        ({"delete": "users", "deletes": [{"q": {"email": "E1@X"}, "limit": 0, "collation": loose}]}, "2 documents of"),
        ({"drop": "series"}, "2 documents of series"),
        ({"delete": "series", "deletes": [{"q": {}, "limit": 0}]}, "2 documents of series"),
    ):
        assert text in hazards(*foresee(db, [command])).get("destroys-data", ""), command


def test_commands_that_nobody_knows_are_told_and_what_does_not_fit_is_lost(db: Database[Document]) -> None:
    assert hazards(*foresee(db, [{"dropUser": "x"}, {"compact": "users"}])) == {
        "unknown": "dropUser: what that does is only known when it runs"
    }
    told = hazards(*foresee(db, [{"convertToCapped": "users", "size": 100}]))
    assert told["destroys-data"].startswith("documents of users, whose ")
    assert told["breaks-application"] == "users loses its indexes: n_1, both"
    assert hazards(*foresee(db, [{"convertToCapped": "nobody", "size": 100}]))["will-fail"] == "nobody is not there"


def test_a_field_that_is_unset_is_lost_as_a_column_is(db: Database[Document]) -> None:
    unset = {"update": "users", "updates": [{"q": {"n": {"$lt": 3}}, "u": {"$unset": {"email": 1}}, "multi": True}]}
    assert hazards(*foresee(db, [unset]))["destroys-data"] == "email of about 3 documents of users, which nothing keeps"
    nothing = {"update": "users", "updates": [{"q": {}, "u": [{"$unset": ["nobody"]}], "multi": True}]}
    assert "destroys-data" not in hazards(*foresee(db, [nothing]))


def test_what_goes_into_the_stash_first_is_not_lost(db: Database[Document]) -> None:
    keep: Document = {"aggregate": "users", "pipeline": [{"$out": "dataops_stash_x.users"}], "cursor": {}}
    foresight = Foresight(db, "dataops_stash_")
    commands: list[Document] = [keep, {"drop": "users"}]
    effects, _ = foresight.follow([(next(iter(body)), body) for body in commands], {0})
    assert "destroys-data" not in hazards((effects, ()))


def test_documents_against_a_new_validator_are_told(db: Database[Document]) -> None:
    strict: Document = {"collMod": "users", "validator": {"n": {"$lt": 3}}}
    assert hazards(*foresee(db, [strict]))["breaks-application"] == (
        "users has documents against the validator: updates of them fail"
    )
    assert hazards(*foresee(db, [{"collMod": "users", "validator": {"n": {"$lt": 30}}}])) == {}
    assert hazards(*foresee(db, [{**strict, "validationAction": "warn"}])) == {}


def test_a_scan_of_a_big_collection_is_told_and_one_by_an_index_is_not(db: Database[Document]) -> None:
    db.big.insert_many([{"n": n % 100, "m": n % 100} for n in range(12_000)])
    db.big.create_index("n")

    def update(field: str) -> list[Document]:
        return [{"update": "big", "updates": [{"q": {field: 5}, "u": {"$set": {"x": 1}}, "multi": True}]}]

    found = hazards(*foresee(db, update("m")))
    assert found == {"scans-collection": "no index finds them: all 12,000 documents are read"}
    assert hazards(*foresee(db, update("n"))) == {}


def test_a_reader_without_the_right_to_see_sizes_is_told_so(mongo_with_passwords: MongoServer) -> None:
    with fresh_mongo(mongo_with_passwords) as url, MongoClient[Document](url) as admin:
        db = admin.get_default_database()
        db.users.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
        privileges = [{"resource": {"db": db.name, "collection": ""}, "actions": ["find", "listCollections"]}]
        db.command("createRole", "finder", privileges=privileges, roles=[])
        db.command("createUser", "finder", pwd="finder", roles=["finder"])
        with MongoClient[Document](url, username="finder", password="finder", authSource=db.name) as poor:
            [(_, unknown)] = foresee(poor[db.name], [index("users", {"a": 1}, unique=True)])
        db.command("dropUser", "finder")
        db.command("dropRole", "finder")
    assert unknown[:2] == (
        "the size of users: this user may not look",
        "the indexes of users: this user may not look",
    )


def test_looking_changes_nothing(db: Database[Document]) -> None:
    before = {name: list(db[name].find()) for name in db.list_collection_names()}
    foresee(db, [command for command, _ in FAILURES if "renameCollection" not in command])
    assert {name: list(db[name].find()) for name in db.list_collection_names()} == before
