"""What a MongoDB database is made of: collections, validators, views and indexes with all their options.

Left out: system collections, and those of pymongo-migrate, of dataops and of other migration tools; the index on _id,
which every collection has; versions of formats, which are the server's affair.
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


def read(db: Database[Document]) -> Catalogue:
    """Everything, as far as it can be known without reading documents of the application's."""
    found = collections(db)
    marks = {info["name"]: info["info"]["uuid"].hex() for info in found if "uuid" in info.get("info", {})}
    objects = {key: text for info in found for key, text in _objects(db, info)}
    return Catalogue(objects, marks=marks)


def copy_shell(source: Database[Document], target: Database[Document], *, unique: bool) -> None:
    """Make the same collections and indexes in `target`, without a document.

    But nothing that could refuse what a migration writes or removes: the documents of years ago were others. Indexes
    are `unique` only where that is asked for.
    """
    left_out = ("v", "ns") if unique else ("v", "ns", "unique")
    for info in sorted(collections(source), key=lambda info: bool(info["type"] == "view")):
        options = {key: value for key, value in info.get("options", {}).items() if not key.startswith(_STRICT)}
        target.command({"create": info["name"], **options})
        if info["type"] != "collection":
            continue
        indexes = [  # one without a collation has none, whatever its collection has by default
            {"collation": {"locale": "simple"}} | {key: index[key] for key in index if key not in left_out}
            for index in source[info["name"]].list_indexes()
            if index["name"] != "_id_"
        ]
        if indexes:
            target.command({"createIndexes": info["name"], "indexes": indexes})


def collections(db: Database[Document]) -> list[Mapping[str, Any]]:
    """The application's collections and views, as the server lists them."""
    found = sorted(db.list_collections(), key=lambda info: str(info["name"]))
    return [i for i in found if not str(i["name"]).startswith(_NOT_OURS) and i["name"] not in othertools.COLLECTIONS]


def _objects(db: Database[Document], info: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    name, options = str(info["name"]), dict(info.get("options", {}))
    if info["type"] == "view":
        yield ("view", name), _text(options)
        return
    options.pop("autoIndexId", None)
    validator = {key: options.pop(key) for key in list(options) if key.startswith("valid")}
    if validator.get("validator"):
        chosen = {key: value for key, value in validator.items() if value != _NO_CHOICE.get(key)}
        yield ("validator", f"{name}.validator"), _text(chosen)
    yield ("collection", name), _text(options) if options else ""
    for index in db[name].list_indexes():
        if index["name"] != "_id_":
            yield ("index", f"{name}.{index['name']}"), _index(index)


def _index(index: Mapping[str, Any]) -> str:
    """`(phone: 1) unique sparse {"collation": ...}`: the keys in their order, then what is on, then other options."""
    keys = ", ".join(f"{field}: {_plain(direction)}" for field, direction in index["key"].items())
    options = {key: value for key, value in index.items() if key not in _NO_OPTION and value is not False}
    flags = [key for key in sorted(options) if options[key] is True]
    others = {key: value for key, value in options.items() if key not in flags}
    return " ".join([f"({keys})", *flags, *([_text(others)] if others else [])])


def _text(value: Mapping[str, Any]) -> str:
    return json_util.dumps(_plain(value), json_options=json_util.RELAXED_JSON_OPTIONS, sort_keys=True)


def _plain(value: Any) -> Any:
    """1 and 1.0 are one number here."""
    if isinstance(value, Mapping):
        return {
            str(key): _plain(_chosen(child) if key == "collation" and isinstance(child, Mapping) else child)
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _chosen(collation: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody asked for: the server adds all defaults, and the version of its library."""
    return {key: value for key, value in collation.items() if key != "version" and value != _COLLATION.get(key)}


__all__ = ["collections", "copy_shell", "read"]
