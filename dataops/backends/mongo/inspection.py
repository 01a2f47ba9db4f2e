"""What `dataops inspect` asks a MongoDB server. It only reads, with a time-out of its own, and keeps no value: of a
document only the names of its fields and their types are counted."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout

from dataops.backends.mongo.catalogue import collections, index_text, option_text
from dataops.inspection import FIELD, INDEX, Inspection, Part, Place

SECONDS = 10
_MOST_KEYS = 50
"""An object with more different keys than these, over all documents, has data for keys."""
NAME = re.compile(r"(?![0-9a-fA-F-]{16,}$)[A-Za-z_$](?:[A-Za-z_$-]|\d{1,3}(?!\d)){0,60}")
"""What looks like the name of a field. An id, a number, an address or a date that is used as a key does not."""
_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"), (bool, "bool"), (Int64, "long"), (int, "int"), (float, "double"), (str, "string"),
    (ObjectId, "objectId"), (Decimal128, "decimal"), (Timestamp, "timestamp"), (Code, "code"), (Regex, "regex"),
    (Binary, "binary"), (bytes, "binary"), (DBRef, "reference"), (MinKey, "minKey"), (MaxKey, "maxKey"),
    (Mapping, "object"), (list, "array"),
)  # fmt: skip

Document = dict[str, Any]


def places(db: Database[Document], record: str) -> list[Place]:
    """The collections and views of the application."""
    return [_place(db, info) for info in collections(db, record)]


def inspect(db: Database[Document], record: str, name: str, sample: int) -> Inspection:
    """One of `places` in detail, with a sample of at most so many documents."""
    info = next(info for info in collections(db, record) if info["name"] == name)
    options = info.get("options", {})
    if info["type"] == "view":
        part = Part("view", name, option_text(options))
        return Inspection(_place(db, info), (part,), 0, ("a view is not sampled: that would run its pipeline",))
    counted = _Counted()
    notes: tuple[str, ...] = ()
    until = time.monotonic() + SECONDS
    try:
        for document in db[name].aggregate([{"$sample": {"size": sample}}], maxTimeMS=SECONDS * 1000, batchSize=100):
            counted.add(document)
            if time.monotonic() > until:
                notes = (f"the sample is smaller than wanted: after {SECONDS} s it was enough",)
                break
    except ExecutionTimeout:
        notes = (f"the sample is smaller than wanted: the server did not do it within {SECONDS} s",)
    indexes = []
    if info["type"] == "collection":
        sizes = _stats(db, name)["indexSizes"]
        indexes = [
            Part(INDEX, str(index["name"]), index_text(index), size=sizes.get(index["name"]), keys=tuple(index["key"]))
            for index in db[name].list_indexes()
        ]
    rest = [Part(key, name, option_text({key: options[key]})) for key in sorted(options) if key in _SHOWN]
    return Inspection(_place(db, info), (*counted.fields(), *indexes, *rest), counted.documents, notes)


_SHOWN = {"validator", "validationLevel", "validationAction", "capped", "timeseries", "collation", "clusteredIndex"}


def _place(db: Database[Document], info: Mapping[str, Any]) -> Place:
    name = str(info["name"])
    if info["type"] == "view":
        return Place(name, "view")
    stats = _stats(db, name)
    size = stats["storageSize"] + stats["totalIndexSize"]
    rows = None if info["type"] == "timeseries" else stats["count"]  # it counts buckets, not measurements
    return Place(name, str(info["type"]), rows, size, stats["nindexes"], stats["totalIndexSize"])


def _stats(db: Database[Document], name: str) -> Document:
    """The numbers that the server keeps: over all shards where there are some."""
    total: Document = {"count": 0, "storageSize": 0, "totalIndexSize": 0, "nindexes": 0, "indexSizes": Counter()}
    pipeline: list[Document] = [{"$collStats": {"storageStats": {}}}]
    for shard in db[name].aggregate(pipeline, maxTimeMS=SECONDS * 1000):
        stats = shard["storageStats"]
        for key in ("count", "storageSize", "totalIndexSize"):
            total[key] += stats.get(key, 0)
        total["nindexes"] = max(total["nindexes"], stats.get("nindexes", 0))
        total["indexSizes"].update(stats.get("indexSizes", {}))
    return total


class _Counted:
    """How often each path occurs in the documents that were added, and with which types. `a[]` is what an array has."""

    def __init__(self) -> None:
        self.documents = 0
        self._in: Counter[str] = Counter()
        self._types: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._keys: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, document: Mapping[str, Any]) -> None:
        self.documents += 1
        seen = set(self._walk("", document))
        self._in.update({path for path, _ in seen})
        for path, kind in seen:
            self._types[path][kind] += 1

    def _walk(self, above: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for key, inner in value.items():
            keys = self._keys[above]
            if NAME.fullmatch(key) and len(keys) <= _MOST_KEYS:
                keys.add(key)
            name = key if key in keys and len(keys) <= _MOST_KEYS else "*"
            yield from self._value(f"{above}.{name}" if above else name, inner)

    def _value(self, path: str, value: Any) -> Iterator[tuple[str, str]]:
        yield path, _type(value)
        if isinstance(value, Mapping):
            yield from self._walk(path, value)
        elif isinstance(value, list):
            for inner in value:
                yield from self._value(f"{path}[]", inner)

    def fields(self) -> list[Part]:
        """The paths in the order of their names, `_id` first. Keys that are data are one path, `*`, of no frequency."""
        merged: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for path, kinds in self._types.items():
            merged[self._without_data(path)].update(kinds)
        return [
            Part(
                FIELD,
                path,
                " or ".join(sorted(kinds, key=lambda kind: (-kinds[kind], kind))),
                None if "*" in path else self._in[path] / self.documents,
            )
            for path, kinds in sorted(merged.items(), key=lambda one: (one[0] != "_id", one[0]))
        ]

    def _without_data(self, path: str) -> str:
        """The same path, in which a key is `*` if the object that has it has too many keys."""
        names = path.split(".")
        return ".".join(
            "*" + name[len(name.rstrip("[]")) :] if len(self._keys[".".join(names[:at])]) > _MOST_KEYS else name
            for at, name in enumerate(names)
        )


def _type(value: Any) -> str:
    if isinstance(value, DatetimeMS) or type(value).__name__ == "datetime":
        return "date"
    return next((name for kind, name in _TYPES if isinstance(value, kind)), type(value).__name__)


__all__ = ["SECONDS", "inspect", "places"]
