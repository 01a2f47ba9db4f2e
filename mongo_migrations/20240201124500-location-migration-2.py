"""Remove title and coordinates from accounts, now that they are in merchants.

Removes both fields, whatever they hold, from every account.

Undone by giving each back where it is absent. Where the application has written one since, the application wins.

Stashed: both fields of every account that has one of them.

Differs from the original: the original did not wait for its only command and was recorded as applied whatever came
of it; title and coordinates of accounts that had become no merchant were lost, and there was no way back.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20240201124500-location-migration-2"
dependencies = ["20240130210000-location-migration-1"]
repeatable = True

PLACES = {"$or": [{"title": {"$exists": True}}, {"coordinates": {"$exists": True}}]}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("accounts", PLACES, ["title", "coordinates"], latest=True)
        stash.update("accounts", PLACES, {"$unset": {"title": "", "coordinates": ""}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("accounts", {"title": ABSENT, "coordinates": ABSENT})
