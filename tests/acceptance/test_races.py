"""Many at once: every migration runs exactly once, and nobody fails for having come second."""

from __future__ import annotations

import subprocess
from collections import Counter
from typing import Any

import pytest

from tests.projects import Project, ended
from tests.servers import Cli

TOGETHER = 20


def _finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    answers = [ended(process, timeout=240) for process in processes]
    return [(answer.code, answer.stderr) for answer in answers if answer.code != 0]


def _entries(journal: dict[str, Any]) -> Counter[tuple[str, str, str, str]]:
    keys = ("service", "migration", "direction", "event")
    return Counter(tuple(entry[key] for key in keys) for entry in journal["entries"])


def test_twenty_applies_at_once_run_every_migration_exactly_once_and_all_succeed(dataops_cli: Cli) -> None:
    together = [dataops_cli.start("apply", "--yes") for _ in range(TOGETHER)]

    assert _finish(together) == []

    journal = _entries(dataops_cli("history", "--limit", "1000", "--json").json)
    applied = {key[:2] for key in journal}
    assert len(applied) == 62
    assert journal == Counter(
        {
            (service, migration, "apply", event): 1
            for service, migration in applied
            for event in ("started", "succeeded")
        }
    )
    assert dataops_cli("status", "--check").code == 0


def test_twenty_rollbacks_at_once_undo_every_migration_exactly_once(two: Project) -> None:
    run = two("apply", "--yes", "--json").json["run"]

    started = [two.start("rollback", "--yes", "--run", run) for _ in range(8)]
    codes = Counter(ended(process, timeout=120).code for process in started)

    # Whoever finds nothing left to do has succeeded too, also who reads after the end.
    assert codes == Counter({0: 8})
    undone = _entries(two("history", "--limit", "1000", "--json").json)
    assert {key: count for key, count in undone.items() if key[2:] == ("rollback", "succeeded")} == {
        (service, migration, "rollback", "succeeded"): 1 for service in ("shop", "bank") for migration in ("001", "002")
    }


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_second_apply_waits_for_the_first_and_finds_nothing_left(two: Project, service: str) -> None:
    two.file(service, "003", "here('middle', db)" if service == "bank" else "here('middle')")
    with two.running("apply", "--yes") as first:
        two.reached("middle")
        with two.running("apply", "--yes") as second:
            assert second.stderr is not None
            while "waiting for the lock" not in (line := second.stderr.readline()):
                assert line, "it ended without waiting"
            two.go("middle")
            assert ended(first).code == 0
            answer = ended(second)
    assert (answer.code, "nothing to apply" in answer.stderr) == (0, True)


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_who_may_not_wait_that_long_is_told_who_holds_the_lock(two: Project, service: str) -> None:
    two.file(service, "003", "here('middle', db)" if service == "bank" else "here('middle')")
    with two.running("apply", "--yes", env={"DATAOPS_ACTOR": "the-first-one"}) as first:
        two.reached("middle")
        late = two("apply", "--yes", "--lock-timeout", "300ms")
        seen = two("status", "--json").json
        two.go("middle")
        assert ended(first).code == 0
    assert late.code == 3
    assert "the-first-one" in late.stderr
    holders = {row["service"]: row["locked_by"] for row in seen["services"]}
    assert "the-first-one" in (holders[service] or "")
