"""Say of every invoice without a currency that it is in BTC.

Invoices (`invoiceusers`) without `currency`, or with null there, get "BTC". Any other value stays.

Undone by giving those invoices back what they had (nothing, or null), as long as they still say "BTC".

Stashed: the `_id` of every invoice that is changed, and whether there was a null.

Differs from the original: invoices that say "USD", or anything else, keep it (the original made every invoice
one in BTC, on every run); and there is a way back (the original has none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20220122121713-add-default-currency-walletinvoices"
dependencies = ["20220118183759-remove-wallet-id-index"]
repeatable = True

NONE = {"currency": None, "$nor": [{"currency": {"$type": "array"}}]}  # None finds [null] as well


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("invoiceusers", NONE, ["currency"], latest=True)
        stash.update("invoiceusers", NONE, {"$set": {"currency": "BTC"}})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("invoiceusers", {"currency": "BTC"})
