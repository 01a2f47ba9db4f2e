"""Backfills of MongoDB: see `dataops.backfill` for the promises.

Batches run with the client of the run, which the lease can stop, each in a transaction of its own. What was done is
written down in the stash of the migration: `checkpoint` says where it is, and a collection of its own for each backfill
(`remembered`) has the `_id`s of the documents that it has changed, where they may be needed again, with their former
values. `place` goes through the collection, `changing` makes the updates, `filling` and `restoring` make the batches,
`trial` is for a standalone server, and `signals` say when to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from dataops.backends.mongo.backfilling import checkpoint, remembered
from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.filling import Filling
from dataops.backends.mongo.backfilling.place import BY_ID, Place
from dataops.backends.mongo.backfilling.refusals import WRONG_FILTER, refuse
from dataops.backends.mongo.backfilling.restoring import Restoring
from dataops.backends.mongo.backfilling.signals import Observer
from dataops.backends.mongo.connection import Document, error_text
from dataops.backfill import BackfillRefused, Change, refuse_loss
from dataops.backfill.around import present
from dataops.backfill.loop import run
from dataops.model import Direction, Limits, Step
from dataops.statements import Tally, listening


class MongoBackfills:
    """See dataops.backfill.Backfills. One for each step."""

    def __init__(self, step: Step, look: Callable[[], Database[Document]], limits: Limits, tally: Tally) -> None:
        """`look` gives the database of the service, over a client for short questions."""
        self.left_nothing = False
        """Whether the first thing that the step did was a backfill that was refused before it changed anything."""
        self._step = step
        self._tally = tally
        self._look = look
        self._limits = limits

    def backfill(self, at: Any, change: Change) -> None:
        refuse(at, change)
        refuse_loss(change, self._step.migration)
        self._run(at, change, Filling)

    def restore(self, at: Any, change: Change) -> None:
        self._run(at, change, Restoring)

    def ended(self) -> None:
        """The step has ended well: how far its backfills were does not matter any more."""
        if self._step.migration.facts.backfills:
            db, id_ = self._look(), self._step.migration.id
            checkpoint.forget(db, id_)
            if self._step.direction is Direction.ROLLBACK:
                remembered.forget(db, id_)

    def _run(self, at: Any, change: Change, kind: type[Filling] | type[Restoring]) -> None:
        if not isinstance(at, Database) or at.name != self._look().name:
            raise BackfillRefused("the first argument of a backfill is db, the database that a migration gets")
        around = present(self._limits)
        place = Place(at, change.place)
        checkpoints = Checkpoints(at, self._step, change.name, change.place)
        if kind is Filling:
            if not place.is_there:  # as on a new database, where a whole history runs through
                return
            _refuse_filter(place, change.where)
        observer = Observer(self._look, around.limits, self._step.service)
        hello = at.client.admin.command("hello")
        transactions = "setName" in hello or hello.get("msg") == "isdbgrid"
        batches = kind(place, change, checkpoints, observer, around, transactions=transactions)
        first = not self._tally.sent().writes
        try:
            with listening(observer.ours):
                run(batches, around)
        except BackfillRefused:
            self.left_nothing = first and batches.forget()
            raise


def _refuse_filter(place: Place, where: Mapping[str, Any] | None) -> None:
    """Raise BackfillRefused for a filter that the server does not take."""
    asked = {"find": place.name, "filter": where or {}, "hint": dict(BY_ID)}
    try:
        place.db.command("explain", asked, verbosity="queryPlanner")
    except OperationFailure as error:
        if error.code not in {*WRONG_FILTER, _NO_TEXT_INDEX}:
            raise
        raise BackfillRefused(
            f"where for {place.name} is no filter that can be used here: {error_text(error)}"
        ) from None


_NO_TEXT_INDEX = 27


__all__ = ["MongoBackfills"]
