"""Make the accounts that the bank itself needs: dealer, funder, bankowner.

For each of these roles, in this order, the user with the role (the one with the lowest `_id`, if there are several)
or else a new one:

    {role, phone, created_at: now}      phone: dealer "+1928282918", the others "+abc" and a random number

Then that user's BTC wallet, and the dealer's USD wallet, where `wallets` has none for `_accountId` and currency:

    {_accountId, currency, id: a random UUID v4, __v: 0, type: "checking", onchain: []}

A user without `defaultWalletId` (null is a value) gets that of the BTC wallet. What is going to be inserted is
written into the stash first: a second run after a stop inserts that, and nothing else.

Undone by removing what was inserted, while it is unused: a wallet that no ledger entry names (`accounts` is
"Liabilities:" and its id), and a user of whom no wallet is left. A used wallet stays, and so does its user.
`defaultWalletId` of a user that was there before is removed, unless it has been changed or its wallet stays.

Stashed: the documents that are inserted; which users got a defaultWalletId; whether the collections were there.

Differs from the original: there is a way back (the original has none).
"""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from dataops.stash.mongo import Stash, applying, undoing

name = "20220203152515-bootstrap_accounts"
dependencies = ["20220122121713-add-default-currency-walletinvoices"]
repeatable = True

ROLES = {"dealer": ("BTC", "USD"), "funder": ("BTC",), "bankowner": ("BTC",)}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.created("users")
        stash.created("wallets")
        for role, currencies in ROLES.items():
            user_id = user_with(db, stash, role)
            for currency in currencies:
                wallet_id = wallet_of(db, stash, user_id, currency)
                name_default(db, stash, user_id, wallet_id)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        made = [note["value"] for note in stash.notes("made:")]
        wallets = [one["document"] for one in made if one["collection"] == "wallets"]
        users = [one["document"]["_id"] for one in made if one["collection"] == "users"]
        accounts = [f"Liabilities:{wallet['id']}" for wallet in wallets]
        used = set(db["medici_transactions"].distinct("accounts", {"accounts": {"$in": accounts}}))
        unused = [wallet for wallet in wallets if f"Liabilities:{wallet['id']}" not in used]
        db["wallets"].delete_many({"_id": {"$in": [wallet["_id"] for wallet in unused]}})
        for note in stash.notes("default:"):
            user_id, wallet_id = note["value"]["user"], note["value"]["wallet"]
            if f"Liabilities:{wallet_id}" not in used:
                ours = {"_id": user_id, "defaultWalletId": wallet_id}
                db["users"].update_one(ours, {"$unset": {"defaultWalletId": ""}})
        for user_id in users:
            if db["wallets"].find_one({"_accountId": user_id}, {"_id": 1}) is None:
                db["users"].delete_one({"_id": user_id})
        stash.drop_created("wallets")
        stash.drop_created("users")


def user_with(db: Database[dict[str, Any]], stash: Stash, role: str) -> Any:
    found = db["users"].find_one({"role": role}, {"_id": 1}, sort=[("_id", 1)])
    if found is not None:
        return found["_id"]
    phone = "+1928282918" if role == "dealer" else f"+abc{random.randrange(999_999_999_999_999)}"
    user = {"_id": ObjectId(), "role": role, "phone": phone, "created_at": datetime.now(UTC)}
    return insert(db, stash, "users", role, user)["_id"]


def wallet_of(db: Database[dict[str, Any]], stash: Stash, user_id: Any, currency: str) -> Any:
    found = db["wallets"].find_one({"_accountId": user_id, "currency": currency}, {"id": 1}, sort=[("_id", 1)])
    if found is not None:
        return found.get("id")
    wallet = {
        "_id": ObjectId(),
        "_accountId": user_id,
        "currency": currency,
        "id": str(uuid.uuid4()),
        "__v": 0,
        "type": "checking",
        "onchain": [],
    }
    return insert(db, stash, "wallets", f"{user_id}:{currency}", wallet)["id"]


def insert(
    db: Database[dict[str, Any]], stash: Stash, collection: str, key: str, document: dict[str, Any]
) -> dict[str, Any]:
    """What was noted under the key by an earlier run, or else `document`; returns which."""
    noted = stash.note(f"made:{collection}:{key}", {"collection": collection, "document": document})
    planned: dict[str, Any] = noted["document"]
    db[collection].update_one({"_id": planned["_id"]}, {"$setOnInsert": planned}, upsert=True)
    return planned


def name_default(db: Database[dict[str, Any]], stash: Stash, user_id: Any, wallet_id: Any) -> None:
    without = {"_id": user_id, "defaultWalletId": {"$exists": False}}
    if wallet_id is not None and db["users"].find_one(without, {"_id": 1}) is not None:
        stash.note(f"default:{user_id}", {"user": user_id, "wallet": wallet_id})
        db["users"].update_one(without, {"$set": {"defaultWalletId": wallet_id}})
