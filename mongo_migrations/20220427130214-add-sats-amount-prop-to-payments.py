"""Give payments, and what shares their hash, amounts in sats and cents.

Looks at ledger entries (`medici_transactions`) of type "payment" with a debit above 0, in any currency, that lack
`satsAmount` or `centsAmount`. Alone, such an entry gets

    satsAmount  debit - fee (null where there is no fee)

If it has a hash, all entries with that hash, of any type, that lack `satsAmount` or `centsAmount`, get

    satsAmount   as above              displayAmount    as centsAmount
    satsFee      fee, or null          displayFee       as centsFee
    centsAmount  round((usd - feeUsd) * 100)            half upwards; nothing, or what is no number, counts as 0
    centsFee     round(feeUsd * 100)   displayCurrency  "USD"

from the first entry of that hash: payments with a debit before others that have a satsAmount, entries in USD last,
then the lowest `_id`.

Undone by giving each of the seven fields what it was before, while it still holds what was written here. What the
application has written since stays.

Stashed: for every entry that is written, the former values of the seven fields (mostly: none) and the new ones.

Differs from the original: an entry that has both amounts is complete and not touched (the original overwrote it,
EUR by USD); which entry is the first of its hash is defined, and one in sats is preferred to one in cents; only what
was written here is taken back (the original removed the fields from the whole collection, the application's too); and
it runs (with a newer driver the original did nothing, or stopped after the first hash, and was recorded as applied).
Only a hash that is text joins entries.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20220427130214-add-sats-amount-prop-to-payments"
dependencies = ["20220422000000-add-status-history"]
repeatable = True

LEDGER = "medici_transactions"
FIELDS = ("satsAmount", "satsFee", "centsAmount", "centsFee", "displayAmount", "displayFee", "displayCurrency")

PAYMENT: dict[str, Any] = {"type": "payment", "debit": {"$gt": 0}}
LACKING: dict[str, Any] = {"$or": [{"satsAmount": {"$exists": False}}, {"centsAmount": {"$exists": False}}]}
HASH: dict[str, Any] = {"hash": {"$type": "string", "$ne": ""}, "$expr": {"$eq": [{"$type": "$hash"}, "string"]}}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.lookup_index(LEDGER, "hash")
        stash.plan(LEDGER, [*by_hash(), {"$unionWith": {"coll": LEDGER, "pipeline": alone()}}], whole=True)
        stash.write(LEDGER)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore(LEDGER, dict.fromkeys(FIELDS, WRITTEN))


def alone() -> list[dict[str, Any]]:
    """Payments that no hash joins to anything."""
    return [
        {"$match": PAYMENT | {"satsAmount": {"$exists": False}, "$nor": [HASH]}},
        {"$project": {"set": {"satsAmount": difference("$debit", "$fee")}}},
    ]


def by_hash() -> list[dict[str, Any]]:
    """First each hash with its amounts, then all entries of that hash that lack theirs."""
    cents = rounded({"$multiply": [{"$subtract": [number("$first.usd"), number("$first.feeUsd")]}, 100]})
    cents_fee = rounded({"$multiply": [number("$first.feeUsd"), 100]})
    values = {
        "satsAmount": {"$ifNull": ["$first.satsAmount", None]},
        "satsFee": {"$ifNull": ["$first.fee", None]},
        "centsAmount": cents,
        "centsFee": cents_fee,
        "displayAmount": cents,
        "displayFee": cents_fee,
        "displayCurrency": {"$literal": "USD"},
    }
    pays = {"$and": [{"$eq": ["$type", "payment"]}, {"$isNumber": "$debit"}, {"$gt": ["$debit", 0]}]}
    missing = {"$in": ["missing", [{"$type": "$satsAmount"}, {"$type": "$centsAmount"}]]}
    # the smallest of documents is decided by their first fields, in this order
    first = {
        "later": {"$not": [pays]},
        "dollars": {"$eq": ["$currency", "USD"]},
        "_id": "$_id",
        "satsAmount": {"$cond": [{"$and": [pays, missing]}, difference("$debit", "$fee"), "$satsAmount"]},
        "fee": "$fee",
        "usd": "$usd",
        "feeUsd": "$feeUsd",
    }
    return [
        {"$match": {"$and": [{"$or": [PAYMENT, {"satsAmount": {"$exists": True}}]}, HASH]}},
        {"$group": {"_id": "$hash", "first": {"$min": first}}},
        {"$project": {"set": values}},
        {"$lookup": {"from": LEDGER, "localField": "_id", "foreignField": "hash", "as": "entry"}},
        {"$unwind": "$entry"},
        {
            "$match": {
                "$or": [{f"entry.{field}": {"$exists": False}} for field in ("satsAmount", "centsAmount")],
                "$expr": {"$eq": ["$entry.hash", "$_id"]},
            }
        },
        {"$project": {"_id": "$entry._id", "was": {field: f"$entry.{field}" for field in FIELDS}, "set": 1}},
    ]


def difference(one: str, other: str) -> dict[str, Any]:
    """As stored by JavaScript: null unless both are numbers, an int where it is whole and fits."""
    difference = {"$subtract": [one, other]}
    whole = {"$eq": [difference, {"$trunc": difference}]}
    as_int = {"$convert": {"input": difference, "to": "int", "onError": difference}}
    numbers = {"$and": [{"$isNumber": one}, {"$isNumber": other}]}
    return {"$cond": [numbers, {"$cond": [whole, as_int, difference]}, None]}


def number(value: str) -> dict[str, Any]:
    """As a double; nothing, or what is no number, counts as 0."""
    return {"$convert": {"input": value, "to": "double", "onError": 0.0, "onNull": 0.0}}


def rounded(value: dict[str, Any]) -> dict[str, Any]:
    """To the next whole number, half upwards ($round: half to even), as an int, or a long where that is too small."""
    whole = {"$floor": {"$add": [value, 0.5]}}
    as_long = {"$convert": {"input": whole, "to": "long", "onError": whole}}
    return {"$convert": {"input": whole, "to": "int", "onError": as_long}}
