"""What a stash cannot give back is refused by the plan and by the run; what it can, goes there and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from tests.projects import Project

Document = dict[str, Any]

HEAD = """
from dataops.stash.mongo import ABSENT, applying, undoing
name = "001"
"""
UP = """
with applying(db, name) as stash:
    stash.keep("c", {"f": {"$exists": True}}, ["f"])
    stash.update("c", {"f": {"$exists": True}}, {"$unset": {"f": ""}})
"""
DOWN = """
with undoing(db, name) as stash:
    stash.restore("c", {"f": ABSENT})
"""


@pytest.fixture(params=["mongo_db", "mongo_standalone_db"])
def db(request: pytest.FixtureRequest) -> Database[Document]:
    """A replica set, and a standalone."""
    found: Database[Document] = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def docs(project: Project, db: Database[Document]) -> Project:
    """A service whose only file removes a field."""
    host, port = db.client.address or ("", 0)
    project.add("docs", f"mongodb://{host}:{port}/{db.name}", onto_existing=True)
    project.file("docs", "001", UP, DOWN, head=HEAD)
    return project


def raw(db: Database[Document]) -> list[bytes]:
    options = db.codec_options.with_options(document_class=RawBSONDocument)
    return sorted(bytes(one.raw) for one in db["c"].with_options(codec_options=options).find())


@pytest.mark.parametrize("shape", ["time series", "view", "null"])
def test_plan_and_run_refuse_before_anything_is_changed(docs: Project, db: Database[Document], shape: str) -> None:
    def make() -> None:
        match shape:
            case "time series":
                db.create_collection("c", timeseries={"timeField": "at"})
                db["c"].insert_one({"at": datetime(2020, 1, 1, tzinfo=UTC), "f": 1})
            case "view":
                db["under"].insert_one({"f": 1})
                db.command({"create": "c", "viewOn": "under", "pipeline": []})
            case "null":
                db["c"].insert_many([{"_id": None, "f": 1}, {"_id": 1, "f": 1}])

    make()
    before = raw(db)
    for command in (["plan"], ["apply", "--yes"]):
        answer = docs(*command)
        assert answer.code == 7
        assert "docs: 001: c " in answer.stderr
        assert "dataops docs operations what-a-stash-refuses" in answer.stderr
    assert raw(db) == before
    assert not [name for name in db.list_collection_names() if name.startswith("dataops_stash")]


def test_what_changes_its_shape_after_the_plan_is_refused_by_the_run(docs: Project, db: Database[Document]) -> None:
    db["c"].insert_one({"_id": 1, "f": 1})
    docs.file("docs", "000", "here('reached', db)", parent=None)
    docs.file("docs", "001", UP, DOWN, head=HEAD, parent="000")
    with docs.running("apply", "--yes") as process:
        docs.reached("reached")
        db["c"].insert_one({"_id": None, "f": 1})
        before = raw(db)
        docs.go("reached")
        assert process.stderr is not None
        stderr = process.stderr.read()
        assert process.wait(60) == 7
    assert "docs: 001: c has a document with the _id null" in stderr
    assert raw(db) == before
    db["c"].delete_one({"_id": None})
    assert docs("apply", "--yes").code == 0
    assert db["c"].find_one() == {"_id": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"collation": {"locale": "en", "strength": 2}},
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True, "name": "mine"}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_there_and_back(docs: Project, db: Database[Document], options: Document) -> None:
    db.create_collection("c", **options)
    ids = ["a", 1, {"x": 1}, Decimal128("1.5"), DatetimeMS(1 << 60)]
    db["c"].insert_many([{"_id": id_, "f": id_} for id_ in ids])
    before = raw(db)
    for _ in range(2):
        assert docs("plan").code == 0
        assert docs("apply", "--yes").code == 0
        assert db["c"].count_documents({"f": {"$exists": True}}) == 0
        assert docs("rollback", "--yes", "--steps", "1").code == 0
        assert raw(db) == before
    proof = docs("prove")
    assert proof.code == 0, proof.stderr
