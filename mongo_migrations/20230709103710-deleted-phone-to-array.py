"""Turn deletedPhone of users into the list deletedPhones, and close their accounts.

First, for every user with a `deletedPhone` and a `userId`, the account with that `kratosUserId` (one: the lowest
`_id`) gets {status: "closed", updatedAt: now, comment: "Account closed via migration"} at the end of its
`statusHistory`; a history that is no list becomes a list with just that. Then `deletedPhone` is put at the end of
`deletedPhones` and removed. A `deletedPhone` that is empty or no text stays as it is, and closes nothing.

Undone by giving `deletedPhone` back where it is absent, and `deletedPhones` and `statusHistory` what they were, as
long as they hold what this migration left. Where the application has added to a list since, the application wins:
of `statusHistory` only our own entry is taken out, and `deletedPhones` stays.

Stashed: both phone fields of the users, statusHistory of the accounts that are closed.

Differs from the original: a user without a userId closes no account (the original closed the first account without
kratosUserId: the dealer's); a history of null no longer stops the migration; the accounts are closed before
`deletedPhone` goes, so that a second run finds them; a deletedPhones that was there is kept; and the way back did
nothing.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, Stash, applying, undoing

name = "20230709103710-deleted-phone-to-array"
dependencies = ["20230630133505-moving-ip-collection"]
repeatable = True

# text, not a list with text in it
PHONE = {"$and": [{"deletedPhone": {"$type": "string", "$ne": ""}}, {"deletedPhone": {"$not": {"$type": "array"}}}]}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.lookup_index("accounts", "kratosUserId")
        stash.plan("accounts", closings(), "users")
        if stash.has("accounts"):
            change(stash, {"$cond": [closed(), "$statusHistory", close("$statusHistory")]})
        stash.keep("users", PHONE, ["deletedPhone", "deletedPhones"], latest=True)
        phones = {"$concatArrays": [as_list("$deletedPhones"), ["$deletedPhone"]]}
        db["users"].update_many(PHONE, [{"$set": {"deletedPhones": phones}}, {"$unset": "deletedPhone"}])


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        left = {"$concatArrays": [as_list("$$new.was.deletedPhones"), ["$$new.was.deletedPhone"]]}
        stash.restore("users", {"deletedPhones": left, "deletedPhone": ABSENT})
        if stash.has("accounts"):
            untouched = {"$eq": ["$statusHistory", close("$$new.was.statusHistory")]}
            others = {"$filter": {"input": "$statusHistory", "cond": {"$ne": ["$$this", "$$new.set.closing"]}}}
            added = {"$cond": [closed(), others, "$statusHistory"]}
            change(stash, {"$cond": [untouched, "$$new.was.statusHistory", added]})


def closings() -> list[dict[str, Any]]:
    """The accounts to close: once each, also when two users, or two accounts, have the same id."""
    closing = {"status": "closed", "updatedAt": "$$NOW", "comment": "Account closed via migration"}
    accounts = {"from": "accounts", "localField": "_id", "foreignField": "kratosUserId", "as": "account"}
    return [
        {"$match": {"$and": [PHONE, {"userId": {"$type": "string", "$ne": ""}}]}},
        {"$group": {"_id": "$userId"}},
        {"$lookup": accounts},
        {"$unwind": "$account"},
        {"$match": {"$expr": {"$eq": ["$account.kratosUserId", "$_id"]}}},
        {"$group": {"_id": "$_id", "account": {"$min": {"_id": "$account._id", "was": "$account.statusHistory"}}}},
        {
            "$project": {
                "_id": "$account._id",
                "was": {"statusHistory": "$account.was"},
                "set": {"closing": closing},
            }
        },
    ]


def as_list(value: str) -> dict[str, Any]:
    return {"$cond": [{"$isArray": value}, value, []]}


def close(history: str) -> dict[str, Any]:
    return {"$concatArrays": [as_list(history), ["$$new.set.closing"]]}


def closed() -> dict[str, Any]:
    return {"$in": ["$$new.set.closing", as_list("$statusHistory")]}


def change(stash: Stash, history: dict[str, Any]) -> None:
    """Set the statusHistory of every account in the stash to an expression over the account and the stash."""
    stash.merge(stash.name("accounts"), [], "accounts", [{"$set": {"statusHistory": history}}])
