"""Make usd of on-chain payments what their cents say.

Ledger entries (`medici_transactions`) of type "onchain_payment" with numbers in `centsAmount` and `centsFee`:

    usd  (centsAmount + centsFee) / 100, to two places, half to even

Entries that say so already are left out.

Undone by giving back the former usd, while the entry still holds what its cents say. A usd that the application has
written since stays.

Stashed: the former usd of every entry that is changed.

Differs from the original: an entry whose centsAmount or centsFee is null or no number keeps its usd (null made it
null, text stopped the whole update); there is a way back (the original has none); and it runs (with a newer driver
the original did nothing and was recorded as applied).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20230106142545-fix-onchain-send-usd"
dependencies = ["2022121620560802-remove-phone-code"]
repeatable = True

LEDGER = "medici_transactions"
NUMBERS = {"$and": [{"$isNumber": "$centsAmount"}, {"$isNumber": "$centsFee"}]}
USD = {"$round": [{"$divide": [{"$add": ["$centsAmount", "$centsFee"]}, 100]}, 2]}
TO_FIX = {
    "type": "onchain_payment",
    "$expr": {"$cond": [NUMBERS, {"$ne": ["$usd", USD]}, False]},
}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep(LEDGER, TO_FIX, ["usd"], latest=True)
        db[LEDGER].update_many(TO_FIX, [{"$set": {"usd": USD}}])


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore(LEDGER, {"usd": {"$cond": [NUMBERS, USD, "$$REMOVE"]}})
