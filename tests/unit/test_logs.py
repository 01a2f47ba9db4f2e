"""JSON log lines: stable, one object a line, no secret."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dataops import config, events, planner
from dataops.errors import LockNotObtained
from dataops.logs import JsonLog
from dataops.model import Failure, Result
from tests.unit.sample import state, step

NOW = datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC)
STATE = state("a -- b")
STEP = step(STATE, "a")
HEAD = {"time": "2026-11-24T09:30:00.123Z", "level": "info", "event": "?", "run": "run-2"}


def logged(*told: events.Event) -> list[dict[str, Any]]:
    stream = io.StringIO()
    log = JsonLog(stream, "run-2", now=lambda: NOW)
    for event in told:
        log(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def line(event: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    return {**HEAD, "event": event, "level": level, **fields}


A_STEP = {"service": "voucher", "migration": "a", "direction": "apply"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.RunStarted(run="run-2", steps=2), line("run_started", steps=2)),
        (
            events.ServerAwaited("api", reason="connection refused"),
            line("server_awaited", "warn", service="api", reason="connection refused"),
        ),
        (
            events.LockAwaited("api", holder="bob@pod-2 (run run-9)"),
            line("lock_awaited", "warn", service="api", holder="bob@pod-2 (run run-9)"),
        ),
        (events.LockTaken("api"), line("lock_taken", service="api")),
        (events.NothingLeft("api"), line("nothing_left", service="api")),
        (events.StepStarted("voucher", STEP), line("step_started", **A_STEP)),
        (
            events.StillRunning("voucher", STEP, 61.23456, 5, 10, "rows"),
            line("still_running", **A_STEP, seconds=61.235, done=5, total=10, unit="rows"),
        ),
        (
            events.StepRetried("voucher", STEP, 1, 0.75, "LockNotAvailable: ..."),
            line("step_retried", "warn", **A_STEP, attempt=1, seconds=0.75, reason="LockNotAvailable: ..."),
        ),
        (events.StepFinished("voucher", STEP, 1.5), line("step_finished", **A_STEP, seconds=1.5)),
        (
            events.StepFailed("voucher", STEP, 0.1, "ValueError: no"),
            line("step_failed", "error", **A_STEP, seconds=0.1, error="ValueError: no"),
        ),
        (events.Warned("api", message="careful"), line("warned", "warn", service="api", message="careful")),
        (events.StopRequested(signal="SIGTERM"), line("stop_requested", "warn", signal="SIGTERM", now=False)),
        (
            events.RunFinished(
                result=Result(
                    "run-2",
                    planner.plan_apply([STATE]),
                    done=(STEP,),
                    failures=(Failure("voucher", step(STATE, "b"), ValueError("no"), 1),),
                    seconds=2.34567,
                )
            ),
            line("run_finished", done=1, failed=1, left=0, seconds=2.346, stopped=False),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, events.Event) else "",
)
def test_an_event_is_one_line(event: events.Event, expected: dict[str, Any]) -> None:
    assert logged(event) == [expected]


def test_progress_that_comes_many_times_a_second_is_not_logged() -> None:
    assert logged(events.StepProgressed("voucher", STEP, 1, 2, "rows")) == []


def test_the_keys_come_in_the_same_order() -> None:
    (found,) = logged(events.StepFinished("voucher", STEP, 1.5))
    assert list(found) == ["time", "level", "event", "run", "service", "migration", "direction", "seconds"]


def test_an_error_is_a_line_with_its_hint_and_exit_code() -> None:
    stream = io.StringIO()
    JsonLog(stream, "run-2", now=lambda: NOW).error(LockNotObtained("held by bob", hint="wait", service="api"))
    assert json.loads(stream.getvalue()) == line(
        "error", "error", service="api", message="held by bob", hint="wait", exit_code=3
    )


@pytest.mark.parametrize("password", ["hunter2", 'pa"ss\\word', "pässwörd", "10", "e", "{"])
def test_a_line_has_no_secret_and_is_json_whatever_the_password(password: str) -> None:
    from urllib.parse import quote

    config.redact.learn(f"postgres://someone:{quote(password, safe='')}@db/x")
    (found,) = logged(events.StepFailed("voucher", STEP, 10.0, f"cannot log in with {password}!"))
    assert password not in found["error"].replace("***", "")
    assert found["seconds"] == 10.0


def test_a_line_break_in_a_message_makes_no_second_line() -> None:
    assert logged(events.Warned("api", message="one\ntwo"))[0]["message"] == "one\ntwo"


def test_a_log_that_nobody_reads_raises_for_broadcast_to_notice_but_not_for_the_last_error() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = JsonLog(Full(), "run-2")
    with pytest.raises(OSError, match="No space left"):
        log(events.LockTaken("api"))
    log.error(LockNotObtained("held by bob"))
