"""status: shows where every service stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from dataops.cli.errors import worst
from dataops.cli.options import metrics_option, reported
from dataops.cli.session import Session, checkout, command
from dataops.cli.telemetry import telemetry
from dataops.errors import DataopsError, ExitCode
from dataops.model import State
from dataops.planning import readiness
from dataops.run.reading import look
from dataops.show import tables
from dataops.show.reports import Look, StatusReport


@command("status")
@click.option("--check", is_flag=True, help="Exit 2 if anything is pending; also 4, 6, 9 or 10 if something is wrong.")
@metrics_option
@reported("status")
def status_command(
    session: Session, check: bool, metrics_file: Path | None, form: str, report_path: Path | None
) -> ExitCode:
    """Show where every service stands, one row for each, observed ones included. Writes nothing.

    \b
    Example:
      dataops status
      dataops status --check --service docs --json
      dataops status --check --format junit --report status.xml
    """
    form = session.form(form)
    config = session.config(observed=True)
    services = config.services
    with telemetry(session, "status", metrics_file, run=False) as observed:
        observed.services = services
        states = observed.outcomes = look(services, emit=session.sink())
    problems = [None if isinstance(state, DataopsError) else readiness.problem(state) for state in states]
    code = _status_code(states, problems, check=check)
    looks = [Look(*one) for one in zip(services, states, problems, strict=True)]
    if session.deliver(form, "status", StatusReport(looks, checkout(config.path.parent), check, code), report_path):
        return code
    session.console.table(tables.status(looks, datetime.now(UTC)), form)
    session.console.messages([(line, "") for line in tables.imports_lines(looks)] if session.verbose else [])
    session.console.errors(one.wrong for one in looks if one.wrong is not None)
    return code


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
