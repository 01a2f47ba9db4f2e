"""`drift` compares databases with what their records say that they are made of."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import Answer

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
    assert applied("drift", "-o", "csv").stdout.splitlines()[0] == "service,object,expected,here"
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
