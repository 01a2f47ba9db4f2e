"""Remove the deposit fee ratio of each account.

Removes `depositFeeRatio`, whatever it holds, from every document of `accounts`.

Undone by giving it back, with the value and the type that it had, to accounts where it is absent. Where the application
has written one since, the application wins.

Stashed: `depositFeeRatio` of every account that has one.

Differs from the original: the original threw the values away and its way back did nothing.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20230621225319-remove-deposit-fee-ratio"
dependencies = ["20230603185541-ledger-request-id"]
repeatable = True


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("accounts", {"depositFeeRatio": {"$exists": True}}, ["depositFeeRatio"], latest=True)
        stash.update("accounts", {"depositFeeRatio": {"$exists": True}}, {"$unset": {"depositFeeRatio": ""}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("accounts", {"depositFeeRatio": ABSENT})
