"""An application that writes beside a backfill of MongoDB, and what has to be true of each document afterwards."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
from pymongo import MongoClient
from pymongo.errors import PyMongoError

Document = dict[str, Any]

HEAD = """
from dataops.backfill import backfill, restore

def slowly(document):
    time.sleep(0.0004)
    return {"$inc": {"n": 1}, "$set": {"country": "GB"}}

def back(document):
    time.sleep(0.0004)
    return {"$inc": {"n": -1}, "$set": {"country": "UK"}}
"""

FILES = {
    "once": ('backfill(db, "orders", set=slowly, fields=["n"])', 'restore(db, "orders", set=back)'),
    "kept": (
        'backfill(db, "orders", where={"country": "UK"}, set=slowly, keep=["country", "n"])',
        'restore(db, "orders")',
    ),
}
"""Two ways to count each document once, and to take it back: n is 1 and the country GB after it, 0 and UK before."""


def of_any_type(at: int) -> Any:
    """An `_id`, of one type after the other."""
    kinds = (
        at,
        float(at) + 0.5,
        f"order {at}",
        bson.ObjectId(f"{at:024x}"),
        {"shop": at % 7, "number": at},
        bson.Binary(at.to_bytes(16, "big"), bson.binary.UUID_SUBTYPE),
        bson.decimal128.Decimal128(f"{at}.25"),
        bson.datetime_ms.DatetimeMS(2**48 + at),
        bson.Int64(2**40 + at),
    )
    return kinds[at % len(kinds)]


class Application:
    """Inserts, changes and deletes documents, until `stop`. Those that it never deletes are `kept`."""

    def __init__(self, url: str, documents: int, seed: int = 1) -> None:
        self._client = MongoClient[Document](url)
        self._orders = self._client.get_default_database().orders
        self._chance = random.Random(seed)
        self._first = self._number = documents
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.changed = 0
        self._orders.insert_many([self._new(at) for at in range(documents)])

    def _new(self, at: int) -> Document:
        return {"_id": of_any_type(at), "at": at, "n": 0, "country": "UK", "written": 0}

    def _work(self) -> None:
        while not self._stop.wait(0.002):
            at = self._chance.randrange(self._number)
            try:
                match self._chance.randrange(4):
                    case 0:
                        self._orders.insert_one(self._new(self._number))
                        self._number += 1
                    case 1 if at % 5 == 0:
                        self._orders.delete_one({"_id": of_any_type(at)})
                    case _:
                        self._orders.update_one({"_id": of_any_type(at)}, {"$inc": {"written": 1}})
                        self.changed += 1
            except PyMongoError:  # an election; an application tries again too
                self._stop.wait(0.05)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It writes in this block."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def wrong_documents(self, n: int) -> list[Document]:
        """Documents that are not as they have to be when everything was done (1) or taken back (0).

        Those that were inserted later may have come too late to be changed.
        """
        done, as_before = {"n": 1, "country": "GB"}, {"n": 0, "country": "UK"}
        late = {**as_before, "at": {"$gte": self._first}}
        return list(self._orders.find({"$nor": [done, late] if n else [as_before]}).limit(5))

    def close(self) -> None:
        self._client.close()


__all__ = ["FILES", "HEAD", "Application", "of_any_type"]
