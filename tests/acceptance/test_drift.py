"""`drift` compares databases with what their records say that they are made of."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from pymongo import MongoClient

from dataops import config, drift
from dataops.backends import Lent, opened
from dataops.catalogue import Key
from dataops.dev import MongoServer, PostgresServer
from dataops.errors import StalePlan
from dataops.model import Migration, Service, Timeouts
from dataops.scratch import NOTHING, Scratch
from tests.acceptance.test_rights import role
from tests.projects import Project, until
from tests.servers import Answer, fresh_mongo

SARIF = Path(__file__).parents[1] / "lint" / "data" / "sarif-schema-2.1.0.json"
SHOP = "op.execute('CREATE TABLE orders (id serial PRIMARY KEY, note text NOT NULL)')"
BANK = (
    "db.create_collection('accounts', validator={'$jsonSchema': {'required': ['mail']}})"
    "; db.accounts.create_index('mail', name='mail', unique=True)"
)


@pytest.fixture
def applied(two: Project, postgres: PostgresServer, mongo: MongoServer) -> Project:
    two.env["DATAOPS_SCRATCH"] = f"{postgres.url()} {mongo.url('admin')}"
    two.file("shop", "003", SHOP)
    two.file("bank", "003", BANK)
    assert two("apply", "--yes").code == 0
    return two


def found(answer: Answer) -> dict[str, list[tuple[str, str, str]]]:
    return {
        one["service"]: [(of["how"], of["kind"], of["name"]) for of in one["differences"]]
        for one in answer.json["services"]
    }


def test_nothing_differs_until_somebody_changes_a_database(
    applied: Project, pg: psycopg.Connection[Any], mongo_url: str
) -> None:
    well = applied("drift", "--json")
    assert (well.code, found(well)) == (0, {"shop": [], "bank": []})
    assert "as its history up to 003" in applied("drift").stderr
    pg.execute("ALTER TABLE orders ALTER note DROP NOT NULL; CREATE TABLE stray (id int); DROP TABLE IF EXISTS nothing")
    with MongoClient[dict[str, Any]](mongo_url) as client:
        db = client.get_default_database()
        db.accounts.drop_index("mail")
        db.accounts.create_index("mail", name="mail")
        db.create_collection("the_applications_own")
        db.command("collMod", "accounts", validationLevel="moderate")
    drifted = applied("drift", "--json")
    assert drifted.code == 8
    assert found(drifted) == {
        "shop": [("different", "column", "orders.note"), ("unexpected", "table", "stray")],
        "bank": [("different", "index", "accounts.mail"), ("different", "validator", "accounts.validator")],
    }
    shown = applied("drift", "--service", "shop")
    assert shown.code == 8
    assert "column orders.note" in shown.stdout
    assert "2 differences from its history up to 003" in shown.stderr
    pg.execute("DROP TABLE t_001")
    assert applied("drift", "-o", "csv").stdout.splitlines()[:4] == [
        "service,object,expected,here",
        "shop,column orders.note,text NOT NULL,text",
        "shop,table stray,-,there",
        "shop,table t_001,there,-",
    ]
    pg.execute("CREATE TABLE t_001 (id int)")
    suites = ElementTree.fromstring(applied("drift", "--format", "junit").stdout)
    assert len(suites.findall(".//failure")) == 4
    for form in ("github", "markdown"):
        assert "orders.note" in applied("drift", "--format", form).stdout
    applied.configure(shop={"ignore": ["stray", "orders.note"]}, bank={"ignore": ["accounts"]})
    assert applied("drift").code == 0


def test_status_compares_too_where_it_is_asked_to(applied: Project, pg: psycopg.Connection[Any], pg_url: str) -> None:
    well = applied("status", "--drift")
    assert (well.code, well.stdout.count("up to date, as its history")) == (0, 2)
    pg.execute("ALTER TABLE orders ALTER note DROP NOT NULL")
    found = applied("status", "--drift")
    assert (found.code, "✗ up to date, 1 difference from its history" in found.stdout) == (0, True)
    assert "hint: which: dataops drift --service shop" in found.stderr
    assert applied("status", "--drift", "--check").code == 8
    assert "as its history" not in applied("status").stdout
    bank, shop = sorted(applied("status", "--drift", "--json").json["services"], key=lambda one: str(one["service"]))
    assert (bank["drift"], shop["problem"]) == ({"head": "003", "differences": [], "problem": None}, None)
    assert [of["name"] for of in shop["drift"]["differences"]] == ["orders.note"]
    assert applied("status", "--json").json["services"][0]["drift"] is None
    assert applied("status", "--drift", "--watch").code == 64
    # what cannot be compared is never exit 0
    unknown = applied("status", "--drift", "--scratch", "postgres://nobody@127.0.0.1:1/x", env={"DATAOPS_SCRATCH": ""})
    assert (unknown.code, "not compared: " in unknown.stdout) == (10, True)


def test_what_differs_goes_to_code_scanning_and_to_monitoring(
    applied: Project, pg: psycopg.Connection[Any], tmp_path: Path
) -> None:
    pg.execute('ALTER TABLE orders ALTER note DROP NOT NULL; CREATE TABLE "stray {0} [a](b)" (id int)')
    metrics = tmp_path / "drift.prom"
    told = applied("drift", "--format", "sarif", "--metrics-file", str(metrics))
    (run,) = json.loads(told.stdout)["runs"]
    jsonschema.validate(json.loads(told.stdout), json.loads(SARIF.read_text()))
    assert told.code == 8
    assert [(one["ruleId"], one["locations"][0]["logicalLocations"][0]["kind"]) for one in run["results"]] == [
        ("drift/different", "column"),
        ("drift/unexpected", "table"),
    ]
    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert (applied.folder / place["uri"]).read_text().startswith('"""The one called 003."""')
    assert len({one["partialFingerprints"]["object/v1"] for one in run["results"]}) == 2
    assert 'dataops_differences{engine="postgresql",service="shop"} 2.0' in metrics.read_text()
    assert 'dataops_differences{engine="mongodb",service="bank"} 0.0' in metrics.read_text()
    # what cannot be compared is told, and leaves the numbers as they were
    before = metrics.read_text()
    unknown = applied(
        "drift", "--format", "sarif", "--metrics-file", str(metrics), env={"SHOP_URL": "postgres://127.0.0.1:1/x"},
    )  # fmt: skip
    (failed,) = json.loads(unknown.stdout)["runs"]
    jsonschema.validate(json.loads(unknown.stdout), json.loads(SARIF.read_text()))
    assert (unknown.code, failed["invocations"][0]["executionSuccessful"]) == (10, False)
    assert "cannot connect" in failed["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    (line,) = (line for line in before.splitlines() if line.startswith("dataops_compared") and "shop" in line)
    assert line in metrics.read_text()


def test_a_database_that_is_migrated_meanwhile_is_not_judged(
    applied: Project, postgres: PostgresServer, mongo: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied.file("shop", "004", "here('middle')", "op.execute('SELECT 1')")
    applied.file("bank", "004", "here('middle-too', db)", "db.t_001.find_one()")
    with applied.running("apply", "--yes") as run:
        applied.reached("middle")
        applied.reached("middle-too")
        refused = applied("drift")
        assert (refused.code, refused.stderr.count("a run is at work: ")) == (3, 2)
        assert "hint: how far it is: dataops status; " in refused.stderr
        applied.go("middle")
        applied.go("middle-too")
        assert run.wait(20) == 0

    monkeypatch.chdir(applied.folder)  # where the files of `here` are

    class Meanwhile(Scratch):
        def migrate(self, service: Service, to: Migration | None, lent: Mapping[str, Lent] = NOTHING) -> dict[Key, str]:
            dropped = super().migrate(service, to, lent)
            assert applied("rollback", "--yes", "--to", f"{service.name}/003", "--service", service.name).code == 0
            return dropped

    settings = config.load(applied.folder / "dataops.toml", environ={**applied.env})
    with Meanwhile(config.author(), servers=[postgres.url(), mongo.url("admin")]) as scratch:
        for service in settings.services:
            compared = drift.find(service, scratch)
            assert isinstance(compared.error, StalePlan), compared
            assert compared.error.message == "the database was migrated while it was compared"


@pytest.mark.parametrize("name", ["shop", "bank"])
def test_a_database_that_somebody_changes_by_hand_meanwhile_is_not_judged(
    applied: Project,
    postgres: PostgresServer,
    mongo: MongoServer,
    pg: psycopg.Connection[Any],
    mongo_url: str,
    name: str,
) -> None:
    """It differs when it is first read, and in another way later."""

    class Meanwhile(Scratch):
        def migrate(self, service: Service, to: Migration | None, lent: Mapping[str, Lent] = NOTHING) -> dict[Key, str]:
            dropped = super().migrate(service, to, lent)
            with MongoClient[dict[str, Any]](mongo_url) as client:
                client.get_default_database().t_002.create_index("a")
                client.get_default_database().t_001.drop()
            pg.execute("DROP TABLE t_001")
            return dropped

    pg.execute("CREATE TABLE more (id int)")
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.get_default_database().accounts.drop()
    settings = config.load(applied.folder / "dataops.toml", environ={**applied.env})
    (service,) = (one for one in settings.services if one.name == name)
    with Meanwhile(config.author(), servers=[postgres.url(), mongo.url("admin")]) as scratch:
        compared = drift.find(service, scratch)
    assert isinstance(compared.error, StalePlan), compared
    assert compared.error.message == "the database was changed by somebody while it was compared"
    assert applied("drift", "--service", name).code == 8


def test_an_object_that_is_dropped_while_it_is_read_is_no_crash(
    applied: Project, pg: psycopg.Connection[Any], pg_url: str
) -> None:
    """The server waits for a view, or for its table, to write it down: at first in vain, and then it is gone."""
    pg.execute("CREATE VIEW seen AS SELECT id FROM t_001 WHERE id > 1")
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IN ('t_001'::regclass, 'seen'::regclass)"
    (service,) = config.load(applied.folder / "dataops.toml", environ={**applied.env}, selected=["shop"]).services
    with psycopg.connect(pg_url) as other, ThreadPoolExecutor() as pool:
        other.execute("DROP TABLE t_001 CASCADE")
        told = applied("drift", "--service", "shop")
        assert told.code == 3
        assert f"somebody changes the database: t_001, seen is held by process {other.info.backend_pid}" in (
            told.stderr.replace("seen, t_001", "t_001, seen")
        )
        with opened(replace(service, timeouts=Timeouts(connect=60.0))) as database:
            reading = pool.submit(database.catalogue)
            until(lambda: pg.execute(waits).fetchone() == (1,))
            other.commit()
            assert ("table", "t_001") not in reading.result(60).objects
    assert applied("drift", "--service", "shop").code == 8


def test_a_database_that_is_changed_all_the_time_is_judged_or_told(
    applied: Project, pg_url: str, mongo_url: str
) -> None:
    """Tables and collections come and go while each is compared ten times."""
    done = threading.Event()

    def change() -> None:
        with psycopg.connect(pg_url, autocommit=True) as other, MongoClient[dict[str, Any]](mongo_url) as client:
            db = client.get_default_database()
            while not done.is_set():
                other.execute("CREATE TABLE t (id serial PRIMARY KEY, n int DEFAULT 1 CHECK (n > 0))")
                other.execute("CREATE INDEX t_n ON t (n); CREATE VIEW v AS SELECT n FROM t")
                other.execute("DROP TABLE t CASCADE")
                db.comes.create_index("a")
                db.create_collection("sees", viewOn="comes", pipeline=[])
                db.comes.drop()
                db.sees.drop()

    busy = threading.Thread(target=change)
    busy.start()
    try:
        applied("schema", "dump")
        settings = config.load(applied.folder / "dataops.toml", environ={**applied.env})
        for service in settings.services:
            for _ in range(10):
                found = drift.find(service, applied.folder / "schema")
                assert found.error is None or isinstance(found.error, StalePlan), found.error
                assert {one.name.partition(".")[0] for one in found.differences} <= {"t", "v"}
    finally:
        done.set()
        busy.join()


def test_the_right_to_read_in_postgresql_is_enough_and_a_user_without_it_is_told(
    applied: Project, pg: psycopg.Connection[Any], pg_url: str
) -> None:
    with role(pg_url, "reader") as url:
        pg.execute("GRANT USAGE ON SCHEMA public, dataops_history TO reader")
        pg.execute("GRANT SELECT ON alembic_version, dataops_history.dataops_journal TO reader")
        well = applied("drift", "--service", "shop", env={"SHOP_URL": url})
        assert (well.code, well.stderr) == (0, "shop: as its history up to 003\n")
        pg.execute("REVOKE SELECT ON dataops_history.dataops_journal FROM reader")
        refused = applied("drift", "--service", "shop", env={"SHOP_URL": url})
        assert (refused.code, "dataops docs operations rights" in refused.stderr) == (10, True)


def test_the_right_to_read_in_mongodb_is_enough_and_a_user_without_it_is_told(
    project: Project, mongo: MongoServer, mongo_with_passwords: MongoServer
) -> None:
    with fresh_mongo(mongo_with_passwords) as url, MongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        project.env["DATAOPS_SCRATCH"] = mongo.url("admin")
        project.add("bank", url)
        project.file("bank", "001", BANK)
        assert project("apply", "--yes").code == 0
        db["accounts"].insert_one({"mail": "a"})
        db.command("createUser", "reader", pwd="secret-of-nobody", roles=["read"])
        netloc, query = urlsplit(url).netloc.rpartition("@")[2], urlsplit(url).query
        query = query.replace("authSource=admin", f"authSource={db.name}")
        env = {"BANK_URL_CON": f"mongodb://reader:secret-of-nobody@{netloc}/{db.name}?{query}"}
        well = project("drift", env=env)
        assert (well.code, well.stderr) == (0, "bank: as its history up to 001\n")
        privileges = [{"resource": {"db": db.name, "collection": ""}, "actions": ["listCollections", "listIndexes"]}]
        privileges += [
            {"resource": {"db": db.name, "collection": name}, "actions": ["find"]}
            for name in ("pymongo_migrate", "dataops_journal", "dataops_lock", "migrations", "changelog")
        ]
        db.command("createRole", "narrow", privileges=privileges, roles=[])
        db.command("updateUser", "reader", roles=["narrow"])
        refused = project("drift", env=env)
        assert (refused.code, "dataops docs operations rights" in refused.stderr) == (10, True)
        assert "not authorized" in refused.stderr
        for kind in ("User", "Role"):
            db.command(f"drop{kind}", "reader" if kind == "User" else "narrow")


VALIDATOR = """{'$jsonSchema': {
    'bsonType': 'object', 'required': ['sku', 'price'], 'additionalProperties': False,
    'properties': {
        '_id': {}, 'sku': {'bsonType': 'string'}, 'price': {'bsonType': ['int', 'double'], 'minimum': 0},
        'size': {
            'bsonType': 'object', 'required': ['unit'], 'additionalProperties': False,
            'properties': {'unit': {'enum': ['cm']}},
            'patternProperties': {'^x': {'bsonType': 'int'}},
        },
        'tags': {'bsonType': 'array', 'items': {'bsonType': 'string'}},
    },
}, 'price': {'$ne': 13}}"""

WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"sku": "a"}, "price", "in every document", "missing"),
    ({"sku": 1, "price": 1}, "sku", "string", "another type"),
    ({"sku": "a", "price": "1"}, "price", "int or double", "another type"),
    ({"sku": "a", "price": -1}, "price", '{"minimum": 0}', "another value"),
    ({"sku": "a", "price": 1, "colour": 1}, "", "no field but _id, price, size, sku, tags", "colour (1)"),
    ({"sku": "a", "price": 1, "size": 1}, "size", "object", "another type"),
    ({"sku": "a", "price": 1, "size": {}}, "size.unit", "in every document", "missing"),
    ({"sku": "a", "price": 1, "size": {"unit": "m"}}, "size.unit", '{"enum": ["cm"]}', "another value"),
    ({"sku": "a", "price": 1, "size": {"unit": "cm", "y": 1}}, "size", "no field but unit", "y (1)"),
    (
        {"sku": "a", "price": 1, "size": {"unit": "cm", "x": "1"}},
        "size",
        '{"patternProperties": {"^x": {"bsonType": "int"}}}',
        "another value",
    ),
    ({"sku": "a", "price": 1, "tags": [1]}, "tags", '{"items": {"bsonType": "string"}}', "another value"),
    ({"sku": "a", "price": 13}, "", '{"price": {"$ne": 13}}', "another value"),
]


def test_documents_are_held_against_the_validators_of_the_history(applied: Project, mongo_url: str) -> None:
    """Each wrong document breaks one demand, and one demand only; a good one and one of another collection none."""
    applied.file("bank", "004", f"db.create_collection('goods', validator={VALIDATOR}, validationAction='warn')")
    assert applied("apply", "--yes").code == 0

    def told(*options: str) -> list[tuple[str, str, str]]:
        (bank,) = applied("drift", "--service", "bank", "--json", *options).json["services"]
        assert bank["problem"] is None
        assert {of["kind"] for of in bank["differences"]} <= {"documents"}
        return [(of["name"], of["expected"], of["here"]) for of in bank["differences"]]

    with MongoClient[dict[str, Any]](mongo_url) as client:
        goods = client.get_default_database().goods
        assert told() == []
        goods.insert_one({"sku": "a", "price": 1, "size": {"unit": "cm", "x1": 1}, "tags": ["b"]})
        assert told() == []
        goods.insert_many([dict(document) for document, *_ in WRONG])
        expected = {
            (f"goods.{path}".rstrip("."), says, f"{found}, in 1 of 13 documents") for _, path, says, found in WRONG
        }
        assert (len(told()), set(told()), set(told("--full"))) == (len(WRONG), expected, expected)

        toml = applied.folder / "dataops.toml"
        plain = toml.read_text()
        toml.write_text(plain + "\n[documents]\nmissing = 0.1\ntype = 0.1\nunknown = 0.1\n")
        assert {found.partition(",")[0] for _, _, found in told()} == {"another value"}
        toml.write_text(plain + "\n[documents]\nsample = 0\n")
        assert told() == []
        toml.write_text(plain + "\n[documents]\nsample = 5\n")
        assert all(" of 5 documents" in found for _, _, found in told())
        for wrong in ("sample = -1", "sample = true", "type = 2", "type = '1%'", "kind = 0"):
            toml.write_text(f"{plain}\n[documents]\n{wrong}\n")
            assert applied("drift").code == 4, wrong
        toml.write_text(plain.replace("[services.bank]", '[services.bank]\nignore = ["goods.size", "goods.tags"]'))
        assert not {name for name, *_ in told()} & {"goods.size", "goods.size.unit", "goods.tags"}
        goods.drop()
        toml.write_text(plain)
        assert applied("drift", "--service", "bank").code == 8  # the collection is missing, which is told instead


def test_a_user_with_another_search_path_is_told_what_the_url_has_to_say(
    applied: Project, pg: psycopg.Connection[Any], pg_url: str
) -> None:
    pg.execute("CREATE SCHEMA other")
    pg.execute(SQL("ALTER DATABASE {} SET search_path = other").format(Identifier(pg.info.dbname)))
    applied.configure(shop={"ignore": ["other", "search_path"]})
    told = applied("drift", "--service", "shop")
    assert told.code == 8 and "URL: ?options=-csearch_path%3Dpublic\n" in told.stderr
    said = f"{pg_url}?options=-csearch_path%3Dpublic"
    assert applied("drift", "--service", "shop", env={"SHOP_URL": said}).code == 0


def test_a_database_that_is_behind_is_compared_with_what_it_has(applied: Project) -> None:
    applied.file("shop", "004", "op.execute('CREATE TABLE later ()')")
    answer = applied("drift", "--json")
    assert (answer.code, found(answer)["shop"]) == (0, [])
    assert [one["head"] for one in answer.json["services"]] == ["003", "003"]


def test_what_cannot_be_compared_is_told_beside_what_can(applied: Project, pg_url: str) -> None:
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE drift_looker LOGIN PASSWORD 'secret-of-nobody'")
        try:
            connection.execute("GRANT USAGE ON SCHEMA dataops_history TO drift_looker")
            connection.execute("GRANT SELECT ON alembic_version, dataops_history.dataops_journal TO drift_looker")
            url = pg_url.replace(urlsplit(pg_url).netloc.rpartition("@")[0], "drift_looker:secret-of-nobody")
            looker = applied("drift", "--json", env={"SHOP_URL": url})
        finally:
            connection.execute("DROP OWNED BY drift_looker CASCADE")
            connection.execute("DROP ROLE drift_looker")
    assert (looker.code, found(looker)) == (0, {"shop": [], "bank": []})  # the right to look is enough
    down = applied("drift", "--json", env={"SHOP_URL": "postgres://u:secret-of-nobody@127.0.0.1:1/x"})
    assert down.code == 10
    problems = {one["service"]: one["problem"] and one["problem"]["kind"] for one in down.json["services"]}
    assert problems == {"shop": "Unreachable", "bank": None}
    applied.path("shop", "003").unlink()
    ahead = applied("drift", "--json")
    assert ahead.code == 9
    for answer in (looker, down, ahead):
        assert "secret-of-nobody" not in json.dumps(answer.json) + answer.stderr
