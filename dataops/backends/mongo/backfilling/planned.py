"""A backfill in a plan: the command as it would be for all documents at once, with a comment that it is in batches.

It is sent to the server that only records, so that everything else in a plan sees its filter and its update.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.backends.mongo.backfilling.place import Place
from dataops.backends.mongo.backfilling.refusals import refuse
from dataops.backends.mongo.capture.wording import IN_BATCHES
from dataops.backfill import BackfillRefused, Change
from dataops.stash.mongo import StashPruned
from dataops.stash.mongo.notebook import Notebook

_UNKNOWN = [{"$replaceWith": "$$ROOT"}]
"""Stands for what a function does: any field may be changed."""


class PlannedBackfills:
    """See dataops.backfill.Backfills."""

    def __init__(self, version: str) -> None:
        """`version` is the id of the migration."""
        self._version = version

    def backfill(self, at: Any, change: Change) -> None:
        refuse(at, change)
        if not Place(_database(at), change.place).is_there:
            return
        aside = f"{', '.join(change.keep)} put aside" if change.keep else "each once" if change.once else ""
        _send(at, change, change.where or {}, f"{IN_BATCHES} by _id" + (f"; {aside}" if aside else ""))

    def restore(self, at: Any, change: Change) -> None:
        notes = Notebook(_database(at), self._version)
        if pruned := notes.noted("pruned"):
            raise StashPruned(f"{self._version}: what it had put aside was pruned on {pruned}")
        if not notes.has(change.name, label="backfill"):
            return
        if change.set is None:
            kept = notes.name(change.name, "backfill")
            fields = (notes.noted(f"kept:{kept}") or {}).get("fields", [])
            back = [{"$set": {field: f"$$new.was.{field}" for field in fields}}]
            into = {"into": change.place, "whenMatched": back, "whenNotMatched": "discard"}
            what = f"{IN_BATCHES}: gives back what was put aside"
            at[kept].aggregate([{"$merge": into}], comment=what)
        else:
            _send(at, change, {}, f"{IN_BATCHES}: in the documents that were changed")


def _database(at: Any) -> Database[dict[str, Any]]:
    if not isinstance(at, Database):
        raise BackfillRefused("the first argument of a backfill is db, the database that a migration gets")
    return at


def _send(at: Any, change: Change, where: Any, comment: str) -> None:
    update: Any = change.set
    if callable(update):
        comment += f", by the function {getattr(update, '__name__', 'of the file')}"
        update = _UNKNOWN
    at.command("update", change.place, updates=[{"q": where, "u": update, "multi": True}], comment=comment)


__all__ = ["PlannedBackfills"]
