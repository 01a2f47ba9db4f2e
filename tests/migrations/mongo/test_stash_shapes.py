"""There and back for every shape of collection that a server has, and refusals of what cannot be given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from dataops.backends.mongo import contents
from dataops.dev import MongoServer
from dataops.stash.mongo import ABSENT, ANY, WRITTEN, Stash, StashRefused, applying, batches, undivided, undoing
from tests.migrations.mongo.history import Document
from tests.servers import fresh_mongo

NAME = "20200101000000-a-migration"
FRENCH = {"locale": "fr", "strength": 1, "numericOrdering": True}
NO_CASE = {"locale": "en", "strength": 2}
BY_ID = {"key": {"_id": 1}, "unique": True}
SHAPES: Mapping[str, Document] = {
    "plain": {},
    "a default collation": {"collation": NO_CASE},
    "a collation that reads numbers": {"collation": FRENCH},
    "clustered": {"clusteredIndex": BY_ID},
    "clustered, under another name": {"clusteredIndex": {**BY_ID, "name": "mine"}},
    "clustered, with a default collation": {"clusteredIndex": BY_ID, "collation": NO_CASE},
    "with a validator": {"validator": {"f": {"$not": {"$type": "object"}}}, "validationLevel": "moderate"},
}
IDS: tuple[Any, ...] = (
    *("a", "B", "", "straße", "a\0b"),
    *(1, Int64(2), 2.5, float("nan"), float("-inf"), Decimal128("3.0"), Decimal128("9.9E+6000")),
    *({"a": 1, "b": [1]}, {"b": [1], "a": 1}, {"": {"x": None}}, {}, DBRef("c", 1, "d")),
    *(datetime(2020, 1, 1, tzinfo=UTC), DatetimeMS(1 << 60), DatetimeMS(-(1 << 60)), Timestamp(1, 2)),
    *(ObjectId(b"0" * 12), Binary(b"0" * 16, 3), Binary(b"0" * 16, 4), Binary(b"1", 128)),
    *(True, False, Code("x"), Code("x", {"y": 1}), MinKey(), MaxKey()),
)


@pytest.fixture(params=["mongo", "mongo_standalone"])
def real(request: pytest.FixtureRequest) -> Iterator[Database[Document]]:
    """An empty database on a replica set, and on a standalone."""
    server: MongoServer = request.getfixturevalue(request.param)
    client: MongoClient[Document]
    with fresh_mongo(server) as url, MongoClient(url, tz_aware=True) as client:
        yield client.get_default_database()


def everything(db: Database[Document]) -> Mapping[str, Any]:
    """The bytes of all documents, with the options and indexes of all collections."""
    found = {}
    for info in db.list_collections():
        raw = db[info["name"]].with_options(codec_options=db.codec_options.with_options(document_class=RawBSONDocument))
        documents = sorted(bytes(document.raw) for document in raw.find())
        indexes = {} if info["type"] == "view" else {index["name"]: index for index in raw.list_indexes()}
        found[info["name"]] = (info["type"], info["options"], documents, str(sorted(indexes.items())))
    return found


def upgrade(db: Database[Document]) -> None:
    """Every call that changes documents or indexes, on one collection `c`."""
    with applying(db, NAME) as stash:
        stash.drop_index("c", "f_1")
        stash.create_index("c", "f_1", {"f": -1})
        stash.drop_index("c", "simple")
        stash.lookup_index("c", "f")
        stash.keep("c", {"gone": {"$exists": True}}, ["gone"], label="gone")
        stash.update("c", {"gone": {"$exists": True}}, {"$unset": {"gone": ""}})
        stash.plan("c", [{"$project": {"was": {"f": "$f"}, "set": {"f": {"$concat": ["<", "$f", ">"]}}}}], once=True)
        stash.write("c")
        stash.keep("c", {"whole": True}, label="whole", latest=True)
        db["c"].delete_many({"whole": True})
        for batch in batches(db, "c", {"g": {"$exists": True}}, ["g"], 7):
            made = [{"_id": one["_id"], "was": {"g": one["g"]}, "set": {"g": one["g"] + 1}} for one in batch]
            stash.add("c", made, label="g")
        stash.write("c", label="g")
        fresh = {"$cond": [{"$eq": [{"$type": "$_id"}, "string"]}, {"new": "$_id"}, {"of": ["$_id"]}]}
        stash.plan(
            "c", [{"$match": {"new": None}}, {"$project": {"_id": fresh, "set": {"new": {"$literal": 1}}}}], label="new"
        )
        stash.insert("c", label="new")


def downgrade(db: Database[Document]) -> None:
    with undoing(db, NAME) as stash:
        stash.remove("c", {"new": 1}, label="new")
        stash.restore("c", {"g": WRITTEN}, label="g")
        stash.restore_documents("c", label="whole")
        stash.restore("c", {"f": WRITTEN})
        stash.restore("c", {"gone": ABSENT}, label="gone")
        stash.restore_indexes()


@pytest.mark.parametrize("runs", [1, 2], ids=["once", "again after a stop"])
@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_every_id_in_every_shape_comes_back_byte_for_byte(
    real: Database[Document], options: Document, runs: int
) -> None:
    real.create_collection("c", **options)
    big = [f"{number:04}" for number in range(60)]
    real["c"].insert_many(
        [{"_id": id_, "f": "Älter", "g": at, "gone": DatetimeMS(1 << 60)} for at, id_ in enumerate([*IDS, *big])]
    )
    real["c"].insert_many([{"_id": {"whole": [id_]}, "whole": True, "at": id_} for id_ in IDS])
    real["c"].create_index("f")
    real["c"].create_index("g", name="simple", collation={"locale": "simple"})
    before = everything(real)
    for _ in range(runs):
        upgrade(real)
    assert {id_["f"] for id_ in real["c"].find({"g": {"$exists": True}}, {"f": 1, "_id": 0})} == {"<Älter>"}
    assert real["c"].count_documents({"gone": {"$exists": True}}) == 0
    assert real["c"].count_documents({"new": 1}) == len(IDS) + len(big)
    downgrade(real)
    assert everything(real) == before


def test_what_the_application_wrote_stays_where_a_collation_calls_it_equal(real: Database[Document]) -> None:
    """`A` is `a` to the server, in values and in `_id`s; only what is the same is given back."""
    real.create_collection("c", collation=NO_CASE)
    real["c"].insert_many([{"_id": id_, "f": "was", "list": ["was"]} for id_ in ("a", "b", "c", "d")])
    with applying(real, NAME) as stash:
        stash.plan("c", [{"$project": {"was": {"f": "$f", "list": "$list"}, "set": {"f": "new", "list": ["new"]}}}])
        stash.write("c")
        stash.add("c", [{"_id": "x", "set": {"f": 1}}, {"_id": "y", "set": {"f": 1}}], label="new")
        stash.insert("c", label="new")
    real["c"].update_one({"_id": "b"}, {"$set": {"f": "NEW", "list": ["NEW"]}})
    for id_ in ("c", "x"):
        real["c"].delete_one({"_id": id_})
        real["c"].insert_one({"_id": id_.upper(), "f": "new", "list": ["new"]})
    with undoing(real, NAME) as stash:
        stash.remove("c", label="new")
        stash.restore("c", {"f": WRITTEN, "list": ANY})
    assert list(real["c"].find(sort=[("_id", 1)])) == [
        {"_id": "a", "f": "was", "list": ["was"]},
        {"_id": "b", "f": "NEW", "list": ["was"]},
        {"_id": "C", "f": "new", "list": ["new"]},
        {"_id": "d", "f": "was", "list": ["was"]},
        {"_id": "X", "f": "new", "list": ["new"]},
    ]


def test_a_capped_collection_gives_back_fields_and_a_taken_one_everything(real: Database[Document]) -> None:
    real.create_collection("c", capped=True, size=1 << 16)
    real["c"].insert_many([{"_id": id_, "f": "1"} for id_ in IDS])
    before = everything(real)
    with applying(real, NAME) as stash:
        stash.keep("c", {}, ["f"])
        stash.update("c", {}, {"$set": {"f": "2"}})
    assert everything(real) != before
    with undoing(real, NAME) as stash:
        stash.restore("c", {"f": "2"})
    assert everything(real) == before
    with applying(real, NAME) as stash:
        stash.take("c")
    assert "c" not in real.list_collection_names()
    with undoing(real, NAME) as stash:
        stash.give_back("c")
    assert everything(real) == before


def _shape(db: Database[Document], kind: str) -> None:
    match kind:
        case "time series":
            db.create_collection("c", timeseries={"timeField": "at", "metaField": "f"})
            db["c"].insert_one({"at": datetime(2020, 1, 1, tzinfo=UTC), "f": 1})
        case "view":
            db["under"].insert_one({"_id": 1, "f": 1})
            db.command({"create": "c", "viewOn": "under", "pipeline": []})
        case "capped":
            db.create_collection("c", capped=True, size=4096)
            db["c"].insert_one({"_id": 1, "f": 1})
        case "null":
            db["c"].insert_many([{"_id": None, "f": 1}, {"_id": 1, "f": 1}])
        case "16 MB":
            db["c"].insert_many([{"_id": 1, "f": "x" * ((16 << 20) - 30)}, {"_id": 2, "f": "1"}])


def _insert(stash: Stash) -> None:
    stash.add("c", [{"_id": 9, "set": {"f": 2}}])
    stash.insert("c")


CALLS: Mapping[str, Callable[[Stash], object]] = {
    "keep": lambda stash: stash.keep("c", {}, ["f"]),
    "keep documents": lambda stash: stash.keep("c", {}),
    "plan": lambda stash: stash.plan("c", [{"$project": {"set": {"f": {"$literal": 2}}, "was": {"f": "$f"}}}]),
    "add": lambda stash: stash.add("c", [{"_id": one.get("_id"), "set": {"f": 2}} for one in stash.db["c"].find()]),
    "merge": lambda stash: stash.merge("c", [{"$set": {"f": 2}}], "c", "merge"),
    "copy": lambda stash: stash.copy("c", [], "c"),
    "insert": _insert,
    "take": lambda stash: stash.take("c"),
}
REFUSED = {
    "time series": ["keep", "keep documents", "plan", "add", "merge", "copy", "insert", "take"],
    "view": ["keep", "keep documents", "plan", "add", "merge", "copy", "insert", "take"],
    "capped": ["keep documents", "copy", "insert"],
    "null": ["keep", "keep documents", "plan", "add", "merge", "copy"],
    "16 MB": ["keep documents", "keep"],
}


@pytest.mark.parametrize(
    ("kind", "call"), [(kind, call) for kind, calls in REFUSED.items() for call in calls], ids=lambda x: x
)
def test_what_cannot_be_given_back_is_refused_before_it_is_changed(
    real: Database[Document], kind: str, call: str
) -> None:
    _shape(real, kind)
    before = everything(real)
    with pytest.raises(StashRefused, match=f"{NAME}: c .*c was not changed"), applying(real, NAME) as stash:
        CALLS[call](stash)
    assert {name: what for name, what in everything(real).items() if not name.startswith("dataops")} == before
    with undoing(real, NAME):  # whatever it had begun to put aside
        pass
    assert everything(real) == before


@pytest.mark.parametrize(
    ("key", "refuses"), [({"f": 1}, True), ({"f": "hashed"}, True), ({"_id": "hashed"}, False), (None, False)]
)
def test_what_is_sharded_by_another_key_is_refused(
    mongo_standalone_db: Database[Document], monkeypatch: pytest.MonkeyPatch, key: Document | None, refuses: bool
) -> None:
    """The only thing here that is not asked of a real server: no mongos is installed where the tests run."""
    db = mongo_standalone_db
    monkeypatch.setattr(MongoClient, "is_mongos", True)
    db["c"].insert_one({"_id": 1, "f": 1})
    about = db.client["config"]["collections"]
    if key:
        about.insert_one({"_id": f"{db.name}.c", "key": key})
    before = everything(db)
    try:
        with (
            pytest.raises(StashRefused, match="c is sharded by another key") if refuses else nullcontext(),
            applying(db, NAME) as stash,
        ):
            stash.keep("c", {}, ["f"])
    finally:
        about.drop()
    assert (everything(db) == before) is refuses


def test_a_document_of_16_mb_is_found_while_a_plan_is_made(real: Database[Document]) -> None:
    _shape(real, "16 MB")
    before = everything(real)
    with undivided(), pytest.raises(StashRefused, match="16 MB"), applying(real, NAME) as stash:
        stash.keep("c", {})
    assert everything(real) == before


def test_a_document_with_the_id_null_that_is_left_alone_is_no_reason_to_refuse(real: Database[Document]) -> None:
    real["c"].insert_many([{"_id": None}, {"_id": 1, "f": 1}])
    before = everything(real)
    with applying(real, NAME) as stash:
        stash.keep("c", {"f": 1}, ["f"])
        stash.update("c", {"f": 1}, {"$unset": {"f": ""}})
    with undoing(real, NAME) as stash:
        stash.restore("c", {"f": ABSENT})
    assert everything(real) == before


def test_a_view_and_a_time_series_may_be_read_from(real: Database[Document]) -> None:
    """Only what is changed has to be given back."""
    _shape(real, "view")
    with applying(real, NAME) as stash:
        stash.plan("under", [{"$project": {"was": {"f": "$f"}, "set": {"f": {"$literal": 2}}}}], "c")
        stash.write("under")
    assert real["under"].find_one() == {"_id": 1, "f": 2}
    with undoing(real, NAME) as stash:
        stash.restore("under", {"f": WRITTEN})
    assert real["under"].find_one() == {"_id": 1, "f": 1}


@pytest.mark.parametrize("change", ["write", "insert"])
def test_an_id_of_null_that_was_planned_is_refused_before_anything_is_written(
    real: Database[Document], change: str
) -> None:
    """Also where no document has it: a pipeline can make it up."""
    real["from"].insert_many([{"_id": 1, "to": 1}, {"_id": 2}])
    real["c"].insert_one({"_id": 1})
    before = everything(real)
    ids = {"$project": {"_id": {"$ifNull": ["$to", None]}, "set": {"f": {"$literal": 2}}}}
    with applying(real, NAME) as stash:
        stash.plan("c", [ids], "from")
        with pytest.raises(StashRefused, match="c has a document with the _id null"):
            getattr(stash, change)("c")
    with undoing(real, NAME):
        pass
    assert everything(real) == before


def test_an_index_without_a_collation_comes_back_without_one(real: Database[Document]) -> None:
    """An index inherits the default collation of its collection, unless its definition says that it has none."""
    real.create_collection("c", collation=NO_CASE)
    real["c"].create_index("f", name="with")
    real["c"].create_index("f", name="without", collation={"locale": "simple"})
    before = everything(real)
    with applying(real, NAME) as stash:
        stash.create_index("c", "with", {"f": 1})
        assert everything(real)["c"] == before["c"], "it is the same index"
        stash.drop_index("c", "with")
        stash.drop_index("c", "without")
    with undoing(real, NAME) as stash:
        stash.restore_indexes()
    assert everything(real) == before


def test_every_id_has_a_digest(real: Database[Document]) -> None:
    real["c"].insert_many([{"_id": id_} for id_ in IDS])
    each = contents.read(real, "pymongo_migrate")["c"].each
    assert each is not None
    assert len(each) == len(IDS)
