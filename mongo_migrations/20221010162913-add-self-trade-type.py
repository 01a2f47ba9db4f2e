"""Tell trades with oneself from payments to somebody else.

Candidates are the journals of the ledger (`medici_transactions`) with an entry in USD of type on_us, ln_on_us or
onchain_on_us (the entry with the lowest `_id` decides which, if there are several). Of all entries of such a journal
those count whose `accounts` is exactly "Liabilities:" and the id of a wallet, unless that wallet belongs to a user
with the role dealer, funder or bankowner. If exactly two count, in different currencies, and their wallets belong to
the same account, then the journal is a trade with oneself, and in all its entries, of any type (an entry without a
currency is in a currency of its own),

    type_old  becomes the former type
    type      becomes self_trade, ln_self_trade or onchain_self_trade

Undone by giving both fields what they were before, while they still hold what was written here. Trades that the
application itself has written as such stay.

Stashed: both fields of every entry that is changed, before and after.

Differs from the original: an entry without a journal belongs to no journal (all of those were one); which entry of a
journal is the first is defined; and a type_old that was there before comes back (the original's way back works
otherwise, but would also turn back entries that it had not changed).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20221010162913-add-self-trade-type"
dependencies = ["20220922030802-update-contact-enabled"]
repeatable = True

LEDGER = "medici_transactions"
SELF = {"on_us": "self_trade", "ln_on_us": "ln_self_trade", "onchain_on_us": "onchain_self_trade"}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.lookup_index(LEDGER, "_journal")
        stash.lookup_index("wallets", "id")
        roles = {"role": {"$in": ["dealer", "funder", "bankowner"]}}
        # dataops: ignore[M001] the bank has a handful of users of its own, however many customers there are
        internal = [user["_id"] for user in db["users"].find(roles, {"_id": 1})]
        stash.plan(LEDGER, self_trades(internal), whole=True)
        stash.write(LEDGER)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore(LEDGER, {"type": WRITTEN, "type_old": WRITTEN})


def self_trades(internal: list[Any]) -> list[dict[str, Any]]:
    parts = {"$split": [{"$cond": [{"$eq": [{"$type": "$$this.accounts"}, "string"]}, "$$this.accounts", ""]}, ":"]}
    two = {"$and": [{"$eq": [{"$size": parts}, 2]}, {"$eq": [{"$first": parts}, "Liabilities"]}]}
    leg = {"currency": {"$ifNull": ["$$this.currency", None]}, "wallet": {"$cond": [two, {"$last": parts}, None]}}
    owner = {
        "$first": {"$filter": {"input": "$wallets", "as": "wallet", "cond": {"$eq": ["$$wallet.id", "$$this.wallet"]}}}
    }
    owned = {
        "currency": "$$this.currency",
        "owner": {"$ifNull": [{"$getField": {"field": "_accountId", "input": owner}}, None]},
    }
    theirs = {"$not": [{"$in": ["$$this.owner", {"$literal": [None, *internal]}]}]}
    return [
        {"$match": {"currency": "USD", "type": {"$in": list(SELF)}, "_journal": {"$ne": None}}},
        {"$group": {"_id": "$_journal", "first": {"$min": {"_id": "$_id", "type": "$type"}}}},
        {"$lookup": {"from": LEDGER, "localField": "_id", "foreignField": "_journal", "as": "entry"}},
        {
            "$project": {
                "type": "$first.type",
                "entry": {"_id": 1, "type": 1, "type_old": 1, "currency": 1, "accounts": 1},
            }
        },
        {"$set": {"legs": {"$map": {"input": "$entry", "in": leg}}}},
        {"$set": {"legs": {"$filter": {"input": "$legs", "cond": {"$ne": ["$$this.wallet", None]}}}}},
        {"$match": {"legs.1": {"$exists": True}}},
        {"$lookup": {"from": "wallets", "localField": "legs.wallet", "foreignField": "id", "as": "wallets"}},
        {"$set": {"legs": {"$map": {"input": "$legs", "in": owned}}}},
        {"$set": {"legs": {"$filter": {"input": "$legs", "cond": theirs}}}},
        {
            "$match": {
                "legs": {"$size": 2},
                "$expr": {
                    "$and": [
                        {"$ne": [{"$first": "$legs.currency"}, {"$last": "$legs.currency"}]},
                        {"$eq": [{"$first": "$legs.owner"}, {"$last": "$legs.owner"}]},
                    ]
                },
            }
        },
        {"$unwind": "$entry"},
        {
            "$project": {
                "_id": "$entry._id",
                "was": {"type": "$entry.type", "type_old": "$entry.type_old"},
                "set": {"type": renamed("$type"), "type_old": "$entry.type"},
            }
        },
    ]


def renamed(kind: str) -> dict[str, Any]:
    cases = [{"case": {"$eq": [kind, old]}, "then": new} for old, new in SELF.items()]
    return {"$switch": {"branches": cases, "default": kind}}
