"""What processes that share a rollout keep in a control database, when many of them come at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataops import backends
from dataops.kinds import POSTGRESQL
from tests.contract.test_catalogue import service

TOGETHER = 8


@pytest.mark.parametrize("url", ["pg_url", "mongo_url"])
def test_all_may_make_the_tables_at_the_same_moment(request: pytest.FixtureRequest, url: str) -> None:
    control = service(request.getfixturevalue(url))
    kept = backends.rollouts(control)
    start = threading.Barrier(TOGETHER)

    def come(number: int) -> None:
        start.wait()
        kept.prepare(control)
        kept.begin(control, "it", 1, f"{number}")

    with backends.driver(control) as database, ThreadPoolExecutor(TOGETHER) as pool:
        for _ in range(20):
            if control.kind is POSTGRESQL:
                database.execute("DROP TABLE IF EXISTS dataops_rollouts, dataops_rollout_shards")
            else:
                database.client.drop_database(database.name)
            list(pool.map(come, range(TOGETHER)))
        found = kept.newest(control, "it")
        assert found is not None
        assert found[0] == 1
