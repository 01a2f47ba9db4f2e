"""Copy users' coordinate to coordinates.

Every user with a `coordinate` (null counts) and without `coordinates` gets `coordinates`, with the same value.
`coordinate` stays. Users that have `coordinates`, of whatever shape, are not touched.

Undone by removing `coordinates` from the users that got it here, as long as it still is what was copied; where the
application has written other coordinates since, those stay.

Stashed: the `_id` of every user that is changed, and the value that is written.

Differs from the original: existing `coordinates` are newer than `coordinate` and stay (the original replaced
them, on every run); and there is a way back (the original has none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20211202002129-coordinate-to-coordinates"
dependencies = ["20210922002129-add-wallet-public-id"]
repeatable = True

TO_COPY = {"coordinate": {"$exists": True}, "coordinates": {"$exists": False}}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        copied = {"$project": {"set": {"coordinates": "$coordinate"}}}
        stash.plan("users", [{"$match": TO_COPY}, copied], latest=True)
        db["users"].update_many(TO_COPY, [{"$set": {"coordinates": "$coordinate"}}])


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("users", {"coordinates": WRITTEN})
