"""The journal as evidence: `history --verify`, and what a step's statements took."""

from __future__ import annotations

from typing import Any

import psycopg
from pymongo.database import Database

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
    pg.execute("DELETE FROM alembic_version")
    found = two("history", "--verify", "--service", "shop")
    assert "✗ shop: 001 is applied by the journal, and the native record does not have it" in found.stdout
    assert two("history", "--hash", "x").code == 64


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
    assert "SELECT ?\n" not in told.stdout
    assert "hunter2" not in told.stdout + two("history", "--json").stdout
    entries = two("history", "--json").json["entries"]
    (sleep,) = next(one["statements"] for one in entries if (one["service"], one["event"]) == ("shop", "succeeded"))
    assert (sleep["text"], sleep["count"], 0.06 <= sleep["seconds"] < 30) == ("SELECT pg_sleep(?), ?", 2, True)
    assert two("history", "--verify").code == 0
