"""Mark the invoices of the time before as processed.

Documents of `invoiceusers` without `processingCompleted` get true; false and null stay.

Undone by removing the field from the documents that got it here, as long as it is true. Where the application has
written something else since, the application wins.

Stashed: the _id of every invoice that is marked.

Differs from the original: it had no way back, and an error was printed and recorded as applied.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20231115193913-add-processing-completed-to-wallet-invoice"
dependencies = ["20231030191242-fix-earn-typo"]
repeatable = True

UNMARKED = {"processingCompleted": {"$exists": False}}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("invoiceusers", UNMARKED, ["processingCompleted"])
        stash.update("invoiceusers", UNMARKED, {"$set": {"processingCompleted": True}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("invoiceusers", {"processingCompleted": True})
