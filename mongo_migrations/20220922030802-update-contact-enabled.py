"""Take the contacts of the bank's own accounts away.

Users with the role dealer, funder or bankowner: `contactEnabled` becomes false and `contacts` [].

Undone by giving each of the two fields what it was before, while it still holds what was written here. Contacts that
the application has added since stay, and then the former ones do not come back.

Stashed: both fields of every user that is changed.

Differs from the original: the way back gives the contacts back (the original's does nothing and reports success).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20220922030802-update-contact-enabled"
dependencies = ["20220601191441-fix-reimburse-amounts"]
repeatable = True

VALUES: dict[str, Any] = {"contactEnabled": False, "contacts": []}
TO_CHANGE = {
    "role": {"$in": ["dealer", "funder", "bankowner"]},
    "$or": [{field: {"$ne": value}} for field, value in VALUES.items()],
}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("users", TO_CHANGE, list(VALUES), latest=True)
        db["users"].update_many(TO_CHANGE, {"$set": VALUES})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("users", VALUES)
