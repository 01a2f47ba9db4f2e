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
_NO_OPTION = frozenset({"v", "ns", "key", "name", "background", "textIndexVersion", "2dsphereIndexVersion"})
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
_STRICT = ("valid", "capped", "size", "max")
_NO_CHOICE = {"validationLevel": "strict", "validationAction": "error"}  # what a validator has by default


def read(db: Database[Document], record: str) -> Catalogue:
    """Read the whole catalogue, without the native record. Reads no document of the application."""
    found = collections(db, record)
    marks = {info["name"]: info["info"]["uuid"].hex() for info in found if "uuid" in info.get("info", {})}
    objects = {key: text for info in found for key, text in _objects(db, info)}
    version = db.client.server_info()["versionArray"]
    return Catalogue(objects, marks=marks, server=f"MongoDB {version[0]}")


def copy_shell(source: Database[Document], target: Database[Document], record: str, *, unique: bool) -> None:
    """Create the collections, views and indexes of `source` in `target`, without any document.

    Options that may refuse a write, such as validators, are left out: migrations of years ago wrote documents that
    today's options would refuse. For the same reason, unique indexes stay unique only with `unique`.
    """
    left_out = ("v", "ns") if unique else ("v", "ns", "unique")
    for info in sorted(collections(source, record), key=lambda info: bool(info["type"] == "view")):
        options = {key: value for key, value in info.get("options", {}).items() if not key.startswith(_STRICT)}
        target.command({"create": info["name"], **options})
        if info["type"] != "collection":
            continue
        indexes = [  # "simple" means none; otherwise an index would inherit the collation of its collection
            {"collation": {"locale": "simple"}} | {key: index[key] for key in index if key not in left_out}
            for index in source[info["name"]].list_indexes()
            if index["name"] != "_id_" and not index.get("clustered")  # which the options of its collection make
        ]
        if indexes:
            target.command({"createIndexes": info["name"], "indexes": indexes})


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
    validator = {key: options.pop(key) for key in list(options) if key.startswith("valid")}
    if validator.get("validator"):
        chosen = {key: value for key, value in validator.items() if value != _NO_CHOICE.get(key)}
        yield ("validator", f"{name}.validator"), option_text(chosen)
    yield ("collection", name), option_text(options) if options else ""
    for index in db[name].list_indexes():
        if index["name"] != "_id_":
            yield ("index", f"{name}.{index['name']}"), index_text(index)


def index_text(index: Mapping[str, Any]) -> str:
    """An index as text: its keys in order, the options that are on, the other options.

    For example `(phone: 1) unique sparse {"collation": ...}`.
    """
    keys = ", ".join(f"{field}: {_plain(direction)}" for field, direction in index["key"].items())
    options = {key: value for key, value in index.items() if key not in _NO_OPTION and value is not False}
    flags = [key for key in sorted(options) if options[key] is True]
    others = {key: value for key, value in options.items() if key not in flags}
    return " ".join([f"({keys})", *flags, *([option_text(others)] if others else [])])


def option_text(value: Mapping[str, Any]) -> str:
    return json_util.dumps(_plain(value), json_options=json_util.RELAXED_JSON_OPTIONS, sort_keys=True)


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


__all__ = ["chosen", "collections", "copy_shell", "is_counted", "read"]
