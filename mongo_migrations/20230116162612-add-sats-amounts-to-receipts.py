"""Give receipts, and all entries of their journals, amounts in sats and cents.

Looks at ledger entries of type invoice or onchain_receipt in BTC without a satsAmount, takes them together by
_journal, and writes to every entry of that journal, of any type and currency, that has no satsAmount:

    satsAmount   round(the highest debit - fee)   displayAmount        as centsAmount
    satsFee      fee, or null                     displayFee           as centsFee
    centsAmount  round((usd - feeUsd) * 100)      displayCurrency      "USD"
    centsFee     round(feeUsd * 100)              satsAmountMigration  true

Undone by giving each of the eight fields what it was before, from the stash, as long as it still holds what
this migration wrote. Where the application has written another value since, the application wins: that field
stays.

Stashed: for every entry that is written, the former values of the eight fields (mostly none) and the new ones.

Differs from the original: an entry that has a satsAmount is not touched (the original overwrote those too,
EUR by USD); fee, usd and feeUsd come from the entry with the lowest _id, not from any; the way back goes by
what was written, not by type, so that entries of other types lose the values too; and it runs (the original
calls a method that its driver lost, and was recorded as applied without doing anything). An entry without a
_journal is left alone; the original took all of these together and wrote the same amounts to every entry
without a journal. Where an amount that counts (debit,
fee, usd, feeUsd) is a list or no number, all entries of that journal are left as they are (the original wrote NaN).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20230116162612-add-sats-amounts-to-receipts"
dependencies = ["20230116132109-add-sats-amounts-onchain-payments"]
repeatable = True

LEDGER = "medici_transactions"
TYPES = ["invoice", "onchain_receipt"]
FIELDS = (
    "satsAmount",
    "satsFee",
    "centsAmount",
    "centsFee",
    "displayAmount",
    "displayFee",
    "displayCurrency",
    "satsAmountMigration",
)
NAN = float("nan")
NUMBERS = ("int", "long", "double", "decimal")
FINITE = {"$gt": float("-inf"), "$lt": float("inf")}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.plan(LEDGER, amounts(), whole=True)
        stash.write(LEDGER)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore(LEDGER, dict.fromkeys(FIELDS, WRITTEN))


def amounts() -> list[dict[str, Any]]:
    """Which entries get which values, journal by journal. One pass: no index is needed."""
    ours = {"$and": [{"$in": ["$type", TYPES]}, {"$eq": ["$currency", "BTC"]}]}
    # of documents the one with the lowest first field is the lowest: the first entry, the same on every run
    first = {"_id": "$_id", "fee": "$fee", "usd": "$usd", "feeUsd": "$feeUsd"}
    any_of_them = {"$or": [{"$ne": [{"$type": f"${field}"}, "missing"]} for field in FIELDS]}
    was = {"$cond": [any_of_them, {field: f"${field}" for field in FIELDS}, {}]}
    cents = rounded({"$multiply": [{"$subtract": [number("$first.usd"), number("$first.feeUsd")]}, 100]})
    cents_fee = rounded({"$multiply": [number("$first.feeUsd"), 100]})
    values = {
        "satsAmount": rounded({"$subtract": ["$debit", number("$first.fee")]}),
        "satsFee": {"$ifNull": ["$first.fee", None]},
        "centsAmount": cents,
        "centsFee": cents_fee,
        "displayAmount": cents,
        "displayFee": cents_fee,
        "displayCurrency": {"$literal": "USD"},
        "satsAmountMigration": {"$literal": True},
    }
    return [
        {"$match": {"satsAmount": {"$exists": False}, "_journal": {"$type": "objectId"}}},
        {
            "$group": {
                "_id": "$_journal",
                "debit": {"$max": {"$cond": [ours, number("$debit"), None]}},
                "lowest": {"$min": {"$cond": [ours, number("$debit"), None]}},  # NaN, if one is no number
                "first": {"$min": {"$cond": [ours, first, None]}},
                "entry": {"$push": {"_id": "$_id", "was": was}},
            }
        },
        {"$match": {"first": {"$ne": None}, "_id": {"$not": {"$type": "array"}}}},
        {"$project": {"entry": 1, "lowest": 1, "set": values}},
        {"$match": dict.fromkeys(("lowest", "set.satsAmount", "set.centsAmount", "set.centsFee"), FINITE)},
        {"$unwind": "$entry"},
        {"$project": {"_id": "$entry._id", "was": "$entry.was", "set": 1}},
    ]


def number(value: str) -> dict[str, Any]:
    """As a double. Nothing counts as 0, and what is no number (a date could be converted, too) is NaN."""
    as_double = {"$convert": {"input": value, "to": "double", "onError": NAN, "onNull": 0.0}}
    return {"$cond": [{"$in": [{"$type": value}, ["missing", "null", "string", *NUMBERS]]}, as_double, NAN]}


def rounded(value: dict[str, Any]) -> dict[str, Any]:
    """To the next whole number, half upwards ($round: half to even); an int, or a long if that is too small."""
    whole = {"$floor": {"$add": [value, 0.5]}}
    as_long = {"$convert": {"input": whole, "to": "long", "onError": whole}}
    return {"$convert": {"input": whole, "to": "int", "onError": as_long}}
