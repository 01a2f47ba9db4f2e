"""Note the id of the account in wallets and accountips.

Every document of `wallets` and of `accountips` whose `_accountId` is the `_id` of an account with an `id` gets that
as `accountId`; another accountId gives way. `_accountId` stays.

Undone by giving accountId what it was before, as long as it holds what this migration wrote. Where the application
has written another one since, the application wins.

Stashed: accountId of every document that is written, before and after.

Differs from the original: the original wrote the second half to a collection `accountsips`, which does not exist,
so that the addresses moved by the migration of 2023-06-30 were never found again; and where an account has no id,
or there is no such account, accountId stays as it is (the original wrote null). It had no way back.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20231009205307-migrate-accounts-to-uuid"
dependencies = ["20230807205306-add-uuid-to-accounts"]
repeatable = True

COLLECTIONS = ("wallets", "accountips")


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        for collection in COLLECTIONS:
            stash.plan(collection, ids())
            stash.write(collection)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        for collection in COLLECTIONS:
            stash.restore(collection, {"accountId": WRITTEN})


def ids() -> list[dict[str, Any]]:
    return [
        {"$match": {"_accountId": {"$ne": None, "$not": {"$type": "array"}}}},
        {"$project": {"_accountId": 1, "accountId": 1}},
        {"$lookup": {"from": "accounts", "localField": "_accountId", "foreignField": "_id", "as": "account"}},
        {"$project": {"accountId": 1, "id": {"$first": "$account.id"}}},
        {"$match": {"id": {"$nin": [None, ""]}, "$expr": {"$ne": ["$id", "$accountId"]}}},
        {"$project": {"was": {"accountId": "$accountId"}, "set": {"accountId": "$id"}}},
    ]
