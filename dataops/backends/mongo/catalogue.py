"""What a MongoDB database is made of: collections, validators, views and indexes with all their options.

Left out: system collections, and those of pymongo-migrate, of dataops and of other migration tools; the index on _id,
which every collection has; versions of formats, which are the server's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson import json_util
from pymongo.database import Database

from dataops.backends.mongo import records
from dataops.catalogue import Catalogue, Key
from dataops.stash.mongo import PREFIX

Document = dict[str, Any]

_OPEN = frozenset({"collection", "index", "validator", "view"})
_NOT_OURS = ("system.", "pymongo_migrate", "dataops_")
_NO_OPTION = frozenset({"v", "ns", "key", "name", "background", "textIndexVersion", "2dsphereIndexVersion"})
_NO_CHOICE = {"validationLevel": "strict", "validationAction": "error"}  # what a validator has by default


def read(db: Database[Document]) -> Catalogue:
    """Everything, as far as it can be known without reading documents of the application's."""
    objects: dict[Key, str] = {}
    marks = {}
    collections = list(db.list_collections())
    for info in sorted(collections, key=lambda info: str(info["name"])):
        name = str(info["name"])
        if name.startswith(_NOT_OURS) or name in records.COLLECTIONS:
            continue
        objects.update(_objects(db, info))
        if info.get("info", {}).get("uuid"):
            marks[name] = info["info"]["uuid"].hex()
    notebooks = [str(info["name"]) for info in collections if str(info["name"]).startswith(PREFIX)]
    return Catalogue(objects, open=_OPEN, marks=marks, touched=frozenset(_touched(db, notebooks)))


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
    """1 and 1.0 are one number here, and a collation is the same one whatever library implements it."""
    if isinstance(value, Mapping):
        named = {
            str(key): {k: v for k, v in child.items() if k != "version"}
            if key == "collation" and isinstance(child, Mapping)
            else child
            for key, child in value.items()
        }
        return {key: _plain(child) for key, child in named.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _touched(db: Database[Document], stashes: list[str]) -> Iterator[Key]:
    """The indexes that migrations have noted in their notebooks, before they dropped or created them."""
    for name in stashes:
        if "." not in name:
            for note in db[name].find({"_id": {"$regex": "^index:"}}, {"value.collection": 1, "value.name": 1}):
                yield "index", f"{note['value']['collection']}.{note['value']['name']}"


__all__ = ["read"]
