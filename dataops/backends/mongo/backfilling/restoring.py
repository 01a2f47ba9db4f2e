"""The batches that take back what a backfill has done: through the `_id`s that it has put aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateMany
from pymongo.client_session import ClientSession

from dataops.backends.mongo.backfilling.batch import Batching
from dataops.backends.mongo.backfilling.changing import Changing, Write, send
from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import BY_ID, Place, among, identity
from dataops.backends.mongo.backfilling.remembered import Remembered
from dataops.backends.mongo.backfilling.signals import Observer
from dataops.backfill import BackfillRefused, Change
from dataops.backfill.around import Around
from dataops.backfill.loop import Batch
from dataops.model import Backfill


class Restoring(Batching):
    """See dataops.backfill.loop.Batches. What is taken back is removed from what is put aside, in one transaction."""

    def __init__(
        self,
        place: Place,
        change: Change,
        checkpoints: Checkpoints,
        observer: Observer,
        around: Around,
        *,
        transactions: bool,
    ) -> None:
        super().__init__(place, checkpoints, observer, around, transactions=transactions)
        self._change = change
        self._changing = Changing(change) if change.set is not None else None
        self._remembered = Remembered(checkpoints, place)
        self._aside: Place | None = None

    def begin(self) -> Backfill:
        self.checkpoints.refuse_pruned()
        if not self._remembered.find():
            return Backfill(self._change.place, self.checkpoints.direction, unit="documents")
        if self._changing is None and not self._remembered.kept:
            raise BackfillRefused(
                f"nothing of {self._change.place} was kept that could be given back",
                hint="say keep=[...] in the backfill, or restore(..., set={...}) for what takes it back",
            )
        if not self.transactions:
            raise BackfillRefused(
                f"a standalone server has no transactions, with which {self._change.place} was changed"
            )
        self._aside = Place(self.place.db, self._remembered.name)
        return self.checkpoints.begin(self._aside.count())

    def batch(self, size: int, before: Backfill) -> Batch:
        if self._aside is None:
            return Batch(before, 0, last=True)
        begin = self.checkpoints.key
        with self.transaction(size) as session:
            end = self._aside.end_of(size, begin, session)
            all_of_it = {"_id": 1, "was": 1, "set": 1}
            kept = list(self._aside.within(begin, end, shown=all_of_it, size=size, session=session))
            changed = send(self.place.collection, self._writes(kept, session), session)
            if kept:
                self._remembered.remove([one["_id"] for one in kept], session)
            progress = self.progress(before, end, len(kept), changed, session)
        self.observer.sent(2 * len(kept))
        return self.done(progress, end, len(kept))

    def finish(self) -> None:
        if self._aside is not None:
            self._remembered.drop()
        self.checkpoints.drop()

    def _writes(self, kept: Sequence[RawBSONDocument], session: ClientSession | None) -> list[Write]:
        ours = self._ours(kept, session)
        if self._changing is not None:
            return self._changing.writes(self.place, [one["_id"] for one in ours], None, session)[0]
        alike: dict[bytes, list[RawBSONDocument]] = {}
        for one in ours:  # many were changed in the same way, and one update gives all of them back
            values = {key: one[key] for key in ("was", "set") if key in one}
            alike.setdefault(bson.encode(values), []).append(one)
        return [
            UpdateMany(among([one["_id"] for one in same]), [{"$set": self._back(same[0])}], hint=BY_ID)
            for same in alike.values()
        ]

    def _ours(self, kept: Sequence[RawBSONDocument], session: ClientSession | None) -> Sequence[RawBSONDocument]:
        """Without those in whose place there is a new document now, whose `_id` is equal only by the collation."""
        if self.place.collation is None or not kept:
            return kept
        asked = among([one["_id"] for one in kept])
        there = {identity(one["_id"]) for one in self.place.raw.find(asked, {"_id": 1}, session=session)}
        return [one for one in kept if identity(one["_id"]) in there]

    def _back(self, one: RawBSONDocument) -> dict[str, Any]:
        """The former values, each where the document has what the backfill left there. A missing one is removed."""
        back: dict[str, Any] = {}
        for field in self._remembered.kept:
            was, left = ({"$literal": one[key][field]} if field in one[key] else "$$REMOVE" for key in ("was", "set"))
            back[field] = {"$cond": [self._equal(f"${field}", left), was, f"${field}"]}
        return back

    def _equal(self, now: str, left: Any) -> dict[str, Any]:
        equal: dict[str, Any] = {"$eq": [now, left]}
        if self.place.collation is None:
            return equal
        # By the collation, "a" may be equal to "A". The hash is that of the bytes, with numbers of every type alike.
        return {"$and": [equal, {"$eq": [{"$toHashedIndexKey": now}, {"$toHashedIndexKey": left}]}]}


__all__ = ["Restoring"]
