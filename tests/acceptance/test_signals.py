"""Signals beyond the ordinary: at the prompt, while planning, between two tries, in code that does not listen."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psycopg
import pytest

from tests.projects import Project, await_line, ended, until
from tests.terminal import Terminal

pytestmark = pytest.mark.usefixtures("new_interpreters")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_question_ends_the_command_and_nothing_was_done(two: Project, number: signal.Signals) -> None:
    with Terminal(two, "apply") as terminal:
        terminal.read_until("migrations?")
        terminal.signal(number)
        assert terminal.ended() == 75
    assert "nothing was done" in terminal.text
    assert two("history").stdout == ""


def test_ctrl_c_typed_at_the_question_is_one_too(two: Project) -> None:
    with Terminal(two, "apply") as terminal:
        terminal.read_until("migrations?")
        terminal.press("\x03")
        assert terminal.ended() == 75
    assert two("history").stdout == ""


def _looks_at_files(pid: int) -> bool:
    """Whether a command has started the process in which it looks at files."""
    return any(children.read_text() for children in Path(f"/proc/{pid}/task").glob("*/children"))


@pytest.mark.parametrize("services", [("shop",), ("bank",), ("shop", "bank")])
def test_a_signal_while_the_plan_is_made_ends_the_command_at_once(two: Project, services: tuple[str, ...]) -> None:
    """Planning runs the files; here that takes long. Nothing is held yet, so there is nothing to finish."""
    for service in services:
        two.file(service, "003", "time.sleep(60)")
    chosen = [option for service in services for option in ("--service", service)]
    with two.running("apply", "--yes", *chosen) as process:
        until(lambda: _looks_at_files(process.pid), what="it looks at the files")
        process.send_signal(signal.SIGTERM)
        answer = ended(process, timeout=8)
    assert answer.code == 75
    assert two("history").stdout == ""


@pytest.mark.parametrize("command", [["plan"], ["plan", "--json"]])
def test_sigterm_ends_a_command_that_only_looks(two: Project, command: list[str]) -> None:
    """By its own hand, with 75: the first process of a container would not even hear a signal that nobody handles."""
    two.file("bank", "003", "time.sleep(60)")
    with two.running(*command) as process:
        until(lambda: _looks_at_files(process.pid), what="it looks at the files")
        process.send_signal(signal.SIGTERM)
        assert ended(process, timeout=5).code == 75


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_the_second_signal_ends_a_step_that_does_not_listen_as_a_crash_would(two: Project, service: str) -> None:
    """The step sleeps in Python: no server can interrupt that. It counts as crashed, and is decided as such."""
    up = (
        "db.half.insert_one({})\nhere('x', db)"
        if service == "bank"
        else "op.execute('CREATE TABLE half ()')\nhere('x')"
    )
    two.file(service, "003", up)
    with two.running("apply", "--yes", "--json", "--service", service) as process:
        two.reached("x")
        process.send_signal(signal.SIGTERM)
        await_line(process, "stopping after the running steps")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        answer = ended(process)
    assert time.monotonic() - began < 12
    assert (answer.code, answer.json["exit_code"]) == (75, 75)
    two.go("x")
    again = two("apply", "--yes", "--service", service)
    assert again.code == (6 if service == "bank" else 0)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_between_two_tries_of_a_step_stops_there(two: Project, pg_url: str, signals: int) -> None:
    """Somebody reads the table all the time: the step was rolled back and waits to be tried again."""
    two.configure(shop={"timeouts": {"table_lock": "100ms"}})
    assert two("apply", "--yes", "--service", "shop").code == 0
    two.file("shop", "003", "op.execute('ALTER TABLE t_001 ADD COLUMN x int')")
    with psycopg.connect(pg_url) as reader:
        reader.execute("SELECT * FROM t_001")
        with two.running("apply", "--yes", "--service", "shop") as process:
            await_line(process, "attempt 2")
            began = time.monotonic()
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
            answer = ended(process)
    assert answer.code == 75
    assert time.monotonic() - began < 3
    assert two("apply", "--yes", "--service", "shop").code == 0


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_step_that_fails_by_itself_after_the_first_signal_is_a_failure(two: Project, service: str) -> None:
    """A Job that only retries on 75 would hide it."""
    two.file(service, "003", f"here('x'{', db' if service == 'bank' else ''})\nraise RuntimeError('mine')")
    two.table(service, "004")
    with two.running("apply", "--yes", "--service", service) as process:
        two.reached("x")
        process.send_signal(signal.SIGTERM)
        await_line(process, "stopping after the running steps")
        two.go("x")
        assert ended(process).code == 1


@pytest.mark.parametrize(
    "command", [["apply", "--yes"], ["rollback", "--yes", "--steps", "4"], ["resolve", "shop/002", "--applied"]]
)
def test_a_signal_while_waiting_for_the_lock_ends_the_wait(two: Project, command: list[str]) -> None:
    assert two("apply", "--yes").code == 0
    two.file("shop", "003", "here('x')", "here('x')")
    reason = ["--reason", "r"] if command[0] == "resolve" else []
    with two.running("apply", "--yes") as first:
        two.reached("x")
        with two.running(*command, *reason) as second:
            await_line(second, "waiting for the lock")
            second.send_signal(signal.SIGTERM)
            assert ended(second).code == 75
        two.go("x")
        assert ended(first).code == 0


def test_a_signal_ends_wait_and_the_wait_for_a_server(two: Project) -> None:
    with two.running("wait", "--timeout", "60s", "--json") as process:
        await_line(process, "pending")
        process.send_signal(signal.SIGTERM)
        answer = ended(process)
        assert (answer.code, answer.json["exit_code"]) == (75, 75)
    nowhere = {"SHOP_URL": "postgres://u:p@127.0.0.1:1/x"}
    with two.running("apply", "--yes", "--wait", "60s", "--log-format", "json", env=nowhere) as process:
        await_line(process, "server_awaited")
        process.send_signal(signal.SIGINT)
        answer = ended(process)
    assert answer.code == 75
    assert all(json.loads(line) for line in answer.stderr.splitlines())
