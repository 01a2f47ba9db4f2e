"""approve: records that a person has read a saved plan and agrees with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from dataops.backends import opened
from dataops.cli.apply import services_of
from dataops.cli.options import policy_name_option
from dataops.cli.plan_from_options import approvals_of, render, to_look
from dataops.cli.session import Session, command, consent
from dataops.cli.signals import signals
from dataops.errors import ExitCode
from dataops.model import Plan
from dataops.planning import planfile
from dataops.planning.planfile import SavedPlan
from dataops.run.under_lock import approve
from dataops.show import json, plans
from dataops.show.progress import Line
from dataops.text import counted, listed

_LOOK_FIRST = "read the plan, then: --yes"


@command("approve", services=False)
@click.argument("planned", metavar="PLANFILE", type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@policy_name_option
def approve_command(session: Session, planned: Path, yes: bool) -> None:
    """Show a saved plan, ask, and record in the journals of its databases that you approve exactly this file.

    Where the policy says approvals = 2, apply PLANFILE refuses until two people have. Who you are is DATAOPS_ACTOR, or
    your user's name. An approval is void when a byte of the file changes.

    \b
    Example:
      dataops plan --out today.plan
      dataops approve today.plan
    """
    saved = planfile.load(planned)
    plan = planfile.verify(saved, to_look(session)(services_of(saved, session)).complete())
    session.console.messages(_lines(session, saved, plan))
    names = saved.services_with_steps()
    if names and not yes:
        consent(f"Approve these {counted(len(plan.steps), 'step')} as {session.author.actor}?", _LOOK_FIRST)
    newly = [name for name in names if _approve(session, saved, plan, name)]
    now = approvals_of(plan, saved.sha256, session.rules)
    if session.as_json:
        told = {"run": session.author.run, "plan": str(planned), "approved": newly, **(json.approvals_of(now) or {})}
        session.answer(told, ExitCode.OK)
        return
    if not names:
        session.console.data([("The plan has no steps: there is nothing to approve", "")])
        return
    session.console.data([(f"{planned}: {now.words}", "green" if now.enough else "")])
    if not newly:
        session.console.say(f"{session.author.actor} had approved it before; nothing was written.")
    if now.enough:
        session.console.say(f"Apply exactly this with: dataops apply {planned}")


def _lines(session: Session, saved: SavedPlan, plan: Plan) -> list[Line]:
    """The plan, what was allowed when it was made, and its SHA-256: whoever sees the same one has the same plan."""
    renderings, width = render(plan, session, everything=True), session.console.width_of_messages
    lines = plans.plan_lines(plan, renderings, verbose=session.verbose, width=width)
    if saved.allowed:
        lines.append((f"allowed for this plan: {listed(saved.allowed, 20)}", "yellow"))
    before = approvals_of(plan, saved.sha256, session.rules)
    lines.append((f"SHA-256 of {saved.path}: {saved.sha256}", ""))
    return [*lines, (before.words, "")] if before.people or before.void else lines


def _approve(session: Session, saved: SavedPlan, plan: Plan, name: str) -> bool:
    steps = plan.of(name)
    what = f"{saved.path.name}: {counted(len(steps), 'step')}, up to {steps[-1].migration.id}"
    if saved.allowed:
        what += f"; allowed: {', '.join(saved.allowed)}"
    with signals(session) as stop, opened(plan.state(name).service) as database:
        since = session.rules.approvals_since(datetime.now(UTC))
        return approve(
            database, session.author, plan, saved.sha256, what=what, since=since, emit=session.sink(), stop=stop
        )
