"""Where a backfill is, written down in the stash of its migration, in the transaction of each batch.

It is a document in the notebook of the stash. What is to be changed never depends on it: see `filling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, DuplicateKeyError

from dataops.backends.mongo.backfilling.place import Key, exact, shown
from dataops.backends.mongo.connection import Document
from dataops.backfill import ChangedMeanwhile
from dataops.model import Backfill, Direction, Step
from dataops.redaction import redact
from dataops.stash.mongo import StashPruned
from dataops.stash.mongo.notebook import Notebook

_BEFORE = "backfill:"
_BACKFILLS = "backfills"
_OURS = ("migration", _BACKFILLS)
"""What a notebook has in which nothing else is left."""


class Checkpoints(Notebook):
    """The checkpoint of one backfill of one step, and the notes of its stash."""

    def __init__(self, db: Database[Document], step: Step, name: str, place: str) -> None:
        super().__init__(db, step.migration.id)
        self.label = name
        self.place = place
        self.key: Key = ()
        self.direction = step.direction
        self._checksum = step.migration.checksum
        self._id = _BEFORE + name

    def begin(self, total: int | None) -> Backfill:
        """How far it is: where an earlier run in this direction has stopped, or at the beginning.

        Raises ChangedMeanwhile.
        """
        self._finish_drop(tombstone_too=self.direction is Direction.APPLY)
        found = self._read()
        if found is not None and found["checksum"] != self._checksum and not found["changed"]:
            found = None  # nothing was done yet with the other text
        if found is None or found["direction"] != self.direction.value:
            new = Backfill(self.place, self.direction, self._checksum, total=total, unit="documents")
            self.note(_BACKFILLS, True)  # makes the notebook, and says in it whose it is
            self.write(new)
            return new
        if found["checksum"] != self._checksum:
            raise ChangedMeanwhile(
                f"the file of {self.migration} was changed after {_of_document(found).words}",
                migration=self.migration,
            )
        self.key = tuple(found["key"])
        return _of_document({**found, "total": total})

    def refuse_pruned(self) -> None:
        """Raise StashPruned where what was put aside is not there any more, because somebody pruned it."""
        self._finish_drop()
        if pruned := self.noted("pruned"):
            raise StashPruned(f"{self.migration}: what it had put aside was pruned on {pruned}")

    def write(self, progress: Backfill, key: Key | None = None, session: ClientSession | None = None) -> None:
        """Write it down, with `key` (None: the present one)."""
        fields: Document = {
            "place": progress.place,
            "direction": progress.direction.value,
            "checksum": progress.checksum,
            "key": list(self.key if key is None else key),
            "looked": progress.looked,
            "total": progress.total,
            "changed": progress.changed,
            "unit": progress.unit,
            "rate": progress.rate,
            "paused": progress.paused,
        }
        now: list[Mapping[str, Any]] = [
            {"$replaceWith": {"$mergeObjects": [{"$literal": {"_id": self._id, **fields}}, {"at": "$$NOW"}]}}
        ]
        self.db[self.notebook].update_one({"_id": self._id}, now, upsert=True, session=session)

    def tell(self, progress: Backfill) -> None:
        """Write down that it waits, or does not any more: for people, so that it does not matter if that fails."""
        with suppress(ConnectionFailure, DuplicateKeyError):
            self.write(progress)

    def drop(self) -> None:
        """Forget it, and the stash with it where nothing else is in it."""
        _drop(self.db, self.notebook, {"_id": self._id})

    def changed(self) -> int:
        """How many documents were changed, as it is written down."""
        return int((self._read() or {}).get("changed", 0))

    def _read(self) -> Document | None:
        return exact(self.db, self.notebook).find_one({"_id": self._id})


def read(db: Database[Document], migration: str) -> tuple[Backfill, ...]:
    """How far the backfills of a migration are that have begun and not ended. Writes nothing."""
    book = Notebook(db, migration).notebook
    found = db[book].find({"_id": {"$regex": f"^{_BEFORE}"}}, sort=[("at", 1)])
    return tuple(map(_of_document, found))


def forget(db: Database[Document], migration: str) -> None:
    """Forget how far the backfills of a migration are: its step has ended, in whatever way its file did that."""
    book = Notebook(db, migration).notebook
    if db[book].find_one({"_id": {"$regex": f"^{_BEFORE}"}}, {"_id": 1}) is not None:
        _drop(db, book, {"_id": {"$regex": f"^{_BEFORE}"}})


def _drop(db: Database[Document], book: str, which: Mapping[str, Any]) -> None:
    db[book].delete_many(which)
    drop_if_nothing_left(db, book)


def drop_if_nothing_left(db: Database[Document], book: str) -> None:
    """Drop the notebook of a stash in which nothing is left."""
    if db[book].find_one({"_id": {"$nin": list(_OURS)}}, {"_id": 1}) is None:
        db.drop_collection(book)


def _of_document(found: Mapping[str, Any]) -> Backfill:
    return Backfill(
        place=redact(str(found["place"])),
        direction=Direction(found["direction"]),
        checksum=found["checksum"],
        key=shown(tuple(found["key"])),
        looked=found["looked"],
        total=found["total"],
        changed=found["changed"],
        unit=found["unit"],
        rate=found["rate"],
        paused=found["paused"],
        at=found["at"],
    )


__all__ = ["Checkpoints", "forget", "read"]
