"""How much others use a database, as a backfill of PostgreSQL sees it: without what it does itself."""

from __future__ import annotations

import time
from contextlib import closing

import psycopg
import pytest

from dataops.backends.postgres.backfilling.signals import Observer
from dataops.backends.postgres.connection import Server
from dataops.model import Limits
from tests.contract.test_catalogue import service


@pytest.fixture
def server(pg_url: str) -> Server:
    return Server(service(pg_url))


def test_only_the_transactions_of_others_are_counted(server: Server, pg_url: str) -> None:
    with (
        server.connect() as worker,
        psycopg.connect(pg_url, autocommit=True) as other,
        closing(Observer(server.connect_to_look, worker.info.backend_pid, Limits(), "public")) as observer,
    ):
        before = observer.others(worker)
        assert before is not None
        for _ in range(100):
            with worker.transaction():
                worker.execute("SELECT 1")
        for _ in range(100):
            observer.keeps_waiting()
        ours = observer.others(worker)
        assert ours is not None
        assert 0 <= ours - before <= 3  # the server itself may have looked after a table
        for _ in range(50):
            other.execute("SELECT 1")
        other.close()  # which counts them
        seen = ours
        deadline = time.monotonic() + 60
        while seen - ours < 50 and time.monotonic() < deadline:
            seen = observer.others(worker) or 0
        assert 50 <= seen - ours <= 54
