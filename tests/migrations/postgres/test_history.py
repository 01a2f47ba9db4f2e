"""The whole history of each service: what it ends in, and what is left when all of it has been undone."""

from __future__ import annotations

import psycopg
import pytest

from dataops.dev import PostgresServer
from dataops.model import Direction
from tests.migrations.postgres import catalogue, chain
from tests.migrations.postgres.chain import CHAINS, FOLDERS, Db
from tests.migrations.postgres.facts import FACTS
from tests.migrations.postgres.seeds import NIL, sow
from tests.servers import fresh_name, fresh_postgres

# What a service with its whole history keeps: the table that 20240418115910 removes.
KEPT = {"api-keys": [], "notifications": ["dataops_stash_20240418115910"], "voucher": []}


@pytest.mark.parametrize("service", FOLDERS)
def test_the_whole_history_ends_in_the_catalogue_of_the_facts(service: str, db: Db) -> None:
    chain.apply(db, CHAINS[service])
    assert catalogue.facts(catalogue.read(db)) == FACTS[service]
    assert catalogue.stashes(db) == KEPT[service]


@pytest.mark.parametrize("service", FOLDERS)
def test_the_catalogue_is_the_same_after_going_back_to_the_beginning_and_up_again(service: str, db: Db) -> None:
    chain.apply(db, CHAINS[service])
    first = catalogue.read(db)
    chain.rollback(db, CHAINS[service])
    chain.apply(db, CHAINS[service])
    assert catalogue.read(db) == first
    assert catalogue.stashes(db) == KEPT[service]


def test_a_fresh_history_leaves_the_sentinel_and_one_tracker_and_no_other_row(db: Db) -> None:
    chain.apply(db, CHAINS["notifications"])
    assert db.execute("""
        SELECT id, created_at = attempt_at, created_at <= now(), attempts, retry_backoff::text, channel_name,
               channel_args, commit_interval, after_message_id
        FROM mq_msgs
    """).fetchall() == [(NIL, True, True, 5, "00:00:01", "", "", None, None)]
    assert db.execute("SELECT * FROM notification_cool_off_tracker").fetchall() == [("price_changed", None)]
    filled = {table for table, rows in catalogue.rows(db).items() if rows}
    assert filled == {"mq_msgs", "notification_cool_off_tracker"}


@pytest.mark.parametrize("service", FOLDERS)
def test_rolling_everything_back_leaves_only_extensions_and_stashes(service: str, db: Db) -> None:
    chain.apply(db, CHAINS[service])
    sow(db, service)
    chain.rollback(db, CHAINS[service])
    assert catalogue.read(db) == {
        "extensions": FACTS[service]["extensions"],
        "tables": {},
        "types": {},
        "functions": {},
        "others": [],
    }
    assert catalogue.stashes(db) != []


@pytest.mark.parametrize("service", FOLDERS)
def test_every_row_comes_back_when_everything_is_rolled_back_and_applied_again(service: str, db: Db) -> None:
    chain.apply(db, CHAINS[service])
    sow(db, service)
    rows, tables = catalogue.rows(db), catalogue.read(db)
    chain.rollback(db, CHAINS[service])
    chain.apply(db, CHAINS[service])
    assert catalogue.rows(db) == rows
    assert catalogue.read(db) == tables
    assert catalogue.stashes(db) == KEPT[service]


def test_the_in_app_notifications_of_long_ago_survive_the_whole_way_back_and_up(db: Db) -> None:
    """They are written before their table is removed, so the last file of the way back is the one that has them."""
    last = "20240417091715"
    chain.apply(db, chain.up_to("notifications", last))
    sow(db, "notifications")
    rows = catalogue.rows(db)["in_app_notifications"]
    assert len(rows) == 3
    later = CHAINS["notifications"][len(chain.up_to("notifications", last)) :]
    chain.apply(db, later)
    chain.rollback(db, CHAINS["notifications"])
    chain.apply(db, chain.up_to("notifications", last))
    assert catalogue.rows(db)["in_app_notifications"] == rows


@pytest.mark.parametrize("service", FOLDERS)
def test_rendered_sql_does_the_same_as_the_migrations_themselves(
    service: str, db: Db, postgres: PostgresServer
) -> None:
    """Side by side on two databases, every file there, back and there."""
    with fresh_postgres(postgres) as url, psycopg.connect(url, autocommit=True) as other:
        for migration in CHAINS[service]:
            for direction in (Direction.APPLY, Direction.ROLLBACK, Direction.APPLY):
                text = chain.rendered(migration, direction)
                assert text.strip() and "%" not in text
                other.execute(text.encode())
                (chain.apply if direction is Direction.APPLY else chain.rollback)(db, [migration])
                assert catalogue.read(other) == catalogue.read(db)
                assert catalogue.stashes(other) == catalogue.stashes(db)


@pytest.mark.parametrize("service", FOLDERS)
def test_the_owner_of_the_database_needs_no_other_right(service: str, postgres: PostgresServer) -> None:
    owner = fresh_name("owner")
    postgres.execute("CREATE ROLE {} LOGIN PASSWORD 'secret'", owner)
    with fresh_postgres(postgres) as url:
        database = url.rsplit("/", 1)[1]
        postgres.execute("ALTER DATABASE {} OWNER TO {}", database, owner)
        if int(postgres.version.split(".")[0]) < 15:  # from 15 on, the owner of a database owns schema public
            postgres.execute("ALTER SCHEMA public OWNER TO {}", owner, database=database)
        with psycopg.connect(postgres.url(database, owner, "secret"), autocommit=True) as owned:
            chain.apply(owned, CHAINS[service])
            sow(owned, service)
            chain.rollback(owned, CHAINS[service])
            chain.apply(owned, CHAINS[service])
            assert catalogue.facts(catalogue.read(owned)) == FACTS[service]
    postgres.execute("DROP ROLE {}", owner)
