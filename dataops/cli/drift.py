"""drift: compares databases with what their records say that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataops.cli.errors import worst
from dataops.cli.options import metrics_option, only_with, reported, scratch_option
from dataops.cli.session import Session, checkout, command
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import ExitCode
from dataops.run.reading import side_by_side
from dataops.show import grouped, tables
from dataops.show.reports import DriftReport
from dataops.text import counted

if TYPE_CHECKING:
    from dataops.drift import Drift


@command("drift")
@click.option("--bodies", is_flag=True, help="Comments and the bodies of functions count too.")
@click.option("--details", is_flag=True, help="Grants count too, and all that --bodies says.")
@click.option(
    "--from",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Compare with the files of dataops schema dump; no scratch server is needed.",
)
@click.option("--full", is_flag=True, help="Hold all documents of a MongoDB against its validators, not a sample.")
@scratch_option
@metrics_option
@reported("drifted")
def drift_command(
    session: Session,
    bodies: bool,
    details: bool,
    folder: Path | None,
    full: bool,
    server: tuple[str, ...],
    metrics_file: Path | None,
    form: str,
    report_path: Path | None,
) -> ExitCode:
    """Compare each database with what its record says that it is made of. Writes nothing there.

    The history is run on a scratch database, up to what the record has. Exit 8 if anything differs. Settings that
    change only how fast a database is, such as fillfactor, are told, and do not count.

    \b
    Example:
      dataops drift
      dataops drift --from schema/
      dataops drift --service docs --full
      dataops drift --service shop --format junit --report drift.xml
    """
    from dataops import drift

    form = session.form(form)
    config = session.config()
    looking = replace(config.documents, sample=None) if full else config.documents
    with telemetry(session, "drift", metrics_file, run=False) as observed:
        if folder is not None:
            only_with(details, "--details", "a scratch database: schema files have no grants; --bodies is the rest")
            found = side_by_side(lambda one: drift.find(one, folder, bodies=bodies, looking=looking), config.services)
        else:
            from dataops.scratch import Scratch

            with signals(session) as stop, Scratch(session.author, servers=server, stop=stop) as scratch:
                scratch.start(service.kind for service in config.services)
                with session.running_files(on_scratch=True):
                    found = side_by_side(
                        lambda one: drift.find(one, scratch, details=details, bodies=bodies, looking=looking),
                        config.services,
                    )
        observed.drifts = found
    code = code_of(found)
    if session.deliver(form, "drifted", DriftReport(found, checkout(config.path.parent), code), report_path):
        return code
    shown = found if session.verbose or form != "table" else grouped.drifts(found)
    if any(one.differences for one in shown):
        session.console.table(tables.drifted(shown), form)
    tell(session, shown, listed=False)
    return code


def tell(session: Session, found: Sequence[Drift], *, listed: bool = True) -> None:
    """Say on stderr how each service was found; with `listed`, also each of its differences."""
    found = found if session.verbose else grouped.drifts(found)
    session.console.errors(one.error for one in found if one.error is not None)
    for one in found:
        if one.error is None:
            style = "" if one.refusing else "green"
            differences = one.differences if listed else ()
            lines = [f"{one.service.name}: {_summary(one)}", *(f"  {of}" for of in differences)]
            session.console.messages((line, style) for line in lines)
            if one.differences and one.other_server:
                session.console.say(
                    f"Its history was run on {one.other_server}, and the database is of another version: "
                    "where that makes a difference, name a server of the same version with --scratch URL."
                )
            if schema := one.other_schema:
                session.console.say(
                    f"What is expected without a schema is here in {schema}: if migrations make it there, say it in the"
                    f" URL: ?options=-csearch_path%3D{schema}"
                )


def _summary(one: Drift) -> str:
    place = f"its history up to {one.head}" if one.head else "an empty history: nothing is applied"
    if not one.differences:
        return f"as {place}"
    is_open = len(one.differences) - len(one.refusing)
    told = f", {is_open} of them in settings, which refuse nothing" if is_open else ""
    return f"{counted(len(one.differences), 'difference')} from {place}{told}"


def code_of(found: Sequence[Drift]) -> ExitCode:
    """The exit code for what was found."""
    errors = [one.error for one in found if one.error is not None]
    if errors:
        return worst(errors).exit_code
    return ExitCode.DRIFT if any(one.refusing for one in found) else ExitCode.OK
