"""The promises of `dataops.stash.mongo`, one by one. That a cut at any write is survived is `test_every_file`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Timestamp
from pymongo import IndexModel, MongoClient
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from dataops.dev import MongoServer, mongodb_server
from dataops.stash import mongo as stashes
from dataops.stash.mongo import ABSENT, ANY, WRITTEN, StashPruned, applying, batches, list_kept, prune, undoing
from tests.migrations.mongo.history import Document, Snapshot, state
from tests.migrations.mongo.wire import Wire, is_cut
from tests.projects import until

NAME = "20200101000000-a-migration"
BOOK = "dataops_stash_20200101000000"


@pytest.fixture
def empty(db: Database[Document]) -> Database[Document]:
    Snapshot({}, {}).restore(db)
    return db


def test_absent_null_and_types_come_back_as_they_were(empty: Database[Document]) -> None:
    values: list[Any] = [None, 1, Int64(1), 1.0, Decimal128("1.0"), "1", [], {}, {"a.b": {"$c": 1}}, ObjectId()]
    empty["c"].insert_many([{"_id": -1}, *({"_id": i, "f": value} for i, value in enumerate(values))])
    before = state(empty)
    with applying(empty, NAME) as stash:
        stash.keep("c", {}, ["f"])
        empty["c"].update_many({}, {"$set": {"f": "new"}})
    with undoing(empty, NAME) as stash:
        stash.restore("c", {"f": "new"})
    assert state(empty) == before


def test_first_seen_wins_on_a_second_run(empty: Database[Document]) -> None:
    empty["c"].insert_one({"_id": 1, "f": "first"})
    for value in ("second", "third"):
        with applying(empty, NAME) as stash:
            stash.keep("c", {}, ["f"])
            assert stash.note("fact", value) == "second"
            empty["c"].update_many({}, {"$set": {"f": value}})
        empty["c"].update_one({"_id": 2}, {"$setOnInsert": {"f": "late"}}, upsert=True)
    with undoing(empty, NAME) as stash:
        stash.restore("c", {"f": ANY})
    assert list(empty["c"].find(sort=[("_id", 1)])) == [{"_id": 1, "f": "first"}, {"_id": 2, "f": "late"}]


def test_latest_keeps_what_is_there_now_and_once_keeps_nothing_more(empty: Database[Document]) -> None:
    def run() -> None:
        with applying(empty, NAME) as stash:
            stash.keep("c", {"f": {"$exists": True}}, ["f"], latest=True)
            stash.keep("c", {"f": {"$exists": True}}, ["f"], label="exceptions", once=True)

    empty["c"].insert_one({"_id": 1, "f": "old"})
    run()
    empty["c"].update_one({"_id": 1}, {"$set": {"f": "newer"}})
    empty["c"].insert_one({"_id": 2, "f": "new"})
    run()
    kept = {
        name: [d["was"]["f"] for d in empty[name].find(sort=[("_id", 1)])]
        for name in (f"{BOOK}.c", f"{BOOK}.c.exceptions")
    }
    assert kept == {f"{BOOK}.c": ["newer", "new"], f"{BOOK}.c.exceptions": ["old"]}


@pytest.mark.parametrize(
    ("left", "now", "then"),
    [
        (WRITTEN, {"f": "written"}, {"f": "was"}),
        (WRITTEN, {"f": "the application's"}, {"f": "the application's"}),
        (WRITTEN, {}, {}),
        (ABSENT, {}, {"f": "was"}),
        (ABSENT, {"f": None}, {"f": None}),
        (ANY, {"f": "the application's"}, {"f": "was"}),
        (ANY, {}, {"f": "was"}),
    ],
)
def test_only_what_is_still_ours_is_given_back(
    empty: Database[Document], left: Any, now: Document, then: Document
) -> None:
    empty["c"].insert_one({"_id": 1, "f": "was"})
    with applying(empty, NAME) as stash:
        stash.plan("c", [{"$project": {"was": {"f": "$f"}, "set": {"f": "written"}}}])
        stash.write("c")
    assert empty["c"].find_one() == {"_id": 1, "f": "written"}
    empty["c"].replace_one({"_id": 1}, now)
    with undoing(empty, NAME) as stash:
        stash.restore("c", {"f": left})
    assert empty["c"].find_one() == {"_id": 1} | then


def test_documents_that_are_gone_stay_gone(empty: Database[Document]) -> None:
    empty["c"].insert_many([{"_id": 1, "f": 1}, {"_id": 2, "f": 2}])
    with applying(empty, NAME) as stash:
        stash.keep("c", {}, ["f"])
        empty["c"].delete_one({"_id": 2})
        stash.write("c")
    with undoing(empty, NAME) as stash:
        stash.restore("c", {"f": ANY})
    assert list(empty["c"].find()) == [{"_id": 1, "f": 1}]


def test_inserted_documents_are_known_again_and_others_stay(empty: Database[Document]) -> None:
    empty["c"].insert_one({"_id": 1, "name": "before"})
    before = state(empty)
    with applying(empty, NAME) as stash:
        stash.add("c", [{"_id": 1, "set": {"name": "ours"}}, {"_id": 2, "set": {"name": "ours"}}])
        stash.insert("c")
    assert [d["name"] for d in empty["c"].find(sort=[("_id", 1)])] == ["before", "ours"]
    empty["c"].insert_one({"_id": 3, "name": "the application's"})
    with undoing(empty, NAME) as stash:
        stash.remove("c", {"name": "ours"})
    empty["c"].delete_one({"_id": 3})
    assert state(empty) == before


IDS: list[Any] = [-1, Int64(2), 2.5, Decimal128("3"), "a", {"a": 1}, b"b", ObjectId(), True, Timestamp(1, 1)]


def test_both_halves_together_are_the_whole_whatever_the_ids(empty: Database[Document]) -> None:
    """Each document once: none is in no half, none in both."""
    empty["c"].insert_many([{"_id": i} for i in IDS])
    with applying(empty, NAME) as stash:
        stash.copy("c", [{"$set": {"n": 0}}], "other")
        stash.merge("c", [], "other", [{"$set": {"n": {"$add": ["$n", 1]}}}])
        stash.merge("c", [{"$group": {"_id": 2}}], "other", [{"$set": {"n": {"$add": ["$n", 1]}}}])
    found = {str(d["_id"]): d["n"] for d in empty["other"].find()}
    assert found == {str(i): 2 if i == 2 else 1 for i in IDS}


def test_what_is_there_already_is_not_inserted_again_and_nothing_is_left_out(empty: Database[Document]) -> None:
    empty["c"].insert_many([{"_id": i, "f": "new"} for i in range(20)])
    empty["other"].insert_many([{"_id": i, "f": "there"} for i in (3, 4, 17)])
    with applying(empty, NAME) as stash:
        stash.copy("c", [], "other")
    there = {d["_id"]: d["f"] for d in empty["other"].find()}
    assert there == {i: "there" if i in (3, 4, 17) else "new" for i in range(20)}


def test_another_unique_index_still_refuses(empty: Database[Document]) -> None:
    empty["c"].insert_many([{"_id": i, "f": i} for i in range(3)])
    empty["other"].create_index("f", unique=True)
    empty["other"].insert_one({"_id": "another", "f": 1})
    with pytest.raises(DuplicateKeyError), applying(empty, NAME) as stash:
        stash.copy("c", [], "other")


def test_what_was_made_at_random_is_made_once(empty: Database[Document]) -> None:
    for value in ("first", "second"):
        with applying(empty, NAME) as stash:
            stash.add("c", [{"_id": 1, "set": {"f": value}}])
    assert list(empty[f"{BOOK}.c"].find()) == [{"_id": 1, "set": {"f": "first"}}]


INDEXES: list[Document] = [
    {"key": {"a.0": 1, "b": -1}, "name": "plain"},
    {"key": {"u": 1}, "name": "unique", "unique": True, "sparse": True},
    {
        "key": {"n": 1},
        "name": "partial",
        "unique": True,
        "collation": {"locale": "en", "strength": 2},
        "partialFilterExpression": {"n": {"$type": "string"}},
    },
    {"key": {"t": "text"}, "name": "text", "default_language": "french", "weights": {"t": 3}},
    {"key": {"p": "2dsphere"}, "name": "place", "background": True},
    {"key": {"e": 1}, "name": "expiry", "expireAfterSeconds": 3600},
]


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index["name"])
def test_an_index_comes_back_with_all_its_options(empty: Database[Document], index: Document) -> None:
    empty.command("createIndexes", "c", indexes=[index])
    before = state(empty)
    for _ in range(2):
        with applying(empty, NAME) as stash:
            stash.drop_index("c", index["name"])
    assert list(empty["c"].index_information()) == ["_id_"]
    with undoing(empty, NAME) as stash:
        stash.restore_indexes()
    assert state(empty) == before


def test_an_index_that_had_to_give_way_comes_back_and_a_new_one_goes(empty: Database[Document]) -> None:
    empty["c"].create_index({"a": 1}, name="a_1", unique=True)
    before = state(empty)
    with applying(empty, NAME) as stash:
        stash.create_index("c", "a_1", {"a": 1}, sparse=True)
        stash.create_index("new", "b_1", {"b": 1})
    assert empty["c"].index_information()["a_1"] == {"v": 2, "key": [("a", 1)], "sparse": True}
    with undoing(empty, NAME) as stash:
        stash.restore_indexes()
        stash.drop_created("new")
    assert state(empty) == before


def test_several_indexes_are_built_by_one_command_in_both_directions(empty: Database[Document]) -> None:
    """a_1 has to give way, b_1 is new, and c_1 is dropped."""
    empty["c"].insert_one({"_id": 1, "a": 1})
    empty["c"].create_indexes([IndexModel("a", unique=True), IndexModel("c")])
    before = state(empty)
    with _builds_of(empty) as (db, builds):
        for _ in range(2):
            with applying(db, NAME) as stash:
                stash.create_indexes("c", {"a_1": {"key": {"a": 1}, "sparse": True}, "b_1": {"key": {"b": 1}}})
                stash.drop_index("c", "c_1")
        assert db["c"].index_information() == {
            "_id_": {"v": 2, "key": [("_id", 1)]},
            "a_1": {"v": 2, "key": [("a", 1)], "sparse": True},
            "b_1": {"v": 2, "key": [("b", 1)]},
        }
        with undoing(db, NAME) as stash:
            stash.restore_indexes()
    assert builds == [["a_1", "b_1"], ["a_1", "c_1"]]
    assert state(empty) == before


@contextmanager
def _builds_of(db: Database[Document]) -> Iterator[tuple[Database[Document], list[list[str]]]]:
    """The same database, and the names of the indexes that each command to it has built."""
    builds: list[list[str]] = []

    class Listener(CommandListener):
        def started(self, event: CommandStartedEvent) -> None:
            if event.command_name == "createIndexes":
                builds.append([index["name"] for index in event.command["indexes"]])

        def succeeded(self, event: CommandSucceededEvent) -> None:
            pass

        def failed(self, event: CommandFailedEvent) -> None:
            pass

    assert db.client.address is not None
    client: MongoClient[Document]
    with MongoClient(*db.client.address, directConnection=True, event_listeners=[Listener()]) as client:
        yield client[db.name], builds


def test_a_taken_collection_is_moved_whole_and_merged_if_there_is_a_new_one(empty: Database[Document]) -> None:
    empty["c"].create_index({"a": 1}, name="a_1", unique=True)
    empty["c"].insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 2}])
    before = state(empty)

    def take() -> None:
        with applying(empty, NAME) as stash:
            stash.take("c")

    def give_back() -> None:
        with undoing(empty, NAME) as stash:
            stash.give_back("c")

    take()
    assert "c" not in empty.list_collection_names()
    take()
    give_back()
    assert state(empty) == before
    take()
    empty["c"].insert_one({"_id": 2, "a": "newer"})
    give_back()
    assert list(empty["c"].find(sort=[("_id", 1)])) == [{"_id": 1, "a": 1}, {"_id": 2, "a": "newer"}]


def test_a_lookup_index_is_there_for_a_while_and_only_where_none_serves(empty: Database[Document]) -> None:
    empty["c"].create_index({"a": 1, "b": 1})
    empty["d"].create_index({"a": 1}, sparse=True)
    before = state(empty)
    with applying(empty, NAME) as stash:
        for collection in ("c", "d", "nowhere"):
            stash.lookup_index(collection, "a")
        assert {name: len(empty[name].index_information()) for name in ("c", "d")} == {"c": 2, "d": 3}
    assert {name: s for name, s in state(empty).items() if name != BOOK} == before


def test_no_index_waits_for_a_member_that_is_down() -> None:
    """primary -- secondary -- a secondary that has stopped: by default MongoDB would wait for all three."""
    client: MongoClient[Document]
    with (
        mongodb_server(replica_set=True) as primary,
        mongodb_server(options=(f"--replSet={primary.replica_set}",)) as secondary,
        MongoClient("127.0.0.1", primary.port, directConnection=True, timeoutMS=30_000) as client,
    ):
        db: Database[Document] = client["db"]
        db["c"].insert_one({"_id": 1})
        _join(client, secondary)
        with mongodb_server(options=(f"--replSet={primary.replica_set}",)) as stopped:
            _join(client, stopped)
        before = state(db)
        with applying(db, NAME) as stash:
            stash.create_index("c", "b_1", {"b": 1})
            stash.lookup_index("c", "a")
            assert list(db["c"].index_information()) == ["_id_", "b_1", "dataops_lookup_a"]
            stash.drop_index("c", "b_1")
        with undoing(db, NAME) as stash:
            stash.restore_indexes()
        assert state(db) == before


def _join(client: MongoClient[Document], member: MongoServer) -> None:
    """Make it a member that votes; it does from when it has all data."""
    config = client.admin.command("replSetGetConfig")["config"]
    config["members"].append({"_id": member.port, "host": f"127.0.0.1:{member.port}", "priority": 0})
    config["version"] += 1
    client.admin.command("replSetReconfig", config)
    until(lambda: client["local"]["system.replset"].find_one({"members.newlyAdded": True}) is None, 60)


def test_a_lookup_index_left_by_a_stop_goes_with_the_next_run(empty: Database[Document]) -> None:
    empty["c"].insert_one({"_id": 1})
    before = state(empty)
    with pytest.raises(ZeroDivisionError):
        _stopped_after_lookup_index(empty)
    with undoing(empty, NAME):
        assert list(empty["c"].index_information()) == ["_id_"]
    assert state(empty) == before


def _stopped_after_lookup_index(db: Database[Document]) -> None:
    with applying(db, NAME) as stash:
        stash.lookup_index("c", "a")
        raise ZeroDivisionError


def test_the_stash_stays_when_the_undo_fails(empty: Database[Document]) -> None:
    empty["c"].insert_one({"_id": 1})
    with applying(empty, NAME) as stash:
        stash.keep("c", {}, ["f"])
    before = state(empty)
    with pytest.raises(ZeroDivisionError), undoing(empty, NAME):
        raise ZeroDivisionError
    assert state(empty) == before


@pytest.mark.parametrize("scope", [applying, undoing])
def test_an_undo_stopped_at_its_very_end_is_ended_before_anything_else(
    empty: Database[Document], scope: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old value must never be taken for a new one."""
    empty["c"].insert_one({"_id": 1, "f": "old"})
    before = state(empty)
    with applying(empty, NAME) as stash:
        stash.keep("c", {}, ["f"])
    with monkeypatch.context() as patch:
        patch.setattr(stashes.Stash, "_finish_drop", lambda *_: None)
        with undoing(empty, NAME):
            pass
    assert state(empty) != before
    with scope(empty, NAME) as stash:
        assert not stash.has("c")
        assert state(empty) == before


def test_a_notebook_begins_with_one_command_and_a_cut_in_it_is_survived(
    empty: Database[Document], wired: Database[Document], wire: Wire
) -> None:
    wire.cut_at(1, half=True)
    with pytest.raises(OperationFailure) as cut:
        _note(wired)
    assert is_cut(cut.value)
    assert wire.was_half
    wire.cut_at(2)
    _note(wired)
    assert wire.writes == 1
    about, fact = empty[BOOK].find(sort=[("_id", -1)])
    assert (about["_id"], about["migration"]) == ("migration", NAME)
    assert fact == {"_id": "key", "value": {"a.b": [1]}}


def _note(db: Database[Document]) -> None:
    with applying(db, NAME) as stash:
        assert stash.note("key", {"a.b": [1]}) == {"a.b": [1]}


def test_what_is_kept_can_be_listed(empty: Database[Document]) -> None:
    empty["c.d"].insert_many([{"_id": 1, "f": 1}, {"_id": 2, "f": 2}])
    assert list_kept(empty) == ()
    with applying(empty, NAME) as stash:
        stash.keep("c.d", {}, ["f"], label="odd")
    [kept] = list_kept(empty)
    assert (kept.migration, kept.place, kept.source) == (NAME, f"{BOOK}.c.d.odd", "c.d")
    assert kept.count == 2
    assert kept.bytes > 0
    assert kept.at is not None


def test_what_was_pruned_cannot_be_undone_until_the_next_apply(empty: Database[Document]) -> None:
    empty["c"].insert_one({"_id": 1, "f": 1})
    before = state(empty)
    with applying(empty, NAME) as stash:
        stash.keep("c", {}, ["f"])
    for _ in range(2):
        prune(empty, NAME)
        assert list_kept(empty) == ()
        with pytest.raises(StashPruned, match=NAME), undoing(empty, NAME):
            pytest.fail("it must not begin")
    with applying(empty, NAME) as stash:
        assert stash.noted("pruned") is None
        stash.keep("c", {}, ["f"])
    with undoing(empty, NAME):
        pass
    prune(empty, NAME)
    assert state(empty) == before


def test_asking_writes_nothing(empty: Database[Document]) -> None:
    with undoing(empty, NAME) as stash:
        stash.restore("c", {"f": ANY})
        stash.restore_documents("c")
        stash.write("c")
        stash.insert("c")
        stash.remove("c")
        stash.give_back("c")
        stash.drop_created("c")
        stash.restore_indexes()
        assert (stash.noted("x"), stash.notes("x"), stash.has("c")) == (None, [], False)
    assert list_kept(empty) == ()
    assert state(empty) == {}


def test_batches_are_in_order_and_of_the_size_asked_for(empty: Database[Document]) -> None:
    empty["c"].insert_many([{"_id": i, "f": i, "g": i} for i in (3, 1, 5, 2, 4)] + [{"_id": "a", "f": 0, "g": 9}])
    found = list(batches(empty, "c", {"g": {"$ne": 4}}, ["f"], 2))
    assert found == [
        [{"_id": 1, "f": 1}, {"_id": 2, "f": 2}],
        [{"_id": 3, "f": 3}, {"_id": 5, "f": 5}],
        [{"_id": "a", "f": 0}],
    ]
    assert list(batches(empty, "nowhere", {}, [])) == []
