"""What one migration puts aside, and how that is restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import bson
from pymongo.errors import BulkWriteError

from dataops.progress import track
from dataops.stash.mongo.halves import Changes, is_planning, merge_into
from dataops.stash.mongo.indexes import Indexes
from dataops.stash.mongo.notebook import Document, readable

if TYPE_CHECKING:
    from pymongo.database import Database

Expression = Any

ABSENT: Expression = "$$REMOVE"
"""For `restore`: the migration removed the field; give it back only while it is still absent."""

ANY: Expression = object()
"""For `restore`: give the field back whatever is there now."""

WRITTEN: Expression = object()
"""For `restore`: the migration wrote what the stash has under `set`; give the former value back while that is
still there (equal as MongoDB compares: 1 and 1.0 are equal)."""


_DUPLICATE_KEY = 11000


class Stash(Indexes, Changes):
    """What one migration has put aside in one database. Made by `applying` and `undoing`."""

    # ---- former values

    def keep(
        self,
        collection: str,
        match: Mapping[str, Any],
        fields: Sequence[str] | None = None,
        *,
        label: str = "",
        latest: bool = False,
        once: bool = False,
    ) -> None:
        """Put aside top-level `fields` (None: the whole document) of every document that matches.

        Use `latest` only if `match` is never met by a document that the migration has already changed.
        Raises StashRefused for what could not be given back.
        """
        if fields is None:
            self.require_addressable(collection, inserts=True)
            if is_planning():  # in a real run the server says so, before anything is changed, without another pass
                self.require_small(collection, match)
        was: Expression = "$$ROOT" if fields is None else {field: f"${field}" for field in fields}
        stages: list[Document] = [{"$match": match}, {"$project": {"was": was}}]
        self.plan(collection, stages, label=label, latest=latest, once=once)

    def restore(self, collection: str, left: Mapping[str, Expression], *, label: str = "") -> None:
        """Give fields back, to documents that still exist, each only while it holds what the migration left.

        `left`: field -> ABSENT, WRITTEN, ANY or an expression (`$field` is the document now, `$$new.was` and
        `$$new.set` are the stash). A field that was absent is removed, a null becomes null.
        """
        kept = self.name(collection, label)
        if kept not in self._present:
            return
        collated = self.collation(collection) is not None
        equal = _equal_whatever_the_collation if collated else _equal
        back: Document = {}
        for field, value in left.items():
            now = f"$$new.set.{field}" if value is WRITTEN else value
            was = f"$$new.was.{field}"  # a missing value makes $set remove the field
            back[field] = was if value is ANY else {"$cond": [equal(f"${field}", now), was, f"${field}"]}
            if collated:  # the document now may be a new one, whose _id is equal only by the collation
                back[field] = {"$cond": [equal("$_id", "$$new._id"), back[field], f"${field}"]}
        self.merge(kept, [], collection, [{"$set": back}])

    def restore_documents(self, collection: str, *, label: str = "") -> None:
        """Insert whole kept documents again, except where a document with that `_id` exists."""
        kept = self.name(collection, label)
        if kept in self._present:
            self.copy(kept, [{"$replaceWith": "$was"}], collection)

    # ---- values that the migration computes

    def plan(
        self,
        collection: str,
        pipeline: Sequence[Mapping[str, Any]],
        source: str | None = None,
        *,
        label: str = "",
        latest: bool = False,
        once: bool = False,
        whole: bool = False,
    ) -> None:
        """Run `pipeline` on `source` (or `collection`), and fill the stash of `collection` with what it yields.

        It has to yield `{_id, was: {...}, set: {...}}`, where each `_id` is that of a document of `collection` and
        comes only once. Nothing else is changed: call `write` or `insert` then. See promises 1 and 2 for a second run.
        If the source does not exist, nothing is kept, not even an empty stash collection. Say `whole` if the
        pipeline needs most of the source: it is then read in the order on disk and not through an index.
        Raises StashRefused for what could not be given back.
        """
        source = source or collection
        if source not in self._names():
            return
        self.require_addressable(collection)
        self.require_ids(collection, source, pipeline)
        kept = self._open(collection, label)
        if kept in self._present:
            if once:
                return
            end = merge_into(kept, "replace" if latest else "keepExisting", "insert")
        else:
            end = {"$out": kept}
        with self.explaining_size(collection):
            self._aggregate(source, [*pipeline, end], {"$natural": 1} if whole else None)
        self._present.add(kept)

    def add(self, collection: str, documents: Sequence[Document], *, label: str = "") -> None:
        """Like `plan`, for one batch of documents made in Python. Each `_id` may come once in a run.

        What an earlier run added stays as it is, so that values made at random are made once.
        """
        if not documents:
            return
        self.require_addressable(collection)
        if any(document["_id"] is None for document in documents):
            raise self.null_id(collection)
        kept = self.db[self._open(collection, label)]
        try:
            kept.insert_many(documents, ordered=False)
        except BulkWriteError as error:  # the server says which are there: Python cannot compare every _id
            codes = {refused["code"] for refused in error.details["writeErrors"]}
            if kept.name not in self._found or codes != {_DUPLICATE_KEY}:
                raise
        self._present.add(kept.name)

    def write(self, collection: str, *, label: str = "") -> None:
        """Set the fields under `set` in the documents that they were planned for, if those still exist."""
        kept = self.name(collection, label)
        if kept in self._present:
            flat = {"$replaceWith": {"$mergeObjects": ["$set", {"_id": "$_id"}]}}
            self.merge(kept, [flat], collection, "merge")

    def insert(self, collection: str, *, label: str = "") -> None:
        """Insert `set` with the planned `_id`, except where a document with that `_id` exists.

        A unique index may still refuse: plan no document that is there under another `_id`.
        """
        kept = self.name(collection, label)
        if kept in self._present:
            whole = {"$replaceWith": {"$mergeObjects": [{"_id": "$_id"}, "$set", {"_id": "$_id"}]}}
            self.copy(kept, [whole], collection)

    def remove(self, collection: str, only: Mapping[str, Any] | None = None, *, label: str = "") -> None:
        """Delete what `insert` inserted; with `only`, where it now matches that (*batches* of `_id`s)."""
        kept = self.name(collection, label)
        if kept not in self._present:
            return
        collated = self.collation(collection) is not None
        for batch in track(batches(self.db, kept, {}, [])):
            mine: Document = {"_id": {"$in": [document["_id"] for document in batch]}}
            if collated:  # another document may have an _id that is equal only by the collation
                ours = {bson.encode(document) for document in batch}
                there = self.db[collection].find(mine, {"_id": 1})
                mine = {"_id": {"$in": [document["_id"] for document in there if bson.encode(document) in ours]}}
            self.db[collection].delete_many({"$and": [mine, only]} if only else mine)

    # ---- collections

    def drop_created(self, collection: str) -> None:
        """Drop `collection` if the migration made it and nothing is left in it."""
        if self.noted(f"created:{collection}") and self.db[collection].find_one({}, {"_id": 1}) is None:
            self.db.drop_collection(collection)

    def take(self, collection: str) -> None:
        """Drop `collection`, by moving it into the stash with all its documents, indexes and options."""
        if collection not in self._names():
            return
        self.require_addressable(collection)
        kept = self._open(collection, "")
        if kept in self._present:  # a second run, and the application has made it anew
            self.copy(collection, [], kept)
            self.db.drop_collection(collection)
        else:
            self.db[collection].rename(kept)
            self._present.add(kept)

    def give_back(self, collection: str) -> None:
        """Move a taken collection back; if the application has made a new one, add what is not in that."""
        kept = self.name(collection)
        if kept not in self._present:
            return
        if collection in self._names():
            self.copy(kept, [], collection)
        else:
            self.db[kept].rename(collection)
            self._present.discard(kept)


def _equal(one: Expression, other: Expression) -> Document:
    return {"$eq": [one, other]}


def _equal_whatever_the_collation(one: Expression, other: Expression) -> Document:
    """Like `_equal`, for a collection in which "a" may be equal to "A"."""
    # The command writes by the collation of the collection, and $eq compares by it. The hash is that of the bytes, with
    # numbers of every type alike; two numbers may have one hash, and $eq tells them apart.
    hashes = [{"$toHashedIndexKey": "$$one"}, {"$toHashedIndexKey": "$$other"}]
    both = {"$and": [{"$eq": ["$$one", "$$other"]}, {"$eq": hashes}]}
    return {"$let": {"vars": {"one": one, "other": other}, "in": both}}


def batches(
    db: Database[Document],
    collection: str,
    match: Mapping[str, Any],
    fields: Iterable[str],
    size: int = 1000,
) -> Iterator[list[Document]]:
    """The matching documents, `_id` and `fields` only, in order of `_id`, `size` at a time: constant memory.

    For what no server-side command can do. A document that the loop changes does not come again. Use it with
    `dataops.progress.track`.
    """
    wanted = {"_id": 1, **dict.fromkeys(fields, 1)}
    # the hint is no name, since the index on _id of a clustered collection may have any
    cursor = readable(db)[collection].find(match, wanted, sort=[("_id", 1)], hint=[("_id", 1)], batch_size=size)
    batch: list[Document] = []
    with cursor:
        for document in cursor:
            batch.append(document)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch
