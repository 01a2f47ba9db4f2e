"""What a MongoDB database is made of: collections, validators, views and indexes with all their options.

Some of it is left out: the collections of the server, of pymongo-migrate, of dataops and of other migration tools; the
index on _id, which every collection has; versions of index formats, which the server chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson import json_util
from pymongo.database import Database

from dataops.backends.mongo import othertools
from dataops.catalogue import Catalogue, Key

Document = dict[str, Any]

_NOT_OURS = ("system.", "pymongo_migrate", "dataops_")
_NO_OPTION = frozenset({"v", "ns", "key", "name", "background"})
_FLAGS = frozenset({"unique", "sparse", "hidden", "prepareUnique"})  # somebody may have written 1 for true
_VERSIONS = ("textIndexVersion", "2dsphereIndexVersion")
_TODAY = 3  # older versions of these two find other documents; newer ones are the server's choice
_COLLATION = {
    "caseLevel": False,
    "caseFirst": "off",
    "strength": 3,
    "numericOrdering": False,
    "alternate": "non-ignorable",
    "maxVariable": "punct",
    "normalization": False,
    "backwards": False,
}
_QUERIES = frozenset({"validator", "partialFilterExpression"})
_OF_QUERIES = frozenset({"$and", "$or", "$nor", "$not", "$elemMatch"})  # other operators take values
_NO_CHOICE = {"validationLevel": "strict", "validationAction": "error"}  # what a validator has by default


def read(db: Database[Document], record: str) -> Catalogue:
    """Read the whole catalogue, without the native record. Reads no document of the application."""
    found = collections(db, record)
    marks = {info["name"]: info["info"]["uuid"].hex() for info in found if "uuid" in info.get("info", {})}
    objects = {key: text for info in found for key, text in _objects(db, info)}
    version = db.client.server_info()["versionArray"]
    return Catalogue(objects, marks=marks, server=f"MongoDB {version[0]}")


def collections(db: Database[Document], record: str) -> list[Mapping[str, Any]]:
    """The collections and views of the application, as the server lists them, sorted by name."""
    found = sorted(db.list_collections(), key=lambda info: str(info["name"]))
    return [info for info in found if is_counted(info["name"], record)]


def is_counted(name: str, record: str) -> bool:
    """Whether a collection or view belongs to the application, by its name. `record` is the name of the record."""
    return name != record and not name.startswith(_NOT_OURS) and name not in othertools.COLLECTIONS


def _objects(db: Database[Document], info: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    name, options = str(info["name"]), dict(info.get("options", {}))
    if info["type"] == "view":
        yield ("view", name), option_text(options)
        return
    options.pop("autoIndexId", None)
    if not options.get("changeStreamPreAndPostImages", {}).get("enabled"):
        options.pop("changeStreamPreAndPostImages", None)
    validator = {key: options.pop(key) for key in list(options) if key.startswith("valid")}
    if validator.get("validator"):
        chosen = {key: value for key, value in validator.items() if value != _NO_CHOICE.get(key)}
        yield ("validator", f"{name}.validator"), option_text(chosen)
    yield ("collection", name), option_text(options) if options else ""
    for index in db[name].list_indexes():
        if index["name"] != "_id_":
            yield ("index", f"{name}.{index['name']}"), index_text(index)


def validators(of: Catalogue) -> dict[str, Document]:
    """The validator of each collection that has one, as the server takes it."""
    found = {}
    for (kind, name), text in of.objects.items():
        if kind == "validator":
            found[name.removesuffix(".validator")] = json_util.loads(text).get("validator", {})
    return {name: validator for name, validator in sorted(found.items()) if validator}


def index_text(index: Mapping[str, Any]) -> str:
    """An index as text: its keys in order, the options that are on, the other options.

    For example `(phone: 1) unique sparse {"collation": ...}`.
    """
    keys = ", ".join(f"{field}: {_plain(direction)}" for field, direction in index["key"].items())
    options = {key: bool(value) if key in _FLAGS else value for key, value in index.items() if key not in _NO_OPTION}
    options = {key: value for key, value in options.items() if value is not False and not _is_todays(key, value)}
    flags = [key for key in sorted(options) if options[key] is True]
    others = {key: value for key, value in options.items() if key not in flags}
    return " ".join([f"({keys})", *flags, *([option_text(others)] if others else [])])


def _is_todays(option: str, value: Any) -> bool:
    return option in _VERSIONS and value >= _TODAY


def option_text(value: Mapping[str, Any]) -> str:
    """Options as JSON, sorted except where the order has a meaning: in pipelines, and in documents that are values."""
    return json_util.dumps(_sorted(_plain(value)), json_options=json_util.RELAXED_JSON_OPTIONS)


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted_option(key, child) for key, child in sorted(value.items())}
    if isinstance(value, list):
        return [_sorted(child) for child in value]
    return value


def _sorted_option(key: str, value: Any) -> Any:
    if key in ("pipeline", "enum") and isinstance(value, list):
        return value
    return _sorted_query(value) if key in _QUERIES else _sorted(value)


def _sorted_query(value: Any) -> Any:
    """A query, its conditions sorted, but not the documents in it: only one of the same order is equal to them."""
    if isinstance(value, list):
        return [_sorted_query(child) for child in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _sorted_condition(key, child) for key, child in sorted(value.items())}


def _sorted_condition(key: str, value: Any) -> Any:
    if key == "$jsonSchema":
        return _sorted(value)
    is_document = isinstance(value, Mapping) and not any(str(name).startswith("$") for name in value)
    is_value = is_document if not key.startswith("$") else key not in _OF_QUERIES
    return value if is_value else _sorted_query(value)


def _plain(value: Any) -> Any:
    """The same value, in which 1.0 is 1, because drivers differ in which of them they send."""
    if isinstance(value, Mapping):
        return {
            str(key): _plain(chosen(child) if key == "collation" and isinstance(child, Mapping) else child)
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def chosen(collation: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a collation that somebody chose. The server adds all defaults and the version of its library."""
    return {key: value for key, value in collation.items() if key != "version" and value != _COLLATION.get(key)}


__all__ = ["chosen", "collections", "is_counted", "read", "validators"]
