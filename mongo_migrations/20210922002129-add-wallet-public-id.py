"""Give every user a wallet id that may be shown to others.

Every user without `walletPublicId`, or with null there, gets a new random UUID v4. Any other value stays, odd
ones too. The ids are made in batches, put into the stash first and set from there by one command on the server:
an id that was made once is the one that is used, however often the migration is stopped.

Undone by giving those users back what they had (nothing, or null), as long as they hold the id that was made here.
An id that the application has put in its place since stays.

Stashed: for every user that gets an id, that id, and whether there was a null.

Differs from the original: a second run makes no second id (the original replaced the ids of everyone, after
others had copied them), and the way back removes only the ids that were made here, not those of all users.
"""

from __future__ import annotations

import uuid
from typing import Any

from pymongo.database import Database

from dataops.progress import track
from dataops.stash.mongo import WRITTEN, applying, batches, undoing

name = "20210922002129-add-wallet-public-id"
dependencies = []  # type: ignore[var-annotated]
repeatable = True

BATCH = 1000

NONE = {"walletPublicId": None, "$nor": [{"walletPublicId": {"$type": "array"}}]}  # None finds [null] as well


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        for batch in track(batches(db, "users", NONE, ["walletPublicId"], BATCH)):
            stash.add("users", [planned(user) for user in batch])
        stash.write("users")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("users", {"walletPublicId": WRITTEN})


def planned(user: dict[str, Any]) -> dict[str, Any]:
    user_id = user.pop("_id")
    return {"_id": user_id, "was": user, "set": {"walletPublicId": str(uuid.uuid4())}}
