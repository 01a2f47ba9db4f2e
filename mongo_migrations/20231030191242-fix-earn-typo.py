"""Spell moneySocialAgreement right in what accounts have earned.

In every list `earn` of an account, each "moneySocialAggrement" becomes "moneySocialAgreement".

Undone by giving `earn` what it was before, as long as it holds what this migration left. Where the application has
changed the list since, the application wins: the list stays, spelt right.

Stashed: earn of every account that is changed.

Differs from the original: every wrong element of a list is put right, not only the first; an `earn` that is no list
is left alone (it stopped the original, which printed the error and was recorded as applied); and there was no way
back. As in the original, an account that has both spellings has the right one twice afterwards: the collection
`quizzes` takes each only once.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20231030191242-fix-earn-typo"
dependencies = ["20231009205307-migrate-accounts-to-uuid"]
repeatable = True

WRONG, RIGHT = "moneySocialAggrement", "moneySocialAgreement"
MATCH = {"earn": {"$elemMatch": {"$eq": WRONG}}}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("accounts", MATCH, ["earn"], latest=True)
        db["accounts"].update_many(MATCH, [{"$set": {"earn": right("$earn")}}])


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("accounts", {"earn": right("$$new.was.earn")})


def right(earn: str) -> dict[str, Any]:
    """The list, spelt right. Not by an array filter: that would also take a list in the list that has the word."""
    return {"$map": {"input": earn, "in": {"$cond": [{"$eq": ["$$this", WRONG]}, RIGHT, "$$this"]}}}
