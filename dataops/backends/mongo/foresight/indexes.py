"""What the live documents answer about an index that is to be built."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dataops.backends.mongo.foresight.facts import Collection, Facts

Document = dict[str, Any]

_PARTIAL = "partialFilterExpression"
_LOOKED_AT = 200_000
"""Documents of a collection that are looked at for duplicates; it takes half a second."""


def known(collection: Collection, wanted: Mapping[str, Any]) -> Document | None:
    """The index of a collection that `collMod` names, by its name or its key."""
    pattern = wanted.get("keyPattern")
    for index in collection.indexes:
        if index["name"] == wanted.get("name") or (pattern and dict(index["key"]) == dict(pattern)):
            return dict(index)
    return None


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two indexes of one key hold the same, by all but how long documents live, and what a collation means."""
    same = all(bool(one.get(option)) == bool(other.get(option)) for option in ("unique", "sparse"))
    return same and one.get(_PARTIAL) == other.get(_PARTIAL)


def twin(collection: Collection, wanted: Mapping[str, Any]) -> str:
    """The name of an index that is there and holds the same as a new one of another name; "" for none.

    Those of texts are stored with another key, and those with a collation are not compared.
    """
    for index in collection.indexes:
        plain = not index.get("collation") and not wanted.get("collation")
        if plain and list(index["key"].items()) == list(wanted["key"].items()) and alike(index, wanted):
            return str(index["name"])
    return ""


def duplicates(facts: Facts, collection: Collection, index: Mapping[str, Any]) -> str:
    """An example of documents that have the same key; "" if there is none, or if that is not known, which is noted.

    Of a key only numbers are shown: anything else may be about a person.
    """
    about = f"whether {collection.name} has documents with the same {', '.join(index['key'])}"
    names = [name for name, kind in index["key"].items() if kind in (1, -1)]
    by_position = any(part.isdigit() for name in names for part in name.split("."))  # an index and $ read it otherwise
    if len(names) != len(index["key"]) or index.get("collation") or by_position:
        facts.note(about, "what this index calls the same is not looked at")
        return ""
    stages: list[Document] = [{"$limit": _LOOKED_AT}]
    if partial := index.get("partialFilterExpression"):
        stages.append({"$match": partial})
    if index.get("sparse"):
        stages.append({"$match": {"$or": [{name: {"$exists": True}} for name in names]}})
    key = {f"k{at}": {"$ifNull": [f"${name}", None]} for at, name in enumerate(names)}
    lists = {"$match": {"$or": [{name: {"$type": "array"}} for name in names]}}
    group: list[Document] = [{"$group": {"_id": key, "count": {"$sum": 1}}}]
    if facts.first(collection.name, [*stages, lists, {"$limit": 1}], about) is not None:
        # an array is one key for each of its values, once for each document
        stages += [{"$unwind": {"path": f"${name}", "preserveNullAndEmptyArrays": True}} for name in names]
        each = {part: f"$_id.{part}" for part in key}
        group = [{"$group": {"_id": {**key, "document": "$_id"}}}, {"$group": {"_id": each, "count": {"$sum": 1}}}]
    found = facts.first(collection.name, [*stages, *group, {"$match": {"count": {"$gt": 1}}}, {"$limit": 1}], about)
    if found is None:
        if collection.documents > _LOOKED_AT:
            facts.note(about, f"of {collection.documents:,} only {_LOOKED_AT:,} were looked at")
        return ""
    values = [(name, found["_id"][f"k{at}"]) for at, name in enumerate(names)]
    shown = ", ".join(f"{name} = {'null' if value is None else value}" for name, value in values if _may_show(value))
    text = f"e.g. {found['count']:,} documents of {collection.name} have the same {', '.join(names)}"
    return f"{text}, with {shown}" if shown else text


def expired(facts: Facts, collection: Collection, index: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """How many documents a TTL index deletes within a minute; "" for none."""
    name = next(iter(index["key"]))
    before = datetime.now(UTC) - timedelta(seconds=min(float(options["expireAfterSeconds"]), 3e9))
    count = facts.matched(collection, {name: {"$lt": before}})
    if not count.documents:
        return ""
    return f"{count.documents:,} documents of {collection.name} are expired already and are deleted within a minute"


def _may_show(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


__all__ = ["alike", "duplicates", "expired", "known", "twin"]
