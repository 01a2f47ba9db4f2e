"""JSON log lines: stable, one object a line, no secret."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime
from typing import Any

import pytest

from dataops import events
from dataops.errors import LockNotObtained
from dataops.model import Details, Doing, Failure, Result, Sent
from dataops.planning import planner
from dataops.redaction import redact
from dataops.show.log import JsonLog, parent
from tests.unit.sample import state, step

NOW = datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC)
STATE = state("a -- b")
STEP = step(STATE, "a")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "pod-1")


def logged(*told: events.Event, **settings: Any) -> list[dict[str, Any]]:
    stream = io.StringIO()
    log = JsonLog(stream, "run-2", now=lambda: NOW, **settings)
    for event in told:
        log(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def line(event: str, text: str, level: int = 30, **fields: Any) -> dict[str, Any]:
    return {
        "level": level,
        "time": 1795512600123,
        "pid": os.getpid(),
        "hostname": "pod-1",
        "timestamp": "2026-11-24T09:30:00.123Z",
        "target": "dataops",
        "msg": text,
        "fields": {"message": text},
        "event": event,
        "run": "run-2",
        **fields,
    }


A_STEP: dict[str, Any] = {"service": "voucher", "migration": "a", "direction": "apply"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            events.RunStarted(run="run-2", steps=2, plan=planner.plan_apply([STATE])),
            line("run_started", "run run-2: 2 steps", steps=2),
        ),
        (
            events.ServerAwaited("api", reason="refused"),
            line("server_awaited", "api: waiting for the server: refused", 40, service="api", reason="refused"),
        ),
        (
            events.LockAwaited("api", holder="bob (run run-9)"),
            line(
                "lock_awaited",
                "api: waiting for the lock of bob (run run-9)",
                40,
                service="api",
                holder="bob (run run-9)",
            ),
        ),
        (events.LockTaken("api"), line("lock_taken", "api: has the lock", service="api")),
        (
            events.NothingLeft("api"),
            line("nothing_left", "api: nothing left to do, another run did it", service="api"),
        ),
        (events.StepStarted("voucher", STEP), line("step_started", "voucher: apply a …", **A_STEP)),
        (
            events.StillRunning("voucher", STEP, 61.23456, Doing("", 5, 10, "rows"), 2.0, 2.5),
            line(
                "still_running",
                "voucher: apply a still running, 1 min 1 s, 5 of 10 rows, 2 a second, 2.5 s left",
                **A_STEP,
                seconds=61.235,
                rate=2.0,
                left=2.5,
                done=5,
                total=10,
                unit="rows",
            ),
        ),
        (
            events.StepRetried("voucher", STEP, 1, 0.75, "LockNotAvailable"),
            line(
                "step_retried",
                "voucher: apply a rolled back, again in 0.8 s (attempt 1): LockNotAvailable",
                40,
                **A_STEP,
                attempt=1,
                seconds=0.75,
                reason="LockNotAvailable",
            ),
        ),
        (
            events.StepFinished("voucher", STEP, 1.5),
            line("step_finished", "voucher: apply a done (1.50 s)", **A_STEP, seconds=1.5),
        ),
        (
            events.StepFailed(
                "voucher",
                STEP,
                0.1,
                "ValueError: no",
                Details("a.py:3 in upgrade", "Traceback ...", Sent(2, 1, "rows", "DROP TABLE a")),
            ),
            line(
                "step_failed",
                "voucher: apply a FAILED (0.10 s)",
                50,
                **A_STEP,
                seconds=0.1,
                error="ValueError: no",
                stopped=False,
                place="a.py:3 in upgrade",
                traceback="Traceback ...",
                last_sent="DROP TABLE a",
                writes=2,
                changed=1,
                unit="rows",
            ),
        ),
        (
            events.WaveStarted("tenants", 2, 3, 20),
            line(
                "wave_started", "tenants: wave 2 of 3: 20 databases", service="tenants", wave=2, waves=3, databases=20
            ),
        ),
        (
            events.WaveFinished("tenants", 2, 3, 19, 1, 4.0),
            line(
                "wave_finished",
                "tenants: wave 2 of 3 ended: 19 done, 1 failed (4.0 s)",
                service="tenants",
                wave=2,
                waves=3,
                done=19,
                failed=1,
                seconds=4.0,
            ),
        ),
        (events.Warned("api", message="careful"), line("warned", "careful", 40, service="api")),
        (
            events.StopRequested(signal="SIGTERM"),
            line(
                "stop_requested",
                "SIGTERM: stopping after the running steps; again to stop now",
                40,
                signal="SIGTERM",
                now=False,
            ),
        ),
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
            line(
                "run_finished",
                "run run-2 ended: 1 done, 1 failed, 0 left (2.3 s)",
                done=1,
                failed=1,
                left=0,
                seconds=2.346,
                stopped=False,
            ),
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
    told = "level time pid hostname timestamp target msg fields event run service migration direction seconds"
    assert list(found) == told.split()


def test_a_level_is_a_number_as_pino_writes_it_or_a_word_as_tracing_does_and_all_else_is_the_same() -> None:
    told = [
        events.LockTaken("api"),
        events.Warned(message="careful"),
        events.StepFailed("voucher", STEP, 0.1, "ValueError: no"),
    ]
    numbers, words = logged(*told), logged(*told, words=True)
    assert [one.pop("level") for one in numbers] == [30, 40, 50]
    assert [one.pop("level") for one in words] == ["INFO", "WARN", "ERROR"]
    assert numbers == words


def test_every_line_has_the_trace_where_there_is_one() -> None:
    trace = parent({"TRACEPARENT": TRACEPARENT})
    assert trace == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    found = logged(events.LockTaken("api"), events.Warned(message="careful"), trace=trace)
    assert {one["trace_id"] for one in found} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert "trace_id" not in logged(events.LockTaken("api"))[0]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        TRACEPARENT.upper(),
        TRACEPARENT[:40],
        f"ff{TRACEPARENT[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
    ],
)
def test_a_traceparent_that_is_none_counts_as_not_set(value: str) -> None:
    assert parent({"TRACEPARENT": value}) == {}


def test_an_error_is_a_line_with_its_hint_and_exit_code() -> None:
    stream = io.StringIO()
    JsonLog(stream, "run-2", now=lambda: NOW).error(LockNotObtained("held by bob", hint="wait", service="api"))
    assert json.loads(stream.getvalue()) == line(
        "error", "held by bob", 50, service="api", kind="LockNotObtained", hint="wait", exit_code=3
    )


@pytest.mark.parametrize("password", ["level", '"event"', "step_failed", "10", "e", "{"])
def test_a_line_is_the_same_whatever_the_password(password: str) -> None:
    from urllib.parse import quote

    redact.learn(f"postgres://someone:{quote(password, safe='')}@db/x")
    (found,) = logged(events.StepFailed("voucher", STEP, 10.0, "no"))
    assert (found["event"], found["error"], found["seconds"]) == ("step_failed", "no", 10.0)


def test_a_line_break_in_a_message_makes_no_second_line() -> None:
    assert logged(events.Warned("api", message="one\ntwo"))[0]["msg"] == "one\ntwo"


def test_a_log_that_nobody_reads_raises_for_broadcast_to_notice_but_not_for_the_last_error() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = JsonLog(Full(), "run-2")
    with pytest.raises(OSError, match="No space left"):
        log(events.LockTaken("api"))
    log.error(LockNotObtained("held by bob"))
