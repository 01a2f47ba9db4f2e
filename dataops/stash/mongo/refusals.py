"""Refuses what a stash could not give back, before the collection is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

from dataops.errors import Blocked

if TYPE_CHECKING:
    from pymongo.database import Database

Document = dict[str, Any]

LARGEST = 16 << 20
"""Bytes of the largest document that a server stores."""

_TOO_LARGE = {10334, 17419, 17420}


class StashRefused(Blocked):
    """What this migration changes could not be given back."""

    default_hint = "why, and how to write such a migration: dataops docs operations what-a-stash-refuses"


class Refusals:
    """What the server says about a collection, and what follows for a stash of it."""

    db: Database[Document]
    migration: str

    def require_addressable(self, collection: str, *, inserts: bool = False) -> None:
        """Raise StashRefused if `$merge` cannot write into `collection`, or with `inserts`, if that loses documents.

        A collection that does not exist is no reason to refuse.
        """
        found = self.description(collection)
        if found.get("type") == "view":
            raise self._refused(collection, "is a view, and $merge cannot write into a view")
        if found.get("type") == "timeseries":
            raise self._refused(collection, "is a time series, and $merge cannot write into a time series")
        if inserts and found.get("options", {}).get("capped"):
            raise self._refused(collection, "is capped: what is inserted again pushes other documents out")
        if self.db.client.is_mongos:
            about = self.db.client["config"]["collections"].find_one({"_id": f"{self.db.name}.{collection}"}) or {}
            if list(about.get("key", {"_id": 1})) != ["_id"]:
                raise self._refused(collection, "is sharded by another key than _id, by which $merge finds documents")

    def require_ids(self, collection: str, source: str, pipeline: Sequence[Mapping[str, Any]]) -> None:
        """Raise StashRefused if `pipeline`, run on `source`, yields an `_id` of null for `collection`.

        `$merge` refuses that `_id` in the middle of its work. The pipeline is only run if one of the two collections
        has such a document, which an index answers at once.
        """
        null: Document = {"_id": None}
        indexed = {collection, source}
        if source != collection and self.description(source).get("type") != "collection":
            indexed = {collection}  # a time series has no index on _id, and a view may compute it
        if any(self.db[name].find_one(null, {"_id": 1}) is not None for name in indexed):
            for _ in self.db[source].aggregate([*pipeline, {"$match": null}, {"$limit": 1}], allowDiskUse=True):
                raise self.null_id(collection)

    def require_small(self, collection: str, match: Mapping[str, Any]) -> None:
        """Raise StashRefused if a document that matches is too large to be put aside. Reads all that match."""
        wrapped = {"$bsonSize": {"_id": "$_id", "was": "$$ROOT"}}
        large = self.db[collection].find_one({"$and": [match, {"$expr": {"$gt": [wrapped, LARGEST]}}]}, {"_id": 1})
        if large is not None:
            raise self._too_large(collection)

    @contextmanager
    def explaining_size(self, collection: str) -> Iterator[None]:
        """Raise StashRefused where the server says that a document is too large."""
        try:
            yield
        except OperationFailure as error:
            if error.code in _TOO_LARGE or "too large" in str((error.details or {}).get("errmsg", "")):
                raise self._too_large(collection) from error
            raise

    def collation(self, collection: str) -> Document | None:
        """The default collation of `collection`, None if it compares text byte by byte."""
        found: Document | None = self.description(collection).get("options", {}).get("collation")
        return found

    def description(self, collection: str) -> Mapping[str, Any]:
        """The collection as the server lists it; empty if it does not exist."""
        return next(iter(self.db.list_collections(filter={"name": collection})), {})

    def null_id(self, collection: str) -> StashRefused:
        """What to raise for a document with the `_id` null."""
        return self._refused(collection, "has a document with the _id null, which $merge cannot address")

    def _too_large(self, collection: str) -> StashRefused:
        return self._refused(collection, "has a document that is over 16 MB with what the stash adds to it")

    def _refused(self, collection: str, why: str) -> StashRefused:
        return StashRefused(f"{self.migration}: {collection} {why}. {collection} was not changed")


__all__ = ["LARGEST", "Refusals", "StashRefused"]
