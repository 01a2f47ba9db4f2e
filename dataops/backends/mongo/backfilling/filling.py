"""The batches that change documents.

A document is to be changed when it matches and is not remembered. So it does not matter for what is changed where the
checkpoint is: a batch that runs twice finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession

from dataops.backends.mongo.backfilling.batch import Batching
from dataops.backends.mongo.backfilling.changing import Changing, send
from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import BY_ID, Place, among, identity, shown
from dataops.backends.mongo.backfilling.remembered import Remembered
from dataops.backends.mongo.backfilling.signals import Observer
from dataops.backends.mongo.backfilling.trial import Trial
from dataops.backfill import BackfillRefused, Change
from dataops.backfill.around import Around
from dataops.backfill.loop import Batch
from dataops.model import Backfill


class Filling(Batching):
    """See dataops.backfill.loop.Batches."""

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
        self._where: Mapping[str, Any] | None = change.where
        self._changing = Changing(change)
        remembers = change.once or change.keep
        self._remembered = Remembered(checkpoints, place) if remembers else None
        self._trial = None if transactions else Trial(checkpoints, place)

    def begin(self) -> Backfill:
        if not self.transactions and self._remembered is not None:
            raise BackfillRefused(
                f"a standalone server has no transactions: a backfill of {self.place.name} with once, with keep or "
                "without where needs them",
                hint="make it a replica set of one; more: dataops docs backfills",
            )
        progress = self.checkpoints.begin(self.place.count())
        if self._remembered is not None:
            if not progress.changed:  # a try before may have been refused, and have said something else
                self._remembered.drop_if_empty()
            self._remembered.create(self._change.keep)
        return progress

    def batch(self, size: int, before: Backfill) -> Batch:
        begin = self.checkpoints.key
        with self.transaction(size) as session:
            end = self.place.end_of(size, begin, session)
            looked = size if end else sum(1 for _ in self.place.within(begin, end, size=size, session=session))
            kept = {"_id": 1, "was": self._remembered.values} if self._remembered and self._remembered.kept else None
            todo = list(self.place.within(begin, end, self._where, kept, size=size, session=session))
            changed = self._fill(todo, session) if todo else 0
            progress = self.progress(before, end, looked, changed, session)
        return self.done(progress, end, looked)

    def finish(self) -> None:
        if self._remembered is not None:
            self._remembered.drop_if_empty()
        self.checkpoints.drop()

    def _fill(self, todo: Sequence[RawBSONDocument], session: ClientSession | None) -> int:
        if self._remembered is not None:
            todo = self._remembered.without(todo, session)
        if self._trial is not None:
            with self._trial.of([one["_id"] for one in todo]) as copies:
                writes, ids = self._changing.writes(copies, [one["_id"] for one in todo], self._where, None)
                send(copies.collection, writes, None)
                self._refuse_still(copies, ids, None)
        # The documents of a transaction are those of its snapshot; without one, each has to match still.
        still = self._where if session is None or not callable(self._change.set) else None
        writes, ids = self._changing.writes(self.place, [one["_id"] for one in todo], still, session)
        found = send(self.place.collection, writes, session)
        if session is not None and ids:
            self._refuse_still(self.place, ids, session)
            if self._remembered is not None:
                self._remembered.put(_only(todo, ids), session)
        self.observer.sent(found + len(ids))
        return found

    def _refuse_still(self, place: Place, ids: Sequence[Any], session: ClientSession | None) -> None:
        if self._change.once:
            return
        still = place.raw.find_one(among(ids, self._where), {"_id": 1}, session=session, hint=BY_ID)
        if still is not None:
            raise BackfillRefused(
                f"documents of {self.place.name} still match where after they were changed, for example the one with "
                f"the _id {shown((still['_id'],))}: it would never end",
                hint="write where so that a document that is done does not match any more, or say once=True",
            )


def _only(found: Sequence[RawBSONDocument], ids: Sequence[Any]) -> Sequence[RawBSONDocument]:
    if len(found) == len(ids):
        return found
    changed = {identity(id_) for id_ in ids}
    return [one for one in found if identity(one["_id"]) in changed]


__all__ = ["Filling"]
