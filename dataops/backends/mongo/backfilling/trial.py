"""Finds out on copies whether an update leaves the filter, where no transaction could take it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import Place, among

_LABEL = "trial"


class Trial:
    """Copies of documents of one place, in a collection of the stash that is dropped again."""

    def __init__(self, notes: Checkpoints, place: Place) -> None:
        self._copies = place.db[notes.name(notes.label, _LABEL)]
        self._place = place

    @contextmanager
    def of(self, ids: Sequence[Any]) -> Iterator[Place]:
        """Copies of the documents with these `_id`s, which compare text as the place does."""
        self.drop()  # an earlier run may have been killed
        try:
            options: dict[str, Any] = {"collation": dict(self._place.collation)} if self._place.collation else {}
            self._place.db.create_collection(self._copies.name, **options)
            self._place.collection.aggregate([{"$match": among(ids)}, {"$out": self._copies.name}])
            yield Place(self._place.db, self._copies.name)
        finally:
            self.drop()

    def drop(self) -> None:
        self._copies.drop()


__all__ = ["Trial"]
