"""`doctor` says what is not well around the migrations, and how to mend it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo import MongoClient

from dataops import checkup
from dataops.backends.mongo.checkup import _topology
from dataops.checkup import Level
from dataops.dev import MongoServer
from tests.projects import Project
from tests.servers import Answer, fresh_mongo


def found(answer: Answer, where: str) -> dict[str, tuple[str, str]]:
    """Level and finding of each thing that was looked at there."""
    return {
        check["subject"]: (check["level"], check["found"]) for check in answer.json["checks"] if check["where"] == where
    }


def test_all_is_well_with_databases_that_were_made_for_this(two: Project) -> None:
    answer = two("doctor", "--json")
    assert (answer.code, answer.stderr) == (0, "")
    assert {check["level"] for check in answer.json["checks"] if check["where"] != "this machine"} == {"ok"}
    assert set(found(answer, "this machine")) == {
        "dataops", "squawk", "scratch PostgreSQL", "scratch MongoDB", "disk",
    }  # fmt: skip
    assert found(answer, "shop")["version"][1].startswith("PostgreSQL ")
    assert found(answer, "bank")["rights to migrate"][1].startswith("apply and rollback work")
    assert two("status", "--json").json["services"][0]["applied"] == 0  # it has written nothing
    shown = two("doctor", "--service", "shop").stdout
    assert "Nothing has to be mended." in shown
    assert "bank" not in shown


def test_a_user_who_may_only_read_is_told_what_is_missing(two: Project, pg_url: str) -> None:
    assert two("apply", "--yes", "--service", "shop").code == 0
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE doctors_looker LOGIN PASSWORD 'secret-of-nobody'")
        try:
            url = pg_url.replace(urlsplit(pg_url).netloc.rpartition("@")[0], "doctors_looker:secret-of-nobody")
            blind = two("doctor", "--service", "shop", "--json", env={"SHOP_URL": url})
            connection.execute("GRANT USAGE ON SCHEMA dataops_history TO doctors_looker")
            connection.execute("GRANT SELECT ON alembic_version, dataops_history.dataops_journal TO doctors_looker")
            looker = two("doctor", "--service", "shop", "--json", env={"SHOP_URL": url})
            shown = two("doctor", "--service", "shop", env={"SHOP_URL": url})
        finally:
            connection.execute("DROP OWNED BY doctors_looker CASCADE")
            connection.execute("DROP ROLE doctors_looker")
    assert blind.code == 10
    assert {"failed"} <= {level for level, _ in found(blind, "shop").values()}
    assert looker.code == 0
    assert found(looker, "shop")["rights to look"][0] == "ok"
    assert found(looker, "shop")["rights to migrate"][0] == "note"
    assert found(looker, "shop")["ownership"][0] == "note"
    assert "GRANT" in shown.stdout
    for answer in (blind, looker, shown):
        assert "secret-of-nobody" not in answer.stdout + answer.stderr


def test_mongodb_users_are_told_what_their_roles_are_good_for(
    project: Project, mongo_with_passwords: MongoServer
) -> None:
    with fresh_mongo(mongo_with_passwords) as url, MongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        options = parts.query.replace("authSource=admin", f"authSource={db.name}")
        project.add("bank", url)
        project.table("bank", "001")
        levels = {}
        for name, roles in (("nobody", []), ("looker", ["read"]), ("migrator", ["readWrite"])):
            db.command("createUser", name, pwd="secret-of-nobody", roles=roles)
            mine = {"BANK_URL_CON": f"mongodb://{name}:secret-of-nobody@{host}/{db.name}?{options}"}
            answer = project("doctor", "--json", env=mine)
            told = found(answer, "bank")
            levels[name] = (
                answer.code,
                told.get("rights to look", ("", ""))[0],
                told.get("rights to migrate", ("", ""))[0],
            )
            assert "secret-of-nobody" not in answer.stdout + answer.stderr
            db.command("dropUser", name)
        assert levels == {"nobody": (10, "failed", ""), "looker": (0, "ok", "note"), "migrator": (0, "ok", "ok")}
        without = project("doctor", "--json", env={"BANK_URL_CON": f"mongodb://{host}/{db.name}"})
        assert (without.code, found(without, "bank")["version"][0]) == (10, "ok")


def test_a_database_that_is_down_does_not_hide_the_others(two: Project) -> None:
    answer = two("doctor", "--json", env={"SHOP_URL": "postgres://u:secret-of-nobody@127.0.0.1:1/x"})
    assert answer.code == 10
    assert set(found(answer, "shop")) == {"connection"}
    assert found(answer, "bank")["lock"] == ("ok", "free")
    assert "secret-of-nobody" not in answer.stdout + answer.stderr


def test_clocks_that_differ_are_told() -> None:
    asked = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    answered = asked + timedelta(seconds=2)
    for theirs, level, words in (
        (asked + timedelta(seconds=1), Level.OK, "within 1 s"),
        (asked - timedelta(seconds=3), Level.OK, "within 3 s"),
        (asked - timedelta(hours=1), Level.NOTE, "3600 s behind"),
        (asked + timedelta(seconds=62), Level.NOTE, "60 s ahead of"),
    ):
        check = checkup.clock(theirs, asked, answered)
        assert (check.level, words in check.found) == (level, True)


@pytest.mark.parametrize(
    ("hello", "level"),
    [
        ({}, Level.NOTE),
        ({"msg": "isdbgrid"}, Level.NOTE),
        ({"setName": "rs", "hosts": ["a", "b", "c"], "isWritablePrimary": True}, Level.OK),
        ({"setName": "rs", "hosts": ["a", "b"], "arbiters": ["c"], "isWritablePrimary": True}, Level.NOTE),
        ({"setName": "rs", "hosts": ["a", "b", "c"], "isWritablePrimary": False}, Level.FAILED),
    ],
)
def test_topologies(hello: dict[str, Any], level: Level) -> None:
    [check] = _topology(hello)
    assert (check.level, bool(check.remedy)) == (level, level is not Level.OK)
