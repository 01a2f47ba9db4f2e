"""Backfills of MongoDB: batches in transactions, which can be stopped anywhere, give way, and are exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from dataops.backends.mongo import pausing
from dataops.backends.mongo.backfilling import checkpoint
from dataops.backends.mongo.backfilling.signals import Observer
from dataops.backends.mongo.listener import Listener
from dataops.backfill import BackfillRefused
from dataops.dev import MongoServer, mongodb_server
from dataops.model import Author, Direction, Limits
from dataops.statements import Tally, listening
from tests import backfills
from tests.projects import Project, ended, until
from tests.servers import fresh_mongo

HEAD = backfills.HEAD
Document = dict[str, Any]
DB = Database[Document]
AUTHOR = Author("a run", "somebody", "a machine", "1")
SLOW = 'backfill(db, "orders", set=slowly, fields=["n"])'
BACK = 'restore(db, "orders", set=back)'


@pytest.fixture
def shop(project: Project, mongo_url: str) -> Project:
    return project.add("shop", mongo_url, onto_existing=True)


def fill(db: DB, number: int) -> None:
    db.orders.insert_many([{"_id": at, "total": at / 10, "n": 0, "country": "UK"} for at in range(number)])


def left_behind(db: DB) -> list[str]:
    """The collections of a stash."""
    return [name for name in db.list_collection_names() if name.startswith("dataops_stash")]


def test_changes_every_document_that_matches(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 12_000)
    shop.file(
        "shop",
        "001",
        'backfill(db, "orders", where={"cents": None}, set=[{"$set": {"cents": {"$multiply": ["$total", 100]}}}])',
        head=HEAD,
    )
    plan = shop("plan")
    assert "backfill, in batches by _id: update orders" in plan.stdout, plan
    assert "12,000 documents" in plan.stdout, plan
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"$expr": {"$eq": ["$cents", {"$multiply": ["$total", 100]}]}}) == 12_000
    assert left_behind(mongo_db) == []


def test_gives_back_what_it_kept(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 5000)
    mongo_db.orders.update_many({"n": 0, "_id": {"$mod": [5, 0]}}, {"$set": {"country": "FR"}})
    shop.file(
        "shop",
        "001",
        'change = {"$set": {"country": "GB", "new": 1}}\n'
        'backfill(db, "orders", where={"country": "UK"}, set=change, keep=["country", "new"])',
        'restore(db, "orders")',
        head=HEAD,
    )
    before = list(mongo_db.orders.find().sort("_id"))
    assert shop("apply", "--yes").code == 0
    assert mongo_db.orders.count_documents({"country": "GB", "new": 1}) == 4000
    assert "orders" in shop("stash", "list").stdout
    mongo_db.orders.update_one({"_id": 1}, {"$set": {"country": "IE"}})
    mongo_db.orders.delete_one({"_id": 2})
    plan = shop("plan", "--direction", "rollback", "--to", "base")
    assert "gives back what was put aside" in plan.stdout, plan
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    before[1]["country"] = "IE"
    del before[2]
    assert list(mongo_db.orders.find().sort("_id")) == before
    assert left_behind(mongo_db) == []


def test_without_where_each_document_is_changed_once(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 7000)
    shop.file(
        "shop",
        "001",
        'backfill(db, "orders", set={"$inc": {"n": 1}})',
        'restore(db, "orders", set={"$inc": {"n": -1}})',
        head=HEAD,
    )
    assert shop("apply", "--yes").code == 0
    assert mongo_db.orders.count_documents({"n": 1}) == 7000
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    assert mongo_db.orders.count_documents({"n": 0}) == 7000
    assert left_behind(mongo_db) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"collation": {"locale": "en", "strength": 2}},
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True, "name": "any"}},
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True}, "collation": {"locale": "en", "strength": 2}},
    ],
)
def test_goes_through_ids_of_any_type(shop: Project, mongo_db: DB, options: Document) -> None:
    ids: list[Any] = [backfills.of_any_type(at) for at in range(3000)]
    ids += [bson.MinKey(), bson.MaxKey(), None, float("nan"), float("inf"), True, False, "", "Order", {}]
    ids += [bson.Timestamp(1, 2), bson.Binary(b"x"), bson.Code("x"), datetime(1, 1, 1, tzinfo=UTC), {"a": {"b": 1}}]
    mongo_db.create_collection("orders", **options)
    mongo_db.orders.insert_many([{"_id": id_, "n": 0, "country": "UK", "Country": "uk"} for id_ in ids])
    raw = mongo_db.orders.with_options(codec_options=bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument))
    before = [bytes(one.raw) for one in raw.find()]
    shop.file(
        "shop",
        "001",
        """
        backfill(db, "orders", set={"$inc": {"n": 1}, "$set": {"country": "uk"}, "$unset": {"Country": 1}},
                 keep=["n", "country", "Country"])
        """,
        'restore(db, "orders")',
        head=HEAD,
    )
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"n": 1}) == len(ids)
    back = shop("rollback", "--yes", "--to", "base")
    assert back.code == 0, back
    assert sorted(bytes(one.raw) for one in raw.find()) == sorted(before)
    assert left_behind(mongo_db) == []


def test_a_function_gets_its_fields_and_may_leave_a_document(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 2500)
    head = (
        HEAD
        + """
def update(document):
    assert set(document) == {"_id", "total"}, document
    if document["_id"] % 2:
        return [{"$set": {"cents": {"$toInt": {"$multiply": ["$total", 100]}}}}]
    return None
"""
    )
    shop.file("shop", "001", 'backfill(db, "orders", where={"cents": None}, set=update, fields=["total"])', head=head)
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"cents": {"$type": "int"}}) == 1250
    assert left_behind(mongo_db) == []


def test_long_ids_and_large_documents_make_smaller_batches(shop: Project, mongo_db: DB) -> None:
    """The `_id`s of a batch of 1,000, and the documents of one, are more than a command may have."""
    mongo_db.orders.insert_many([{"_id": f"{at:08}" * 3000, "n": 0, "country": "UK"} for at in range(1500)])
    mongo_db.orders.insert_many([{"_id": at, "n": 0, "country": "UK", "text": "x" * 200_000} for at in range(100)])
    shop.file("shop", "001", 'backfill(db, "orders", set=slowly, keep=["text", "n", "country"])', BACK, head=HEAD)
    for command, n in ((["apply", "--yes"], 1), (["rollback", "--yes", "--to", "base"], 0)):
        done = shop(*command)
        assert done.code == 0, done
        assert mongo_db.orders.count_documents({"n": n}) == 1600
    assert left_behind(mongo_db) == []


def test_a_missing_collection_is_nothing_to_do(shop: Project, mongo_db: DB) -> None:
    shop.file("shop", "001", SLOW, BACK, head=HEAD)
    assert shop("plan").code == 0
    for command in (["apply", "--yes"], ["rollback", "--yes", "--to", "base"]):
        done = shop(*command)
        assert done.code == 0, done
    assert "orders" not in mongo_db.list_collection_names()
    assert left_behind(mongo_db) == []


def test_a_signal_stops_it_after_a_batch_and_the_next_run_goes_on(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 6000)
    shop.file("shop", "001", SLOW, BACK, head=HEAD)
    with shop.running("apply", "--yes") as process:
        until(lambda: mongo_db.orders.find_one({"n": 1}))
        process.send_signal(signal.SIGTERM)
        stopped = ended(process)
    assert stopped.code == 75, stopped
    changed = mongo_db.orders.count_documents({"n": 1})
    assert 0 < changed < 6000
    [progress] = checkpoint.read(mongo_db, "001")
    assert (progress.place, progress.direction, progress.unit) == ("orders", Direction.APPLY, "documents")
    assert (progress.changed, progress.looked, progress.total) == (changed, changed, 6000)
    assert progress.key == str(changed), progress
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"n": 1}) == 6000
    assert checkpoint.read(mongo_db, "001") == ()


@pytest.mark.parametrize("file", list(backfills.FILES))
def test_killed_at_random_moments_each_document_is_changed_once(
    project: Project, mongo_url: str, mongo_db: DB, file: str
) -> None:
    """Killed eight times in both directions, while an application writes; script/faults has longer rounds of it."""
    project.add("shop", mongo_url, onto_existing=True, timeouts={"lease": "2s", "lock": "60s"})
    project.file("shop", "001", *backfills.FILES[file], head=HEAD)
    application = backfills.Application(mongo_url, 2000)
    chance = random.Random(7)
    commands = {"apply": ["apply", "--yes"], "rollback": ["rollback", "--yes", "--to", "base"]}
    with application.at_work():
        for name in ["apply"] * 4 + ["rollback"] * 2 + ["apply"] * 2:
            with project.running(*commands[name]) as process:
                try:
                    process.wait(chance.uniform(0.7, 3.5))
                except subprocess.TimeoutExpired:
                    process.kill()
                process.wait()
    for name, n in (("apply", 1), ("rollback", 0)):
        done = project(*commands[name])
        assert done.code == 0, done
        assert application.wrong_documents(n) == []
    assert application.changed > 100
    assert left_behind(mongo_db) == []
    application.close()


def test_killed_and_rolled_back_it_takes_back_what_was_done(project: Project, mongo_url: str, mongo_db: DB) -> None:
    project.add("shop", mongo_url, onto_existing=True, timeouts={"lease": "2s"})
    project.file("shop", "001", SLOW, BACK, head=HEAD)
    application = backfills.Application(mongo_url, 5000)
    with project.running("apply", "--yes") as process:
        until(lambda: mongo_db.orders.find_one({"n": 1}))
        process.kill()
    back = project("rollback", "--yes", "--to", "base")
    assert back.code == 0, back
    assert application.wrong_documents(0) == []
    assert left_behind(mongo_db) == []
    application.close()


def test_a_pause_that_was_asked_for_is_kept_until_it_ends(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 1000)
    shop.file("shop", "001", SLOW, BACK, head=HEAD)
    pausing.write(mongo_db, AUTHOR, "a sale")
    pausing.write(mongo_db, AUTHOR, "another one")
    asked = pausing.read(mongo_db)
    assert asked is not None
    assert (asked.who, asked.reason) == ("somebody@a machine", "a sale")
    with shop.running("apply", "--yes") as process:
        until(lambda: any("a sale" in one.paused for one in checkpoint.read(mongo_db, "001")))
        assert mongo_db.orders.count_documents({"n": 1}) == 0
        assert pausing.end(mongo_db)
        done = ended(process)
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"n": 1}) == 1000
    assert not pausing.end(mongo_db)
    assert pausing.read(mongo_db) is None


def test_a_file_that_was_refused_may_be_written_better(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 20)
    wrong = 'backfill(db, "orders", where={"n": 0}, set={"$set": {"country": "GB"}}, keep="country")'
    path = shop.file("shop", "001", wrong, 'restore(db, "orders")', head=HEAD)
    before = list(mongo_db.orders.find())
    assert shop("apply", "--yes").code == 1
    path.write_text(
        path.read_text().replace('"$set": {', '"$inc": {"n": 1}, "$set": {').replace('"country")', '["country", "n"])')
    )
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"n": 1, "country": "GB"}) == 20
    back = shop("rollback", "--yes", "--to", "base")
    assert back.code == 0, back
    assert list(mongo_db.orders.find()) == before


def test_a_way_back_that_names_another_collection(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 20)
    up = 'backfill(db, "orders", where={"n": 0}, set={"$set": {"n": 1}}, keep="n")'
    shop.file("shop", "001", up, 'restore(db, "order")', head=HEAD)
    refused = shop("apply", "--yes")
    assert refused.code == 1
    assert "what is kept of orders would not be given back" in refused.stderr
    path = shop.path("shop", "001")  # and now in a way that only a run can see
    path.write_text(path.read_text().replace('"order"', 'str("order")'))
    assert shop("apply", "--yes").code == 0
    failed = shop("rollback", "--yes", "--to", "base")
    assert failed.code == 1, failed
    assert "what was kept of orders was not given back" in failed.stderr, failed
    assert left_behind(mongo_db) != []


def test_two_backfills_of_one_name(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 20)
    up = 'for field in ("n", "m"):\n    backfill(db, "orders", set={"$inc": {field: 1}})'
    shop.file("shop", "001", up, 'restore(db, "orders", set={"$inc": {"n": -1, "m": -1}})', head=HEAD)
    plan = shop("plan")
    assert "have the name orders" in " ".join((plan.stdout + plan.stderr).split()), plan
    failed = shop("apply", "--yes")
    assert failed.code == 1, failed
    assert 'name="..."' in failed.stderr, failed


REFUSED = {
    "a filter that its own update does not leave": (
        'backfill(db, "orders", where={"n": 0}, set={"$set": {"country": "GB"}})',
        "still match where after they were changed, for example the one with the _id 0",
    ),
    "a function whose update does not leave the filter": (
        'backfill(db, "orders", where={"n": 0}, set=lambda one: {"$set": {"country": "GB"}})',
        "still match where",
    ),
    "set changes the key": ('backfill(db, "orders", set={"$set": {"_id": 1}})', "set changes _id"),
    "set changes the key by a stage": (
        'backfill(db, "orders", set=[{"$replaceWith": {"_id": {"$add": ["$_id", 1]}}}])',
        "set changes _id",
    ),
    "set is a whole document": ('backfill(db, "orders", set={"n": 1})', "has to be an update"),
    "a function returns no update": ('backfill(db, "orders", set=lambda one: 5)', "has to be an update"),
    "where is no filter": ('backfill(db, "orders", where="n = 0", set={"$inc": {"n": 1}})', "has to be a filter"),
    "where has an unknown operator": (
        'backfill(db, "orders", where={"n": {"$is": 0}}, set={"$inc": {"n": 1}})',
        "is no filter",
    ),
    "a statement": ('backfill(db, "orders", statement="UPDATE orders SET n = 1")', "is for PostgreSQL"),
    "another key": ('backfill(db, "orders", key="n", set={"$inc": {"n": 1}})', "is always _id"),
    "keep of a part": ('backfill(db, "orders", set={"$inc": {"n": 1}}, keep="a.b")', "at the top of a document"),
    "a view": ('backfill(db, "shown", set={"$inc": {"n": 1}})', "is a view"),
    "a time series": ('backfill(db, "measured", set={"$inc": {"n": 1}})', "is a time series"),
    "a capped collection": ('backfill(db, "newest", set={"$inc": {"n": 1}})', "is capped"),
    "no database": ('backfill(db.orders, "orders", set={"$inc": {"n": 1}})', "the first argument of a backfill is db"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_refuses_before_anything_is_changed(shop: Project, mongo_db: DB, case: str) -> None:
    fill(mongo_db, 20)
    mongo_db.create_collection("shown", viewOn="orders", pipeline=[])
    mongo_db.create_collection("measured", timeseries={"timeField": "at"})
    mongo_db.create_collection("newest", capped=True, size=4096)
    call, words = REFUSED[case]
    shop.file("shop", "001", call, head=HEAD)
    before = list(mongo_db.orders.find())
    if case == "where has an unknown operator":  # the plan asks the server
        plan = " ".join(shop("plan").stdout.split())
        assert "the server takes no such filter of orders: OperationFailure: unknown operator: $is" in plan, plan
    refused = shop("apply", "--yes")
    assert refused.code == 1, refused
    assert words in " ".join(refused.stderr.split()), refused
    assert "half done" not in refused.stderr, refused
    assert list(mongo_db.orders.find()) == before
    assert left_behind(mongo_db) == []


def test_a_file_that_was_changed_in_the_middle_is_refused(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 6000)
    path = shop.file("shop", "001", SLOW, BACK, head=HEAD)
    with shop.running("apply", "--yes") as process:
        until(lambda: mongo_db.orders.find_one({"n": 1}))
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 75
    text = path.read_text()
    path.write_text(text.replace('"$inc": {"n": 1}', '"$inc": {"n": 2}'))
    before = list(mongo_db.orders.find())
    refused = shop("apply", "--yes")
    assert refused.code == 4, refused
    assert "was changed" in refused.stderr, refused
    assert list(mongo_db.orders.find()) == before
    assert len(checkpoint.read(mongo_db, "001")) == 1
    path.write_text(text)
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert mongo_db.orders.count_documents({"n": 1}) == 6000


def test_what_was_pruned_cannot_be_given_back(shop: Project, mongo_db: DB) -> None:
    fill(mongo_db, 100)
    shop.file("shop", "001", SLOW, BACK, head=HEAD)
    assert shop("apply", "--yes").code == 0
    assert shop("stash", "prune", "--yes", "--older-than", "0s").code == 0
    refused = shop("rollback", "--yes", "--to", "base")
    assert refused.code not in (0, 70), refused
    assert "pruned" in refused.stderr, refused
    assert mongo_db.orders.count_documents({"n": 1}) == 100


RULES = {
    """{"find": "flags", "filter": {"_id": "busy"}}""": "pause_while says find of flags gives a document",
    """{"find": "flags", "filter": {"_id": "idle"}}""": "",
    """{"find": "flags", "filter": {"_id": "none"}, "projection": {"n": {"$literal": 0}}}""": "",
    """{"count": "flags"}""": "pause_while says 1",
    """{"count": "nothing"}""": "",
    """{"aggregate": "flags", "pipeline": [{"$count": "n"}]}""": "pause_while says aggregate of flags gives a document",
    """{"aggregate": "nothing", "pipeline": [{"$count": "n"}]}""": "",
}


@pytest.mark.parametrize("rule", list(RULES))
def test_waits_while_its_own_rule_says_so(mongo_db: DB, rule: str) -> None:
    mongo_db.flags.insert_one({"_id": "busy"})
    observer = Observer(lambda: mongo_db, Limits(pause_while=rule), "shop")
    assert [said for signal in observer.signals if (said := signal())] == [RULES[rule]] * bool(RULES[rule])


def test_queries_of_its_own_are_not_those_of_others(mongo_db: DB, mongo_url: str) -> None:
    observer = Observer(lambda: mongo_db, Limits(), "shop")
    listener = Listener("shop", Tally("documents", str), lambda: None)
    mongo_db.orders.insert_one({"_id": 1})
    with listening(observer.ours), MongoClient[Document](mongo_url, event_listeners=[listener]) as client:
        ours = client[mongo_db.name]
        before = observer.others()
        assert before is not None
        for at in range(200):
            ours.orders.update_one({"_id": 1}, {"$set": {"n": at}})
        for _ in range(30):
            mongo_db.orders.find_one({"_id": 1})
        after = observer.others()
    assert after is not None
    assert 30 <= after - before < 130  # and what the server does by itself, and other tests


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("nonsense", "is not a command"),
        ("[1]", "has to be one of the commands"),
        ("{}", "has to be one of the commands"),
        ("""{"drop": "flags"}""", "has to be one of the commands"),
        ("""{"aggregate": "flags", "pipeline": [{"$out": "others"}]}""", "must not write"),
        ("""{"aggregate": "flags", "pipeline": [{"$merge": {"into": "others"}}]}""", "must not write"),
        ("""{"find": "flags", "filter": {"$is": 1}}""", "cannot be asked"),
    ],
)
def test_refuses_a_rule_that_cannot_be_asked_or_may_write(mongo_db: DB, rule: str, words: str) -> None:
    with pytest.raises(BackfillRefused, match=words):
        [signal() for signal in Observer(lambda: mongo_db, Limits(pause_while=rule), "shop").signals]


def test_a_user_who_may_not_look_runs_it_all_the_same(project: Project, mongo_with_passwords: MongoServer) -> None:
    with fresh_mongo(mongo_with_passwords) as url, MongoClient[Document](url) as client:
        db = client.get_default_database()
        client.admin.command("createUser", "small", pwd="secret", roles=[{"role": "readWrite", "db": db.name}])
        project.add("shop", mongo_with_passwords.url(db.name, "small", "secret"), onto_existing=True)
        fill(db, 2000)
        project.file("shop", "001", SLOW, BACK, head=HEAD)
        for command, n in ((["apply", "--yes"], 1), (["rollback", "--yes", "--to", "base"], 0)):
            done = project(*command)
            assert done.code == 0, done
            assert db.orders.count_documents({"n": n}) == 2000


# A standalone server


@pytest.fixture
def alone(project: Project, mongo_standalone_url: str) -> Project:
    return project.add("shop", mongo_standalone_url, onto_existing=True, timeouts={"lease": "2s"})


GOOD_ALONE = {
    "operators": '{"$inc": {"n": 1}, "$set": {"country": "GB"}}',
    "stages": '[{"$set": {"country": "GB", "n": {"$add": ["$n", 1]}}}]',
    "a function": "slowly",
}


@pytest.mark.parametrize("case", list(GOOD_ALONE))
def test_a_standalone_changes_what_may_run_twice(
    alone: Project, mongo_standalone_url: str, mongo_standalone_db: DB, case: str
) -> None:
    application = backfills.Application(mongo_standalone_url, 2000)
    alone.file("shop", "001", f'backfill(db, "orders", where={{"country": "UK"}}, set={GOOD_ALONE[case]})', head=HEAD)
    with application.at_work(), alone.running("apply", "--yes") as process:
        until(lambda: mongo_standalone_db.orders.find_one({"n": 1}))
        process.kill()
    done = alone("apply", "--yes")
    assert done.code == 0, done
    assert application.wrong_documents(1) == []
    assert left_behind(mongo_standalone_db) == []
    application.close()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('backfill(db, "orders", set={"$inc": {"n": 1}})', "no transactions"),
        ('backfill(db, "orders", where={"n": 0}, set={"$inc": {"n": 1}}, keep="n")', "no transactions"),
        ('backfill(db, "orders", where={"n": 0}, set={"$set": {"country": "GB"}})', "still match where"),
        ('backfill(db, "orders", where={"n": 0}, set=[{"$set": {"country": "GB"}}])', "still match where"),
        ('backfill(db, "orders", where={"n": 0}, set=lambda one: {"$set": {"country": "GB"}})', "still match where"),
    ],
)
def test_a_standalone_refuses_what_may_not(alone: Project, mongo_standalone_db: DB, call: str, words: str) -> None:
    fill(mongo_standalone_db, 20)
    before = list(mongo_standalone_db.orders.find())
    alone.file("shop", "001", call, head=HEAD)
    refused = alone("apply", "--yes")
    assert refused.code == 1, refused
    assert words in " ".join(refused.stderr.split()), refused
    assert "half done" not in refused.stderr, refused
    assert list(mongo_standalone_db.orders.find()) == before
    assert left_behind(mongo_standalone_db) == []


# A set of three


class Trio:
    """A replica set of three."""

    def __init__(self, servers: list[MongoServer]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"mongodb://{hosts}/trial?replicaSet=trio"

    def is_primary(self, server: MongoServer) -> bool:
        try:
            with MongoClient[Document](server.url(), directConnection=True, socketTimeoutMS=2000) as client:
                return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    def primary(self) -> MongoServer:
        until(lambda: any(map(self.is_primary, self.servers)), what="there is a primary")
        return next(filter(self.is_primary, self.servers))


@contextmanager
def stopped(server: MongoServer) -> Iterator[None]:
    """The server does nothing in this block, as a machine that hangs."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    with ExitStack() as scope:
        options = ["--replSet=trio", "--setParameter=enableTestCommands=1"]
        servers = [scope.enter_context(mongodb_server(options=options)) for _ in range(3)]
        members = [{"_id": at, "host": f"127.0.0.1:{server.port}"} for at, server in enumerate(servers)]
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
        with MongoClient[Document](servers[0].url(), directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": "trio", "members": members, "settings": settings})
        found = Trio(servers)
        found.primary()
        yield found


@pytest.fixture
def three(project: Project, trio: Trio) -> Iterator[Project]:
    trio.primary()
    yield project.add("shop", trio.url, onto_existing=True, timeouts={"lease": "20s", "connect": "20s"})
    trio.primary()
    with MongoClient[Document](trio.url) as client:
        client.drop_database("trial")


def test_goes_on_after_an_election(three: Project, trio: Trio) -> None:
    application = backfills.Application(trio.url, 4000)
    three.file("shop", "001", *backfills.FILES["kept"], head=HEAD)
    with MongoClient[Document](trio.url) as client, application.at_work():
        db = client.get_default_database()
        with three.running("apply", "--yes") as process:
            until(lambda: db.orders.find_one({"n": 1}))
            with MongoClient[Document](trio.primary().url(), directConnection=True) as one:
                one.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=2, force=True)
            done = ended(process)
    if done.code != 0:  # it was cut off outside of a batch
        done = three("apply", "--yes")
    assert done.code == 0, done
    assert application.wrong_documents(1) == []
    back = three("rollback", "--yes", "--to", "base")
    assert back.code == 0, back
    assert application.wrong_documents(0) == []
    application.close()


def test_waits_for_a_secondary_that_hangs(three: Project, trio: Trio) -> None:
    application = backfills.Application(trio.url, 60_000)
    three.file("shop", "001", SLOW, BACK, head=HEAD)
    primary = trio.primary()
    secondary = next(server for server in trio.servers if server is not primary)
    with MongoClient[Document](trio.url) as client, application.at_work():
        db = client.get_default_database()
        with three.running("apply", "--yes") as process:
            until(lambda: db.orders.find_one({"n": 1}))
            with stopped(secondary):
                words = f"the secondary 127.0.0.1:{secondary.port} is"
                until(lambda: any(words in one.paused for one in checkpoint.read(db, "001")), 120)
                [waiting] = checkpoint.read(db, "001")
            until(lambda: any(one.changed > waiting.changed for one in checkpoint.read(db, "001")), 120)
            process.send_signal(signal.SIGTERM)
            assert ended(process).code == 75
    application.close()
