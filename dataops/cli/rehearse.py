"""rehearse: runs the pending steps on a copy of the live database, with a sample of its data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataops.cli import completing
from dataops.cli.errors import worst
from dataops.cli.options import onto_existing_option, reported, scratch_option
from dataops.cli.plan_from_options import plan_apply, render, to_look
from dataops.cli.session import Session, checkout, command
from dataops.cli.signals import signals
from dataops.errors import CannotWrite, ExitCode, InterruptedStep, UsageError
from dataops.kinds import Kind
from dataops.model import Plan, Rehearsed, State
from dataops.planning import grouping, rehearsals
from dataops.planning.recovery import running_step
from dataops.redaction import redact
from dataops.run.reading import side_by_side
from dataops.show import grouped, rehearsing
from dataops.show.reports import RehearsalReport

if TYPE_CHECKING:
    from dataops.rehearsal import Rehearsal, Report


@command("rehearse", databases=False)
@click.option(
    "--to",
    metavar="REV",
    shell_complete=completing.migrations,
    help="Stop at this migration: an id, its beginning, or SERVICE/ID.",
)
@click.option("--sample", type=click.IntRange(min=1), help="About how many rows of each table; by default 10,000.")
@click.option("--no-data", is_flag=True, help="Only the schema: nothing of the data is read.")
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="TABLE.COLUMN",
    help="A column or field whose values do not leave the database; may be repeated.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="How many services at once; by default all.")
@onto_existing_option
@scratch_option
@reported("rehearsal")
def rehearse_command(
    session: Session,
    to: str | None,
    sample: int | None,
    no_data: bool,
    masks: tuple[str, ...],
    jobs: int | None,
    onto_existing: bool,
    server: tuple[str, ...],
    form: str,
    report_path: Path | None,
) -> ExitCode:
    """Run what is pending on a scratch copy of the live database with a sample of its data, and measure it.

    The live database is only read. Exit 8 if a step fails there, or does not lead back.

    \b
    Example:
      dataops rehearse --service shop
      dataops rehearse --sample 50000 --mask users.email --mask users.name
      dataops rehearse --no-data --scratch "$SCRATCH_URL"
    """
    from dataops import rehearsal
    from dataops.backends import Sampling
    from dataops.scratch import Scratch

    if no_data and sample is not None:
        raise UsageError("--no-data and --sample exclude each other", hint="say one of them")
    for mask in masks:
        if not all(part.strip() for part in mask.split(".")) or "." not in mask:
            raise UsageError(f"--mask {redact(mask)} is not a column", hint="write TABLE.COLUMN")
    form = session.form(form)
    config = session.config()
    planned = plan_apply(
        config.services, read=to_look(session), to=to, steps=None, onto_existing=onto_existing, background=True
    )
    planned = grouping.representatives(planned)  # of a fleet, the largest of those that stand at the same place
    states = [state for state in planned.states if planned.of(state.service.name)]
    _refuse_half_done(planned, states)
    renderings = render(planned, session, everything=True, rehearsed=False)
    chosen = (*config.rehearse.masks, *masks)
    rows = 0 if no_data else sample or config.rehearse.sample
    found: list[Rehearsal] = []
    if states:
        with (
            signals(session) as stop,
            Scratch(session.author, servers=server, stop=stop, majors=_majors(states)) as scratch,
            session.running_files(on_scratch=True),
        ):
            stop.begin_work()
            scratch.start(state.service.kind for state in states)

            def one(state: State) -> Rehearsal:
                sampling = Sampling(rows, chosen, scratch.is_ours(state.service.kind), stop)
                steps = planned.of(state.service.name)
                report = _reporter(session)
                return rehearsal.rehearse(
                    state, steps, scratch, session.author, sampling=sampling, report=report, stop=stop
                )

            found = side_by_side(one, states, jobs)
        _refuse_unknown(chosen, found)
        if rows:
            _keep(session, config.path.parent, found)
    code = ExitCode.OK if all(one.went_well for one in found) else ExitCode.DRIFT
    unplanned = [error for _, error in grouped.troubles(planned)]  # databases of fleets, of which nothing is known
    if unplanned and code is ExitCode.OK:
        code = worst(unplanned).exit_code
    report = RehearsalReport(found, renderings, rows, checkout(config.path.parent), code)
    if not session.deliver(form, "rehearsal", report, report_path):
        session.console.data(rehearsing.lines(report, verbose=session.verbose, width=session.console.width))
        session.console.errors(unplanned)
    return code


def _refuse_half_done(planned: Plan, states: Sequence[State]) -> None:
    for state in states:
        half = next((step for step in planned.of(state.service.name) if step.half), None)
        if half is not None or running_step(state) is not None:
            raise InterruptedStep(
                "a step is half done or running, and what it has left cannot be copied",
                service=state.service.name,
                migration=half.migration.id if half else None,
                hint="bring it to an end first: dataops status",
            )


def _majors(states: Sequence[State]) -> dict[Kind, int]:
    """The version of each kind of server: `PostgreSQL 16` of `PostgreSQL 16.3`."""
    found: dict[Kind, int] = {}
    for state in states:
        number = state.server.partition(".")[0].rpartition(" ")[2]
        if number.isdigit():
            found.setdefault(state.service.kind, int(number))
    return found


def _refuse_unknown(masks: Sequence[str], found: Sequence[Rehearsal]) -> None:
    """Nobody should believe that something was masked which has another name."""
    known = frozenset().union(*(one.masked for one in found))
    if unknown := [mask for mask in masks if mask not in known]:
        raise UsageError(
            f"--mask {redact(unknown[0])}: no such table or collection in what was rehearsed",
            hint="write TABLE.COLUMN, or SCHEMA.TABLE.COLUMN; a mask of the configuration is in [rehearse] mask",
        )


def _keep(session: Session, top: Path, found: Sequence[Rehearsal]) -> None:
    """Keep what was measured. What cannot be written is told, and the rehearsal counts all the same."""
    try:
        rehearsals.save(top, [_kept(one) for one in found if one.failed is None])
    except CannotWrite as error:
        if session.logs_lines:
            session.log.line("warn", "warned", "", f"plan will not know of this: {error}", {})
        else:
            session.console.say(f"warning: plan will not know of this: {error}")


def _kept(one: Rehearsal) -> Rehearsed:
    database = rehearsals.database_of(one.state.identity)
    return Rehearsed(one.service.name, database, datetime.now(UTC), one.tables, one.steps)


def _reporter(session: Session) -> Report:
    def report(service: str, text: str) -> None:
        if session.logs_lines:
            session.log.line("info", "rehearsing", service, text, {})
        else:
            session.console.say(f"{service}: {text}")

    return report
