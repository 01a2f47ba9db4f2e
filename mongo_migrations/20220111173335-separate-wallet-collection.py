"""Give wallets a collection of their own.

Every user whose `walletId` is text gets

    users.defaultWalletId  the walletId
    wallets                {id: walletId, _accountId: the user's _id, type: "checking", currency: "BTC",
                            onchain: the user's list of addresses, or [] where that is no list}

unless `wallets` has one with that id. The `_id` of a wallet inserted here is the `_id` of its user: that makes a
second run find it, and the way back know it (the application's wallets have an `_id` of their own).

Undone by removing those wallets and giving users their former `defaultWalletId` (mostly: none), while it still is
the walletId. On-chain addresses that a wallet got from the application since are appended to the user's first: none
is lost. Wallets that the application made stay.

Stashed: users that get a defaultWalletId, with the former one; whether `wallets` was there.

Differs from the original: users without a wallet id are skipped (they got a wallet with the id null, and a second
run after the next migration removed everybody's defaultWalletId); a second run makes no second wallet; onchain is
never null; and there is a way back (the original has none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import Stash, applying, undoing

name = "20220111173335-separate-wallet-collection"
dependencies = ["20211209211641-use-walletid-for-ledger"]
repeatable = True

HAS_ID: dict[str, Any] = {
    "walletId": {"$type": "string", "$ne": ""},
    "$nor": [{"walletId": {"$type": "array"}}],
}
TO_NAME = HAS_ID | {"$expr": {"$ne": ["$defaultWalletId", "$walletId"]}}
OURS = {"currency": "BTC", "$expr": {"$eq": ["$_id", "$_accountId"]}}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.created("wallets")
        stash.keep("users", TO_NAME, ["defaultWalletId"], latest=True)
        stash.update("users", TO_NAME, [{"$set": {"defaultWalletId": "$walletId"}}])
        without: list[dict[str, Any]] = []
        if db["wallets"].find_one({}, {"_id": 1}) is not None:
            stash.lookup_index("wallets", "id")
            by_id = {"from": "wallets", "localField": "walletId", "foreignField": "id", "as": "wallet"}
            without = [{"$lookup": by_id}, {"$match": {"wallet": []}}]
        wallet = {
            "id": "$walletId",
            "_accountId": "$_id",
            "type": {"$literal": "checking"},
            "currency": {"$literal": "BTC"},
            "onchain": {"$cond": [{"$isArray": "$onchain"}, "$onchain", []]},
        }
        stash.copy("users", [{"$match": HAS_ID}, *without, {"$project": wallet}], "wallets")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        carry_addresses_back(stash)
        db["wallets"].delete_many(OURS)
        stash.restore("users", {"defaultWalletId": "$walletId"})
        stash.drop_created("wallets")


def carry_addresses_back(stash: Stash) -> None:
    """Only what the user lacks, so that where the application added nothing, nothing changes (nor does a null)."""
    known = {"$cond": [{"$isArray": "$onchain"}, "$onchain", []]}
    fresh = {"$filter": {"input": "$$new.onchain", "cond": {"$not": [{"$in": ["$$this", known]}]}}}
    room = {"$in": [{"$type": "$onchain"}, ["array", "null", "missing"]]}
    more = {"$and": [room, {"$gt": [{"$size": fresh}, 0]}]}
    append = {"$set": {"onchain": {"$cond": [more, {"$concatArrays": [known, fresh]}, "$onchain"]}}}
    addresses: list[dict[str, Any]] = [
        {"$match": OURS | {"onchain.0": {"$exists": True}}},
        {"$match": {"$expr": {"$isArray": "$onchain"}}},
        {"$project": {"_id": "$_accountId", "onchain": 1}},
    ]
    stash.merge("wallets", addresses, "users", [append])
