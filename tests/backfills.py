"""Applications that write beside a backfill, and what has to be true of each document or row afterwards."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
import psycopg
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


PG_HEAD = "from dataops.backfill import backfill, restore"

PG_FILES = {
    "once": (
        """backfill(op, "orders", set={"n": "n + 1", "country": "slowly('GB')"})""",
        """restore(op, "orders", set={"n": "n - 1", "country": "slowly('UK')"})""",
    ),
    "kept": (
        """backfill(op, "orders", where="country = 'UK'", set={"n": "n + 1", "country": "slowly('GB')"}, """
        """keep=["n", "country"])""",
        """restore(op, "orders")""",
    ),
    "plain": (
        """backfill(op, "orders", where="country = 'UK'", set={"n": "n + 1", "country": "slowly('GB')"})""",
        """backfill(op, "orders", where="country = 'GB'", set={"n": "n - 1", "country": "slowly('UK')"})""",
    ),
}
"""The same for PostgreSQL, and a third way: the filter alone says what is done."""


class Shop:
    """An application of PostgreSQL that does what `Application` does."""

    def __init__(self, url: str, rows: int, seed: int = 1) -> None:
        self._url = url
        self._chance = random.Random(seed)
        self._first = self._number = rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._problems: list[psycopg.Error] = []
        self._connection = psycopg.connect(url, autocommit=True)
        for statement in (
            "CREATE FUNCTION slowly(text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT $1 FROM pg_sleep(0.0004)'",
            "CREATE TABLE orders (shop int NOT NULL, number bigint NOT NULL, n int NOT NULL DEFAULT 0, "
            "country text NOT NULL DEFAULT 'UK', written int NOT NULL DEFAULT 0, PRIMARY KEY (number, shop))",
        ):
            self._connection.execute(statement.encode())
        self._connection.execute("INSERT INTO orders SELECT mod(i, 7), i FROM generate_series(0, %s) i", [rows - 1])

    def _work(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(0.002):
                at = self._chance.randrange(self._number)
                try:
                    match self._chance.randrange(4):
                        case 0:
                            connection.execute("INSERT INTO orders VALUES (%s, %s)", [self._number % 7, self._number])
                            self._number += 1
                        case 1 if at % 5 == 0:
                            connection.execute("DELETE FROM orders WHERE number = %s", [at])
                        case _:
                            connection.execute("UPDATE orders SET written = written + 1 WHERE number = %s", [at])
                except psycopg.errors.DeadlockDetected as error:
                    self._problems.append(error)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It writes in this block."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def wrong_documents(self, n: int) -> list[Any]:
        """Rows that are not as they have to be: see `Application`. A deadlock of the application is wrong too."""
        late = "OR (n = 0 AND country = 'UK' AND number >= %(first)s)" if n else ""
        country = "GB" if n else "UK"
        wanted = f"(n = {n} AND country = '{country}') {late}"
        question = f"SELECT * FROM orders WHERE NOT ({wanted}) LIMIT 5"
        found = self._connection.execute(question.encode(), {"first": self._first})
        return [*found.fetchall(), *self._problems]

    def left_behind(self) -> list[str]:
        """What is left of the stash."""
        question = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dataops_stash%'"
        return [str(row[0]) for row in self._connection.execute(question.encode())]

    def close(self) -> None:
        self._connection.close()


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

    def left_behind(self) -> list[str]:
        """What is left of the stash."""
        return [name for name in self._orders.database.list_collection_names() if "stash" in name]

    def close(self) -> None:
        self._client.close()


__all__ = ["FILES", "HEAD", "PG_FILES", "PG_HEAD", "Application", "Shop", "of_any_type"]
