"""Remove from accounts what has moved to users: phone, twilio, language, deviceToken.

Removes the four fields from every account.

Undone by giving the four fields back exactly as they were, each to every account that still lacks it. What the
application has written to one of them since stays. (What it has changed in `users` in the meantime is carried back by
the rollback of 2022113010370802-users-migration-1, which removes those users.)

Stashed: the four fields of every account that has one of them.

Differs from the original: it waits for the update (the original was recorded as applied before it was done, and its
errors were lost); and there is a way back (the original has none, and accounts without a user lost all four for good).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "2022113010370803-users-migration-2"
dependencies = ["2022113010370802-users-migration-1"]
repeatable = True

FIELDS = ("phone", "twilio", "language", "deviceToken")
ANY_OF_THEM = {"$or": [{field: {"$exists": True}} for field in FIELDS]}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("accounts", ANY_OF_THEM, FIELDS, latest=True)
        stash.update("accounts", ANY_OF_THEM, {"$unset": dict.fromkeys(FIELDS, "")})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("accounts", dict.fromkeys(FIELDS, ABSENT))
