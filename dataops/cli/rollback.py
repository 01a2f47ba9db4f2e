"""rollback: undoes what was applied."""

from __future__ import annotations

from pathlib import Path

import click

from dataops.cli.carry_out import carry_out
from dataops.cli.options import RunOptions, run_options
from dataops.cli.plan_from_options import plan_rollback
from dataops.cli.session import Session, command
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import ExitCode


@command("rollback")
@click.option(
    "--run", "run_id", metavar="ID", help="Undo this run, on every service that it touched; see dataops history."
)
@click.option("--to", metavar="REV", help="Undo everything after this migration. SERVICE/base undoes everything.")
@click.option("--steps", type=click.IntRange(min=1), help="Undo this number of migrations, newest first.")
@run_options
def rollback_command(
    session: Session,
    run_id: str | None,
    to: str | None,
    steps: int | None,
    options: RunOptions,
    metrics_file: Path | None,
) -> ExitCode:
    """Undo the newest run, on every service it touched, newest step first.

    Before anything is undone, dataops checks that every step can be undone and that no file was edited.

    \b
    Example:
      dataops rollback
      dataops rollback --run 20261124T093000-1f2e3d --yes
      dataops rollback --service shop --to 20240520210910
    """
    with signals(session) as stop, telemetry(session, "rollback", metrics_file) as observed:
        services = observed.services = session.config().services
        plan = plan_rollback(services, session, run=run_id, to=to, steps=steps)
        return carry_out(session, plan, stop, options)
