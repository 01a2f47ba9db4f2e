"""Book by wallet, not by user: ledger entries and invoices name the wallet id.

1. Users whose `walletPublicId` is text: `walletId` becomes the same.
2. For each user with a wallet id, ledger entries (`medici_transactions`) whose `account_path` has the user's `_id`
   (an ObjectId, a text or a number) as text anywhere: account_path becomes ["Liabilities", walletId], accounts
   "Liabilities:" + walletId. What they said before goes to account_path_old_userid and accounts_old_userid, each only
   if it is not there yet.
3. The other entries with "Liabilities" in their path and without such a backup get it too, and keep their path.
4. Invoices (`invoiceusers`) whose `uid` is such a user's `_id` as text: `walletId` becomes the user's.

Undone by turning entries back from their backup and removing that, and by giving invoices and users their former
walletId (mostly: none) while they still have the one that was written here. Entries that the application has
written since have no backup and stay as they are, and so do walletIds that it has changed.

Stashed: users and invoices that get a walletId, with the former one; and the entries that had a backup before,
which the way back could not tell from ours.

Differs from the original: users without a wallet id are skipped (their entries were booked to null and
"Liabilities:undefined", and a walletId without a walletPublicId was removed); a second run does not overwrite the
backup (the user ids were lost for good); the way back leaves entries without a backup alone (both fields were
removed), and takes the backups and walletIds away again.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ANY, WRITTEN, Stash, applying, undoing

name = "20211209211641-use-walletid-for-ledger"
dependencies = ["20211202002129-coordinate-to-coordinates"]
repeatable = True

LEDGER = "medici_transactions"
OLD_PATH, OLD_ACCOUNTS = "account_path_old_userid", "accounts_old_userid"

TO_NAME = {
    "walletPublicId": {"$type": "string", "$ne": ""},
    "$expr": {
        "$and": [
            {"$eq": [{"$type": "$walletPublicId"}, "string"]},
            {"$ne": ["$walletId", "$walletPublicId"]},
        ]
    },
}
# every user with a wallet id, and how other collections name that user
OWNERS: list[dict[str, Any]] = [
    {"$match": {"walletId": {"$type": "string", "$ne": ""}, "_id": {"$type": ["objectId", "string", "number"]}}},
    {"$project": {"walletId": 1, "text": {"$toString": "$_id"}}},
]


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep(
            LEDGER,
            {"$or": [{OLD_PATH: {"$exists": True}}, {OLD_ACCOUNTS: {"$exists": True}}]},
            BOTH,
            once=True,
        )
        stash.keep("users", TO_NAME, ["walletId"], latest=True)
        stash.update("users", TO_NAME, [{"$set": {"walletId": "$walletPublicId"}}])
        book_by_wallet(db, stash)
        name_wallets_of_invoices(stash)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("invoiceusers", {"walletId": WRITTEN})
        book_by_user(db, stash)
        stash.restore("users", {"walletId": "$walletPublicId"})


BOTH = ("account_path", "accounts", OLD_PATH, OLD_ACCOUNTS)


def book_by_wallet(db: Database[dict[str, Any]], stash: Stash) -> None:
    stash.lookup_index(LEDGER, "account_path")
    entries = {"from": LEDGER, "localField": "text", "foreignField": "account_path", "as": "entry"}
    by_wallet = {
        "_id": "$entry._id",
        "account_path": ["Liabilities", "$walletId"],
        "accounts": {"$concat": ["Liabilities:", "$walletId"]},
    }
    # $unwind streams: the entries of one user need not fit into a document
    booked = [*OWNERS, {"$lookup": entries}, {"$unwind": "$entry"}, {"$project": by_wallet | backup("$entry.")}]
    stash.merge("users", booked, LEDGER, "merge")
    others = {"account_path": "Liabilities", OLD_PATH: {"$exists": False}}
    db[LEDGER].update_many(others, [{"$set": backup("$")}], hint={"$natural": 1})  # few of all with "Liabilities"


def backup(entry: str) -> dict[str, Any]:
    """What is there already stays."""

    def unless_there(old: str, now: str) -> dict[str, Any]:
        return {"$cond": [{"$eq": [{"$type": entry + old}, "missing"]}, entry + now, entry + old]}

    return {OLD_PATH: unless_there(OLD_PATH, "account_path"), OLD_ACCOUNTS: unless_there(OLD_ACCOUNTS, "accounts")}


def name_wallets_of_invoices(stash: Stash) -> None:
    stash.lookup_index("invoiceusers", "uid")
    by_uid = {"from": "invoiceusers", "localField": "text", "foreignField": "uid", "as": "invoice"}
    stash.plan(
        "invoiceusers",
        [
            *OWNERS,
            {"$lookup": by_uid},
            {"$unwind": "$invoice"},
            {
                "$match": {
                    "$expr": {
                        "$and": [
                            {"$eq": ["$invoice.uid", "$text"]},
                            {"$ne": ["$invoice.walletId", "$walletId"]},
                        ]
                    }
                }
            },
            {
                "$project": {
                    "_id": "$invoice._id",
                    "was": {"walletId": "$invoice.walletId"},
                    "set": {"walletId": "$walletId"},
                }
            },
        ],
        "users",
        latest=True,
    )
    stash.write("invoiceusers")


def book_by_user(db: Database[dict[str, Any]], stash: Stash) -> None:
    """From the backup; but what had a backup before us goes back to exactly that, path and all."""
    ours: dict[str, Any] = {OLD_PATH: {"$exists": True}}
    back: list[dict[str, Any]] = [
        {"$set": {"account_path": f"${OLD_PATH}", "accounts": f"${OLD_ACCOUNTS}"}},
        {"$unset": [OLD_PATH, OLD_ACCOUNTS]},
    ]
    if not stash.has(LEDGER):  # never applied, or undone: then these backups are not ours
        return
    exceptions = stash.name(LEDGER)
    if db[exceptions].find_one({}, {"_id": 1}) is None:
        stash.update(LEDGER, ours, back)
        return
    kept = {"from": exceptions, "localField": "_id", "foreignField": "_id", "as": "kept"}
    others = [{"$match": ours}, {"$project": {"_id": 1}}, {"$lookup": kept}, {"$match": {"kept": []}}]
    stash.merge(LEDGER, others, LEDGER, back)
    stash.restore(LEDGER, dict.fromkeys(BOTH, ANY))
