"""Make numbers of lightning payments' amounts that are text.

`lnpayments.milliSatsAmount`, where it is text that reads as a decimal number (blanks around it are no harm):

    a whole number that a long can hold     a long
    any other number                        a double

Text that is no number (empty, hexadecimal, words) stays as it is, and how many of those there are is logged.

Undone by giving the text back, letter for letter, as long as the number is still the one that was made of it.

Stashed: the text of every payment that is changed.

Differs from the original: it runs (the original calls a method that its driver lost, and was recorded as applied
without doing anything); amounts above 2147483647 are converted, and one odd text does not stop the rest (the
original converted to 32 bits, gave up at the first text that did not fit, and left a part of the collection as it
was); and there is a way back (the original has none).
"""

from __future__ import annotations

import logging
from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import applying, undoing

name = "20220406124601-fix-lnpayments-millisats"
dependencies = ["20220310000000-add-kratos-user-id"]
repeatable = True

FIELD = "milliSatsAmount"
DECIMAL = r"^\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"
TEXT = {"$type": "string", "$regex": DECIMAL}
# a list is found by what is in it, and $convert of a list is the list
TO_CONVERT = {FIELD: TEXT, "$expr": {"$eq": [{"$type": f"${FIELD}"}, "string"]}}

log = logging.getLogger(f"dataops.migrations.{name}")


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("lnpayments", TO_CONVERT, [FIELD], latest=True)
        stash.update("lnpayments", TO_CONVERT, [{"$set": {FIELD: number(f"${FIELD}")}}])
    if left := db["lnpayments"].count_documents({FIELD: {"$type": "string"}}):
        log.warning("%s lightning payments have a %s that is no number; they keep it", left, FIELD)


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("lnpayments", {FIELD: number(f"$$new.was.{FIELD}")})


def number(text: str) -> dict[str, Any]:
    trimmed = {"$trim": {"input": text}}
    as_double = {"$convert": {"input": trimmed, "to": "double", "onError": text}}
    return {"$convert": {"input": trimmed, "to": "long", "onError": as_double}}
