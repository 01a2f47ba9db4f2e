"""drift: compares databases with what their records say that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataops.cli.errors import worst
from dataops.cli.options import metrics_option, reported, scratch_option
from dataops.cli.session import Session, checkout, command
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import ExitCode
from dataops.run.reading import side_by_side
from dataops.show import tables
from dataops.show.reports import DriftReport
from dataops.text import counted

if TYPE_CHECKING:
    from dataops.drift import Drift


@command("drift")
@click.option("--details", is_flag=True, help="Comments, grants and other details count too.")
@click.option("--full", is_flag=True, help="Hold all documents of a MongoDB against its validators, not a sample.")
@scratch_option
@metrics_option
@reported("drifted")
def drift_command(
    session: Session,
    details: bool,
    full: bool,
    server: tuple[str, ...],
    metrics_file: Path | None,
    form: str,
    report_path: Path | None,
) -> ExitCode:
    """Compare each database with what its record says that it is made of. Writes nothing there.

    The history is run on a scratch database, up to what the record has. Exit 8 if anything differs.

    \b
    Example:
      dataops drift
      dataops drift --service docs --full
      dataops drift --service shop --format junit --report drift.xml
    """
    from dataops import drift
    from dataops.scratch import Scratch

    form = session.form(form)
    config = session.config()
    looking = replace(config.documents, sample=None) if full else config.documents
    with telemetry(session, "drift", metrics_file, run=False) as observed:
        with signals(session) as stop, Scratch(session.author, servers=server, stop=stop) as scratch:
            scratch.start(service.kind for service in config.services)
            with session.running_files(on_scratch=True):
                found = side_by_side(
                    lambda one: drift.find(one, scratch, details=details, looking=looking), config.services
                )
        observed.drifts = found
    code = _code(found)
    if session.deliver(form, "drifted", DriftReport(found, checkout(config.path.parent), code), report_path):
        return code
    if any(one.differences for one in found):
        session.console.table(tables.drifted(found), form)
    session.console.errors(one.error for one in found if one.error is not None)
    session.console.messages(
        (f"{one.service.name}: {_summary(one)}", "" if one.differences else "green") for one in found if not one.error
    )
    return code


def _summary(one: Drift) -> str:
    place = f"its history up to {one.head}" if one.head else "an empty history: nothing is applied"
    return f"{counted(len(one.differences), 'difference')} from {place}" if one.differences else f"as {place}"


def _code(found: Sequence[Drift]) -> ExitCode:
    errors = [one.error for one in found if one.error is not None]
    if errors:
        return worst(errors).exit_code
    return ExitCode.DRIFT if any(one.differences for one in found) else ExitCode.OK
