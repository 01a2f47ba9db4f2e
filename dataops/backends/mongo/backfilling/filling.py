"""The batches that change documents.

A document is to be changed when it matches and is not remembered. So it does not matter for what is changed where the
checkpoint is: a batch that runs twice finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import ExecutionTimeout

from dataops.backends.mongo.backfilling.batch import Batching
from dataops.backends.mongo.backfilling.changing import Changing, send
from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import BY_ID, Key, Place, among, between, identity, ids_of, shown
from dataops.backends.mongo.backfilling.remembered import Remembered
from dataops.backends.mongo.backfilling.signals import Observer
from dataops.backends.mongo.backfilling.trial import Trial
from dataops.backfill import BackfillRefused, Change
from dataops.backfill.around import Around
from dataops.backfill.loop import Batch
from dataops.model import Backfill

_LOOK_MILLISECONDS = 900


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
        by_ids = remembers or self._changing.is_function or self._trial is not None
        self._in_ranges = not by_ids and place.has_ranges

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
        with self.giving_up(size):  # not in the transaction, so that it is short
            end = self.place.end_of(size, begin)
            looked = size if end else len(self.place.within(begin, end, size=size))
            if self._in_ranges and self._is_done(begin, end):
                return self.done(self.progress(before, end, looked, 0, None), end, looked)
        with self.transaction(size) as session:
            if self._in_ranges:
                changed = self._fill_range(begin, end, session)
            else:
                changed = self._fill(begin, end, size, session)
            progress = self.progress(before, end, looked, changed, session)
        return self.done(progress, end, looked)

    def none_left(self) -> bool:
        if self._remembered is not None:
            return False
        try:
            found = self.place.collection.find_one(self._where or {}, {"_id": 1}, max_time_ms=_LOOK_MILLISECONDS)
        except ExecutionTimeout:  # a collection so big is gone through once more, in batches
            return False
        return found is None

    def finish(self) -> None:
        if self._remembered is not None:
            self._remembered.drop_if_empty()
        if self._trial is not None:
            self._trial.drop()
        self.checkpoints.drop()

    def forget(self) -> bool:
        if self.checkpoints.changed():
            return False
        self.finish()
        return True

    def _is_done(self, begin: Key, end: Key) -> bool:
        """Whether nothing is to be changed in a range, as in all of the last pass: that needs no transaction."""
        return self.place.exact.find_one(between(begin, end, self._where), {"_id": 1}, hint=BY_ID) is None

    def _fill_range(self, begin: Key, end: Key, session: ClientSession | None) -> int:
        """Change all that match: the server needs no more than the bounds of the batch."""
        changed = send(self.place.collection, [self._changing.write(between(begin, end, self._where))], session)
        if changed:
            self._refuse_still(self.place, between(begin, end, self._where), session)
        return changed

    def _fill(self, begin: Key, end: Key, size: int, session: ClientSession | None) -> int:
        shown = self._remembered.shown if self._remembered is not None else None
        todo = self.place.within(begin, end, self._where, shown, size=size, session=session)
        ids = ids_of(todo)
        if self._remembered is not None and (known := self._remembered.known(ids, session)):
            todo, ids = _only(todo, ids, lambda id_: id_ not in known)
        if self._trial is not None and ids:
            with self._trial.of(ids) as copies:
                writes, changed = self._changing.writes(copies, ids, self._where, None)
                send(copies.collection, writes, None)
                self._refuse_still(copies, among(changed, self._where), None)
        # The documents of a transaction are those of its snapshot; without one, each has to match still.
        still = self._where if session is None or not self._changing.is_function else None
        writes, changed = self._changing.writes(self.place, ids, still, session)
        found = send(self.place.collection, writes, session)
        if session is not None and changed:
            self._refuse_still(self.place, among(changed, self._where), session)
            if self._remembered is not None:
                if len(changed) < len(ids):
                    mine = set(map(identity, changed))
                    todo, _ = _only(todo, ids, lambda id_: id_ in mine)
                self._remembered.put(todo, changed, session)
        return found

    def _refuse_still(self, place: Place, changed: Mapping[str, Any], session: ClientSession | None) -> None:
        if self._change.once:
            return
        still = place.exact.find_one(changed, {"_id": 1}, session=session, hint=BY_ID)
        if still is not None:
            raise BackfillRefused(
                f"documents of {self.place.name} still match where after they were changed, for example the one with "
                f"the _id {shown((still['_id'],))}: it would never end",
                hint="write where so that a document that is done does not match any more, or say once=True",
            )


def _only(
    documents: Sequence[bytes], ids: Sequence[Any], wanted: Callable[[bytes], bool]
) -> tuple[list[bytes], list[Any]]:
    """Those documents whose `_id` is wanted, and their `_id`s."""
    both = [(one, id_) for one, id_ in zip(documents, ids, strict=True) if wanted(identity(id_))]
    return [one for one, _ in both], [id_ for _, id_ in both]


__all__ = ["Filling"]
