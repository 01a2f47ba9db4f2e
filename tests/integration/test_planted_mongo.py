"""Differences planted in MongoDB, one to a collection: what changes behaviour is told, of the object that differs.

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

INDEXES = {
    "unique": ("'a', name='i'", "'a', name='i', unique=True"),
    "not_unique": ("'a', name='i', unique=True", "'a', name='i'"),
    "sparse": ("'a', name='i'", "'a', name='i', sparse=True"),
    "partial": (
        "'a', name='i', partialFilterExpression={'b': {'$gt': 1}}",
        "'a', name='i', partialFilterExpression={'b': {'$gt': 2}}",
    ),
    "ttl": ("'a', name='i', expireAfterSeconds=60", "'a', name='i', expireAfterSeconds=120"),
    "no_ttl": ("'a', name='i', expireAfterSeconds=60", "'a', name='i'"),
    "collation": ("'a', name='i', collation={'locale': 'en'}", "'a', name='i', collation={'locale': 'fr'}"),
    "strength": (
        "'a', name='i', collation={'locale': 'en', 'strength': 2}",
        "'a', name='i', collation={'locale': 'en', 'strength': 1}",
    ),
    "hidden": ("'a', name='i'", "'a', name='i', hidden=True"),
    "order": ("[('a', 1), ('b', 1)], name='i'", "[('b', 1), ('a', 1)], name='i'"),
    "direction": ("[('a', 1), ('b', 1)], name='i'", "[('a', 1), ('b', -1)], name='i'"),
    "keys": ("[('a', 1)], name='i'", "[('a', 1), ('b', 1)], name='i'"),
    "hashed": ("'a', name='i'", "[('a', 'hashed')], name='i'"),
    "weights": ("[('a', 'text')], name='i', weights={'a': 1}", "[('a', 'text')], name='i', weights={'a': 2}"),
    "fields": ("[('a', 'text')], name='i'", "[('a', 'text'), ('b', 'text')], name='i'"),
    "language": ("[('a', 'text')], name='i'", "[('a', 'text')], name='i', default_language='french'"),
    "override": ("[('a', 'text')], name='i'", "[('a', 'text')], name='i', language_override='lang'"),
    "text_version": ("[('a', 'text')], name='i'", "[('a', 'text')], name='i', textIndexVersion=2"),
    "wildcard": (
        "[('$**', 1)], name='i', wildcardProjection={'a': 1}",
        "[('$**', 1)], name='i', wildcardProjection={'b': 1}",
    ),
    "bits": ("[('a', '2d')], name='i'", "[('a', '2d')], name='i', bits=20"),
    "bounds": ("[('a', '2d')], name='i', min=-180, max=180", "[('a', '2d')], name='i', min=-10, max=10"),
    "sphere": ("[('a', '2dsphere')], name='i'", "[('a', '2d')], name='i'"),
    "sphere_version": ("[('a', '2dsphere')], name='i'", "[('a', '2dsphere')], name='i', **{'2dsphereIndexVersion': 2}"),
}
"""An index `i` as the history makes it, and as it is: what follows `create_index(`."""

SCHEMA = "{'$jsonSchema': {'required': ['a'], 'properties': {'a': {'bsonType': 'int'}}}}"
COLLECTIONS = {
    "capped": ("", "capped=True, size=4096"),
    "not_capped": ("capped=True, size=4096", ""),
    "size": ("capped=True, size=4096", "capped=True, size=8192"),
    "max": ("capped=True, size=4096, max=10", "capped=True, size=4096, max=20"),
    "locale": ("collation={'locale': 'en'}", "collation={'locale': 'fr'}"),
    "clustered": ("", "clusteredIndex={'key': {'_id': 1}, 'unique': True}"),
    "expires": (
        "clusteredIndex={'key': {'_id': 1}, 'unique': True}, expireAfterSeconds=60",
        "clusteredIndex={'key': {'_id': 1}, 'unique': True}, expireAfterSeconds=90",
    ),
    "images": ("", "changeStreamPreAndPostImages={'enabled': True}"),
    "time_field": ("timeseries={'timeField': 't'}", "timeseries={'timeField': 'at'}"),
    "meta_field": ("timeseries={'timeField': 't'}", "timeseries={'timeField': 't', 'metaField': 'm'}"),
    "granularity": ("timeseries={'timeField': 't'}", "timeseries={'timeField': 't', 'granularity': 'hours'}"),
    "retention": ("timeseries={'timeField': 't'}", "timeseries={'timeField': 't'}, expireAfterSeconds=60"),
    "not_timeseries": ("timeseries={'timeField': 't'}", ""),
    "source": ("viewOn='one', pipeline=[]", "viewOn='other', pipeline=[]"),
    "stages": ("viewOn='one', pipeline=[{'$match': {'a': 1}}]", "viewOn='one', pipeline=[{'$match': {'a': 2}}]"),
    "sorting": (
        "viewOn='one', pipeline=[{'$sort': {'a': 1, 'b': 1}}]",
        "viewOn='one', pipeline=[{'$sort': {'b': 1, 'a': 1}}]",
    ),
    "view_locale": (
        "viewOn='one', pipeline=[], collation={'locale': 'en'}",
        "viewOn='one', pipeline=[], collation={'locale': 'fr'}",
    ),
    "view_or_not": ("viewOn='one', pipeline=[]", ""),
    "no_validator": (f"validator={SCHEMA}", ""),
    "validator": (f"validator={SCHEMA}", f"validator={SCHEMA.replace('int', 'long')}"),
    "level": (f"validator={SCHEMA}", f"validator={SCHEMA}, validationLevel='moderate'"),
    "action": (f"validator={SCHEMA}", f"validator={SCHEMA}, validationAction='warn'"),
}
"""A collection as the history makes it, and as it is: what follows the name in `create_collection(`."""

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


def test_every_planted_difference_is_told_of_its_object_and_nothing_else(
    project: Project, mongo_url: str, mongo_db: Mongo, scratch: Scratch
) -> None:
    made = {f"index_{name}": [f"db.index_{name}.create_index({how})" for how in both] for name, both in INDEXES.items()}
    for name, both in COLLECTIONS.items():
        made[name] = [f"db.create_collection('{name}'{', ' if how else ''}{how})" for how in both]
    made |= {f"same_{name}": [how.format(f"same_{name}") for how in both] for name, both in SAME.items()}
    project.add("bank", mongo_url)
    project.file("bank", "001", "\n".join(up for up, _ in made.values()))
    for _, live in made.values():
        exec(live, {"db": mongo_db})
    told = differing(project, mongo_url, scratch)
    about = [text.partition(":")[0].partition(" ")[2].partition(".")[0] for text in told]
    assert sorted(set(about)) == sorted([*(f"index_{name}" for name in INDEXES), *COLLECTIONS])
    assert "index index_unique.i: here (a: 1) unique, expected (a: 1)" in told
    assert (
        'index index_ttl.i: here (a: 1) {"expireAfterSeconds": 120}, expected (a: 1) {"expireAfterSeconds": 60}' in told
    )
    assert len(about) == len(set(about)) == len(INDEXES) + len(COLLECTIONS)


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
    project.file("bank", "001", "db.create_collection('own')")
    project.file("bank", "002", up)
    where = "accounts" if need == "renames" else "users"
    project.file("bank", "003", f"db.{where}.create_index('mail', name='mail_1')\ndb.create_collection('later')")
    mongo_db.create_collection("own")
    mongo_db.users.create_index("old", name="old")
    mongo_db.users.create_index("own", name="own", unique=True)
    if live:
        exec(live, {"db": mongo_db})
    mongo_db[where].create_index("mail", name="mail_1", unique=True)
    mongo_db.create_collection("later")
    told = differing(project, mongo_url, scratch)
    assert told == [f"index {where}.mail_1: here (mail: 1) unique, expected (mail: 1)"]


def test_what_no_copy_can_help_is_told_of_the_migration_that_fails(
    project: Project, mongo_url: str, scratch: Scratch
) -> None:
    project.add("bank", mongo_url)
    project.file("bank", "001", "db.users.find_one()['name']")
    with pytest.raises(MigrationFailed) as caught:
        differing(project, mongo_url, scratch)
    assert caught.value.migration == "001"
