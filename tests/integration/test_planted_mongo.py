"""Differences of a MongoDB from an empty database in which the history was run, one to a collection.

The history makes every collection in one way, and the live database has each in another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.database import Database

from dataops import config
from dataops.backends import opened
from dataops.catalogue import compare
from dataops.dev import MongoServer
from dataops.errors import MigrationFailed
from dataops.model import Author
from dataops.scratch import Scratch
from tests.projects import Project

Mongo = Database[dict[str, Any]]
AUTHOR = Author(run="20261124T093000-aaaaaa", actor="ana", host="pod-1", version="0.1.0")

OTHER = {
    "ttl": (
        "db.{}.create_index('a', name='i', expireAfterSeconds=60)",
        "db.{}.create_index('a', name='i', expireAfterSeconds=120)",
    ),
    "capped": ("db.create_collection('{}')", "db.create_collection('{}', capped=True, size=4096)"),
    "missing": ("db.create_collection('{}')", "pass"),
    "dropped": (
        "db.{0}.create_index('a', name='i'); db.{0}.drop_index('i'); db.{0}.insert_one({{'a': 1}})",
        "db.{0}.create_index('a', name='i')",
    ),
    "dropped_by_keys": (
        "db.{0}.create_index([('a', 1)]); db.{0}.drop_index([('a', 1)])",
        "db.{0}.create_index([('a', 1)])",
    ),
    "dropped_as_the_server_takes_keys": (
        "db.{0}.create_index('a', name='i'); db.command('dropIndexes', '{0}', index={{'a': 1}})",
        "db.{0}.create_index('a', name='i')",
    ),
    "dropped_with_all": (
        "db.{0}.create_index('a', name='i'); db.{0}.drop_indexes()",
        "db.{0}.create_index('a', name='i')",
    ),
    "dropped_in_a_list": (
        "db.{0}.create_index('a', name='i'); db.command('dropIndexes', '{0}', index=['i'])",
        "db.{0}.create_index('a', name='i')",
    ),
    "dropped_by_making_it_capped": (
        "db.{0}.create_index('a', name='i'); db.command('convertToCapped', '{0}', size=4096)",
        "db.create_collection('{0}', capped=True, size=4096); db.{0}.create_index('a', name='i')",
    ),
}
"""What the history does with a collection, and what was done with the live one, so that there is one difference.

How single options differ is in tests/contract/test_planted.py.
"""

SAME = {
    "one_for_true": ("db.{}.create_index('a', unique=True)", "db.{}.create_index('a', unique=1)"),
    "float_for_int": (
        "db.{}.create_index('a', expireAfterSeconds=60)",
        "db.{}.create_index('a', expireAfterSeconds=60.0)",
    ),
    "in_background": ("db.{}.create_index('a')", "db.{}.create_index('a', background=True)"),
    "images_off": (
        "db.create_collection('{}')",
        "db.create_collection('{}', changeStreamPreAndPostImages={{'enabled': False}})",
    ),
    "reordered_schema": (
        "db.create_collection('{}', validator={{'$jsonSchema': {{'required': ['a'], 'title': 'x'}}}})",
        "db.create_collection('{}', validator={{'$jsonSchema': {{'title': 'x', 'required': ['a']}}}})",
    ),
    "default_level": (
        "db.create_collection('{}', validator={{'a': 1}})",
        "db.create_collection('{}', validator={{'a': 1}}, validationLevel='strict')",
    ),
    "one_index_more": ("db.create_collection('{}')", "db.{}.create_index('a', unique=True)"),
    "validator_of_the_application": (
        "db.create_collection('{}')",
        "db.create_collection('{}', validator={{'a': {{'$exists': True}}}})",
    ),
    "not_in_the_history": ("pass", "db.create_collection('{}', capped=True, size=4096)"),
    "guarded": (
        "if '{0}' not in db.list_collection_names(): db.create_collection('{0}')",
        "db.create_collection('{}')",
    ),
    "with_documents": ("db.create_collection('{}')", "db.{}.insert_one({{'a': 1}})"),
    "dropped_and_made_again": (
        "db.{0}.create_index('a', name='i'); db.{0}.drop_index('i'); db.{0}.create_index('a', name='i')",
        "db.{0}.create_index('a', name='i')",
    ),
    "dropped_with_its_collection": (
        "db.{0}.create_index('a', name='i'); db.{0}.drop(); db.create_collection('{0}')",
        "db.{0}.create_index('a', name='i')",
    ),
    "dropped_by_a_rename": (
        "db.{0}.create_index('a', name='i'); db.create_collection('x'); db.x.rename('{0}', dropTarget=True)",
        "db.{0}.create_index('a', name='i')",
    ),
    "moved_with_its_collection": (
        "db.{0}.create_index('a', name='i'); db.{0}.rename('{0}_old')",
        "db['{0}_old'].create_index('a', name='i'); db.{0}.create_index('a', name='i')",
    ),
    "collection_made_again": ("db.create_collection('{0}'); db.drop_collection('{0}')", "db.create_collection('{0}')"),
    "added_and_removed": (
        "db.create_collection('{}')",
        "db.{0}.create_index('a', name='i'); db.{0}.drop_index('i')",
    ),
}
"""What is no difference: what the history does with a collection, and how the live one came about."""


@pytest.fixture(scope="module")
def scratch(mongo: MongoServer) -> Iterator[Scratch]:
    with Scratch(AUTHOR, servers=[mongo.url("admin")]) as scratch:
        yield scratch


def differing(project: Project, url: str, scratch: Scratch, *, upto: str | None = None) -> list[str]:
    (service,) = config.load(project.folder / "dataops.toml", environ=project.env).services
    with opened(service) as live:
        head = service.by_id[upto] if upto else service.migrations[-1]
        return [str(one) for one in compare(scratch.catalogue(service, head, live), live.catalogue())]


def test_a_difference_is_told_of_its_object_and_what_the_application_adds_is_none(
    project: Project, mongo_url: str, mongo_db: Mongo, scratch: Scratch
) -> None:
    made = {name: [how.format(name) for how in both] for name, both in (OTHER | SAME).items()}
    project.add("bank", mongo_url)
    project.file("bank", "001", "\n".join(up for up, _ in made.values()))
    for _, live in made.values():
        exec(live, {"db": mongo_db})
    assert differing(project, mongo_url, scratch) == [
        'collection capped: here {"capped": true, "size": 4096}, expected plain',
        "index dropped.i: here, but not expected ((a: 1))",
        "index dropped_as_the_server_takes_keys.i: here, but not expected ((a: 1))",
        "index dropped_by_keys.a_1: here, but not expected ((a: 1))",
        "index dropped_by_making_it_capped.i: here, but not expected ((a: 1))",
        "index dropped_in_a_list.i: here, but not expected ((a: 1))",
        "index dropped_with_all.i: here, but not expected ((a: 1))",
        "collection missing: missing here",
        'index ttl.i: here (a: 1) {"expireAfterSeconds": 120}, expected (a: 1) {"expireAfterSeconds": 60}',
    ]


COLL_MOD = "db.command('collMod', 'users', validator={'a': {'$exists': True}})"
NEEDS = {
    "renames": ("db.users.rename('accounts')", "db.users.rename('accounts')"),
    "changes": (COLL_MOD, COLL_MOD),
    "drops_an_index": ("db.users.drop_index('old')", ""),  # the application has made it again
    "drops_by_keys": ("db.command('dropIndexes', 'users', index={'old': 1})", ""),
    "drops_all_indexes": ("db.users.drop_indexes()", ""),
    "wraps_the_error": (
        f"try:\n    {COLL_MOD}\nexcept Exception as error:\n    raise RuntimeError('no users') from error",
        COLL_MOD,
    ),
    "looks_by_itself": ("if 'users' not in db.list_collection_names():\n    raise RuntimeError('no users')", ""),
}
"""What 002 does with a collection that the application has made, and what has become of that collection."""


@pytest.mark.parametrize("need", NEEDS)
def test_what_the_application_has_made_is_lent_where_the_history_fails_without_it(
    project: Project, mongo_url: str, mongo_db: Mongo, scratch: Scratch, need: str
) -> None:
    """The application makes users with two indexes, then 002 needs them; 003 makes an index that differs here."""
    up, live = NEEDS[need]
    project.add("bank", mongo_url)
    project.file("bank", "001", "db.own.create_index('a', name='a'); db.own.drop_index('a')")
    project.file("bank", "002", up)
    where = "accounts" if need == "renames" else "users"
    project.file("bank", "003", f"db.{where}.create_index('mail', name='mail_1')\ndb.create_collection('later')")
    mongo_db.own.create_index("a", name="a")
    mongo_db.users.create_index("old", name="old")
    mongo_db.users.create_index("own", name="own", unique=True)
    if live:
        exec(live, {"db": mongo_db})
    mongo_db[where].create_index("mail", name="mail_1", unique=True)
    mongo_db.create_collection("later")
    told = differing(project, mongo_url, scratch)
    assert sorted(told) == sorted(
        [
            f"index {where}.mail_1: here (mail: 1) unique, expected (mail: 1)",
            "index own.a: here, but not expected ((a: 1))",
        ]
    )


def test_what_no_copy_can_help_is_told_of_the_migration_that_fails(
    project: Project, mongo_url: str, scratch: Scratch
) -> None:
    project.add("bank", mongo_url)
    project.file("bank", "001", "db.users.find_one()['name']")
    with pytest.raises(MigrationFailed) as caught:
        differing(project, mongo_url, scratch)
    assert caught.value.migration == "001"


NEEDED = {
    "changes": COLL_MOD,
    "renames": "db.users.rename('accounts')",
    "drops_an_index": "db.users.drop_index('old'); db.users.create_index('mail', name='mail_1')",
    "drops_by_keys": "db.command('dropIndexes', 'users', index={'a': 1, 'b': -1, 'c': 'hashed'})",
    "drops_two": "db.users.drop_index('old'); db.users.drop_index('other'); db.groups.drop_index('old')",
    "wraps_the_error": NEEDS["wraps_the_error"][0],
    "makes_a_view": "db.create_collection('v', viewOn='users', pipeline=[])",
}
"""What a migration does with what nobody but the server names."""


@pytest.mark.parametrize("need", NEEDED)
def test_the_history_runs_without_any_live_database_where_the_server_names_what_is_missing(
    project: Project, mongo: MongoServer, mongo_url: str, mongo_db: Mongo, need: str
) -> None:
    project.env["DATAOPS_SCRATCH"] = mongo.url("admin")
    project.add("bank", mongo_url)
    project.file("bank", "001", "db.create_collection('own')")
    project.file("bank", "002", NEEDED[need])
    project.file("bank", "003", "db.create_collection('later')")
    assert project("schema", "dump").code == 0
    assert project("schema", "check").code == 0
    for collection in ("users", "groups"):
        mongo_db[collection].create_index([("a", 1), ("b", -1), ("c", "hashed")])
        mongo_db[collection].create_index("old", name="old")
        mongo_db[collection].create_index("other", name="other")
    assert project("apply", "--onto-existing", "--yes").code == 0
    for more in ((), ("--from", "schema")):
        assert (project("drift", *more).code, more) == (0, more)
    for name in mongo_db.list_collection_names(filter={"type": "collection"}):
        mongo_db.drop_collection(name)
    project("apply", "--onto-existing", "--yes")


LOOKS = "if not {'users', 'groups'} <= {*db.list_collection_names()}:\n    raise RuntimeError('no users')"


def test_what_the_application_makes_may_be_named_where_the_server_does_not(
    project: Project, mongo: MongoServer, mongo_url: str, mongo_db: Mongo
) -> None:
    project.env["DATAOPS_SCRATCH"] = mongo.url("admin")
    project.add("bank", mongo_url)
    project.file("bank", "001", LOOKS)
    refused = project("schema", "dump")
    assert refused.code == 1
    assert 'name it: application = ["..."] under [services.bank]' in refused.stderr
    project.configure(bank={"application": ["users", "groups"]})
    assert project("schema", "dump").code == 0
    assert (
        '"lent": [["collection", "groups"], ["collection", "users"]]'
        in (project.folder / "schema" / "bank.json").read_text()
    )
    mongo_db.create_collection("users", capped=True, size=4096)
    mongo_db.groups.create_index("own")
    assert project("apply", "--onto-existing", "--yes").code == 0
    for more in ((), ("--from", "schema")):
        assert (project("drift", *more).code, more) == (0, more)
    mongo_db.drop_collection("users")
    for more in ((), ("--from", "schema")):
        answer = project("drift", *more, "--json")
        (found,) = answer.json["services"]
        assert answer.code == 8
        assert [(one["how"], one["kind"], one["name"]) for one in found["differences"]] == [
            ("missing", "collection", "users")
        ]


def test_what_is_gone_from_the_live_database_too_is_a_difference(
    project: Project, mongo: MongoServer, mongo_url: str, mongo_db: Mongo
) -> None:
    """What 001 finds is dropped after it."""
    project.env["DATAOPS_SCRATCH"] = mongo.url("admin")
    project.add("bank", mongo_url)
    project.file("bank", "001", COLL_MOD + "; db.users.drop_index('old')")
    project.file("bank", "002", LOOKS.replace(", 'groups'", ""))
    mongo_db.users.create_index("old", name="old")
    assert project("apply", "--onto-existing", "--yes").code == 0
    mongo_db.drop_collection("users")
    answer = project("drift")
    assert (answer.code, "collection users" in answer.stdout) == (8, True), answer.stderr
    mongo_db.create_collection("users", viewOn="groups", pipeline=[])
    answer = project("drift")
    assert (answer.code, "collection users" in answer.stdout) == (8, True), answer.stderr
    mongo_db.drop_collection("users")
    project.file("bank", "003", LOOKS.replace("users", "others"))
    mongo_db.create_collection("users")
    mongo_db.create_collection("others")
    mongo_db.create_collection("groups")
    assert project("apply", "--yes").code == 0
    mongo_db.drop_collection("others")
    answer = project("drift")
    assert answer.code == 1
    assert (
        'where 003 expects a collection that is not in your database, name it: application = ["..."]' in answer.stderr
    )
