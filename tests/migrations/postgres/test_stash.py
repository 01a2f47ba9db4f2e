"""What the stashes promise to the operator who finds one."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg import errors

from dataops.dev import PostgresServer
from tests.migrations.postgres import catalogue, chain
from tests.migrations.postgres.chain import CHAINS, EVERY_FILE, Db
from tests.migrations.postgres.seeds import sow
from tests.servers import fresh_name

SETTINGS = "20240111102028"
SCOPES = "20231215145636"


@pytest.mark.parametrize(("service", "version"), EVERY_FILE)
def test_each_file_uses_no_stash_but_its_own(service: str, version: str, db: Db) -> None:
    file = [chain.find(service, version)]
    chain.apply(db, chain.before(service, version))
    before = catalogue.stashes(db)
    for step in (chain.apply, chain.rollback, chain.apply):
        step(db, file)
        assert set(catalogue.stashes(db)) - set(before) <= {f"dataops_stash_{version}"}


def test_a_stash_says_what_it_is_and_since_when(db: Db) -> None:
    chain.apply(db, chain.up_to("api-keys", SCOPES))
    chain.rollback(db, [chain.find("api-keys", SCOPES)])
    schema, table = one_row(
        db,
        f"""
        SELECT obj_description('dataops_stash_{SCOPES}'::regnamespace, 'pg_namespace'),
               obj_description('dataops_stash_{SCOPES}.identity_api_keys'::regclass, 'pg_class')
        """,
    )
    said = re.fullmatch(
        rf"Put aside by the rollback of {SCOPES} at (\S+Z)\. Applying {SCOPES} again takes it back\.", schema
    )
    assert said
    assert one_row(db, f"SELECT now() - '{said[1]}'::timestamptz < interval '5 minutes'") == (True,)
    assert table == "The keys whose scopes were neither {read} nor {read,write} when read_only took their place."


def test_what_an_apply_puts_aside_says_so(db: Db) -> None:
    chain.apply(db, CHAINS["notifications"])
    (said,) = one_row(db, "SELECT obj_description('dataops_stash_20240418115910'::regnamespace, 'pg_namespace')")
    assert said.startswith("Put aside by the apply of 20240418115910 at ")
    assert said.endswith(". Rolling back 20240418115910 takes it back.")


def test_nobody_else_can_read_a_stash(db: Db, postgres: PostgresServer) -> None:
    chain.apply(db, CHAINS["api-keys"])
    db.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC")
    chain.rollback(db, CHAINS["api-keys"])
    reader = fresh_name("reader")
    postgres.execute("CREATE ROLE {} LOGIN PASSWORD 'secret'", reader)
    try:
        with psycopg.connect(postgres.url(db.info.dbname, reader, "secret")) as other:
            for stash in catalogue.stashes(db):
                with pytest.raises(errors.InsufficientPrivilege):
                    other.execute(f"SELECT * FROM {stash}.identity_api_keys".encode())
                other.rollback()
    finally:
        postgres.execute("DROP ROLE {}", reader)


def test_tables_come_back_with_their_grants_their_comments_and_an_operators_index(db: Db) -> None:
    file = [chain.find("notifications", SETTINGS)]
    chain.apply(db, chain.up_to("notifications", SETTINGS))
    db.execute("GRANT SELECT ON user_notification_settings TO PUBLIC")
    db.execute("COMMENT ON TABLE user_notification_settings IS 'ask Ana before you touch this'")
    db.execute("CREATE INDEX of_mine ON user_notification_settings (created_at)")
    before = catalogue.read(db)
    chain.rollback(db, file)
    chain.apply(db, file)
    assert catalogue.read(db) == before


def test_a_view_on_a_table_goes_on_showing_its_rows_wherever_they_are(db: Db) -> None:
    file = [chain.find("notifications", SETTINGS)]
    chain.apply(db, chain.up_to("notifications", SETTINGS))
    sow(db, "notifications")
    db.execute("CREATE VIEW mine AS SELECT galoy_user_id FROM user_notification_settings")
    for step in (chain.rollback, chain.apply):
        step(db, file)
        assert one_row(db, "SELECT count(*) FROM mine") == (3,)


def test_a_write_that_is_under_way_when_a_rollback_begins_is_put_aside_too(db: Db, postgres: PostgresServer) -> None:
    file = [chain.find("api-keys", SCOPES)]
    chain.apply(db, chain.up_to("api-keys", SCOPES))
    sow(db, "api-keys")
    url = postgres.url(db.info.dbname)
    with (
        psycopg.connect(url) as writer,
        psycopg.connect(url, autocommit=True) as watcher,
        ThreadPoolExecutor(1) as pool,
    ):
        writer.execute("UPDATE identity_api_keys SET scopes = '{receive}'")
        rollback = pool.submit(chain.rollback, db, file)
        waits = "SELECT true FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        deadline = monotonic() + 20
        while not watcher.execute(waits, (db.info.backend_pid,)).fetchone():
            assert not rollback.done() and monotonic() < deadline
        writer.commit()
        rollback.result()
    chain.apply(db, file)
    assert one_row(db, "SELECT count(*), count(*) FILTER (WHERE scopes = '{receive}') FROM identity_api_keys") == (8, 8)


@pytest.mark.parametrize(
    ("service", "version"), [("notifications", SETTINGS), ("api-keys", SCOPES), ("voucher", "20250210133521")]
)
def test_a_stash_from_elsewhere_is_never_overwritten(service: str, version: str, db: Db) -> None:
    """As after `alembic stamp`: the file counts as applied, and its stash is still there."""
    chain.apply(db, chain.up_to(service, version))
    sow(db, service)
    db.execute(f"CREATE SCHEMA dataops_stash_{version}".encode())
    before = catalogue.read(db), catalogue.rows(db)
    with pytest.raises(Exception, match=f'schema "dataops_stash_{version}" already exists'):
        chain.rollback(db, [chain.find(service, version)])
    assert (catalogue.read(db), catalogue.rows(db)) == before


@pytest.mark.parametrize(("service", "version"), [("notifications", SETTINGS), ("api-keys", SCOPES)])
def test_what_somebody_else_keeps_in_a_stash_is_not_dropped(service: str, version: str, db: Db) -> None:
    file = [chain.find(service, version)]
    chain.apply(db, chain.up_to(service, version))
    chain.rollback(db, file)
    db.execute(f"CREATE TABLE dataops_stash_{version}.mine ()".encode())
    with pytest.raises(Exception, match="because other objects depend on it"):
        chain.apply(db, file)
    db.execute(f"DROP TABLE dataops_stash_{version}.mine".encode())
    chain.apply(db, file)


@pytest.mark.parametrize(
    ("service", "version", "table"),
    [
        ("voucher", "20240406102113", '"WithdrawLinks"'),
        ("notifications", "20240321091909", "email_reminder_projection"),
        ("notifications", "20240406100757", "in_app_notifications"),
    ],
)
def test_a_table_that_is_in_the_way_is_not_touched(service: str, version: str, table: str, db: Db) -> None:
    """Even if the stash has one of that name."""
    file = [chain.find(service, version)]
    chain.apply(db, chain.up_to(service, version))
    sow(db, service)
    chain.rollback(db, file)
    db.execute(f"CREATE TABLE {table} (mine int)".encode())
    db.execute(f"INSERT INTO {table} VALUES (7)".encode())
    with pytest.raises(Exception, match="already exists"):
        chain.apply(db, file)
    assert one_row(db, f"SELECT * FROM {table}") == (7,)
    db.execute(f"DROP TABLE {table}".encode())
    chain.apply(db, file)
    assert one_row(db, f"SELECT count(*) > 0 FROM {table}") == (True,)


def test_everything_lives_in_the_schema_that_the_connection_creates_in(db: Db) -> None:
    """A role may have a search_path of its own."""
    db.execute("CREATE SCHEMA home")
    db.execute("SET search_path = home, public")
    try:
        for service in ("notifications", "voucher"):
            chain.apply(db, CHAINS[service])
            chain.rollback(db, CHAINS[service])
            chain.apply(db, CHAINS[service])
        where = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'mq_msgs'"
        assert one_row(db, where) == ("home",)
    finally:
        db.execute("DROP SCHEMA home CASCADE")


def one_row(db: Db, query: str) -> tuple[Any, ...]:
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return tuple(row)
