"""What was called users is called accounts from here on.

Renames the collection `users` to `accounts`; its indexes move along. If `accounts` is there and empty, it gives way
(an application that was started too early has made it). If there is no `users`, nothing is done. If both have
documents, the migration stops with an error and changes nothing: a person has to say which are the accounts.

Undone by renaming it back, and by making the empty `accounts`, with its indexes, anew. If `users` has documents by
then (the application's), the rollback stops with an error and changes nothing.

Stashed: an empty `accounts` that gave way, for its indexes.

Differs from the original: an `accounts` that exists is no reason to print an error and be recorded as applied (all
later migrations then worked on the wrong collection); and the way back renames (the original's does nothing and
reports success).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "2022110622030802-users-to-account"
dependencies = ["20221010162913-add-self-trade-type"]
repeatable = True


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        if "users" not in db.list_collection_names():
            return
        if has_documents(db, "accounts"):
            if not has_documents(db, "users"):
                return
            raise RuntimeError(
                "users and accounts both have documents: nothing was renamed. Move the documents of one of them "
                "into the other, or rename it, then apply again"
            )
        stash.note("gave way", "accounts" in db.list_collection_names())
        stash.take("accounts")
        stash.note("renamed", True)
        db["users"].rename("accounts")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        given_back = stash.noted("gave way") and not stash.has("accounts")
        if stash.noted("renamed") and not given_back and "accounts" in db.list_collection_names():
            if has_documents(db, "users"):
                raise RuntimeError(
                    "users has documents again: accounts was not renamed back. Move them away, then roll back again"
                )
            db.drop_collection("users")
            db["accounts"].rename("users")
        stash.give_back("accounts")


def has_documents(db: Database[dict[str, Any]], collection: str) -> bool:
    return db[collection].find_one({}, {"_id": 1}) is not None
