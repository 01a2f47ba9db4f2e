"""Remove from users what has moved to wallets: walletId, walletPublicId, onchain.

Drops the index walletId_1 of `users`, if it is there, and the three fields of every user.

Undone by giving the three fields back exactly as they were, each to every user that still lacks it, and by building
the index again with all the options that it had. What the application has written to one of these fields since
stays. An index that was unique and not sparse allows one user without a walletId: if there would be more, or two users
with the same, the way back refuses before it changes anything, and says so. Give these users a walletId, or remove
them, and run it again. (On-chain addresses that wallets got in the meantime are carried back by the rollback of
20220111173335-separate-wallet-collection, which removes those wallets.)

Stashed: the three fields of every user that has one of them; the definition of the index.

Differs from the original: there is a way back (the original has none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, Stash, StashRefused, applying, undoing

name = "20220118183759-remove-wallet-id-index"
dependencies = ["20220111173335-separate-wallet-collection"]
repeatable = True

FIELDS = ("walletId", "walletPublicId", "onchain")
ANY_OF_THEM = {"$or": [{field: {"$exists": True}} for field in FIELDS]}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("users", ANY_OF_THEM, FIELDS, latest=True)
        stash.drop_index("users", "walletId_1")
        stash.update("users", ANY_OF_THEM, {"$unset": dict.fromkeys(FIELDS, "")})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        refuse_duplicates(db, stash)
        stash.restore("users", dict.fromkeys(FIELDS, ABSENT))
        stash.restore_indexes()


def refuse_duplicates(db: Database[dict[str, Any]], stash: Stash) -> None:
    """Raise an error if the index that was there cannot be built on what the users will have."""
    index = stash.kept_index("users", "walletId_1") or {}
    leaves_users_out = index.get("sparse") or index.get("partialFilterExpression")
    if not index.get("unique") or leaves_users_out or list(index["key"]) != ["walletId"]:
        return
    kept = {"from": stash.name("users"), "localField": "_id", "foreignField": "_id", "as": "kept"}
    then = {"$ifNull": ["$walletId", {"$first": "$kept.was.walletId"}, None]}
    twice = [
        {"$project": {"walletId": 1}},
        {"$lookup": kept},
        {"$group": {"_id": then, "users": {"$sum": 1}}},
        {"$match": {"users": {"$gt": 1}}},
        {"$limit": 1},
    ]
    for found in db["users"].aggregate(twice, allowDiskUse=True):
        raise StashRefused(
            f"{name}: walletId_1 was unique and not sparse, and {found['users']} users would have the walletId "
            f"{found['_id']!r}. Nothing was changed",
            hint="give each of these users a walletId of its own, or remove them, and roll back again",
        )
