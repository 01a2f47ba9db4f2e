"""The `--json` answers: stable."""

from __future__ import annotations

from dataclasses import replace

from dataops.errors import DatabaseAhead, MigrationFailed, Unreachable
from dataops.kinds import MONGODB
from dataops.model import Details, Failure, JournalEvent, Rendering, Result, Sent
from dataops.planning import planner
from dataops.planning.story import stories
from dataops.show import json
from dataops.stash.entry import StashEntry
from tests.unit.sample import HOLDER, NOW, entry, state, step

API = state("m* -- n+", name="api", kind=MONGODB)
VOUCHER = state("a -- b~!")
PLAN = planner.plan_apply([API, VOUCHER])
RENDERING = Rendering(("insert n {}",), notes=("n: 5 documents",), puts_aside=("n: 5 documents",))
AT = "2026-11-24T09:30:00+00:00"

PLANNED = {
    "direction": "apply",
    "services": [
        {
            "service": "api",
            "engine": "mongodb",
            "server": "MongoDB 7.0.6, standalone",
            "address": "db:5432/api",
            "fleet": None,
            "database": None,
            "labels": None,
            "applied": [{"migration": "m", "at": AT, "run": "run-1"}],
            "pending": 1,
            "unknown": [],
            "same_as": None,
            "steps": [
                {
                    "migration": "n",
                    "title": "Do n.",
                    "file": "n.py",
                    "direction": "apply",
                    "checksum": API.service.by_id["n"].checksum,
                    "transactional": False,
                    "repeatable": True,
                    "reversible": True,
                    "irreversible_because": None,
                    "commands": ["insert n {}"],
                    "opaque": None,
                    "fails": None,
                    "notes": ["n: 5 documents"],
                    "puts_aside": ["n: 5 documents"],
                    "risks": [],
                    "effects": [],
                    "unforeseen": [],
                    "findings": [],
                }
            ],
            "deploy_first": None,
        },
        {
            "service": "voucher",
            "engine": "postgresql",
            "server": "PostgreSQL 15.1",
            "address": "db:5432/voucher",
            "fleet": None,
            "database": None,
            "labels": None,
            "applied": [],
            "pending": 2,
            "unknown": [],
            "same_as": None,
            "steps": [
                {
                    "migration": "a",
                    "title": "Do a.",
                    "file": "a.py",
                    "direction": "apply",
                    "checksum": VOUCHER.service.by_id["a"].checksum,
                    "transactional": True,
                    "repeatable": False,
                    "reversible": True,
                    "irreversible_because": None,
                    "commands": [],
                    "opaque": "it asks",
                    "fails": None,
                    "notes": [],
                    "puts_aside": [],
                    "risks": [{"hazard": "unknown", "text": "it asks", "decides": False}],
                    "effects": [],
                    "unforeseen": [],
                    "findings": [],
                },
                {
                    "migration": "b",
                    "title": "Do b.",
                    "file": "b.py",
                    "direction": "apply",
                    "checksum": VOUCHER.service.by_id["b"].checksum,
                    "transactional": False,
                    "repeatable": False,
                    "reversible": False,
                    "irreversible_because": "b throws things away",
                    "commands": None,
                    "opaque": None,
                    "fails": None,
                    "notes": None,
                    "puts_aside": None,
                    "risks": [{"hazard": "irreversible", "text": "b throws things away", "decides": True}],
                    "effects": None,
                    "unforeseen": None,
                    "findings": None,
                },
            ],
            "deploy_first": None,
        },
    ],
    "troubles": [],
    "order": ["api/n", "voucher/a", "voucher/b"],
    "irreversible": 1,
    "summary": "Plan: 3 to apply in 2 services (1 irreversible)",
}
RENDERINGS = {"api/n": RENDERING, "voucher/a": Rendering(opaque="it asks")}


def test_a_plan() -> None:
    assert json.plan_of(PLAN, RENDERINGS) == PLANNED


def test_a_result() -> None:
    error = MigrationFailed("apply b failed", service="voucher", migration="b", hint="mend it")
    details = Details("b.py:3 in upgrade", "Traceback ...", Sent(2, 1, "rows", "DROP TABLE b"))
    lost = Failure("api", None, ValueError("gone"))
    done = Result(
        "run-2",
        PLAN,
        done=(step(API, "n"),),
        failures=(Failure("voucher", step(VOUCHER, "a"), error, 0, details), lost),
        left=(step(VOUCHER, "b"),),
        seconds=1.23456,
    )
    assert json.result(done, RENDERINGS) == {
        "run": "run-2",
        "direction": "apply",
        "done": ["api/n"],
        "failed": [
            {
                "step": "voucher/a",
                "kind": "MigrationFailed",
                "message": "apply b failed",
                "hint": "mend it",
                "service": "voucher",
                "migration": "b",
                "place": "b.py:3 in upgrade",
                "traceback": "Traceback ...",
                "last_sent": "DROP TABLE b",
                "writes": 2,
                "changed": 1,
                "unit": "rows",
            },
            {
                "step": None,
                "kind": "DataopsError",
                "message": "gone",
                "hint": "",
                "service": None,
                "migration": None,
                "place": None,
                "traceback": None,
                "last_sent": None,
                "writes": 0,
                "changed": 0,
                "unit": "rows",
            },
        ],
        "left": ["voucher/b"],
        "stopped": False,
        "seconds": 1.235,
        "plan": PLANNED,
    }


ENTRY = {
    "service": "voucher",
    "run": "run-8",
    "seq": 7,
    "migration": "b",
    "direction": "apply",
    "event": "started",
    "at": AT,
    "seconds": None,
    "actor": "bob",
    "host": "pod-2",
    "version": "0.1.0",
    "error": None,
    "reason": None,
    "statements": [],
}


def test_the_status_of_a_service() -> None:
    now = state("a* -- b~ -- c", last=entry("b", JournalEvent.STARTED))
    assert json.status_of("voucher", now, DatabaseAhead("no", service="voucher", migration="b", hint="h")) == {
        "service": "voucher",
        "engine": "postgresql",
        "server": "PostgreSQL 15.1",
        "address": "db:5432/voucher",
        "fleet": None,
        "database": None,
        "labels": None,
        "reachable": True,
        "revision": "a",
        "applied": 1,
        "pending": ["b", "c"],
        "ahead": [],
        "interrupted": {**ENTRY, "ended_by": "resolve"},
        "last": ENTRY,
        "locked_by": None,
        "running": None,
        "backfills": [],
        "paused": None,
        "background": None,
        "record": None,
        "moved": {"applied": [], "rolled_back": []},
        "warnings": [],
        "imports_changed": {},
        "problem": {"kind": "DatabaseAhead", "message": "no", "hint": "h", "service": "voucher", "migration": "b"},
        "drift": None,
        "foreign": [],
    }


def test_the_status_of_a_service_that_is_ahead_or_empty_or_locked() -> None:
    ahead = json.status_of("voucher", state("a* -- (b)* -- (c)*", holder=HOLDER), None)
    assert (ahead["revision"], ahead["ahead"], ahead["locked_by"]) == (
        "c",
        ["b", "c"],
        "bob@pod-2 (run run-9) since 2026-11-24 09:30:00 UTC",
    )
    empty = json.status_of("voucher", state("a"), None)
    assert (empty["revision"], empty["last"], empty["interrupted"], empty["problem"]) == (None, None, None, None)


def test_the_status_of_a_service_that_cannot_be_reached() -> None:
    assert json.status_of("voucher", Unreachable("no answer", service="voucher", hint="h"), None) == {
        "service": "voucher",
        "reachable": False,
        "error": {"kind": "Unreachable", "message": "no answer", "hint": "h", "service": "voucher", "migration": None},
        "exit_code": 10,
    }


def test_history() -> None:
    failed = replace(entry("b", JournalEvent.FAILED), at=None, seconds=1.5, error="ValueError: no", reason="why")
    told = json.history(stories({"voucher": [entry("b", JournalEvent.STARTED)], "api": [failed]}))
    assert told["runs"] == [
        {
            "run": "run-8",
            "began": AT,
            "ended": AT,
            "seconds": 1.5,
            "who": "bob@pod-2",
            "services": ["api", "voucher"],
            "done": {},
            "standing": 0,
            "failed": ["api/b"],
            "open": ["voucher/b"],
            "running": [],
            "stopped": [],
        }
    ]
    assert told["entries"] == [
        ENTRY,
        {
            **ENTRY,
            "service": "api",
            "event": "failed",
            "at": None,
            "seconds": 1.5,
            "error": "ValueError: no",
            "reason": "why",
            "statements": [],
        },
    ]


def test_what_is_kept() -> None:
    assert json.stash_entries("api", StashEntry("n", "dataops_stash_n.users", "users", 5, 1024, NOW)) == {
        "service": "api",
        "migration": "n",
        "of": "users",
        "kept_in": "dataops_stash_n.users",
        "count": 5,
        "bytes": 1024,
        "since": AT,
    }
