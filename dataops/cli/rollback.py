"""rollback: undoes what was applied."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from dataops.cli import completing
from dataops.cli.carry_out import carry_out
from dataops.cli.options import RunOptions, run_options
from dataops.cli.plan_from_options import plan_rollback, to_run
from dataops.cli.rolling_out import refuse_with_shards, roll_out
from dataops.cli.session import Session, command, has_terminal
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import ExitCode, UsageError
from dataops.model import Direction, Plan
from dataops.planning import runs


@command("rollback")
@click.option(
    "--run",
    "run_ids",
    multiple=True,
    metavar="ID",
    shell_complete=completing.runs,
    help="Undo this run, on every service that it touched; may be repeated. See dataops history.",
)
@click.option(
    "--to",
    metavar="REV",
    shell_complete=completing.migrations,
    help="Undo everything after this migration. SERVICE/base undoes everything.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Undo this number of migrations in all, newest first.")
@run_options
def rollback_command(
    session: Session,
    run_ids: tuple[str, ...],
    to: str | None,
    steps: int | None,
    options: RunOptions,
    metrics_file: Path | None,
) -> ExitCode:
    """Undo the newest run, on every service it touched, newest step first.

    Without a terminal, --run, --to or --steps has to say how far, so that a repeated command undoes nothing more.
    Before anything is undone, dataops checks that every step can be undone and that no file was edited.

    \b
    Example:
      dataops rollback
      dataops rollback --run 20261124T093000-1f2e3d --yes
      dataops rollback --service shop --to 20240520210910
    """
    with signals(session) as stop, telemetry(session, "rollback", metrics_file) as observed:
        refuse_with_shards(options, steps, "--steps", "it counts the steps of all")
        newest = not run_ids and to is None
        refuse_with_shards(options, newest, "the newest run", "say which, with --run ID, or how far, with --to REV")
        services = session.config().services
        wants = [f"to {to}", *(f"run {id_}" for id_ in run_ids)]
        read = to_run(session, stop, options)
        planned = partial(plan_rollback, services, session, read=read, run_ids=run_ids, to=to, steps=steps)
        rolling = roll_out(session, services, Direction.ROLLBACK, options, stop, wants=wants, planned=planned)
        observed.services = rolling.mine(services)
        with rolling.telling():
            # All databases are read, also by a process that shares the work: a run may have changed none of its own.
            plan = rolling.part_of(planned())
            if not run_ids and to is None and steps is None and not has_terminal():
                _refuse_to_guess(plan)
            return carry_out(session, plan, stop, options, rolling=rolling)


def _refuse_to_guess(plan: Plan) -> NoReturn:
    """Raise UsageError: a job that is repeated would undo the newest run each time, and so one after the other."""
    undone = runs.undone_by(plan)
    if not undone:
        raise UsageError(
            "nothing says how far to roll back, and no run has left anything to undo", hint="dataops status"
        )
    newest = ", ".join(run.told(datetime.now(UTC)) for run in undone)
    which = f"dataops rollback --run {undone[0].id} --yes" if len(undone) == 1 else "--run ID"
    raise UsageError(
        f"nothing says how far to roll back, and there is no terminal to ask; the newest run is {newest}",
        hint=f"nothing was rolled back; say which: {which}, or --to REV or --steps N",
    )
