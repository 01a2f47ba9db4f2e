"""Backfills wait for a standby that is behind, and go on by themselves."""

from __future__ import annotations

from typing import Any

import psycopg

from dataops.dev import postgres_server
from tests.acceptance.test_backfill import changed, once, slow_orders
from tests.acceptance.test_backfill_live import paused
from tests.projects import Project, ended, until
from tests.servers import POSTGRES_MAJOR
from tests.standby import standby_of


def test_a_standby_that_is_stopped(project: Project) -> None:
    with postgres_server(POSTGRES_MAJOR, settings=["wal_keep_size=1GB"]) as server, standby_of(server) as standby:
        url = server.create_database("shop")
        shop = project.add("shop", url, onto_existing=True, backfill={"max_lag": "2s"})
        with psycopg.connect(url, autocommit=True) as pg:
            slow_orders(pg, 10_000)
            once(shop)
            with shop.running("apply", "--yes") as process:
                until(lambda: changed(pg))
                standby.stop()
                until(lambda: "standby berlin is" in paused(shop))
                at_rest = changed(pg)
                until(lambda: "paused" in [one["event"] for one in shop("history", "--json").json["entries"]])
                assert changed(pg) == at_rest < 10_000
                standby.go_on()
                answer = ended(process, timeout=180)
                assert answer.code == 0, answer
            assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)


def test_wal_that_is_not_archived(project: Project) -> None:
    settings = ["archive_mode=on", "archive_command=test -e ../archive"]
    with postgres_server(POSTGRES_MAJOR, settings=settings) as server:
        url = server.create_database("shop")
        shop = project.add("shop", url, onto_existing=True, backfill={"max_unarchived": "20 MB"})
        with psycopg.connect(url, autocommit=True) as pg:
            slow_orders(pg, 8_000)
            once(shop)
            with shop.running("apply", "--yes") as process:
                until(lambda: changed(pg))
                segments(pg)
                until(lambda: "of WAL are not archived yet" in paused(shop))
                at_rest = changed(pg)
                (server.folder / "archive").touch()

                def goes_on() -> bool:
                    segments(pg)  # a new one wakes the archiver
                    return changed(pg) > at_rest

                until(goes_on, 180)
                answer = ended(process, timeout=180)
                assert answer.code == 0, answer
            assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)


def segments(pg: psycopg.Connection[Any]) -> None:
    """Begin new segments of WAL."""
    for _ in range(3):
        pg.execute("CREATE TABLE IF NOT EXISTS nothing ()")
        pg.execute("DROP TABLE nothing")
        pg.execute("SELECT pg_switch_wal()")
