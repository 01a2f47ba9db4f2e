"""Copy what accounts have earned into a collection of their own, quizzes.

The collection gets a unique index on accountId and quizId. Then, for every account with an `id`, every text in its
list `earn` becomes a document {accountId, quizId, createdAt: now}: once, also when it is in the list twice, or in the
lists of two accounts with the same id, and not at all if `quizzes` has it already.

Undone by deleting the documents that came from here, with what the application has written into them, making the
index what it was, and dropping the collection if it was made here and nothing else is in it. Documents that the
application inserted stay. `earn` is still there, so nothing is lost.

Stashed: the documents that were inserted, the definition of an index that had to give way.

Differs from the original: createdAt is spelt right from the start (it was createAt, and the next migration repaired
it); a second run after a stop goes on (it failed at the first pair that was there); an account without an id gets no
quizzes (they got accountId null); an `earn` that is plain text is none (it became one quiz for each letter); and it
had no way back.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20231220170640-quiz-new-collection-1"
dependencies = ["20231128111840-re-init-withdraw-fee"]
repeatable = True

INDEX = "accountId_1_quizId_1"


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        # dataops: ignore[M003] quizzes is new; where the original has made it, this index was on it from the start
        stash.create_index("quizzes", INDEX, {"accountId": 1, "quizId": 1}, unique=True)
        stash.insert("quizzes")  # after a stop: what was planned then, so that it is found and not planned again
        stash.plan("quizzes", quizzes(db), "accounts")
        stash.insert("quizzes")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.remove("quizzes")
        stash.restore_indexes()
        stash.drop_created("quizzes")


def quizzes(db: Database[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents to insert. They have no _id: the server makes one when it writes them into the stash."""
    document = {"accountId": "$_id.accountId", "quizId": "$_id.quizId", "createdAt": "$$NOW"}
    known = {"from": "quizzes", "localField": "_id.accountId", "foreignField": "accountId", "as": "known"}
    not_there: list[dict[str, Any]] = [
        {"$lookup": known},
        {"$project": {"known": "$known.quizId"}},
        {"$match": {"$expr": {"$not": {"$in": ["$_id.quizId", "$known"]}}}},
    ]
    if db["quizzes"].find_one({}, {"_id": 1}) is None:
        not_there = []
    return [
        {"$match": {"id": {"$nin": [None, ""]}, "earn": {"$type": "array", "$ne": []}}},
        {"$project": {"id": 1, "earn": 1}},
        {"$unwind": "$earn"},
        {"$match": {"earn": {"$type": "string", "$ne": ""}}},
        {"$group": {"_id": {"accountId": "$id", "quizId": "$earn"}}},
        *not_there,
        {"$project": {"_id": 0, "was": {"$literal": {}}, "set": document}},
    ]
