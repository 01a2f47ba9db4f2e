"""Copy the shops of accounts into a collection of their own, merchants.

The collection gets a 2dsphere index on location. Then every account with a title (text, also empty) and with
coordinates on the globe (numbers, latitude -90 to 90, longitude -180 to 180) becomes a merchant:

    {id: a new UUID v4, username, title, location: {type: "Point", coordinates: [longitude, latitude]},
     createdAt: created_at of the account, validated: true}

with the `_id` of the account, and without username or createdAt where the account has none. An account whose
username has a merchant already gets no second one.

Undone by deleting the merchants that came from here, with what the application has written into them, making the
index what it was, and dropping the collection if it was made here and nothing else is in it. Merchants that the
application inserted stay. title and coordinates are still on the accounts, so nothing is lost; after another apply
the ids are new.

Stashed: the merchants that were inserted, the definition of an index that had to give way.

Differs from the original: coordinates that the index would refuse are left out (the first of them stopped the
original half-way); a second run after a stop goes on with the ids already given (every merchant came twice, with
another id); a missing username or created_at stays missing (they became null); and it had no way back.
"""

from __future__ import annotations

import uuid
from typing import Any

from bson.int64 import Int64
from pymongo.database import Database

from dataops.progress import track
from dataops.stash.mongo import applying, batches, undoing

name = "20240130210000-location-migration-1"
dependencies = ["20231220190840-quiz-new-collection-2"]
repeatable = True

BATCH = 1000
FIELDS = ["username", "title", "coordinates", "created_at"]
LIMITS = {"longitude": 180, "latitude": 90}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.create_index("merchants", "location_2dsphere", {"location": "2dsphere"}, background=True)
        stash.lookup_index("merchants", "username")
        shops = {"title": {"$type": "string"}, "coordinates": {"$type": "object"}}
        # the server has no random UUID
        for batch in track(batches(db, "accounts", shops, FIELDS, BATCH)):
            found = db["merchants"].find({"username": {"$in": names(batch)}}, {"username": 1})
            known = names(list(found))
            fresh = [account for account in batch if account.get("username") not in known]
            stash.add("merchants", [merchant for account in fresh if (merchant := moved(account))])
        stash.insert("merchants")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.remove("merchants")
        stash.restore_indexes()
        stash.drop_created("merchants")


def names(documents: list[dict[str, Any]]) -> list[str]:
    return [document["username"] for document in documents if isinstance(document.get("username"), str)]


def moved(account: dict[str, Any]) -> dict[str, Any] | None:
    """What to insert; None if the account has no place on the globe."""
    place = [account["coordinates"].get(part) for part in LIMITS]
    if not isinstance(account["title"], str):
        return None
    for value, limit in zip(place, LIMITS.values(), strict=True):
        # not `abs(value) > limit`: NaN has to fail
        if type(value) not in (int, float, Int64) or not -limit <= value <= limit:
            return None
    merchant = {
        "id": str(uuid.uuid4()),
        "username": account.get("username"),
        "title": account["title"],
        "location": {"type": "Point", "coordinates": place},
        "createdAt": account.get("created_at"),
        "validated": True,
    }
    present = {field: value for field, value in merchant.items() if value is not None}
    return {"_id": account["_id"], "was": {}, "set": present}
