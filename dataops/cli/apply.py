"""apply: runs what is pending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataops import schemafile
from dataops.cli import completing
from dataops.cli.carry_out import carry_out
from dataops.cli.options import (
    RunOptions,
    background_option,
    duration,
    only_with,
    onto_existing_option,
    run_options,
    scratch_option,
)
from dataops.cli.plan_from_options import plan_apply, to_run
from dataops.cli.rolling_out import refuse_with_shards, roll_out
from dataops.cli.session import Session, command
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import ExitCode, StalePlan, UsageError
from dataops.model import Direction, Plan, Service, fleet
from dataops.planning import planfile
from dataops.run.reading import side_by_side
from dataops.run.stop import StopSignal

if TYPE_CHECKING:
    from dataops.drift import Drift


@command("apply")
@click.argument("planned", metavar="[PLANFILE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--to",
    metavar="REV",
    shell_complete=completing.migrations,
    help="Stop at this migration: an id, its beginning, or SERVICE/ID.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Run at most this number of steps in all.")
@click.option(
    "--wait", "wait_seconds", callback=duration, metavar="60s", help="Wait this long for servers that do not answer."
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="At the end, compare what each database is made of with its history (like drift). Exit 8 if it differs.",
)
@scratch_option
@onto_existing_option
@background_option
@run_options
def apply_command(
    session: Session,
    planned: Path | None,
    to: str | None,
    steps: int | None,
    wait_seconds: float | None,
    verify: bool | None,
    server: tuple[str, ...],
    onto_existing: bool,
    background: bool,
    options: RunOptions,
    metrics_file: Path | None,
) -> ExitCode:
    """Show the plan, ask, and run it. With PLANFILE, run exactly that plan without asking, or refuse.

    \b
    Example:
      dataops apply --service shop
      dataops apply --yes --wait 60s
      dataops apply today.plan
    """
    with signals(session) as stop, telemetry(session, "apply", metrics_file) as observed:
        configured = session.config(with_urls=False, with_files=False)
        background = background or configured.background
        leaves = not background and to is None and planned is None
        read = to_run(session, stop, options, wait_seconds=wait_seconds or 0, leaving_background=leaves)
        saved = planfile.load(planned) if planned is not None else None
        if saved is not None:
            for given, name in (
                (to, "--to"),
                (steps, "--steps"),
                (session.selected, "--service"),
                (onto_existing, "--onto-existing"),
                (background and not configured.background, "--background"),
            ):
                only_with(given, name, "no PLANFILE: a saved plan says already what to do")
            refuse_with_shards(options, planned, "PLANFILE", "it is for the databases as they were, all of them")
            services = observed.services = services_of(saved, session)
            plan = planfile.verify(saved, read(services).complete())
            rolling = roll_out(session, services, plan.direction, options, stop, chosen=True)
            if session.rules.approvals and (more := sorted(set(options.allowed) - set(saved.allowed))):
                raise UsageError(
                    f"{saved.path} does not allow {', '.join(more)}, and what it allows is part of what is approved",
                    hint=f"make another plan: dataops plan --out FILE {' '.join(f'--allow {name}' for name in more)}",
                )
            options = replace(options, yes=True, allowed=(*options.allowed, *saved.allowed))
        else:
            refuse_with_shards(options, steps, "--steps", "it counts the steps of all")
            services = session.config().services
            wants = [f"to {to}", f"background {background}"]
            planned_of = partial(
                plan_apply, read=read, to=to, steps=steps, onto_existing=onto_existing, background=background
            )
            every = partial(planned_of, services)
            rolling = roll_out(session, services, Direction.APPLY, options, stop, wants=wants, planned=every)
            services = observed.services = rolling.mine(services)
            with rolling.telling():
                plan = planned_of(services) if services else Plan(Direction.APPLY, (), ())
        wanted = configured.verify if verify is None else verify
        compared = partial(_verify, session, services, server, stop) if wanted else None
        with rolling.telling():
            return carry_out(session, plan, stop, options, compared, saved=saved, rolling=rolling)


def _verify(
    session: Session, services: Sequence[Service], server: tuple[str, ...], stop: StopSignal
) -> Sequence[Drift]:
    """Compare each database with its schema file, where there is one of the same head, else with a scratch database."""
    from dataops import drift
    from dataops.scratch import Scratch

    folder = session.config(with_urls=False, with_files=False).path.parent / schemafile.FOLDER
    with Scratch(session.author, servers=server, stop=stop) as scratch, session.running_files(on_scratch=True):
        return side_by_side(lambda one: drift.verify(one, folder, scratch), services)


def services_of(saved: planfile.SavedPlan, session: Session) -> tuple[Service, ...]:
    """The services that a saved plan is for. Raises StalePlan when one is not configured any more."""
    configured = session.config(with_urls=False).names
    gone = {name for name in saved.services if fleet.unit_of(name) not in configured}
    if gone:
        raise StalePlan(f"{saved.path} is stale: {', '.join(sorted(gone))}: no such service is configured any more")
    return session.config(selected=tuple(saved.services)).services
