"""Drop the collection phonecodes.

Drops `phonecodes`, if it is there.

Undone by giving the collection back with all documents, indexes and options. If the application has made a new one
since, that stays as it is, and documents that it does not have are added.

Stashed: the collection itself, moved by renaming, so that its size does not matter.

Differs from the original: there is a way back (the original has none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "2022121620560802-remove-phone-code"
dependencies = ["2022113010370803-users-migration-2"]
repeatable = True


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.take("phonecodes")


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.give_back("phonecodes")
