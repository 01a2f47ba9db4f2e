"""What a MongoDB database is made of: collections, validators, views and indexes with all their options.

Left out: system collections, and those of pymongo-migrate, of dataops and of other migration tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson import json_util
from pymongo.database import Database

from dataops.backends.mongo import records
from dataops.catalogue import Catalogue, Key

Document = dict[str, Any]

_NOT_OURS = ("system.", "pymongo_migrate", "dataops_")
_NO_OPTION_OF_AN_INDEX = ("v", "ns", "key", "name", "background")


def read(db: Database[Document]) -> Catalogue:
    """Everything. An index without a name of its own is known by the one that MongoDB makes of its keys."""
    return Catalogue(dict(_objects(db)))


def _objects(db: Database[Document]) -> Iterator[tuple[Key, str]]:
    for info in _collections(db):
        name, options = info["name"], dict(info.get("options", {}))
        if info["type"] == "view":
            yield ("view", name), _text(options)
            continue
        validator = {
            key: options.pop(key) for key in list(options) if key.startswith("validation") or key == "validator"
        }
        if validator.get("validator"):
            yield ("validator", name + ".validator"), _text(validator)
        yield ("collection", name), _text(options) if options else ""
        for index in db[name].list_indexes():
            if index["name"] != "_id_":
                yield ("index", f"{name}.{index['name']}"), _index(index)


def copy_shell(source: Database[Document], target: Database[Document]) -> None:
    """Make the same collections and indexes in `target`, without a document."""
    for info in _collections(source):
        if info["type"] == "timeseries" or info["name"].startswith("system."):
            continue
        target.command({"create": info["name"], **info.get("options", {})})
        if info["type"] == "view":
            continue
        indexes = [
            {key: value for key, value in index.items() if key not in ("v", "ns")}
            for index in source[info["name"]].list_indexes()
            if index["name"] != "_id_"
        ]
        if indexes:
            target.command({"createIndexes": info["name"], "indexes": indexes})


def _collections(db: Database[Document]) -> list[Mapping[str, Any]]:
    found = sorted(db.list_collections(), key=lambda info: str(info["name"]))
    return [i for i in found if not str(i["name"]).startswith(_NOT_OURS) and i["name"] not in records.COLLECTIONS]


def _index(index: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{field}: {direction}" for field, direction in index["key"].items())
    options = {key: value for key, value in index.items() if key not in _NO_OPTION_OF_AN_INDEX and value is not False}
    return f"on ({keys})" + (f" {_text(options)}" if options else "")


def _text(value: Mapping[str, Any]) -> str:
    return json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS, sort_keys=True)


__all__ = ["copy_shell", "read"]
