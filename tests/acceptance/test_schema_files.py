"""The schema in git: `schema dump`, `schema check`, `drift --from`, and the diff in `plan --format markdown`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer, postgres_server
from tests.projects import Project
from tests.servers import clean_environment

ORDERS = "op.execute('CREATE TABLE orders (id serial PRIMARY KEY, note varchar(9) NOT NULL)')"
ACCOUNTS = "db.create_collection('accounts', validator={'x': 1}); db.accounts.create_index('mail', name='mail')"


@pytest.fixture
def dumped(two: Project, postgres: PostgresServer, mongo: MongoServer) -> Project:
    two.env["DATAOPS_SCRATCH"] = f"{postgres.url()} {mongo.url('admin')}"
    two.file("shop", "003", ORDERS)
    two.file("bank", "003", ACCOUNTS)
    assert two("schema", "dump").code == 0
    return two


def test_a_migration_without_its_dump_is_a_diff(dumped: Project) -> None:
    folder = dumped.folder / "schema"
    assert sorted(path.name for path in folder.iterdir()) == ["bank.json", "shop.json", "shop.sql"]
    assert "CREATE TABLE orders (" in (folder / "shop.sql").read_text()
    assert '["index", "accounts.mail", "(mail: 1)"]' in (folder / "bank.json").read_text()
    assert dumped("schema", "check").code == 0
    again = dumped("schema", "dump", "shop")
    assert (again.code, again.stdout) == (0, "") and "as its history up to 003 makes them" in again.stderr
    dumped.file("shop", "004", "op.execute('ALTER TABLE orders ADD paid bool')")
    stale = dumped("schema", "check")
    assert stale.code == 8
    assert "--- a/schema/shop.sql\n+++ b/schema/shop.sql\n" in stale.stdout
    assert "+    paid boolean" in stale.stdout
    assert "dataops schema dump shop" in stale.stderr
    answer = dumped("schema", "check", "--json")
    assert answer.code == answer.json["exit_code"] == 8
    assert [(one["service"], bool(one["diff"])) for one in answer.json["services"]] == [("shop", True), ("bank", False)]
    assert dumped("schema", "check", "bank").code == 0
    written = dumped("schema", "dump", "--json").json["services"]
    assert [len(one["written"]) for one in written] == [2, 0]
    assert dumped("schema", "check").code == 0


def test_a_history_that_cannot_be_run_is_told_beside_the_others(dumped: Project) -> None:
    dumped.file("shop", "004", "op.execute('SELECT nonsense')")
    answer = dumped("schema", "check", "--json")
    assert answer.code == 1
    assert [bool(one["problem"]) for one in answer.json["services"]] == [True, False]
    assert dumped("schema", "dump", "nobody").code == 64


def test_drift_needs_no_scratch_server_where_the_schema_is_in_git(
    dumped: Project, pg: psycopg.Connection[Any], mongo_url: str
) -> None:
    dumped.env["DATAOPS_SCRATCH"] = "postgres://nobody@127.0.0.1:1/none mongodb://127.0.0.1:1/none"
    assert dumped("apply", "--yes").code == 0
    assert dumped("drift", "--from", "schema").code == 0
    pg.execute("ALTER SEQUENCE orders_id_seq CYCLE; ALTER TABLE orders SET (fillfactor = 50)")
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.get_default_database().accounts.drop_index("mail")
        client.get_default_database().the_applications_own.insert_one({})
    drifted = dumped("drift", "--from", "schema", "--json")
    assert drifted.code == 8
    assert [(of["kind"], of["open"]) for one in drifted.json["services"] for of in one["differences"]] == [
        ("settings of table", True),
        ("sequence of column", False),
        ("index", False),
    ]
    pg.execute("ALTER SEQUENCE orders_id_seq NO CYCLE")
    told = dumped("drift", "--from", "schema", "--service", "shop")
    assert told.code == 0 and "settings of table orders" in told.stdout
    assert "1 difference from its history up to 003, 1 of them in settings" in told.stderr
    assert dumped("drift", "--from", "schema", "--details").code == 64


def test_bodies_count_with_bodies_alone(dumped: Project, pg: psycopg.Connection[Any], postgres: PostgresServer) -> None:
    function = "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT {}'"
    dumped.file("shop", "004", f"op.execute({function.format(1)!r})")
    assert dumped("apply", "--yes").code == dumped("schema", "dump").code == 0
    pg.execute(function.format("/* one */   1").encode())
    assert dumped("drift", "--from", "schema", "--bodies").code == 0
    pg.execute(function.format(2).encode())
    pg.execute(b"GRANT SELECT ON orders TO public; ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
    pg.execute(b"ALTER TABLE orders DISABLE ROW LEVEL SECURITY")
    assert dumped("drift", "--from", "schema").code == 0
    for source in (["--from", "schema"], ["--scratch", postgres.url()]):
        found = dumped("drift", "--service", "shop", *source, "--bodies", "--json").json["services"][0]["differences"]
        assert [(of["kind"], of["name"]) for of in found] == [("body of function", "f()")]


KILLED = """
import os, signal, sys
from dataops.cli import main
at, left = sys.argv.pop(1), [int(sys.argv.pop(1))]
real = getattr(os, at)
def call(*args, **more):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*args, **more)
setattr(os, at, call)
main()
"""


@pytest.mark.parametrize("at", ["fsync", "replace"])
@pytest.mark.parametrize("files", [0, 1])
def test_who_is_killed_while_the_files_are_written_leaves_none_that_is_believed(
    dumped: Project, at: str, files: int
) -> None:
    """Killed before each file is in the disk, and before each takes its place."""
    folder = dumped.folder / "schema"
    dumped.file("shop", "004", "op.execute('ALTER TABLE orders ADD paid bool')")
    assert dumped("apply", "--yes").code == 0
    before = {path.name: path.read_text() for path in folder.iterdir()}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, at, str(files), "schema", "dump", "shop"],
        cwd=dumped.folder,
        env={**clean_environment(), **dumped.env},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole = {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".")}
    assert (whole == before) is (files == 0)
    assert len(list(folder.glob(".*.part"))) == 1
    refused = dumped("drift", "--from", "schema", "--service", "shop")
    assert refused.code == 4
    assert "hint: " in refused.stderr and "schema dump shop" in refused.stderr if files else "004" in refused.stderr
    assert dumped("schema", "check", "shop").code == 8
    assert dumped("schema", "dump", "shop").code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["bank.json", "shop.json", "shop.sql"]
    assert dumped("schema", "check").code == dumped("drift", "--from", "schema").code == 0


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


EDITS = [
    ("shop.json", "character varying(9)", "character varying(8)", "was edited by hand"),
    ("shop.sql", "varying(9)", "varying(8)", "was edited by hand"),
    ("shop.json", '"head": "003"', '"head": "002"', "was edited by hand"),
    ("shop.json", '"service": "shop"', '"service": "bank"', "is of the postgresql service bank"),
    ("shop.json", '"engine": "postgresql"', '"engine": "mongodb"', "is of the mongodb service shop"),
    ("shop.json", '"format": 1', '"format": 2', "of another version of dataops"),
    ("shop.json", '  "objects": [', "<<<<<<< HEAD", "is no schema file"),
]


def test_where_a_folder_has_no_schema_files_the_hint_makes_them_there(dumped: Project) -> None:
    dumped("apply", "--yes")
    answer = dumped("drift", "--from", "elsewhere", "--service", "shop")
    assert (answer.code, "there is no elsewhere/shop.json" in answer.stderr) == (4, True)
    _, _, hint = answer.stderr.strip().rpartition("hint: make it from the history: dataops ")
    assert hint == "schema dump shop --folder elsewhere"
    assert dumped(*hint.split()).code == 0
    assert dumped("drift", "--from", "elsewhere", "--service", "shop").code == 0


def test_a_schema_file_that_is_not_as_it_was_made_is_refused(dumped: Project) -> None:
    dumped("apply", "--yes")
    for name, old, new, told in EDITS:
        edit(dumped.folder / "schema" / name, old, new)
        answer = dumped("drift", "--from", "schema", "--service", "shop")
        assert answer.code == 4
        assert told in answer.stderr
        assert "hint: make it from the history: dataops schema dump shop" in answer.stderr
        edit(dumped.folder / "schema" / name, new, old)
    edit(dumped.folder / "schema" / "shop.sql", "varying(9)", "varying(8)")
    assert dumped("schema", "check", "shop").code == 8
    assert dumped("schema", "dump", "shop").code == dumped("drift", "--from", "schema").code == 0


def test_a_schema_file_of_another_head_or_none_is_refused(dumped: Project) -> None:
    dumped("apply", "--yes", "--to", "shop/002")
    answer = dumped("drift", "--from", "schema", "--service", "shop")
    assert answer.code == 4
    assert "shop.json is of 003, but the record of the database is at 002" in answer.stderr
    (dumped.folder / "schema" / "shop.sql").unlink()
    assert "there is no schema/shop.sql" in dumped("drift", "--from", "schema", "--service", "shop").stderr
    nowhere = dumped("drift", "--from", "nowhere")
    assert nowhere.code == 4 and "there is no nowhere/shop.json" in nowhere.stderr


def test_a_plan_shows_how_the_schema_changes(dumped: Project, mongo_url: str) -> None:
    dumped("apply", "--yes")
    dumped.file("shop", "004", "op.execute('ALTER TABLE orders ADD paid bool')")
    assert "run dataops schema dump shop" in dumped("plan", "--format", "markdown").stdout
    dumped("schema", "dump")
    shown = dumped("plan", "--format", "markdown").stdout
    assert "<summary>shop: the schema after it</summary>" in shown
    assert "+    paid boolean" in shown
    assert "bank: the schema" not in shown
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.get_default_database().create_collection("the_applications_own")
    dumped.file("bank", "004", "db.accounts.drop_index('mail'); db.t_001.drop()")
    dumped("schema", "dump")
    shown = dumped("plan", "--format", "markdown").stdout
    assert "-index accounts.mail: (mail: 1)" in shown and "-collection t_001: " in shown
    assert "the_applications_own" not in shown
    dumped("apply", "--yes")
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.get_default_database().accounts.create_index("mail", name="mail", unique=True)
    for against in (["--from", "schema"], []):
        told = dumped("drift", "--service", "bank", *against)
        assert (told.code, "index accounts.mail" in told.stdout) == (8, True)


def test_apply_verifies_what_it_has_made(dumped: Project, pg: psycopg.Connection[Any]) -> None:
    """An event trigger adds an index to each new table, which the history does not say."""
    assert dumped("apply", "--yes", "--verify").code == 0
    pg.execute("""
        CREATE FUNCTION indexed() RETURNS event_trigger LANGUAGE plpgsql AS
            'BEGIN IF to_regclass(''later'') IS NOT NULL THEN CREATE INDEX extra ON later (id); END IF; END'""")
    pg.execute("CREATE EVENT TRIGGER eager ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION indexed()")
    dumped.configure(shop={"ignore": ["indexed()", "eager"]})
    dumped.file("shop", "004", "op.execute('CREATE TABLE later (id int)')")
    answer = dumped("apply", "--yes", "--verify", "--json")
    assert answer.code == 8
    assert answer.json["done"] == ["shop/004"] and answer.json["exit_code"] == 8
    [shop] = [one for one in answer.json["verified"] if one["differences"]]
    assert [(of["how"], of["name"]) for of in shop["differences"]] == [("unexpected", "later.extra")]
    assert dumped("status", "--check").code == 0
    configuration = dumped.folder / "dataops.toml"
    configuration.write_text("[apply]\nverify = true\n" + configuration.read_text())
    told = dumped("apply", "--yes")
    assert told.code == 8 and "index later.extra: here, but not expected" in told.stderr
    assert dumped("apply", "--yes", "--no-verify").code == 0


def test_a_scratch_server_of_another_major_version_makes_no_difference(
    dumped: Project, postgres: PostgresServer, pg: psycopg.Connection[Any]
) -> None:
    assert dumped("apply", "--yes").code == 0
    with postgres_server(15 if postgres.version.startswith("17") else 17, stand_in=True) as other:
        same = dumped("drift", "--service", "shop", "--scratch", other.url())
        assert same.code == 0 and "another version" not in same.stderr
        pg.execute("DROP TABLE orders")
        drifted = dumped("drift", "--service", "shop", "--scratch", other.url())
        assert drifted.code == 8 and f"run on PostgreSQL {other.version.split('.')[0]}, and" in drifted.stderr
        dumped.folder.joinpath("schema", "shop.sql").unlink()
        assert dumped("schema", "dump", "shop", "--scratch", other.url()).stdout.split() == [
            str(dumped.folder / "schema" / "shop.sql")
        ]


def test_adopt_compares_bodies_where_it_is_asked_to(dumped: Project, pg: psycopg.Connection[Any], pg_url: str) -> None:
    dumped.file("shop", "004", "op.execute('COMMENT ON TABLE orders IS $$what they want$$')")
    assert dumped("apply", "--yes", "--service", "shop").code == 0
    pg.execute("DROP TABLE alembic_version; DROP SCHEMA IF EXISTS dataops_history CASCADE")
    pg.execute("DROP TABLE IF EXISTS dataops_journal; COMMENT ON TABLE orders IS NULL")
    pg.execute("ALTER TABLE orders SET (fillfactor = 50)")
    adopted = dumped("baseline", "shop", "--to", "004")
    assert adopted.code == 0
    assert "settings of table orders: here fillfactor=50, expected plain (refuses nothing)" in adopted.stderr
    answer = dumped("baseline", "shop", "--to", "004", "--bodies")
    assert answer.code == 8 and "comment on orders: missing here" in answer.stderr
