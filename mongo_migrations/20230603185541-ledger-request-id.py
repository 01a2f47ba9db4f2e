"""Rename new_address_request_id to request_id in the ledger.

In every entry of `medici_transactions` that has a `new_address_request_id`, whatever it holds, that field becomes
`request_id`; a `request_id` that was there gives way.

Undone by giving, to the entries that were renamed, `new_address_request_id` back where it is absent, and to
`request_id` what it was before, as long as it holds what the renaming left. Where the application has written
another `request_id` since, the application wins: that one stays beside the old name.

Stashed: both fields of every entry that is renamed.

Differs from the original: the original renamed back in every entry, also where the application had written the
`request_id` itself, and had lost each `request_id` that it overwrote.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20230603185541-ledger-request-id"
dependencies = ["20230319091251-add-sats-amounts-to-intraledger"]
repeatable = True

LEDGER = "medici_transactions"
OLD, NEW = "new_address_request_id", "request_id"


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep(LEDGER, {OLD: {"$exists": True}}, [OLD, NEW], latest=True)
        stash.update(LEDGER, {OLD: {"$exists": True}}, {"$rename": {OLD: NEW}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore(LEDGER, {OLD: ABSENT, NEW: f"$$new.was.{OLD}"})
