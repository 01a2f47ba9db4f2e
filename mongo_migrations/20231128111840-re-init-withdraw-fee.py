"""Remove the withdrawal fee of each account, so that it starts again from the default.

Removes `withdrawFee`, whatever it holds, from every document of `accounts`.

Undone by giving it back, with the value and the type that it had, to accounts where it is absent. Where the application
has written one since, the application wins.

Stashed: `withdrawFee` of every account that has one.

Differs from the original: the original threw the values away and its way back did nothing.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20231128111840-re-init-withdraw-fee"
dependencies = ["20231115193913-add-processing-completed-to-wallet-invoice"]
repeatable = True


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("accounts", {"withdrawFee": {"$exists": True}}, ["withdrawFee"], latest=True)
        stash.update("accounts", {"withdrawFee": {"$exists": True}}, {"$unset": {"withdrawFee": ""}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("accounts", {"withdrawFee": ABSENT})
