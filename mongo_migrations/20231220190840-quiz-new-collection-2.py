"""Remove what accounts have earned, now that it is in quizzes.

Removes `earn`, whatever it holds, from every account. In `quizzes` written by the original of the migration before
this one, `createAt` becomes `createdAt`; a `createdAt` that was there beside it gives way.

Undone by giving `earn` back, order and duplicates included, to accounts where it is absent, `createAt` to quizzes
where that is absent, and to `createdAt` what it was, as long as it holds what the renaming left. Where the
application has written one of these since, the application wins.

Stashed: earn of every account that has it, both dates of the quizzes that are renamed.

Differs from the original: earn was lost, its order and its duplicates for good, and there was no way back.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20231220190840-quiz-new-collection-2"
dependencies = ["20231220170640-quiz-new-collection-1"]
repeatable = True

EARN = {"earn": {"$exists": True}}
MISSPELT = {"createAt": {"$exists": True}}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("accounts", EARN, ["earn"], latest=True)
        db["accounts"].update_many(EARN, {"$unset": {"earn": ""}})
        # dataops: ignore[M009] as the original: createAt is what the one before this, its first half, got wrong
        stash.keep("quizzes", MISSPELT, ["createAt", "createdAt"], latest=True)
        db["quizzes"].update_many(MISSPELT, {"$rename": {"createAt": "createdAt"}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("quizzes", {"createAt": ABSENT, "createdAt": "$$new.was.createAt"})
        stash.restore("accounts", {"earn": ABSENT})
