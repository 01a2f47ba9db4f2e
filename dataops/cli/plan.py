"""plan: shows what would run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataops import config as configuration
from dataops import schemafile
from dataops.cli import completing
from dataops.cli.options import (
    background_option,
    jobs_option,
    only_with,
    onto_existing_option,
    policy_options,
    reported,
)
from dataops.cli.plan_from_options import approvals_of, plan_apply, plan_rollback, render, rendered_steps, to_look
from dataops.cli.session import Session, checkout, command
from dataops.config import LintSettings
from dataops.errors import DataopsError, ExitCode
from dataops.fleet import waves
from dataops.model import Direction, Plan, Remark, Rendering, Step
from dataops.planning import planfile, policies, risks
from dataops.planning.recovery import running_step
from dataops.show import plans, writers
from dataops.show.reports import PlanReport

if TYPE_CHECKING:
    from dataops.backends.sandbox import Sandbox
    from dataops.dumping import Change


@command("plan")
@click.option(
    "--to",
    metavar="REV",
    shell_complete=completing.migrations,
    help="Stop at this migration: an id, its beginning, or SERVICE/ID.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Plan at most this number of steps in all.")
@click.option("--direction", type=click.Choice(["apply", "rollback"]), default="apply", show_default=True)
@click.option(
    "--run",
    "run_ids",
    multiple=True,
    metavar="ID",
    shell_complete=completing.runs,
    help="With --direction rollback: undo this run.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for dataops apply FILE.")
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit 2 when there is something to do, or a step is running; 4 when a step of it will fail; with the code of "
    "the trouble when a database of a fleet cannot be planned.",
)
@onto_existing_option
@background_option
@jobs_option
@policy_options
@reported("plan")
def plan_command(
    session: Session,
    to: str | None,
    steps: int | None,
    direction: str,
    run_ids: tuple[str, ...],
    out: Path | None,
    detailed_exitcode: bool,
    onto_existing: bool,
    background: bool,
    jobs: int | None,
    allow: tuple[str, ...],
    form: str,
    report_path: Path | None,
) -> ExitCode:
    """Show what would run, where and in which order. Writes nothing and takes no lock.

    Works with read-only credentials, also on a database that has never seen dataops.

    \b
    Example:
      dataops plan --service shop -v
      dataops plan --out today.plan && dataops apply today.plan
      dataops plan --direction rollback --to shop/20240520210910
      dataops plan --format markdown --report plan.md
    """
    form = session.form(form)
    session.as_json = form == "json" and report_path is None
    config = session.config()
    services = config.services
    try:
        if direction == Direction.ROLLBACK.value:
            only_with(onto_existing, "--onto-existing", "--direction apply")
            planned = plan_rollback(services, session, read=to_look(session, jobs), run_ids=run_ids, to=to, steps=steps)
        else:
            only_with(run_ids, "--run", "--direction rollback")
            planned = plan_apply(
                services,
                read=to_look(session, jobs),
                to=to,
                steps=steps,
                onto_existing=onto_existing,
                background=background or config.background,
            )
        everything = form != "table" or detailed_exitcode or config.policy.looks
        renderings = _looked_at(planned, session, config.lint, everything=everything) if planned.steps else {}
        approvals = None
        if config.policy.approvals and planned.steps:  # the same plan has the same bytes, also where they are not saved
            sha256 = planfile.sha256_of(planfile.written(planned, allow))
            approvals = approvals_of(planned, sha256, config.policy)
        forbidden = policies.violations(config.policy, planned, renderings, allow, datetime.now(UTC), approvals)
    except DataopsError as error:
        if form in writers("refusal"):
            session.deliver_text(writers("refusal")[form]("dataops plan", error), report_path)
        raise
    if out is not None:
        planfile.save(planned, out, allow)
    code = ExitCode.OK
    if detailed_exitcode and (planned.steps or any(map(running_step, planned.states))):
        fails = any(risks.will_fail(step, renderings.get(step.id)) for step in planned.steps)
        code = ExitCode.INVALID if fails else ExitCode.PENDING
    if planned.troubles and (detailed_exitcode or not planned.states):
        code = next(iter(planned.troubles.values())).exit_code
    changes = _changes(form, planned, config)
    report = PlanReport(planned, renderings, checkout(config.path.parent), out, code, forbidden, changes, approvals)
    if not session.deliver(form, "plan", report, report_path):
        verbose, width = session.verbose, session.console.width
        courses = waves.courses(
            services,  # as in apply: also those that have no plan
            planned.direction,
            sizes=lambda _: planned.sizes,
            chosen=session.chooses,
        )
        session.console.data(
            plans.plan_lines(planned, renderings, forbidden, approvals, courses=courses, verbose=verbose, width=width)
        )
        if out is not None:
            first = f"let others read it and run: dataops approve {out}; then " if config.policy.approvals else ""
            session.console.say(f"Saved to {out}; {first}apply exactly this with: dataops apply {out}")
    return code


def _looked_at(planned: Plan, session: Session, settings: LintSettings, *, everything: bool) -> dict[str, Rendering]:
    """The renderings, with what lint says of the files, which is found out beside."""
    shown = rendered_steps(planned, session, everything=everything)
    # The sandbox is closed before its thread is waited for: a signal ends what runs in it.
    with ThreadPoolExecutor(1, "dataops-lint") as beside, session.sandbox() as sandbox:
        findings = beside.submit(_findings, planned, shown, sandbox.with_its_own_purse(), settings)
        renderings = render(planned, session, everything=everything, sandbox=sandbox)
        return _with_findings(planned, renderings, findings.result())


def _findings(
    planned: Plan, shown: Mapping[str, Sequence[Step]], sandbox: Sandbox, settings: LintSettings
) -> Mapping[Path, Sequence[Remark]] | str:
    """What lint says of the files of these steps, or why it says nothing."""
    looked_at = [state.service for state in planned.states if shown.get(state.service.name)]
    services = list({service.unit: service for service in looked_at}.values())  # one for each history
    only = {step.migration.path for steps in shown.values() for step in steps}
    if planned.direction is Direction.ROLLBACK or not only:
        return {}
    from dataops import lint
    from dataops.lint import squawk

    try:
        found = lint.lint(services, sandbox, settings=settings, only=only, ask_squawk=squawk.is_there())
    except OSError as error:  # no room for squawk's files: the plan is worth more than what lint says
        return f"what lint finds: {error.strerror}"
    remarks: dict[Path, list[Remark]] = {path: [] for path in only}
    for one in found.findings:
        remarks[one.path].append(Remark(one.rule.code, one.rule.severity.value, one.line, one.message))
    return remarks


def _with_findings(
    planned: Plan, renderings: Mapping[str, Rendering], found: Mapping[Path, Sequence[Remark]] | str
) -> dict[str, Rendering]:
    """The renderings with what lint says of their files."""
    if isinstance(found, str):
        return {id_: replace(one, unforeseen=(*one.unforeseen, found)) for id_, one in renderings.items()}
    return {
        step.id: replace(renderings[step.id], remarks=tuple(found.get(step.migration.path, ())))
        for step in planned.steps
        if step.id in renderings
    }


def _changes(form: str, planned: Plan, config: configuration.Config) -> Sequence[Change]:
    """How the schemas change, for the one format that shows it."""
    if form != "markdown":
        return ()
    from dataops.dumping import changes

    return changes(planned, config.path.parent / schemafile.FOLDER)
