"""Remove from users what has moved to wallets: walletId, walletPublicId, onchain.

Drops the index walletId_1 of `users`, if it is there, and the three fields of every user.

Undone by giving the three fields back exactly as they were, each to every user that still lacks it, and by building
the index again with all the options that it had. What the application has written to one of these fields since
stays. (On-chain addresses that wallets got in the meantime are carried back by the rollback of
20220111173335-separate-wallet-collection, which removes those wallets.)

Stashed: the three fields of every user that has one of them; the definition of the index.

Differs from the original: there is a way back (the original has none).
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from dataops.stash.mongo import ABSENT, applying, undoing

name = "20220118183759-remove-wallet-id-index"
dependencies = ["20220111173335-separate-wallet-collection"]
repeatable = True

FIELDS = ("walletId", "walletPublicId", "onchain")
ANY_OF_THEM = {"$or": [{field: {"$exists": True}} for field in FIELDS]}


def upgrade(db: Database[dict[str, Any]]) -> None:
    with applying(db, name) as stash:
        stash.keep("users", ANY_OF_THEM, FIELDS, latest=True)
        stash.drop_index("users", "walletId_1")
        stash.update("users", ANY_OF_THEM, {"$unset": dict.fromkeys(FIELDS, "")})


def downgrade(db: Database[dict[str, Any]]) -> None:
    with undoing(db, name) as stash:
        stash.restore("users", dict.fromkeys(FIELDS, ABSENT))
        stash.restore_indexes()
