"""The notebook of one migration: which stash collections there are, facts written down once, and how a stash ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.codec_options import DatetimeConversion
from pymongo import UpdateOne

from dataops.errors import Blocked
from dataops.stash.mongo.refusals import Refusals

if TYPE_CHECKING:
    from pymongo.database import Database

Document = dict[str, Any]

PREFIX = "dataops_stash_"


def readable(db: Database[Document]) -> Database[Document]:
    """The same database, in which dates that are no `datetime` of Python (after the year 9999) can be read too."""
    options = db.codec_options.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    return db.with_options(codec_options=options)


class StashPruned(Blocked):
    """What this migration had put aside was pruned: it cannot be rolled back."""

    default_hint = "restore a backup, or leave the migration applied"


class Notebook(Refusals):
    """What one migration has written down in one database, and the names of its stash collections."""

    def __init__(self, db: Database[Document], migration: str) -> None:
        self.db = readable(db)
        self.migration = migration
        self.notebook = PREFIX + migration.split("-", 1)[0]
        mine = (self.notebook, self.notebook + ".")
        self._present = {found for found in self._names() if found == mine[0] or found.startswith(mine[1])}
        self._found = frozenset(self._present)  # by an earlier run

    def note(self, key: str, value: Any) -> Any:
        """Write a fact down once. Returns the value that was written first, on a second run too."""
        if (known := self._find(key)) is not None:
            return known["value"]
        book = self.db[self.notebook]
        if self.notebook in self._present:
            book.insert_one({"_id": key, "value": value})
            return value
        # the first two in one command: each command waits until the majority of the members has it on disk
        first = {"at": "$$NOW", "migration": {"$literal": self.migration}}
        about = UpdateOne({"_id": "migration"}, [{"$replaceWith": {"$mergeObjects": [first, "$$ROOT"]}}], upsert=True)
        book.bulk_write([about, UpdateOne({"_id": key}, {"$setOnInsert": {"value": value}}, upsert=True)])
        self._present.add(self.notebook)
        return value

    def noted(self, key: str) -> Any:
        """What was written down under `key`, or None."""
        found = self._find(key)
        return None if found is None else found["value"]

    def notes(self, prefix: str) -> list[Document]:
        """Every note `{_id: key, value}` whose key begins with `prefix`, in the order of the keys."""
        found = self.db[self.notebook].find(sort=[("_id", 1)]) if self.notebook in self._present else ()
        return [note for note in found if str(note["_id"]).startswith(prefix)]

    def created(self, collection: str) -> bool:
        """Note whether `collection` exists, before the migration creates it. True if it did not exist."""
        return bool(self.note(f"created:{collection}", collection not in self._names()))

    def name(self, collection: str, label: str = "") -> str:
        """The stash collection of a source collection: for pipelines that read it."""
        return f"{self.notebook}.{collection}" + (f".{label}" if label else "")

    def has(self, collection: str, *, label: str = "") -> bool:
        """Whether there is something to restore."""
        return self.name(collection, label) in self._present

    def drop(self) -> None:
        """Mark the notebook, drop the collections, drop the notebook; `undoing` calls it."""
        if not self._present:
            return
        self.note("dropping", True)
        self._finish_drop()

    def _finish_drop(self, tombstone_too: bool = False) -> None:
        if self.notebook not in self._present:
            return
        if self.noted("dropping") or (tombstone_too and self.noted("pruned")):
            for collection in sorted(self._present - {self.notebook}):
                self.db.drop_collection(collection)
            self.db.drop_collection(self.notebook)
            self._present.clear()

    def _open(self, collection: str, label: str) -> str:
        kept = self.name(collection, label)
        self.note(f"kept:{kept}", {"source": collection})
        return kept

    def _names(self) -> list[str]:
        return self.db.list_collection_names()

    def _find(self, key: str) -> Document | None:
        if self.notebook not in self._present:
            return None
        return self.db[self.notebook].find_one({"_id": key})
