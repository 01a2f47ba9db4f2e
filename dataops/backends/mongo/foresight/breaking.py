"""Which documents are in the way of an index, a unique key, a validator or $merge: each a question to the live server.

A sentence is the answer, "" where nothing was found. Values of documents are never part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from dataops.backends.mongo.foresight.facts import MOST_BYTES, Collection, Facts
from dataops.text import listed

Document = dict[str, Any]

_KINDS = frozenset({"2d", "2dsphere", "text", "hashed", "wildcard", "columnstore"})
_WHOLE_EARTH = {"$geoWithin": {"$centerSphere": [[0, 0], 3.2]}}
_PURE = frozenset(
    {"$match", "$project", "$set", "$addFields", "$unset", "$limit", "$skip", "$sort", "$replaceWith", "$replaceRoot",
     "$unwind", "$group"}
)  # fmt: skip
"""Stages that read nothing but their collection. With $rand and its like, documents are others each time."""
_VARYING = ("$rand", "$sampleRate", "$$NOW", "$$CLUSTER_TIME", "$function", "$accumulator")
_MOST_ASKED = 200
_SCALARS = (str, int, float, bool, type(None))


# ---- indexes


def kind_refused(index: Mapping[str, Any]) -> str:
    """Why the server makes no such index of any collection."""
    key = index["key"]
    unknown = [name for name, kind in key.items() if isinstance(kind, str) and kind not in _KINDS]
    if unknown:
        return f"{unknown[0]} has no such kind of index: {key[unknown[0]]}"
    if "expireAfterSeconds" in index and (len(key) > 1 or "_id" in key):
        return f"{index['name']} cannot let documents expire: its key is not one field, or it is _id"
    return ""


def documents_refused(facts: Facts, collection: Collection, index: Mapping[str, Any]) -> str:
    """Why the documents of a collection cannot be in a new index."""
    if collection.size > MOST_BYTES or collection.options.get("timeseries"):
        return ""
    for name, kind in index["key"].items():
        if kind == "2dsphere":
            given = {name: {"$exists": True, "$nin": [None, {}, []]}}
            none = {"$or": [{"$and": [given, {"$nor": [{name: _WHOLE_EARTH}]}]}, _is(f"{name}.0", "object", "array")]}
            if _any(facts, collection, index, none, f"a {name} that is no place"):
                return f"{collection.name} has documents whose {name} is no place"
        elif kind == "2d" and not {"min", "max"} & index.keys():
            far = [{f"{name}.{at}": {sign: end}} for at in (0, 1) for sign, end in (("$gt", 180), ("$lt", -180))]
            if _any(facts, collection, index, {"$or": far}, f"a {name} that is no place"):
                return f"{collection.name} has documents whose {name} is no place"
        elif kind == "hashed" and _any(facts, collection, index, _is(name, "array"), f"a {name} that is a list"):
            return f"{collection.name} has documents whose {name} is a list"
    names = [name for name, kind in index["key"].items() if "$**" not in name and kind != "text"]
    parallel = [pair for both in combinations(names, 2) for pair in _parallel(*both)]
    if parallel and _any(facts, collection, index, {"$or": parallel}, f"several lists in {', '.join(names)}"):
        return f"{collection.name} has documents with several lists in {', '.join(names)}"
    return ""


def _any(facts: Facts, collection: Collection, index: Mapping[str, Any], where: Mapping[str, Any], what: str) -> bool:
    partial = index.get("partialFilterExpression")
    match = {"$and": [partial, where]} if partial else where
    about = f"whether {collection.name} has documents with {what}"
    return facts.first(collection.name, [{"$match": match}, {"$limit": 1}], about) is not None


def _is(name: str, *types: str) -> Document:
    return {name: {"$type": list(types)}}


def _parallel(one: str, other: str) -> Iterator[Document]:
    """Conditions for two lists side by side, which no index can have."""
    shared = [path for path in _paths(one) if path in _paths(other)]
    none = [{path: {"$not": {"$type": "array"}}} for path in shared]
    for mine in _paths(one):
        for theirs in _paths(other):
            if mine not in shared and theirs not in shared:
                yield {"$and": [_is(mine, "array"), _is(theirs, "array"), *none]}


def _paths(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: at + 1]) for at in range(len(parts))]


def text_index(collection: Collection, gone: Sequence[str]) -> Document | None:
    """The index for texts that the collection has: there can be one only."""
    return next((dict(one) for one in collection.indexes if "weights" in one and one["name"] not in gone), None)


def same_text(one: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an index for texts is the one that is wanted."""
    weights = {name: 1 for name, kind in wanted["key"].items() if kind == "text"}
    return one["name"] == wanted["name"] and dict(one["weights"]) == {**weights, **wanted.get("weights", {})}


# ---- new documents


def duplicates_among(documents: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> bool:
    """Whether two new documents have the same values of these fields. Only plain values are compared."""
    seen = set[tuple[Any, ...]]()
    for document in documents:
        key = tuple((type(document.get(name)), document.get(name)) for name in keys)
        if any(type(document.get(name)) not in _SCALARS and name != "_id" for name in keys):
            continue
        if keys == ["_id"] and "_id" not in document:
            continue
        try:
            if key in seen:
                return True
            seen.add(key)
        except TypeError:  # a value that is not hashable
            continue
    return False


def unique_keys(collection: Collection, gone: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The unique indexes of plain fields, each with these; without those of a part of the documents."""
    for index in collection.indexes:
        plain = all(kind in (1, -1) and "." not in name and "$" not in name for name, kind in index["key"].items())
        partly = index.get("sparse") or "partialFilterExpression" in index
        if index.get("unique") and plain and not partly and index["name"] not in gone:
            yield str(index["name"]), list(index["key"])


def insert_refused(
    facts: Facts, collection: Collection, documents: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> str:
    """Whether a live document, or another new one, has the values of a new one."""
    if duplicates_among(documents, keys):
        return f"two of the new documents have the same {', '.join(keys)}, for {collection.name}"
    plain = [
        {name: {"$eq": document.get(name)} for name in keys}
        for document in documents[:_MOST_ASKED]
        if all(isinstance(document.get(name), _SCALARS) for name in keys)
    ]
    about = f"whether {collection.name} has the {', '.join(keys)} of new documents"
    if plain and facts.first(collection.name, [{"$match": {"$or": plain}}, {"$limit": 1}], about) is not None:
        return f"{collection.name} has a document with the same {', '.join(keys)} as a new one"
    return ""


# ---- updates


def changed_by(update: Any) -> tuple[list[Document] | None, dict[str, Any]]:
    """An update as stages of a pipeline, None where it is not so simple; and what it sets to the same for all."""
    if isinstance(update, Mapping):
        if not any(str(name).startswith("$") for name in update):
            return [{"$replaceWith": {"$mergeObjects": [{"_id": "$_id"}, {"$literal": dict(update)}]}}], {}
        fields = dict(update.get("$set", {}))
        removed = list(update.get("$unset", {}))
        if set(update) - {"$set", "$unset"} or any("." in name or name == "_id" for name in [*fields, *removed]):
            return None, {name: value for name, value in fields.items() if "." not in name}
        stages: list[Document] = (
            [{"$set": {name: {"$literal": value} for name, value in fields.items()}}] if fields else []
        )
        return [*stages, *([{"$unset": removed}] if removed else [])], fields
    stages = [dict(stage) for stage in update]
    return (stages if is_pure(stages) else None), {}


def is_pure(stages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a pipeline yields the same each time, and reads nothing but its collection."""
    return all(next(iter(stage), "") in _PURE for stage in stages) and not any(one in str(stages) for one in _VARYING)


def update_refused(
    facts: Facts, collection: Collection, query: Mapping[str, Any], stages: Sequence[Document], *, one: bool
) -> str:
    """Whether the validator refuses what becomes of a document that it took before."""
    validator = strict_validator(collection)
    if validator is None or collection.size > MOST_BYTES or (one and not _finds_one(facts, collection, query)):
        return ""
    about = f"whether the validator of {collection.name} takes the changed documents"
    match = {"$match": {"$and": [dict(query), validator]}} if query else {"$match": validator}
    pipeline = [match, *stages, {"$match": {"$nor": [validator]}}, {"$limit": 1}]
    if facts.first(collection.name, pipeline, about) is None:
        return ""
    return f"the validator of {collection.name} refuses a changed document"


def strict_validator(collection: Collection) -> Mapping[str, Any] | None:
    """The validator, if it refuses documents."""
    validator: Mapping[str, Any] | None = collection.options.get("validator")
    if not validator or collection.options.get("validationAction", "error") != "error":
        return None
    return None if collection.options.get("validationLevel") == "off" else validator


def same_for_all(
    facts: Facts,
    collection: Collection,
    query: Mapping[str, Any],
    fields: Mapping[str, Any],
    gone: Sequence[str],
    *,
    one: bool,
) -> str:
    """Whether an update gives several documents the same values of a unique index."""
    for name, keys in unique_keys(collection, gone):
        if not set(keys) <= fields.keys() or not all(isinstance(fields[key], _SCALARS) for key in keys):
            continue
        about = f"whether {collection.name} gets documents of the same {', '.join(keys)}"
        several: list[Document] = [{"$match": dict(query)}, {"$limit": 2}, {"$count": "n"}, {"$match": {"n": 2}}]
        same = {"$and": [{"$nor": [dict(query)]}, {key: {"$eq": fields[key]} for key in keys}]}
        other: list[Document] = [{"$match": same}, {"$limit": 1}]
        if not one and facts.first(collection.name, several, about) is not None:
            return f"{collection.name} has a unique index {name}, and several documents get the same values"
        found = facts.first(collection.name, [{"$match": dict(query)}, {"$limit": 1}], about)
        if query and found is not None and facts.first(collection.name, other, about) is not None:
            return f"{collection.name} has a document with the {', '.join(keys)} that others get"
    return ""


def _finds_one(facts: Facts, collection: Collection, query: Mapping[str, Any]) -> bool:
    pipeline: list[Document] = [{"$match": dict(query)}, {"$limit": 2}, {"$count": "n"}, {"$match": {"n": 1}}]
    return facts.first(collection.name, pipeline, "") is not None


# ---- $merge and $out


def merge_refused(
    facts: Facts, source: Collection, stages: Sequence[Document], into: Collection | None, options: Mapping[str, Any]
) -> str:
    """Why $merge fails, by its options."""
    on = options.get("on", "_id")
    keys = [on] if isinstance(on, str) else list(on)
    target = into.name if into is not None else ""
    if keys != ["_id"] and (
        into is None
        or not any(
            set(keys) == set(index["key"]) and index.get("unique") and not index.get("partialFilterExpression")
            for index in into.indexes
        )
    ):
        return f"{target or 'the target'} has no unique index on {listed(keys)}, which $merge needs"
    if into is None or len(keys) != 1 or not is_pure(stages) or source.size > MOST_BYTES:
        return ""
    look = {"from": target, "localField": keys[0], "foreignField": keys[0], "as": "dataops_same"}
    for option, met, text in (
        ("whenMatched", {"$ne": []}, f"{target} has documents with the same {keys[0]}, where $merge is to fail"),
        ("whenNotMatched", [], f"{target} has no document of the same {keys[0]} for some, where $merge is to fail"),
    ):
        if options.get(option) == "fail":
            pipeline = [*stages, {"$lookup": look}, {"$match": {"dataops_same": met}}, {"$limit": 1}]
            if facts.first(source.name, pipeline, f"whether $merge into {target} fails") is not None:
                return text
    return ""


def out_refused(facts: Facts, source: Collection, stages: Sequence[Document], into: Collection) -> str:
    """Whether the validator of the collection that $out replaces refuses a document."""
    validator = strict_validator(into)
    if validator is None or not is_pure(stages) or source.size > MOST_BYTES:
        return ""
    pipeline = [*stages, {"$match": {"$nor": [validator]}}, {"$limit": 1}]
    if facts.first(source.name, pipeline, f"whether the validator of {into.name} takes what $out writes") is None:
        return ""
    return f"the validator of {into.name} refuses a document that $out writes"


__all__ = [
    "changed_by", "documents_refused", "insert_refused", "is_pure", "kind_refused", "merge_refused", "out_refused",
    "same_for_all", "same_text", "strict_validator", "text_index", "unique_keys", "update_refused",
]  # fmt: skip
