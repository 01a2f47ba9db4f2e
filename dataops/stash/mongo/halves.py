"""Commands that change many documents on the server, big collections in two halves side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from dataops.stash.mongo.refusals import Refusals

Document = dict[str, Any]

HALVED = 1000
"""A collection with at least so many documents is worked on in two halves."""

_whole: ContextVar[bool] = ContextVar("whole", default=False)


def is_planning() -> bool:
    """Whether the migration is only followed, for a plan."""
    return _whole.get()


@contextmanager
def undivided() -> Iterator[None]:
    """In this scope no collection is worked on in halves: a plan is read by people and shows one command."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


# Stages whose result for a document does not depend on other documents of the collection.
_ONE_BY_ONE = {"$match", "$project", "$set", "$unset", "$replaceWith", "$lookup", "$unwind"}


class Changes(Refusals):
    """Changes of many documents, for which the server needs one command, or two for a big collection."""

    def update(self, collection: str, match: Document, update: Document | list[Document]) -> None:
        """`update_many`. Big collections are worked on in two halves, see `_halves`."""
        change = self.db[collection].update_many
        halves = self._halves(collection)
        if not halves:
            change(match, update)
            return
        # both pass over the whole collection, which costs less than to fetch each document of a half through an index
        disk = {"$natural": 1}
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(change, {"$and": [half, match]}, update, hint=disk) for half, _ in halves]
        for run in runs:
            run.result()

    def merge(self, source: str, pipeline: Sequence[Document], into: str, matched: str | list[Document]) -> None:
        """Run `pipeline` on `source`, and change the documents of `into` whose `_id` it yields. It makes no new ones.

        `matched` is the `whenMatched` of $merge. "merge" takes a fifth to two fifths less time than a pipeline there,
        so compute in `pipeline` what you can. Big sources are worked on in two halves, see `_halves`.

        Raises StashRefused before it changes anything.
        """
        self.require_addressable(into)
        self.require_ids(into, source, pipeline)
        self._in_halves(source, pipeline, merge_into(into, matched, "discard"))

    def copy(self, source: str, pipeline: Sequence[Document], into: str) -> None:
        """Run `pipeline` on `source`, and insert what it yields, except where a document with that `_id` exists.

        Big sources are worked on in two halves, see `_halves`. Raises StashRefused before it changes anything.
        """
        self.require_addressable(into, inserts=True)
        self.require_ids(into, source, pipeline)
        try:
            self._in_halves(source, pipeline, merge_into(into, "fail", "insert"))
        except DuplicateKeyError:  # some exist, as after a stop: look at each, which takes twice the time
            self._in_halves(source, pipeline, merge_into(into, "keepExisting", "insert"))

    def _in_halves(self, source: str, pipeline: Sequence[Document], end: Document) -> None:
        """Run `pipeline` and `end` on both halves; as a whole where the pipeline joins documents."""
        whole = [*pipeline, end]
        halves = self._halves(source) if {next(iter(stage)) for stage in pipeline} <= _ONE_BY_ONE else ()
        if not halves:
            self._aggregate(source, whole)
            return
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(self._aggregate, source, [{"$match": half}, *whole], order) for half, order in halves]
        for run in runs:
            run.result()

    def _halves(self, source: str) -> tuple[tuple[Document, Document], ...]:
        """The lower and the upper half by `_id`, each with a hint, to be worked on side by side.

        That takes little more than half the time, since one connection keeps only one core of the server busy with
        small updates. There are never more than two, because applications need the other cores. There are none if
        the collection is small, and while a plan is made, which shows one command.
        """
        count = 0 if _whole.get() else self.db[source].estimated_document_count()
        if count < HALVED:
            return ()
        middle = self.db[source].find_one({}, {"_id": 1}, sort=[("_id", 1)], skip=count // 2)
        if middle is None:
            return ()
        # the order on disk, here and where documents are written: ObjectIds grow with time, other _ids do not
        order = {"_id": 1} if isinstance(middle["_id"], ObjectId) else {"$natural": 1}
        lower = {"_id": {"$lt": middle["_id"]}}
        upper = {"_id": {"$not": {"$lt": middle["_id"]}}}  # not $gte: that finds its own type only
        return ((lower, order), (upper, order))

    def _aggregate(self, source: str, pipeline: Sequence[Mapping[str, Any]], hint: Document | None = None) -> None:
        options: dict[str, Any] = {"hint": hint} if hint else {}
        for _ in self.db[source].aggregate(pipeline, allowDiskUse=True, **options):
            pass


def merge_into(into: str, matched: Any, not_matched: str) -> Document:
    """The stage that writes what a pipeline yields into a collection, by `_id`."""
    # Without "on", which means _id too. With it the server looks for an index on _id of the collation with which the
    # pipeline runs: clustered collections have no such index, and one with a default collation has another.
    return {"$merge": {"into": into, "whenMatched": matched, "whenNotMatched": not_matched}}
