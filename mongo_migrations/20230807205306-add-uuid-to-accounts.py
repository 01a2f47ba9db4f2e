"""Give every account an id: its uuid if it has one, else one derived from its _id.

An account without an `id` (absent, null or empty) gets `uuid` if that is text and not empty, else a UUID in the
layout of version 5, made of the SHA-1 of the text of `_id` with no namespace in front: not what `uuid.uuid5` gives
for any namespace. Then `uuid` is removed from all accounts.

Undone by giving `id` what it was before, as long as it holds what this migration wrote, and `uuid` back where it is
absent. Where the application has written either since, the application wins.

Stashed: uuid of every account that has one, and the ids that were given, with what was there before.

Differs from the original: an id that is there is kept; the original replaced it, and on a second run, when uuid was
gone, gave other ids to the accounts that had theirs from uuid. Its way back did nothing.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from pymongo.database import Database

from dataops.progress import track
from dataops.stash.mongo import ABSENT, WRITTEN, applying, batches, undoing

name = "20230807205306-add-uuid-to-accounts"
dependencies = ["20230709103710-deleted-phone-to-array"]
repeatable = True

BATCH = 1000
NO_ID = {"id": {"$in": [None, ""]}}
# text, not a list with text in it
UUID = {"$and": [{"uuid": {"$type": "string", "$ne": ""}}, {"uuid": {"$not": {"$type": "array"}}}]}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        named = {"$project": {"was": {"id": "$id"}, "set": {"id": "$uuid"}}}
        stash.plan("accounts", [{"$match": {"$and": [NO_ID, UUID]}}, named], label="id")
        # the server has no SHA-1
        for batch in track(batches(db, "accounts", {"$and": [NO_ID, {"$nor": [UUID]}]}, ["id"], BATCH)):
            stash.add("accounts", [given(account) for account in batch], label="id")
        stash.write("accounts", label="id")
        stash.keep("accounts", {"uuid": {"$exists": True}}, ["uuid"], label="uuid", latest=True)
        db["accounts"].update_many({"uuid": {"$exists": True}}, {"$unset": {"uuid": ""}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("accounts", {"id": WRITTEN}, label="id")
        stash.restore("accounts", {"uuid": ABSENT}, label="uuid")


def given(account: dict[str, Any]) -> dict[str, Any]:
    was = {field: account[field] for field in ("id",) if field in account}
    return {"_id": account["_id"], "was": was, "set": {"id": uuid_by_string(str(account["_id"]))}}


def uuid_by_string(text: str) -> str:
    """As the npm package of that name makes it without a namespace."""
    return str(uuid.UUID(bytes=hashlib.sha1(text.encode(), usedforsecurity=False).digest()[:16], version=5))
