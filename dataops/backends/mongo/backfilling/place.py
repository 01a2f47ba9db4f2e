"""A collection that a backfill goes through in the order of `_id`, whatever types the `_id`s have."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bson
from bson.binary import UUID_SUBTYPE, Binary
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.max_key import MaxKey
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from dataops.backends.mongo.connection import Document
from dataops.backfill import BackfillRefused
from dataops.redaction import redact
from dataops.stash.mongo.notebook import readable

EXACT: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
"""Values that are written as they were read: also dates after the year 9999, and UUIDs of every kind."""

BY_ID = [("_id", 1)]
"""A hint by key: the index on `_id` of a clustered collection may have any name."""

_LAST = {"_id": MaxKey()}

Key = tuple[Any, ...]
"""An `_id` in a tuple of one; () where there is none, because an `_id` may be null."""


class Place:
    """One collection of a database. Raises BackfillRefused where its documents cannot be changed in batches."""

    def __init__(self, db: Database[Document], name: str) -> None:
        self.name = name
        self.db = readable(db)
        self.collection = self.db[name]
        self.exact = exact(db, name)
        self._about: Mapping[str, Any] = next(iter(db.list_collections(filter={"name": name})), {})
        self._refuse()

    @property
    def is_there(self) -> bool:
        return bool(self._about)

    @property
    def collation(self) -> Mapping[str, Any] | None:
        """Its default collation; None where it compares text byte by byte."""
        found: Mapping[str, Any] | None = self._about.get("options", {}).get("collation")
        return found

    @property
    def has_ranges(self) -> bool:
        """Whether the server finds what `between` says through an index. In a clustered collection, it reads all."""
        return "clusteredIndex" not in self._about.get("options", {})

    def count(self) -> int:
        """About how many documents there are."""
        return self.collection.estimated_document_count()

    def end_of(self, size: int, begin: Key, session: ClientSession | None = None) -> Key:
        """Where a batch of `size` documents from `begin` on ends: the `_id` of the first document after it.

        () in the last batch.
        """
        cursor = self.exact.find({}, {"_id": 1}, sort=BY_ID, hint=BY_ID, skip=size, limit=1, session=session)
        if begin:
            cursor = cursor.min([("_id", begin[0])])
        return next(((found["_id"],) for found in cursor), ())

    def within(
        self,
        begin: Key,
        end: Key,
        where: Mapping[str, Any] | None = None,
        shown: Mapping[str, Any] | None = None,
        *,
        size: int,
        session: ClientSession | None = None,
    ) -> list[bytes]:
        """The documents from `begin` up to and without `end` that match, in the order of `_id`, as they are stored."""
        # By the bounds of the index and not by a condition on _id: $gte finds its own type only.
        query: Mapping[str, Any] = where or {}
        if not end:  # without an upper bound, a scan that has a lower one ends before MaxKey
            query = {"$and": [{"_id": {"$ne": MaxKey()}}, query]}
        more: dict[str, Any] = {"hint": BY_ID, "batch_size": size + 1, "session": session}
        projected = {"_id": 1} if shown is None else shown
        cursor = self.exact.find_raw_batches(query, projected, sort=BY_ID, **more)
        if begin:
            cursor = cursor.min([("_id", begin[0])])
        cursors = [cursor.max([("_id", end[0])]) if end else cursor]
        if not end:
            cursors.append(self.exact.find_raw_batches({"$and": [_LAST, where or {}]}, projected, **more))
        batches: Iterator[Any] = itertools.chain.from_iterable(cursors)
        return [one for batch in batches for one in _each(batch)]

    def _refuse(self) -> None:
        kind, options = self._about.get("type"), self._about.get("options", {})
        if kind == "view":
            raise BackfillRefused(f"{self.name} is a view", hint="name the collection that the view shows")
        if kind == "timeseries":
            raise BackfillRefused(f"{self.name} is a time series, whose documents have no index on _id")
        if options.get("capped"):
            raise BackfillRefused(f"{self.name} is capped: what an update adds pushes other documents out")


def exact(db: Database[Document], name: str) -> Collection[Document]:
    """A collection whose values are written as they were read."""
    return Collection(db, name, codec_options=EXACT)


def ids_of(documents: Sequence[bytes]) -> list[Any]:
    """The `_id`s of documents."""
    return [one["_id"] for one in bson.decode_all(b"".join(documents), EXACT)]


def _each(batch: bytes) -> Iterator[bytes]:
    """The documents that follow each other in a batch. Each begins with its length."""
    at = 0
    while at < len(batch):
        (length,) = struct.unpack_from("<i", batch, at)
        yield batch[at : at + length]
        at += length


def between(begin: Key, end: Key, where: Mapping[str, Any] | None) -> dict[str, Any]:
    """The filter for the documents from `begin` up to and without `end` that match."""
    # The comparison of an expression goes across all types, as the order of _id does.
    bounds = [("$gte", begin), ("$lt", end)]
    conditions: list[Mapping[str, Any]] = [
        {"$expr": {operator: ["$_id", {"$literal": key[0]}]}} for operator, key in bounds if key
    ]
    return {"$and": [*conditions, where or {}]}


def identity(id_: Any) -> bytes:
    """An `_id` to compare with others, bit by bit."""
    return bson.encode({"_id": id_})


def among(ids: Sequence[Any], where: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The filter for the documents with these `_id`s."""
    found: dict[str, Any] = {"_id": {"$in": list(ids)}}
    return {"$and": [found, where]} if where else found


def shown(key: Key) -> str:
    """A key for a person."""
    if not key:
        return ""
    [value] = key
    if isinstance(value, Mapping):
        return redact("{" + ", ".join(f"{name}: {shown((part,))}" for name, part in value.items()) + "}")
    if isinstance(value, Binary):
        return str(value.as_uuid()) if value.subtype == UUID_SUBTYPE else value.hex()
    return "null" if value is None else redact(str(value))


__all__ = ["BY_ID", "EXACT", "Key", "Place", "among", "between", "exact", "identity", "ids_of", "shown"]
