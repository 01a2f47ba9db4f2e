"""status, history, wait: what only looks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dataops.backends import opened
from dataops.cli.errors import worst
from dataops.cli.options import duration, metrics_option, reported
from dataops.cli.session import Session, checkout, command, document
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import (
    DatabaseAhead,
    DataopsError,
    EditedAfterApply,
    ExitCode,
    Stopped,
    UsageError,
    WaitTimedOut,
)
from dataops.model import Ahead, Service, State
from dataops.othertools import watch
from dataops.planning import checks, recovery
from dataops.redaction import redact
from dataops.run.reading import look, side_by_side
from dataops.show import json, pipeline, terminal

_WAIT_PAUSE = 1.0


@command("status")
@click.option("--check", is_flag=True, help="Exit 2 if anything is pending; also 4, 6, 9 or 10 if something is wrong.")
@metrics_option
@reported
def status_command(
    session: Session, check: bool, metrics_file: Path | None, form: str, report_path: Path | None
) -> ExitCode:
    """Show where every service stands: one row each, also those that are only observed. Writes nothing.

    \b
    Example:
      dataops status
      dataops status --check --service api --json
      dataops status --check --format junit --report status.xml
    """
    form = session.form(form)
    config = session.config(observed=True)
    services = config.services
    with telemetry(session, "status", metrics_file, run=False) as observed:
        observed.services = services
        states = observed.outcomes = look(services, emit=session.sink())
    problems = [None if isinstance(state, DataopsError) else _problem(state) for state in states]
    code = _status_code(states, problems, check=check)
    looked = list(zip(services, states, problems, strict=True))

    def text() -> str:
        if form == "json":
            return document({"services": [json.status(s.name, state, p) for s, state, p in looked]}, code)
        return redact(pipeline.status(form, looked, checkout(config.path.parent), check=check))

    if session.deliver(form, text, report_path):
        return code
    drawn = [terminal.status_row(s.name, state, p) for s, state, p in looked]
    session.console.table(terminal.STATUS_HEADERS, [row for row, _ in drawn], [style for _, style in drawn])
    for state, problem in zip(states, problems, strict=True):
        wrong = state if isinstance(state, DataopsError) else problem
        if wrong is not None:
            session.console.error(wrong)
    return code


@command("history")
@click.option("--run", "run_id", metavar="ID", help="Only this run.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many entries.")
def history_command(session: Session, run_id: str | None, limit: int) -> None:
    """Show what runs did, over all services, newest first.

    \b
    Example:
      dataops history --service api --limit 10
      dataops history --run 20261124T093000-1f2e3d
    """
    services = session.config().services

    def ask(service: Service) -> list[tuple[str, Any]]:
        with opened(service) as backend:
            entries = backend.history(None if run_id else limit)
        return [(service.name, entry) for entry in entries if run_id in (None, entry.run)]

    found = [pair for pairs in side_by_side(ask, services) for pair in pairs]
    found.sort(key=lambda pair: (pair[1].at.timestamp() if pair[1].at else 0.0, pair[1].seq), reverse=True)
    shown = found if run_id else found[:limit]
    if run_id and not shown:
        raise UsageError(f"no entry of run {run_id}", hint="see dataops history")
    if session.as_json:
        session.answer(json.history(shown), ExitCode.OK)
    elif shown:
        session.console.table(terminal.HISTORY_HEADERS, terminal.history_rows(shown))
    else:
        session.console.say("nothing yet")


@command("wait")
@click.option(
    "--timeout", callback=duration, default="10m", show_default=True, metavar="10m", help="Give up after this."
)
@click.option("--allow-ahead", is_flag=True, help="A database that is ahead of this code is good enough.")
def wait_command(session: Session, timeout: float, allow_ahead: bool) -> ExitCode:
    """Block until every service has all migrations that this code knows: for an application's init container.

    Only reads. Services that are only observed count when they are named. A database that is ahead ends the wait at
    once: with 0 where that is allowed, with 9 where not.

    \b
    Example:
      dataops wait --service notifications --timeout 5m
      dataops wait --service kratos
    """
    with signals(session) as stop:
        services = session.config(observed=bool(session.selected)).services
        deadline = time.monotonic() + timeout
        told: dict[str, str] = {}
        while True:
            states = look(services, emit=lambda event: None)
            problems = [_waiting_for(state, allow_ahead=allow_ahead) for state in states]
            for service, problem in zip(services, problems, strict=True):
                text = str(problem) if problem else f"{service.name}: ready"
                if told.get(service.name) != text:
                    told[service.name] = text
                    session.console.say(text if problem is None else f"waiting: {text}")
                    if session.logs_lines:
                        session.log.line("info", "waiting" if problem else "ready", service.name, text, {})
            waiting = [problem for problem in problems if problem is not None]
            if not waiting:
                break
            if stop():
                raise Stopped("stopped while waiting")
            if time.monotonic() >= deadline:
                raise worst(waiting)
            stop.pause(_WAIT_PAUSE)
        if session.as_json:
            rows = [json.status(s.name, state, None) for s, state in zip(services, states, strict=True)]
            session.answer({"services": rows}, ExitCode.OK)
    return ExitCode.OK


def _problem(state: State) -> DataopsError | None:
    """What would refuse an apply now, or what is wrong with a database that we only observe."""
    if state.service.observe:
        return watch.watch(state).problem
    try:
        checks.check(state)
        recovery.refuse_interrupted(state)
    except DataopsError as error:
        return error
    return None


def _status_code(
    states: Sequence[State | DataopsError], problems: Sequence[DataopsError | None], *, check: bool
) -> ExitCode:
    errors = [state for state in states if isinstance(state, DataopsError)]
    if check:
        errors += [problem for problem in problems if problem is not None]
    if errors:
        return worst(errors).exit_code
    pending = any(isinstance(state, State) and (state.pending or _unfinished(state)) for state in states)
    return ExitCode.PENDING if check and pending else ExitCode.OK


def _unfinished(state: State) -> str:
    return watch.watch(state).waiting if state.service.observe else ""


def _waiting_for(state: State | DataopsError, *, allow_ahead: bool) -> DataopsError | None:
    """Why this service is not ready yet; None when it is. Raises what no waiting can mend."""
    if isinstance(state, DataopsError):
        if state.exit_code is not ExitCode.UNREACHABLE:
            raise state
        return state
    if state.service.observe:
        watched = watch.watch(state)
        if watched.problem is not None:
            raise watched.problem
        return WaitTimedOut(watched.waiting, service=state.service.name) if watched.waiting else None
    if state.ahead and not state.pending and (allow_ahead or state.service.ahead is Ahead.ALLOW):
        return None
    try:
        checks.check(state)
        recovery.refuse_interrupted(state)
    except (DatabaseAhead, EditedAfterApply):
        raise
    except DataopsError as error:
        return error
    if state.pending:
        return WaitTimedOut(f"{terminal.counted(len(state.pending), 'migration')} pending", service=state.service.name)
    return None
