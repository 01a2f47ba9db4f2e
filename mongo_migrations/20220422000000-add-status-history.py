"""Begin every user's status history with the status of today.

Users without `statusHistory`, or with null there, get

    statusHistory  [{status: <status, or null where there is none>, comment: "Imported Status"}]

without a date. `status` stays. A history that is there, an empty one too, is not touched.

Undone by giving those users back what they had (nothing, or null), as long as the history is the one entry that was
written here. Where the application has added to it since, the history stays: it is the only record of that.

Stashed: for every user that is changed, the history that is written, and whether there was a null.

Differs from the original: an existing history is kept (the original replaced it, on every run), and the way
back works (the original's calls a function that does not exist; it meant to remove everybody's history).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20220422000000-add-status-history"
dependencies = ["20220406124601-fix-lnpayments-millisats"]
repeatable = True

NONE = {"statusHistory": None, "$nor": [{"statusHistory": {"$type": "array"}}]}  # None finds [null] as well
IMPORTED = [{"status": {"$ifNull": ["$status", None]}, "comment": "Imported Status"}]


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        was_and_set = {"was": {"statusHistory": "$statusHistory"}, "set": {"statusHistory": IMPORTED}}
        stash.plan("users", [{"$match": NONE}, {"$project": was_and_set}], latest=True)
        stash.update("users", NONE, [{"$set": {"statusHistory": IMPORTED}}])


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("users", {"statusHistory": WRITTEN})
