"""What `set` of a backfill of MongoDB says, as updates of documents: operators, stages, or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from pymongo import UpdateMany, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, WriteError

from dataops.backends.mongo.backfilling.place import BY_ID, Place, among, identity, ids_of
from dataops.backends.mongo.connection import Document
from dataops.backfill import BackfillRefused, Change

Write = UpdateMany | UpdateOne

_IMMUTABLE = 66
_KEEPING = ("$set", "$addFields", "$unset")


class Changing:
    """The updates of one backfill. Raises BackfillRefused for a `set` that cannot be one."""

    def __init__(self, change: Change) -> None:
        self._place = change.place
        self._fields = change.fields
        self._set: Any = change.set
        if not callable(self._set):
            _check(change.place, self._set)

    def writes(
        self, place: Place, ids: Sequence[Any], where: Mapping[str, Any] | None, session: ClientSession | None
    ) -> tuple[list[Write], list[Any]]:
        """The updates of the documents with these `_id`s that match, and the `_id`s of those that have one."""
        if self.is_function:
            return self._by_function(place, ids, where, session)
        return ([self.write(among(ids, where))] if ids else []), list(ids)

    @property
    def is_function(self) -> bool:
        return callable(self._set)

    def write(self, where: Mapping[str, Any]) -> Write:
        """The update of all documents that match, where it is none by a function."""
        return UpdateMany(where, self._set, hint=BY_ID)

    def _by_function(
        self, place: Place, ids: Sequence[Any], where: Mapping[str, Any] | None, session: ClientSession | None
    ) -> tuple[list[Write], list[Any]]:
        fields = {"_id": 1, **dict.fromkeys(self._fields, 1)} if self._fields else {}
        # Without a transaction, a document is changed only while it is as it was when the function got it.
        whole = {} if session is not None else {identity(each["_id"]): each for each in place.exact.find(among(ids))}
        function: Callable[[dict[str, Any]], Any] = self._set
        writes: list[Write] = []
        changed = []
        documents = place.within((), (), among(ids), fields, size=len(ids), session=session)
        for found, id_ in zip(documents, ids_of(documents), strict=True):
            update = function(dict(bson.decode(found, place.collection.codec_options)))
            if update is None:
                continue
            _check(self._place, update)
            only: dict[str, Any] = {"_id": id_}
            if session is None:
                same = {"$expr": {"$eq": ["$$ROOT", {"$literal": whole.get(identity(id_))}]}}
                only = {"$and": [only, where or {}, same]}
            writes.append(UpdateOne(only, update, hint=BY_ID))
            changed.append(id_)
        return writes, changed


def send(collection: Collection[Document], writes: Sequence[Write], session: ClientSession | None) -> int:
    """Send updates. Returns how many documents they found.

    Raises BackfillRefused for one that changes an `_id`, and the server's own error for any other that it refuses.
    """
    if not writes:
        return 0
    try:
        return collection.bulk_write(list(writes), session=session).matched_count
    except BulkWriteError as error:  # its own text has the documents in it
        details: Any = error.details or {}
        refused: Any = next(iter(details.get("writeErrors", [])), None)
        if not refused:
            raise
        if refused["code"] == _IMMUTABLE:
            raise _changes_key(collection.name) from None
        raise WriteError(refused["errmsg"], refused["code"], {"errmsg": refused["errmsg"]}) from None


def _check(place: str, update: Any) -> None:
    """Raise BackfillRefused for what is no update, or for one that changes the key."""
    if isinstance(update, Mapping) and update and all(str(name).startswith("$") for name in update):
        for operator, parts in update.items():
            names = list(parts) if isinstance(parts, Mapping) else []
            names += map(str, parts.values()) if operator == "$rename" and isinstance(parts, Mapping) else []
            _check_names(place, names)
        return
    stages = list(update) if isinstance(update, list | tuple) else []
    if stages and all(isinstance(stage, Mapping) and len(stage) == 1 for stage in stages):
        for stage in stages:
            [(operator, parts)] = stage.items()
            if operator in _KEEPING:
                _check_names(place, [parts] if isinstance(parts, str) else list(parts))
        return
    raise BackfillRefused(
        f"set for {place} has to be an update, such as {{'$set': ...}}, or the stages of one, or a function that "
        "returns one"
    )


def _check_names(place: str, names: Sequence[Any]) -> None:
    if any(str(name).partition(".")[0] == "_id" for name in names):
        raise _changes_key(place)


def _changes_key(place: str) -> BackfillRefused:
    return BackfillRefused(f"set changes _id, which is the key of {place}")


__all__ = ["Changing", "Write", "send"]
