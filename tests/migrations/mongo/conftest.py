"""MongoDB in memory, the wire to it, and the database before every migration."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dataops.dev import MongoServer, mongodb_server
from dataops.stash.mongo import halves
from tests.migrations.mongo.history import Document, Snapshot, files, insert
from tests.migrations.mongo.wire import Wire
from tests.seed import odd_shapes, seed
from tests.servers import fresh_mongo

ACCOUNTS = 24


@contextmanager
def _in_memory() -> Iterator[None]:
    """Servers started now keep their files in memory, where the machine has that: these tests make and drop thousands
    of collections, and that is five times as fast."""
    memory, before = Path("/dev/shm"), tempfile.tempdir
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30:
        tempfile.tempdir = str(memory)
    try:
        yield
    finally:
        tempfile.tempdir = before


@pytest.fixture(scope="session")
def mongo() -> Iterator[MongoServer]:
    """A replica set of one, which has transactions, as in production."""
    with ExitStack() as stack:
        with _in_memory():
            server = stack.enter_context(mongodb_server(replica_set=True))
        yield server


@pytest.fixture(scope="session")
def mongo_standalone() -> Iterator[MongoServer]:
    """A standalone, which has no transactions, as in development."""
    with ExitStack() as stack:
        with _in_memory():
            server = stack.enter_context(mongodb_server())
        yield server


@pytest.fixture(scope="package", autouse=True)
def _halves_of_small_collections() -> Iterator[None]:
    """What is done in two halves when a collection is big, is done so here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(halves, "HALVED", 8)
        yield


class Befores:
    """The seeded database as it is just before each migration, with the odd shapes for it and all before it."""

    def __init__(self, db: Database[Document]) -> None:
        self._db = db
        self._left = list(files())
        self._known: dict[int, Snapshot] = {}
        seed(db, ACCOUNTS)

    def __getitem__(self, number: int) -> Snapshot:
        """Walks on from where it stands: every migration is applied once."""
        while number not in self._known:
            file = self._left[0]  # again, if it has failed
            if file.number not in self._known:
                insert(self._db, odd_shapes(file.number))
                self._known[file.number] = Snapshot.of(self._db, stash=False)
            file.upgrade(self._db)
            del self._left[0]
        return self._known[number]


@pytest.fixture(scope="session")
def befores(mongo_standalone: MongoServer) -> Iterator[Befores]:
    client: MongoClient[dict[str, Any]]
    with fresh_mongo(mongo_standalone) as url, MongoClient(url) as client:
        yield Befores(client.get_default_database())


@pytest.fixture(scope="session")
def wire(mongo_standalone: MongoServer) -> Iterator[Wire]:
    with Wire(mongo_standalone.url()) as wire:
        yield wire


@pytest.fixture(scope="session")
def _standing_url(mongo_standalone: MongoServer) -> Iterator[str]:
    with fresh_mongo(mongo_standalone) as url:
        yield url


@pytest.fixture(scope="session")
def _standing(_standing_url: str) -> Iterator[Database[Document]]:
    client: MongoClient[Document]
    with MongoClient(_standing_url) as client:
        yield client.get_default_database()


@pytest.fixture
def db(_standing: Database[Document]) -> Database[Document]:
    """One database for all tests here: most of it need not be made again for the next. Restore a snapshot first."""
    return _standing


@pytest.fixture(scope="session")
def _wired_client(wire: Wire) -> Iterator[MongoClient[Document]]:
    client: MongoClient[Document]
    with MongoClient(wire.uri) as client:
        yield client


@pytest.fixture
def wired(_wired_client: MongoClient[Document], db: Database[Document], wire: Wire) -> Iterator[Database[Document]]:
    """The same database at the other end of the wire."""
    wire.mend()
    yield _wired_client[db.name]
    wire.mend()
