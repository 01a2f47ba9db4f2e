"""Give fee reimbursements their own amounts, not those of the payment.

Takes the ledger entries (`medici_transactions`) of type "fee_reimbursement" together by hash (those without a hash by
journal, else each alone). If one of them is in BTC with debit 0, the first such entry (of the same journal, if there
is one, else of the group; the lowest `_id`) gives all of them

    satsAmount   its credit                  satsFee     0
    centsAmount  floor(its usd * 100)        centsFee    0
    displayAmount  as centsAmount            displayFee  0

The floor is that of the binary product: 0.29 gives 28. Where that entry has no credit, or no usd that is a number,
nothing is changed. Entries that hold these values already are left out.

Undone by giving each of the six fields what it was before, while it still holds what was written here. What the
application has written since stays.

Stashed: for every entry that is written, the former values of the six fields and the new ones.

Differs from the original: two reimbursements with one hash each keep their own amounts (both got the first one's);
entries without a hash are not taken for one group; a missing usd does not become NaN; there is a way back (the
original has none); and it runs (with a newer driver the original did nothing and was recorded as applied).
"""

from __future__ import annotations

import math
from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20220601191441-fix-reimburse-amounts"
dependencies = ["20220427130214-add-sats-amount-prop-to-payments"]
repeatable = True

LEDGER = "medici_transactions"
FIELDS = ("satsAmount", "satsFee", "centsAmount", "centsFee", "displayAmount", "displayFee")


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.plan(LEDGER, amounts())
        stash.write(LEDGER)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore(LEDGER, dict.fromkeys(FIELDS, WRITTEN))


def amounts() -> list[dict[str, Any]]:
    has_hash = {"$and": [{"$eq": [{"$type": "$hash"}, "string"]}, {"$ne": ["$hash", ""]}]}
    usd = {"$convert": {"input": "$usd", "to": "double", "onError": None, "onNull": None}}
    gives = {"$and": [{"$eq": ["$currency", "BTC"]}, {"$eq": ["$debit", 0]}, {"$isNumber": "$credit"}]}
    source = {
        "_id": "$_id",
        "journal": "$_journal",
        "credit": "$credit",
        "cents": {"$floor": {"$multiply": [usd, 100]}},
    }
    here = {"$filter": {"input": "$sources", "cond": {"$eq": ["$$this.journal", "$entry.journal"]}}}
    cents = as_int("$source.cents")
    values = {
        "satsAmount": as_int("$source.credit"),
        "satsFee": {"$literal": 0},
        "centsAmount": cents,
        "centsFee": {"$literal": 0},
        "displayAmount": cents,
        "displayFee": {"$literal": 0},
    }
    was = {field: f"${field}" for field in FIELDS}
    return [
        {"$match": {"type": "fee_reimbursement"}},
        {
            "$group": {
                "_id": {"$cond": [has_hash, "$hash", {"$ifNull": ["$_journal", "$_id"]}]},
                "entry": {"$push": {"_id": "$_id", "journal": "$_journal", "was": was}},
                "sources": {"$push": {"$cond": [gives, source, "$$REMOVE"]}},
            }
        },
        {"$match": {"sources.0": {"$exists": True}}},
        {"$unwind": "$entry"},
        # the smallest of documents is the one with the smallest first field
        {"$set": {"source": {"$ifNull": [{"$min": here}, {"$min": "$sources"}]}}},
        {"$match": {"source.cents": {"$gt": -math.inf}}},  # neither null nor NaN
        {"$project": {"_id": "$entry._id", "was": "$entry.was", "set": values}},
        {"$match": {"$expr": {"$ne": ["$was", "$set"]}}},
    ]


def as_int(value: str) -> dict[str, Any]:
    """As stored by JavaScript: an int where it is whole and fits."""
    return {
        "$cond": [
            {"$eq": [value, {"$trunc": value}]},
            {"$convert": {"input": value, "to": "int", "onError": value}},
            value,
        ]
    }
