"""Move the IP addresses of accounts into a collection of their own, accountips.

Every entry of an account's list `lastIPs` becomes a document of `accountips`:

    {ip, metadata: {provider, country, isoCode, region, city, Type, asn, proxy}, firstConnection, lastConnection,
     _accountId: <_id of the account>}

with null for what an entry lacks. Entries with the same ip stay apart. Then `lastIPs` and `lastConnection` are
removed from all accounts, whatever they hold.

Undone by giving both fields back to accounts where they are absent (the application wins where it has written
one since), deleting the documents that came from here, with what the application has written into them, and
dropping the collection if it was made here and nothing else is in it. Documents that the application inserted
stay.

Stashed: both fields of the accounts, and the documents that were inserted.

Differs from the original: an entry whose ip the account already has in `accountips` is not inserted again, so that
a run that was stopped (theirs or ours) can be finished; an entry that is no document is left out (it broke the
run, or became a document of nulls), but is in the stash; and the way back did nothing: lastConnection was lost.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20230630133505-moving-ip-collection"
dependencies = ["20230621225319-remove-deposit-fee-ratio"]
repeatable = True

METADATA = ("provider", "country", "isoCode", "region", "city", "Type", "asn", "proxy")
OLD = {"$or": [{"lastIPs": {"$exists": True}}, {"lastConnection": {"$exists": True}}]}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.insert("accountips")  # after a stop: what was planned then, so that it is found and not planned again
        stash.created("accountips")
        stash.lookup_index("accountips", "_accountId")
        stash.plan("accountips", rows(db), "accounts")
        stash.insert("accountips")
        stash.keep("accounts", OLD, ["lastIPs", "lastConnection"], latest=True)
        stash.update("accounts", OLD, {"$unset": {"lastIPs": "", "lastConnection": ""}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("accounts", {"lastIPs": ABSENT, "lastConnection": ABSENT})
        stash.remove("accountips")
        stash.drop_created("accountips")


def rows(db: Database[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents to insert. They have no _id: the server makes one when it writes them into the stash."""

    def entry(field: str) -> dict[str, Any]:
        return {"$ifNull": [f"$lastIPs.{field}", None]}

    document = {
        "ip": entry("ip"),
        "metadata": {field: entry(field) for field in METADATA},
        "firstConnection": entry("firstConnection"),
        "lastConnection": entry("lastConnection"),
        "_accountId": "$_id",
    }
    known: list[dict[str, Any]] = [
        {"$lookup": {"from": "accountips", "localField": "_id", "foreignField": "_accountId", "as": "known"}},
        {"$set": {"known": {"$map": {"input": "$known", "in": {"$ifNull": ["$$this.ip", None]}}}}},
    ]
    not_there: list[dict[str, Any]] = [{"$match": {"$expr": {"$not": {"$in": [entry("ip"), "$known"]}}}}]
    if db["accountips"].find_one({}, {"_id": 1}) is None:
        known = not_there = []
    return [
        {"$match": {"lastIPs": {"$type": "array", "$ne": []}}},
        {"$project": {"lastIPs": 1}},
        *known,
        {"$unwind": "$lastIPs"},
        {"$match": {"lastIPs": {"$type": "object"}}},
        *not_there,
        {"$project": {"_id": 0, "was": {"$literal": {}}, "set": document}},
    ]
