"""status: shows where every service stands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from dataops.cli.errors import worst
from dataops.cli.options import jobs_option, metrics_option, reported, scratch_option
from dataops.cli.session import Session, checkout, command
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import DataopsError, ExitCode, UsageError
from dataops.model import Service, State
from dataops.planning import checks, readiness
from dataops.run.reading import doings, look, side_by_side
from dataops.show import grouped, tables
from dataops.show.reports import Look, StatusReport

_PAUSE = 2.0


@command("status")
@click.option("--check", is_flag=True, help="Exit 2 if anything is pending; also 4, 6, 9 or 10 if something is wrong.")
@click.option("--watch", is_flag=True, help="On a terminal: look again every 2 seconds, until Ctrl-C.")
@click.option("--drift", "compared", is_flag=True, help="Compare with the history too, as `dataops drift` does.")
@scratch_option
@jobs_option
@metrics_option
@reported("status")
def status_command(
    session: Session,
    check: bool,
    watch: bool,
    compared: bool,
    server: tuple[str, ...],
    jobs: int | None,
    metrics_file: Path | None,
    form: str,
    report_path: Path | None,
) -> ExitCode:
    """Show where every service stands, one row for each, observed ones included. Writes nothing.

    \b
    Example:
      dataops status
      dataops status --check --service docs --json
      dataops status --watch
      dataops status --drift --check
      dataops status --check --format junit --report status.xml
    """
    form = session.form(form)
    if watch:
        _refuse_to_watch(session, form, check=check or compared, into_files=bool(metrics_file or report_path))
        return _watch(session, jobs)
    config = session.config(observed=True)
    services = config.services
    with telemetry(session, "status", metrics_file, run=False) as observed:
        observed.services = services
        states = observed.outcomes = look(services, emit=session.sink(), jobs=jobs)
        looks = looks_at(states, services)
        if compared:
            looks = _compared(session, looks, server)
            observed.drifts = [one.drift for one in looks if one.drift is not None]
    code = _status_code(looks, check=check)
    if session.deliver(form, "status", StatusReport(looks, checkout(config.path.parent), check, code), report_path):
        return code
    now = datetime.now(UTC)
    shown = looks if session.verbose or form != "table" else grouped.looks(looks, now)
    session.console.table(tables.status(shown, now), form)
    session.console.messages([(line, "") for line in tables.imports_lines(looks)] if session.verbose else [])
    session.console.errors(grouped.wrong(shown))
    return code


def looks_at(states: Sequence[State | DataopsError], services: Sequence[Service]) -> list[Look]:
    """What was found of each service, with how far its running step is."""
    shared = checks.same_databases([state for state in states if isinstance(state, State)])
    problems = [
        None if isinstance(state, DataopsError) else shared.get(state.service.name) or readiness.problem(state)
        for state in states
    ]
    return [Look(*one) for one in zip(services, states, problems, doings(states), strict=True)]


def _refuse_to_watch(session: Session, form: str, *, check: bool, into_files: bool) -> None:
    if check or into_files or form != "table" or session.logs_lines:
        raise UsageError(
            "--watch draws a table for a person, and goes with no other output, no --check and no --drift",
            hint="dataops status --watch",
        )
    if not session.console.draws:
        raise UsageError("--watch needs a terminal", hint="without one: dataops status, or dataops wait")


def _watch(session: Session, jobs: int | None) -> ExitCode:
    """Draw where every service stands, again and again, until Ctrl-C."""
    services = session.config(observed=True).services
    try:
        with session.console.redrawing() as draw:
            while True:
                states = look(services, emit=lambda event: None, jobs=jobs)
                now = datetime.now(UTC)
                draw(
                    tables.status(grouped.looks(looks_at(states, services), now), now),
                    f"{now:%Y-%m-%d %H:%M:%S} UTC, every {_PAUSE:.0f} s; Ctrl-C ends it",
                )
                time.sleep(_PAUSE)
    except KeyboardInterrupt:
        return ExitCode.OK


def _compared(session: Session, looks: Sequence[Look], server: tuple[str, ...]) -> list[Look]:
    """The same, with how each database differs from its history, as far as it can be read and is ours."""
    from dataops import drift
    from dataops.scratch import Scratch

    def one(look: Look) -> Look:
        if isinstance(look.state, DataopsError) or look.service.observe:
            return look
        return replace(look, drift=drift.find(look.service, scratch, looking=looking))

    looking = session.config(observed=True).documents
    with signals(session) as stop, Scratch(session.author, servers=server, stop=stop) as scratch:
        scratch.start(look.service.kind for look in looks if not look.service.observe)
        with session.running_files(on_scratch=True):
            return side_by_side(one, looks)


def _status_code(looks: Sequence[Look], *, check: bool) -> ExitCode:
    """Of what could not be read or compared; with `check`, of everything that is wrong or pending."""
    errors = [look.state for look in looks if isinstance(look.state, DataopsError)]
    errors += [look.drift.error for look in looks if look.drift is not None and look.drift.error is not None]
    if check:
        errors += [look.wrong for look in looks if look.wrong is not None]
    if errors:
        return worst(errors).exit_code
    pending = any(isinstance(look.state, State) and readiness.is_behind(look.state) for look in looks)
    return ExitCode.PENDING if check and pending else ExitCode.OK
