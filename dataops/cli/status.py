"""status: shows where every service stands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from dataops.cli.errors import worst
from dataops.cli.options import metrics_option, reported
from dataops.cli.session import Session, checkout, command
from dataops.cli.telemetry import telemetry
from dataops.errors import DataopsError, ExitCode, UsageError
from dataops.model import State
from dataops.planning import readiness
from dataops.run.reading import doings, look
from dataops.show import tables
from dataops.show.reports import Look, StatusReport

_PAUSE = 2.0


@command("status")
@click.option("--check", is_flag=True, help="Exit 2 if anything is pending; also 4, 6, 9 or 10 if something is wrong.")
@click.option("--watch", is_flag=True, help="On a terminal: look again every 2 seconds, until Ctrl-C.")
@metrics_option
@reported("status")
def status_command(
    session: Session, check: bool, watch: bool, metrics_file: Path | None, form: str, report_path: Path | None
) -> ExitCode:
    """Show where every service stands, one row for each, observed ones included. Writes nothing.

    \b
    Example:
      dataops status
      dataops status --check --service docs --json
      dataops status --watch
      dataops status --check --format junit --report status.xml
    """
    form = session.form(form)
    if watch:
        _refuse_to_watch(session, form, check=check, into_files=bool(metrics_file or report_path))
        return _watch(session)
    config = session.config(observed=True)
    services = config.services
    with telemetry(session, "status", metrics_file, run=False) as observed:
        observed.services = services
        states = observed.outcomes = look(services, emit=session.sink())
    problems = [None if isinstance(state, DataopsError) else readiness.problem(state) for state in states]
    code = _status_code(states, problems, check=check)
    looks = [Look(*one) for one in zip(services, states, problems, doings(states), strict=True)]
    if session.deliver(form, "status", StatusReport(looks, checkout(config.path.parent), check, code), report_path):
        return code
    session.console.table(tables.status(looks, datetime.now(UTC)), form)
    session.console.messages([(line, "") for line in tables.imports_lines(looks)] if session.verbose else [])
    session.console.errors(one.wrong for one in looks if one.wrong is not None)
    return code


def _refuse_to_watch(session: Session, form: str, *, check: bool, into_files: bool) -> None:
    if check or into_files or form != "table" or session.logs_lines:
        raise UsageError(
            "--watch draws a table for a person, and goes with no other output and no --check",
            hint="dataops status --watch",
        )
    if not session.console.draws:
        raise UsageError("--watch needs a terminal", hint="without one: dataops status, or dataops wait")


def _watch(session: Session) -> ExitCode:
    """Draw where every service stands, again and again, until Ctrl-C."""
    services = session.config(observed=True).services
    try:
        with session.console.redrawing() as draw:
            while True:
                states = look(services, emit=lambda event: None)
                problems = [None if isinstance(state, DataopsError) else readiness.problem(state) for state in states]
                looks = [Look(*one) for one in zip(services, states, problems, doings(states), strict=True)]
                now = datetime.now(UTC)
                draw(tables.status(looks, now), f"{now:%Y-%m-%d %H:%M:%S} UTC, every {_PAUSE:.0f} s; Ctrl-C ends it")
                time.sleep(_PAUSE)
    except KeyboardInterrupt:
        return ExitCode.OK


def _status_code(
    states: Sequence[State | DataopsError], problems: Sequence[DataopsError | None], *, check: bool
) -> ExitCode:
    errors = [state for state in states if isinstance(state, DataopsError)]
    if check:
        errors += [problem for problem in problems if problem is not None]
    if errors:
        return worst(errors).exit_code
    pending = any(isinstance(state, State) and readiness.is_behind(state) for state in states)
    return ExitCode.PENDING if check and pending else ExitCode.OK
