"""The journal as evidence: `history --verify`, and what a step's statements took."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from pymongo.database import Database

from tests.acceptance.test_our_tables import alembic
from tests.acceptance.test_rights import role
from tests.projects import Project

JOURNAL = "dataops_history.dataops_journal"


def test_what_a_superuser_does_to_the_journals_is_named_and_a_hash_kept_outside_finds_the_rest(
    two: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    assert two("apply", "--yes").code == 0
    sound = two("history", "--verify")
    assert (sound.code, sound.stderr) == (0, "")
    assert "shop: 4 entries with a hash\n" in sound.stdout
    assert "bank: 4 entries with a hash\n" in sound.stdout
    told = two("history", "--verify", "--json").json
    newest = {one["service"]: one["newest"]["hash"] for one in told["services"]}
    assert (told["exit_code"], told["gone"], [one["damages"] for one in told["services"]]) == (0, [], [[], []])
    kept = ("--hash", newest["shop"], "--hash", newest["bank"])
    assert two("history", "--verify", *kept).code == 0

    pg.execute(f"UPDATE {JOURNAL} SET actor = 'nobody' WHERE migration = '001' AND event = 'succeeded'".encode())
    mongo_db["dataops_journal"].delete_one({"migration": "002", "event": "started"})
    found = two("history", "--verify", *kept)
    seq = next(iter(pg.execute(f"SELECT seq FROM {JOURNAL} WHERE actor = 'nobody'".encode())))[0]
    assert found.code == 8
    assert f"✗ shop: entry {seq} (001) is changed since it was written\n" in found.stdout
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("✗ bank")]
    assert "(002) comes after an entry that is gone or was replaced, between " in line

    # What the newest entries said, no hash can tell: the record does, or the hash that was kept
    mongo_db["dataops_journal"].delete_many({"migration": "002"})
    found = two("history", "--verify", *kept, "--json", "--service", "bank")
    assert (found.code, found.json["gone"]) == (8, [newest["shop"], newest["bank"]])
    (damage,) = [one for one in found.json["services"][0]["damages"] if one["seq"] is None]
    assert (damage["migration"], "applied by the native record and not by the journal" in damage["what"]) == (
        "002",
        True,
    )
    pg.execute("UPDATE alembic_version SET version_num = '001'")
    found = two("history", "--verify", "--service", "shop")
    assert "✗ shop: 002 is rolled back by the native record and not by the journal: " in found.stdout
    assert two("history", "--hash", "x").code == 64


def test_an_export_is_verified_elsewhere_by_the_script_of_the_documentation(
    two: Project, pg: psycopg.Connection[Any]
) -> None:
    """A name that JSON, the terminal and the redaction treat in their own ways is in the entries too."""
    awkward = {"DATAOPS_ACTOR": 'ann "\u202e é\\'}
    assert two("apply", "--yes", env=awkward).code == 0
    operations = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (script,) = [text for text in re.findall(r"```python\n(.*?)```", operations, re.DOTALL) if "hashlib" in text]

    def verified(lines: list[str]) -> str:
        return subprocess.run(
            [sys.executable, "-c", script], input="".join(lines), capture_output=True, text=True, check=True
        ).stdout

    lines = two("history", "--export", "jsonl").stdout.splitlines(keepends=True)
    assert (len(lines), verified(lines)) == (8, "")
    shop = [at for at, line in enumerate(lines) if '"service":"shop"' in line.replace(" ", "")]
    without = [line for at, line in enumerate(lines) if at != shop[1]]
    assert verified(without).startswith("something is missing before: shop ")
    edited = [line.replace("succeeded", "failed") if at == shop[1] else line for at, line in enumerate(lines)]
    assert verified(edited).startswith("changed: shop ")
    rows = list(csv.DictReader(two("history", "--export", "csv").stdout.splitlines()))
    assert [row["hash"] for row in rows] == [json.loads(line)["hash"] for line in lines]
    pg.execute(f"UPDATE {JOURNAL} SET reason = 'postgres://ann:hunter22@h/x' WHERE seq = 1".encode())
    exported = two("history", "--export", "jsonl").stdout
    entry = json.loads(exported.splitlines()[shop[0]])
    assert "hunter22" not in exported
    assert (entry["sealed"], entry["hash"]) == (None, json.loads(lines[shop[0]])["hash"])


def test_a_journal_of_an_earlier_version_goes_on_with_hashes_where_this_user_may_widen_it(
    two: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    assert two("apply", "--yes", "--steps", "1", "--service", "shop").code == 0
    assert two("apply", "--yes", "--steps", "1", "--service", "bank").code == 0
    pg.execute(f"ALTER TABLE {JOURNAL} DROP hash, DROP previous, DROP statements, DROP imports".encode())
    for field in ("hash", "previous", "statements", "imports"):
        mongo_db["dataops_journal"].update_many({}, {"$unset": {field: 1}})
    assert two("history", "--verify").code == 0
    assert two("apply", "--yes").code == 0
    verified = two("history", "--verify")
    assert verified.code == 0
    for service in ("shop", "bank"):
        assert f"{service}: 2 entries with a hash, 2 without one before them, as earlier" in verified.stdout


def test_history_of_a_run_tells_the_statements_that_took_long(
    two: Project, pg: psycopg.Connection[Any], mongo_db: Database[dict[str, Any]]
) -> None:
    two.file("shop", "003", "op.execute(\"SELECT pg_sleep(0.03), 'hunter2'\")\nop.execute('SELECT 1')\n" * 2)
    find = "list(db.t_001.find({'$where': 'sleep(30) || true', 'name': {'$ne': 'hunter2'}}))"
    two.file("bank", "003", find)
    assert two("apply", "--yes").code == 0
    told = two("history", two("history", "-o", "name").stdout.split()[0], "-v")
    assert "shop/003, its slowest statements:\n" in told.stdout
    assert "2 times: SELECT pg_sleep(?), ?\n" in told.stdout
    assert "bank/003, its slowest statements:\n" in told.stdout
    assert "s  find t_001\n" in told.stdout
    assert "hunter2" not in told.stdout + two("history", "--json").stdout
    entries = two("history", "--json").json["entries"]
    slow = next(one["statements"] for one in entries if (one["service"], one["event"]) == ("shop", "succeeded"))
    (sleep,) = [one for one in slow if "pg_sleep" in one["text"]]  # under load, others are slow too
    assert (sleep["text"], sleep["count"], 0.06 <= sleep["seconds"] < 30) == ("SELECT pg_sleep(?), ?", 2, True)
    assert two("history", "--verify").code == 0


# Written so that the text of the file does not show it, and the step begins as one transaction
BESIDE = """
with getattr(op.get_bind(), 'eng' + 'ine').connect() as other:
    other.exec_driver_sql('CREATE TABLE beside_{id} (id int)')
    getattr(other, 'com' + 'mit')()
op.execute('CREATE TABLE t_{id} (id int)')
"""


def test_whatever_a_file_does_with_transactions_and_whoever_runs_it_no_entry_is_called_changed(
    project: Project, pg_url: str, pg: psycopg.Connection[Any]
) -> None:
    """Marks on two connections, a commit in the middle, a step that is taken back, a bare Alembic, a decision."""
    project.add("shop", pg_url, onto_existing=True)
    project.file("shop", "001", BESIDE.format(id="001"))
    project.file(
        "shop", "002", "op.execute('COM' + 'MIT')\nop.execute('BE' + 'GIN')\nop.execute('CREATE TABLE t_002 (id int)')"
    )
    project.table("shop", "003")
    assert project("apply", "--yes").code == 0
    project.file("shop", "004", BESIDE.format(id="004") + "raise RuntimeError('no')\n")
    assert project("apply", "--yes").code == 1
    assert project("resolve", "shop/004", "--not-applied", "--reason", "by hand").code == 0
    project.file("shop", "004", "raise RuntimeError('no')\n", parent="003")
    assert project("apply", "--yes").code == 1
    project.file("shop", "004", "pass", parent="003")
    for arguments in (["upgrade", "head"], ["downgrade", "-1"], ["stamp", "head"]):
        answer = alembic(project, *arguments)
        assert (answer.code, answer.stderr if answer.code else "") == (0, "")
    marks = list(pg.execute(f"SELECT 1 FROM {JOURNAL} WHERE migration = '001' AND reason <> ''".encode()))
    assert len(marks) == 2, marks  # the second one was written before the first one could be seen
    verified = project("history", "--verify")
    assert (verified.code, "✗" in verified.stdout) == (0, False), verified.stdout


def test_a_user_who_may_only_write_into_a_journal_of_somebody_else_writes_hashes_too(
    project: Project, pg_url: str, pg: psycopg.Connection[Any]
) -> None:
    """First the journal has no room for them, and this user may not make any."""
    project.add("shop", pg_url)
    project.table("shop", "001")
    assert project("apply", "--yes").code == 0
    pg.execute(f"ALTER TABLE {JOURNAL} DROP hash, DROP previous, DROP statements".encode())
    pg.execute("GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC; GRANT USAGE ON SCHEMA dataops_history TO PUBLIC")
    pg.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {JOURNAL}, alembic_version TO PUBLIC".encode())
    with role(pg_url, "writer_of_entries") as url:
        for id_, words in (("002", "0 entries with a hash"), ("003", "2 entries with a hash")):
            project.table("shop", id_)
            answer = project("apply", "--yes", env={"SHOP_URL": url})
            assert (answer.code, answer.stderr if answer.code else "") == (0, "")
            verified = project("history", "--verify", env={"SHOP_URL": url})
            assert (verified.code, words in verified.stdout) == (0, True), verified.stdout
            for column in ("previous", "hash"):
                pg.execute(f"ALTER TABLE {JOURNAL} ADD IF NOT EXISTS {column} text NOT NULL DEFAULT ''".encode())


def test_times_are_in_utc_whatever_time_zone_a_database_sets(
    project: Project, pg: psycopg.Connection[Any], pg_url: str
) -> None:
    pg.execute(SQL("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'").format(Identifier(pg.info.dbname)))
    project.add("shop", pg_url)
    project.file("shop", "001", "here('middle')")
    before = datetime.now(UTC)
    with project.running("apply", "--yes") as run:
        project.reached("middle")
        (since,) = re.findall(r"since (\S+ \S+) UTC", project("apply", "--yes", "--lock-timeout", "0").stderr)[:1]
        assert abs(datetime.fromisoformat(since).replace(tzinfo=UTC) - before) < timedelta(hours=1)
        project.go("middle")
        assert run.wait(60) == 0
    for entry in csv.DictReader(project("history", "--export", "csv").stdout.splitlines()):
        assert abs(datetime.fromisoformat(entry["at"]) - before) < timedelta(hours=1)
    (shown,) = (line for line in project("status").stdout.splitlines() if line.startswith("shop"))
    assert f"{before:%Y-%m-%d}" in shown and " UTC" not in shown
    assert all(entry["at"].endswith(("Z", "+00:00")) for entry in project("history", "--json").json["entries"])
