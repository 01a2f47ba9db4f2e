"""Give invoices without an externalId their own _id as one.

Documents of `invoiceusers` without `externalId` get their `_id` as externalId, and migratedExternalId true; null and
"" stay.

Undone by removing both fields where migratedExternalId is true and externalId is the `_id`. Where the application has
written another externalId since, the application wins: both fields stay.

Stashed: only the invoices that had a migratedExternalId before, so that they are told from ours.

Differs from the original: in nothing that it does; what other runs had marked is not unmarked by ours.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20240412030143-add-external-id-to-invoices"
dependencies = ["20240201124500-location-migration-2"]
repeatable = True

INVOICES = "invoiceusers"
ID, MARK = "externalId", "migratedExternalId"


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        if not stash.noted("marked before"):  # later, our own marks would be taken for older ones
            stash.keep(INVOICES, {MARK: {"$exists": True}}, [ID, MARK])
            stash.note("marked before", True)
        given = {ID: "$_id", MARK: {"$literal": True}}
        stash.update(INVOICES, {ID: {"$exists": False}}, [{"$set": given}])


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        if stash.noted("marked before"):  # else nothing was marked here, or all of it is undone
            ours = {MARK: True, "$expr": {"$eq": [f"${ID}", "$_id"]}}
            db[INVOICES].update_many(ours, {"$unset": {ID: "", MARK: ""}})
        stash.restore(INVOICES, {ID: ABSENT, MARK: ABSENT})
