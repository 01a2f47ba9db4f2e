"""Scratch databases: built like a real one, compared with a live one, and gone afterwards."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dataops import config, contents
from dataops.backends import opened
from dataops.catalogue import compare
from dataops.dev import MongoServer, PostgresServer, create_database, programs
from dataops.errors import MigrationFailed, PermissionDenied, ServerUnavailable, Stopped, UsageError
from dataops.kinds import MONGODB, POSTGRESQL
from dataops.model import Author, Service
from dataops.run.stop import StopSignal
from dataops.scratch import PREFIX, Scratch
from tests.projects import Project, ended, until
from tests.servers import ROOT, fresh_name

Mongo = Database[dict[str, Any]]

AUTHOR = Author(run="20261124T093000-aaaaaa", actor="ana", host="pod-1", version="0.1.0")


@pytest.fixture(scope="module")
def scratch() -> Iterator[Scratch]:
    """On servers of its own, for all of these tests."""
    with Scratch(AUTHOR) as scratch:
        scratch.start([POSTGRESQL, MONGODB])
        yield scratch


def blink(name: str) -> Service:
    """A service of this repository. Its URL leads nowhere."""
    environ = {
        "MONGODB_CON": "mongodb://127.0.0.1:1/galoy",
        "API_KEYS_PG_CON": "postgres://127.0.0.1:1/a",
        "NOTIFICATIONS_PG_CON": "postgres://127.0.0.1:1/n",
        "VOUCHER_PG_CON": "postgres://127.0.0.1:1/v",
    }
    services = config.load(ROOT / "dataops.toml", environ=environ).services
    return next(service for service in services if service.name == name)


def service(project: Project, name: str) -> Service:
    services = config.load(project.folder / "dataops.toml", environ=project.env).services
    return next(service for service in services if service.name == name)


def names(server: PostgresServer | MongoServer) -> set[str]:
    """The scratch databases on a server."""
    if isinstance(server, MongoServer):
        with MongoClient[dict[str, Any]](server.url()) as client:
            found = client.list_database_names()
    else:
        with psycopg.connect(server.url()) as connection:
            found = [row[0] for row in connection.execute("SELECT datname FROM pg_database")]
    return {name for name in found if name.startswith(PREFIX)}


# --- compared with a live database


@pytest.mark.parametrize("name", ["api-keys", "notifications", "voucher", "api"])
def test_every_history_of_ours_gives_the_same_database_twice(scratch: Scratch, name: str) -> None:
    ours = blink(name)
    for to in (ours.migrations[0], ours.migrations[-1]):
        with scratch.database(ours) as live, opened(live) as database:
            scratch.migrate(live, to)
            expected = scratch.catalogue(ours, to, database)
            assert expected.objects or to is ours.migrations[0]
            assert compare(expected, database.catalogue(), details=True) == ()


def as_in_production(db: Mongo) -> None:
    """What mongoose makes of a migrated database at every start of the application: its own indexes and no others."""
    db.accounts.drop_index("phone_1")
    db.accounts.create_index("id", unique=True, sparse=True)
    db.accounts.create_index("kratosUserId", unique=True, sparse=True)
    only_strings = {"username": {"$type": "string"}}
    ignoring_case = {"locale": "en", "strength": 2}
    db.accounts.create_index("username", unique=True, collation=ignoring_case, partialFilterExpression=only_strings)
    db.accounts.create_index({"title": 1, "coordinates": 1})
    db.wallets.create_index("id", unique=True)
    db.wallets.create_index("accountId")
    db.users.create_index("userId")
    db.users.create_index("phone", unique=True, sparse=True)
    db.users.create_index("phoneMetadata.countryCode")
    db.invoiceusers.create_index({"walletId": 1, "paid": 1})
    db.invoiceusers.create_index({"accountId": 1, "externalId": 1}, unique=True)
    db.merchants.create_index("id", unique=True, sparse=True)
    db.accountips.create_index({"accountId": 1, "ip": 1})
    db.lnpayments.create_index("paymentHash", unique=True)
    db.medici_transactions.create_index({"type": 1, "pending": 1, "account_path": 1})
    db.medici_transactions.create_index("_journal")
    db.command("collMod", "wallets", validator={"accountId": {"$type": "string"}})  # nothing old meets it
    db.users.update_many({}, [{"$set": {"email": {"$toString": "$_id"}}}])
    db.users.create_index("email", unique=True)  # nor this
    db.create_collection("log", capped=True, size=4096)
    db.create_collection("rich", viewOn="accounts", pipeline=[])
    db.create_collection("readings", timeseries={"timeField": "at"})
    db.create_collection("names", collation={"locale": "en"}).create_index("name", collation={"locale": "simple"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda db: None, []),
        (
            lambda db: db.quizzes.drop_index("accountId_1_quizId_1"),
            ["index quizzes.accountId_1_quizId_1: missing here, expected (accountId: 1, quizId: 1) unique"],
        ),
        (lambda db: db.drop_collection("merchants"), ["collection merchants: missing here"]),
    ],
    ids=["right", "an index is missing", "a collection is missing"],
)  # fmt: skip
def test_of_a_mongodb_that_an_application_uses_only_what_is_wrong_is_told(
    scratch: Scratch, change: Callable[[Mongo], object], expected: list[str]
) -> None:
    ours = blink("api")
    with scratch.database(ours) as live, opened(live) as database, MongoClient[dict[str, Any]](live.url) as client:
        scratch.migrate(live, ours.migrations[-1])
        as_in_production(client.get_default_database())
        change(client.get_default_database())
        before = database.contents()
        built = scratch.catalogue(ours, ours.migrations[-1], database)
        found = compare(built, database.catalogue(), ignoring=["accounts.phone_1"])  # as in our dataops.toml
        assert [str(difference) for difference in found] == expected
        assert contents.compare(before, database.contents()) == ()


def test_a_database_at_base_is_empty(scratch: Scratch) -> None:
    with scratch.database(blink("voucher")) as live, opened(live) as database:
        assert scratch.catalogue(live, None, database).objects == {}


# --- the servers


def test_services_of_one_kind_share_one_server(scratch: Scratch) -> None:
    with (
        scratch.database(blink("voucher")) as one,
        scratch.database(blink("api-keys")) as two,
        psycopg.connect(one.url) as first,
        psycopg.connect(two.url) as second,
    ):
        assert first.info.port == second.info.port
        assert first.info.dbname != second.info.dbname


def test_without_a_server_the_ways_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "program_paths", lambda kind: iter(()))
    for name in ("voucher", "api"):
        with Scratch(AUTHOR) as scratch, pytest.raises(ServerUnavailable) as caught, scratch.database(blink(name)):
            raise AssertionError("there is a server")
        assert caught.value.service == name
        assert "--scratch URL" in caught.value.hint and "dataops[embedded]" in caught.value.hint


def test_a_named_server_gets_a_database_and_loses_it_again(postgres: PostgresServer, mongo: MongoServer) -> None:
    with Scratch(AUTHOR, servers=[postgres.url(), mongo.url()]) as scratch:
        for name, server in (("voucher", postgres), ("api", mongo)):
            ours = blink(name)
            with scratch.database(ours) as live:
                scratch.migrate(live, ours.migrations[1])
                assert names(server) == {live.url.split("?")[0].rpartition("/")[2]}
                assert names(server) <= {f"dataops_scratch_20261124t093000_aaaaaa_{number}" for number in range(5)}
            assert names(server) == set()
            with pytest.raises(ZeroDivisionError), scratch.database(ours) as live:
                half_way(scratch, live)
            assert names(server) == set()


def half_way(scratch: Scratch, live: Service) -> None:
    scratch.migrate(live, live.migrations[0])
    raise ZeroDivisionError


def test_a_server_where_we_may_create_nothing_is_told(postgres: PostgresServer) -> None:
    user = fresh_name("looker")
    postgres.execute("CREATE ROLE {} LOGIN PASSWORD 'hidden'", user)
    servers = [postgres.url(user=user, password="hidden")]
    with (
        Scratch(AUTHOR, servers=servers) as scratch,
        pytest.raises(PermissionDenied, match="permission denied") as caught,
        scratch.database(blink("voucher")),
    ):
        raise AssertionError("it was created")
    assert "CREATEDB" in caught.value.hint
    postgres.execute("DROP ROLE {}", user)


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("mongodb://h1:1,h2:2/?replicaSet=rs0", "mongodb://h1:1,h2:2/it?replicaSet=rs0"),
        ("mongodb://u:p@h/", "mongodb://u:p@h/it?authSource=admin"),
        ("mongodb://u:p@h/users?tls=true", "mongodb://u:p@h/it?tls=true&authSource=users"),
        ("mongodb://u:p@h/?authsource=x", "mongodb://u:p@h/it?authsource=x"),
        ("mongodb+srv://u:p@h", "mongodb+srv://u:p@h/it?authSource=admin"),
    ],
)
def test_a_user_of_mongodb_is_looked_for_where_it_was(server: str, url: str) -> None:
    assert create_database(server, "it") == url


def test_what_is_no_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        Scratch(AUTHOR, servers=["user:secret@server"])
    assert "secret" not in f"{caught.value} {caught.value.hint}"


# --- what goes wrong


def test_a_migration_that_cannot_be_built_is_named(scratch: Scratch, project: Project, pg_url: str) -> None:
    project.add("shop", pg_url).table("shop", "001")
    project.file("shop", "002", "op.execute('SELECT * FROM nowhere')")
    shop = service(project, "shop")
    with opened(shop) as live, pytest.raises(MigrationFailed, match="nowhere") as caught:
        scratch.catalogue(shop, shop.by_id["002"], live)
    assert (caught.value.service, caught.value.migration) == ("shop", "002")
    with opened(shop) as live:
        assert set(scratch.catalogue(shop, shop.by_id["001"], live).objects) == {
            ("table", "t_001"),
            ("column", "t_001.id"),
        }


def test_who_asks_to_stop_gets_no_half_built_database(two: Project) -> None:
    shop = service(two, "shop")
    stop = StopSignal()
    stop.stop()
    with Scratch(AUTHOR, stop=stop) as scratch, opened(shop) as live, pytest.raises(Stopped):
        scratch.catalogue(shop, shop.by_id["002"], live)


@pytest.mark.parametrize("engine", ["shop", "bank"])
def test_a_signal_removes_the_database(two: Project, postgres: PostgresServer, mongo: MongoServer, engine: str) -> None:
    server = postgres if engine == "shop" else mongo
    two.file(engine, "003", "here('reached', db)" if engine == "bank" else "here('reached')")
    two.table(engine, "004")
    with two.running("baseline", engine, "--to", "004", "--scratch", server.url()) as process:
        two.reached("reached")
        assert len(names(server)) == 1
        process.send_signal(signal.SIGTERM)
        two.go("reached")
        answer = ended(process)
    assert answer.code == 75, answer.stderr
    assert names(server) == set()


def test_who_is_killed_leaves_a_database_that_can_be_told(two: Project, postgres: PostgresServer) -> None:
    two.file("shop", "003", "here('reached')")
    with two.running("baseline", "shop", "--to", "003", "--scratch", postgres.url()) as process:
        two.reached("reached")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    [left] = names(postgres)
    assert re.fullmatch(r"dataops_scratch_20\d{6}t\d{6}_[0-9a-f]{6}_1", left)
    postgres.drop_database(left)


def test_who_is_killed_leaves_no_server_of_our_own(two: Project) -> None:
    two.file("shop", "003", "here('reached')")
    with TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o711)  # a server that root starts runs as somebody else
        with two.running("baseline", "shop", "--to", "003", env={"TMPDIR": place}) as process:
            two.reached("reached")
            assert list(Path(place).glob("dataops-*"))
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        until(lambda: not list(Path(place).glob("dataops-*")))
