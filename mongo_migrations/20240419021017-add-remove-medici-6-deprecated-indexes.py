"""Exchange the ledger's old indexes for those of medici 6.

Creates two indexes of `medici_transactions`, waits for them, and drops five by name.

Undone by making all seven what they were before: there or not, with all their options. Nobody else writes indexes
under these names; an index that the application has built under one of them since gives way.

Stashed: the definitions of the seven.

Differs from the original: an error stops the migration (each was printed, and recorded as applied), and it had no
way back.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20240419021017-add-remove-medici-6-deprecated-indexes"
dependencies = ["20240412030143-add-external-id-to-invoices"]
repeatable = True

LEDGER = "medici_transactions"
NEW = (
    {"book": 1, "accounts": 1, "datetime": -1},
    {"book": 1, "account_path.0": 1, "account_path.1": 1, "account_path.2": 1, "datetime": -1},
)
OLD = (
    "accounts_1_book_1_datetime_-1_timestamp_-1",
    "datetime_-1_timestamp_-1",
    "account_path.0_1_book_1",
    "account_path.0_1_account_path.1_1_book_1",
    "account_path.0_1_account_path.1_1_account_path.2_1_book_1",
)


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        named = {"_".join(f"{field}_{order}" for field, order in key.items()): {"key": key} for key in NEW}
        stash.create_indexes(LEDGER, named)
        for index in OLD:
            stash.drop_index(LEDGER, index)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore_indexes()
        stash.drop_created(LEDGER)
