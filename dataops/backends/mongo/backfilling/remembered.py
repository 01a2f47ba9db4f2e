"""The documents that a backfill has changed, by their `_id`s, with the former values that it is to keep.

They are in a collection of the stash, of the same form as all of it: `{_id, was, set}`, see `dataops.stash.mongo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import CollectionInvalid

from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import BY_ID, Place, among, identity, raw

_LABEL = "backfill"


class Remembered:
    """The collection for one backfill. `kept` are the fields whose former values are in it."""

    def __init__(self, notes: Checkpoints, place: Place) -> None:
        self.name = notes.name(notes.label, _LABEL)
        self.kept: tuple[str, ...] = ()
        self._notes = notes
        self._place = place
        self._documents = notes.db[self.name]

    def find(self) -> bool:
        """Whether it is there; then also what is kept in it."""
        noted = self._notes.noted(f"kept:{self.name}")
        if noted is not None:
            self.kept = tuple(noted["fields"])
        return noted is not None and self.name in self._notes.db.list_collection_names(filter={"name": self.name})

    def create(self, kept: Sequence[str]) -> None:
        """Create it, unless it is there."""
        noted = self._notes.note(f"kept:{self.name}", {"source": self._place.name, "fields": list(kept)})
        self.kept = tuple(noted["fields"])
        with suppress(CollectionInvalid):  # it exists
            self._notes.db.create_collection(self.name)

    def without(self, found: Sequence[RawBSONDocument], session: ClientSession | None) -> list[RawBSONDocument]:
        """Those of the documents that are not in it."""
        ids = {identity(one["_id"]): one["_id"] for one in found}
        asked = among(list(ids.values()))
        known = raw(self._notes.db, self.name).find(asked, {"_id": 1}, session=session, hint=BY_ID)
        there = {identity(one["_id"]): one["_id"] for one in known}
        if others := [id_ for key, id_ in there.items() if key not in ids]:
            # equal for the server, and not bit by bit: 1 was deleted, and 1.0 inserted
            equal = self._place.raw.find(among(others), {"_id": 1}, session=session)
            there.update((identity(one["_id"]), one["_id"]) for one in equal)
        return [one for one in found if identity(one["_id"]) not in there]

    def put(self, changed: Sequence[RawBSONDocument], session: ClientSession | None) -> None:
        """Remember documents that were changed in this transaction, as they were found."""
        if not changed:
            return
        if not self.kept:
            self._documents.insert_many([{"_id": one["_id"]} for one in changed], session=session)
            return
        asked, left = among([one["_id"] for one in changed]), {"_id": 1, "set": self.values}
        now = self._place.raw.find(asked, left, session=session, hint=BY_ID, batch_size=len(changed) + 1)
        what: dict[bytes, Any] = {identity(one["_id"]): one["set"] for one in now}
        self._documents.insert_many(
            [{"_id": one["_id"], "was": one["was"], "set": what[identity(one["_id"])]} for one in changed],
            session=session,
        )

    def remove(self, ids: Sequence[Any], session: ClientSession | None) -> None:
        """Forget documents."""
        self._documents.delete_many(among(ids), session=session, hint=BY_ID)

    def drop(self) -> None:
        """Forget all of them."""
        self._notes.db.drop_collection(self.name)
        self._notes.db[self._notes.notebook].delete_one({"_id": f"kept:{self.name}"})

    def drop_if_empty(self) -> None:
        if self._documents.find_one({}, {"_id": 1}) is None:
            self.drop()

    @property
    def values(self) -> dict[str, str]:
        """The present values of what is kept, in a projection. One that is absent is absent in it too."""
        return {field: f"${field}" for field in self.kept}


__all__ = ["Remembered"]
