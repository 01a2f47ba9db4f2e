"""Note the account in invoices.

A document of `invoiceusers` without `accountId` whose `walletId` is the `id` of a wallet with an `accountId` (of
several: the one with the lowest `_id`) gets that accountId, and migratedAccountId true.

Undone by giving both fields what they were before, as long as they hold what this migration wrote. Where the
application has written another accountId since, the application wins.

Stashed: the invoices that are written, with both fields before and after.

Differs from the original: a wallet without an accountId gives none (it gave null, and the mark), and an invoice
without a walletId is left alone (it was given the account of a wallet without an id). What other runs had marked is
not unmarked by ours.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import WRITTEN, applying, undoing

name = "20240424133833-add-account-id-to-invoices"
dependencies = ["20240419021017-add-remove-medici-6-deprecated-indexes"]
repeatable = True


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.lookup_index("wallets", "id")
        stash.plan("invoiceusers", owners(), whole=True)
        stash.write("invoiceusers")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("invoiceusers", {"accountId": WRITTEN, "migratedAccountId": WRITTEN})


def owners() -> list[dict[str, Any]]:
    owner = {"$min": {"$map": {"input": "$wallets", "in": {"_id": "$$this._id", "accountId": "$$this.accountId"}}}}
    return [
        {"$match": {"accountId": {"$exists": False}, "walletId": {"$type": "string", "$ne": ""}}},
        {"$project": {"walletId": 1, "was": {"migratedAccountId": "$migratedAccountId"}}},
        {"$lookup": {"from": "wallets", "localField": "walletId", "foreignField": "id", "as": "wallets"}},
        {"$project": {"was": 1, "wallets._id": 1, "wallets.accountId": 1}},
        {"$project": {"was": 1, "owner": owner}},
        {"$match": {"owner.accountId": {"$nin": [None, ""]}}},
        {"$project": {"was": 1, "set": {"accountId": "$owner.accountId", "migratedAccountId": {"$literal": True}}}},
    ]
