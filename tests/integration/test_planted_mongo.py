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
        "index dropped_by_keys.a_1: here, but not expected ((a: 1))",
        "collection missing: missing here",
        'index ttl.i: here (a: 1) {"expireAfterSeconds": 120}, expected (a: 1) {"expireAfterSeconds": 60}',
    ]


COLL_MOD = "db.command('collMod', 'users', validator={'a': {'$exists': True}})"
NEEDS = {
    "renames": ("db.users.rename('accounts')", "db.users.rename('accounts')"),
    "changes": (COLL_MOD, COLL_MOD),
    "drops_an_index": ("db.users.drop_index('old')", ""),  # the application has made it again
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
