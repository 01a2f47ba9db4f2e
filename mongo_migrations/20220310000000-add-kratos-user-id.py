"""Let users be without a phone: phone_1 becomes unique and sparse.

The index phone_1 of `users` gives way to {phone: 1}, unique and sparse, of the same name; this waits until it is
built. A sparse index still counts null as a value, so users whose `phone` is null lose the field first: else the
second of them would be a duplicate. Two users with the same phone are an error that stops the migration: the index
and the users are then as they were before, and the error says which phone.

Undone by making the index what it was, with all its options (or dropping it, if there was none), and by giving back
the nulls where there is still no phone. If that index was unique without being sparse and the application has added
several users without a phone since, it cannot be built any more, and the rollback stops with MongoDB's error.

Stashed: the `_id`s of users with a null; the definition of the index.

Differs from the original: a missing phone_1 does not keep the new index from being built, and the migration ends
when the index stands (the original did not wait, so that nobody heard of duplicates); nulls; and there is a way back
(the original has none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20220310000000-add-kratos-user-id"
dependencies = ["20220203152515-bootstrap_accounts"]
repeatable = True

NULL = {"phone": {"$type": "null"}, "$nor": [{"phone": {"$type": "array"}}]}  # "null" finds [null] as well


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        if not stash.created("users"):
            stash.keep("users", NULL, ["phone"], latest=True)
            db["users"].update_many(NULL, {"$unset": {"phone": ""}})
        try:
            stash.create_index("users", "phone_1", {"phone": 1}, unique=True, sparse=True)
        except DuplicateKeyError:
            stash.restore_indexes()
            stash.restore("users", {"phone": ABSENT})
            raise


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore_indexes()
        stash.restore("users", {"phone": ABSENT})
        stash.drop_created("users")
