"""Make users out of accounts: who somebody is, apart from what they own.

Every account with a `kratosUserId` becomes a document of the new collection `users`

    userId         kratosUserId          language      language
    phone          phone                 deviceTokens  deviceToken
    phoneMetadata  twilio                createdAt     created_at

with the fields that the account has (a phone that is null is none). The accounts with the role dealer, funder or
bankowner become users too, without a userId, if they have a phone but no kratosUserId: they never log in through
Kratos, and their phone has to stay somewhere. Of several accounts with one kratosUserId the one with the lowest `_id`
counts. An account whose kratosUserId or phone has a user already gets no second one.

The `_id` of a user inserted here is the `_id` of the account: that makes a second run find it, and the way back know
it (the application's users have an `_id` of their own).

Undone by removing those users, and the collection if it was made here and nothing else is in it. What the application
has changed in a user's phone, phoneMetadata, language or deviceTokens since goes back to the account first: none is
lost. Users that the application made stay.

Stashed: only whether `users` was there.

Differs from the original: accounts without a kratosUserId become no users, except the bank's own three; fields that
an account lacks are left out (the original wrote nulls, and a unique index on phone then let only one account without
a phone become a user, silently); a second run makes no second set of users; and there is a way back (the original has
none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.progress import track
from dataops.stash.mongo import Stash, applying, batches, undoing

name = "2022113010370802-users-migration-1"
dependencies = ["2022110622030802-users-to-account"]
repeatable = True

BATCH = 1000

LOGS_IN = {"kratosUserId": {"$type": "string", "$ne": ""}, "$expr": {"$eq": [{"$type": "$kratosUserId"}, "string"]}}
BANKS_OWN = {
    "role": {"$in": ["dealer", "funder", "bankowner"]},
    "kratosUserId": {"$in": [None, ""]},
    "phone": {"$type": "string", "$ne": ""},
}
# of a user: of an account
MOVED = {"phone": "phone", "phoneMetadata": "twilio", "language": "language", "deviceTokens": "deviceToken"}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.created("users")
        without: list[dict[str, Any]] = []
        if db["users"].find_one({}, {"_id": 1}) is not None:
            stash.lookup_index("users", "userId")
            stash.lookup_index("users", "phone")
            without = [*no_user("userId"), *no_user("phone")]
        fields = {"_id": "$_id"} | {field: f"${source}" for field, source in MOVED.items()}
        known = {"$ne": [{"$ifNull": ["$kratosUserId", ""]}, ""]}
        user_id = {"$cond": [known, "$kratosUserId", "$$REMOVE"]}
        first = {"$min": fields | {"createdAt": "$created_at", "userId": user_id}}
        users: list[dict[str, Any]] = [
            {"$match": {"$or": [LOGS_IN, BANKS_OWN]}},
            # the smallest of documents is the one with the smallest first field
            {"$group": {"_id": {"$cond": [known, "$kratosUserId", "$_id"]}, "first": first}},
            {"$replaceWith": "$first"},
            {"$set": {"phone": {"$ifNull": ["$phone", "$$REMOVE"]}}},
            *without,
        ]
        stash.copy("accounts", users, "users")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        carry_changes_back(stash)
        for batch in track(batches(db, "accounts", {}, [], BATCH)):
            db["users"].delete_many({"_id": {"$in": [account["_id"] for account in batch]}})
        stash.drop_created("users")


def no_user(field: str) -> list[dict[str, Any]]:
    """Only those for whom no user has the same in the field. Nothing is not the same as nothing."""
    return [
        {"$set": {"key": {"$ifNull": [f"${field}", "$_id"]}}},
        {"$lookup": {"from": "users", "localField": "key", "foreignField": field, "as": "user"}},
        {"$match": {"user": []}},
        {"$unset": ["key", "user"]},
    ]


def carry_changes_back(stash: Stash) -> None:
    """Only what differs, so that where the application changed nothing, nothing changes (nor does a null)."""
    back = {}
    for field, source in MOVED.items():
        now, theirs = f"${source}", f"$$new.{field}"
        same = {"$eq": [{"$ifNull": [now, None]}, {"$ifNull": [theirs, None]}]}
        back[source] = {"$cond": [same, now, theirs]}
    stash.merge("users", [{"$project": dict.fromkeys(MOVED, 1)}], "accounts", [{"$set": back}])
