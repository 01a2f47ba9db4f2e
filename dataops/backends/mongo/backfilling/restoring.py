"""The batches that take back what a backfill has done: through the `_id`s that it has put aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import UpdateMany
from pymongo.client_session import ClientSession

from dataops.backends.mongo.backfilling.batch import Batching
from dataops.backends.mongo.backfilling.changing import Changing, Write, send
from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import BY_ID, Place, among, identity, ids_of
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
            ids = ids_of(self._aside.within(begin, end, size=size, session=session))
            shown = {"_id": 0, "was": 1, "set": 1}
            values = self._aside.within(begin, end, shown=shown, size=size, session=session)
            changed = send(self.place.collection, self._writes(ids, values, session), session) if ids else 0
            if ids:
                self._remembered.remove(ids, session)
            progress = self.progress(before, end, len(ids), changed, session)
        return self.done(progress, end, len(ids))

    def none_left(self) -> bool:
        return True  # what it has put aside is gone through once, and nobody adds to it

    def finish(self) -> None:
        if self._aside is not None:
            self._remembered.drop()
        self.checkpoints.drop()

    def _writes(self, ids: Sequence[Any], values: Sequence[bytes], session: ClientSession | None) -> list[Write]:
        there = self._there(ids, session)
        if self._changing is not None:
            ours = [id_ for id_ in ids if there is None or identity(id_) in there]
            return self._changing.writes(self.place, ours, None, session)[0]
        alike: dict[bytes, list[Any]] = {}
        for id_, value in zip(ids, values, strict=True):
            if (
                there is None or identity(id_) in there
            ):  # many were changed alike, and one update gives all of them back
                alike.setdefault(value, []).append(id_)
        return [
            UpdateMany(among(same), [{"$set": self._back(RawBSONDocument(value))}], hint=BY_ID)
            for value, same in alike.items()
        ]

    def _there(self, ids: Sequence[Any], session: ClientSession | None) -> set[bytes] | None:
        """With a collation, the documents that are still there: one with another `_id` may be equal by it.

        None where no text can be equal without being the same.
        """
        if self.place.collation is None:
            return None
        return {identity(one["_id"]) for one in self.place.exact.find(among(ids), {"_id": 1}, session=session)}

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
