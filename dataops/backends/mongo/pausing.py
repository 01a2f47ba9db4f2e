"""Where somebody writes down that backfills of this database have to wait: a document beside that of the lock.

It is written without the lock, which the backfill that is to wait has.
"""

from __future__ import annotations

from contextlib import suppress

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from dataops.backends.mongo.connection import Document
from dataops.backends.mongo.lease import LOCK
from dataops.model import Author, Pause
from dataops.redaction import redact

_ID = "pause"


def read(db: Database[Document]) -> Pause | None:
    """The pause that was asked for; None when there is none."""
    found = db[LOCK].find_one({"_id": _ID})
    return Pause(redact(str(found["who"])), found["at"], redact(str(found["reason"]))) if found else None


def write(db: Database[Document], author: Author, reason: str) -> None:
    """Ask for a pause, unless there is one."""
    asked = {"who": {"$literal": f"{author.actor}@{author.host}"}, "at": "$$NOW", "reason": {"$literal": reason}}
    with suppress(DuplicateKeyError):  # somebody else has asked for one in the same moment
        db[LOCK].update_one({"_id": _ID}, [{"$replaceWith": {"$mergeObjects": [asked, "$$ROOT"]}}], upsert=True)


def end(db: Database[Document]) -> bool:
    """End the pause. Returns whether there was one."""
    return db[LOCK].delete_one({"_id": _ID}).deleted_count > 0


__all__ = ["end", "read", "write"]
