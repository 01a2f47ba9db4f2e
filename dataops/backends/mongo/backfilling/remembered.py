"""The documents that a backfill has changed, by their `_id`s, with the former values that it is to keep.

They are in a collection of the stash, of the same form as all of it: `{_id, was, set}`, see `dataops.stash.mongo`. Here
documents are the bytes that the server has sent: so every value keeps its type, and it takes half the time.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import CollectionInvalid

from dataops.backends.mongo.backfilling import checkpoint
from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import BY_ID, Key, Place, among, exact, identity
from dataops.backends.mongo.connection import Document
from dataops.backfill import not_given_back
from dataops.stash.mongo.notebook import Notebook

_LABEL = "backfill"


class Remembered:
    """The collection for one backfill. `kept` are the fields whose former values are in it."""

    def __init__(self, notes: Checkpoints, place: Place) -> None:
        self.name = notes.name(notes.label, _LABEL)
        self.kept: tuple[str, ...] = ()
        self._notes = notes
        self._place = place
        self._documents = exact(notes.db, self.name)

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

    @property
    def shown(self) -> dict[str, Any]:
        """What a document looks like here, in a projection. A field that is absent is absent in it too."""
        return {"_id": 1, "was": self._values} if self.kept else {"_id": 1}

    @property
    def _values(self) -> dict[str, str]:
        return {field: f"${field}" for field in self.kept}

    def known(self, ids: Sequence[Any], session: ClientSession | None) -> set[bytes]:
        """Those of the documents with these `_id`s that are in it."""
        asked = self._documents.find(among(ids), {"_id": 1}, session=session, hint=BY_ID)
        found = [one["_id"] for one in asked]
        if not found:
            return set()
        there, given = set(map(identity, found)), set(map(identity, ids))
        if others := [id_ for id_ in found if identity(id_) not in given]:
            # equal for the server, and not bit by bit: 1 was deleted, and 1.0 inserted
            equal = self._place.exact.find(among(others), {"_id": 1}, session=session)
            there |= {identity(one["_id"]) for one in equal}
        return there

    def put(self, documents: Sequence[bytes], ids: Sequence[Any], session: ClientSession | None) -> None:
        """Remember documents that were changed in this transaction, as they were before: see `shown`."""
        if self.kept:
            left: dict[str, Any] = {"_id": 0, "set": self._values}
            key: Key = ()
            now = self._place.within(key, key, among(ids), left, size=len(ids), session=session)
            documents = [_with(one, more) for one, more in zip(documents, now, strict=True)]
        if documents:
            self._documents.insert_many(map(RawBSONDocument, documents), session=session)

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


def forget(db: Database[Document], migration: str) -> None:
    """Forget which documents a migration has changed, where nothing of them was kept: it was rolled back.

    Raises BackfillRefused where former values are left.
    """
    book = Notebook(db, migration)
    for note in book.notes("kept:"):
        if not str(note["_id"]).endswith(f".{_LABEL}"):
            continue
        if note["value"].get("fields"):
            raise not_given_back(note["value"]["source"])
        db.drop_collection(str(note["_id"]).removeprefix("kept:"))
        db[book.notebook].delete_one({"_id": note["_id"]})
    checkpoint.drop_if_nothing_left(db, book.notebook)


def _with(document: bytes, more: bytes) -> bytes:
    """A document with the fields of another one after its own."""
    fields = document[4:-1] + more[4:-1]
    return struct.pack("<i", len(fields) + 5) + fields + b"\0"


__all__ = ["Remembered", "forget"]
