"""plan, apply, rollback, resolve: what changes a database, and how that is shown and agreed to first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dataops.backends import opened
from dataops.cli import termination
from dataops.cli.backup import Backup, backup_of
from dataops.cli.options import duration, of_a_run, only_with, reported
from dataops.cli.session import Session, checkout, command, consent, document
from dataops.cli.signals import signals
from dataops.cli.telemetry import telemetry
from dataops.errors import DataopsError, ExitCode, StalePlan, Stopped, UsageError
from dataops.model import Direction, Migration, Plan, Rendering, Result, Service, State, Step
from dataops.planning import planfile, planner
from dataops.planning.target import find_target
from dataops.redaction import redact
from dataops.run.executor import execute
from dataops.run.reading import read_all, side_by_side
from dataops.run.stop import StopSignal
from dataops.run.under_lock import resolve
from dataops.show import json, pipeline, terminal


@command("plan")
@click.option("--to", metavar="REV", help="Stop at this migration: an id, its beginning, or SERVICE/ID.")
@click.option("--steps", type=click.IntRange(min=1), help="At most so many steps in all.")
@click.option("--direction", type=click.Choice(["apply", "rollback"]), default="apply", show_default=True)
@click.option("--run", "run_id", metavar="ID", help="With --direction rollback: undo this run.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for dataops apply FILE.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there is something to do.")
@reported
def plan_command(
    session: Session,
    to: str | None,
    steps: int | None,
    direction: str,
    run_id: str | None,
    out: Path | None,
    detailed_exitcode: bool,
    form: str,
    report_path: Path | None,
) -> ExitCode:
    """Show what would run, where and in which order. Writes nothing and takes no lock.

    Works with read-only credentials, also on a database that has never seen dataops.

    \b
    Example:
      dataops plan --service notifications -v
      dataops plan --out today.plan && dataops apply today.plan
      dataops plan --direction rollback --to voucher/20240520210910
      dataops plan --format markdown --report plan.md
    """
    form = session.form(form)
    session.as_json = form == "json" and report_path is None
    config = session.config()
    services = config.services
    try:
        if direction == Direction.ROLLBACK.value:
            planned = _plan_rollback(services, session, run=run_id, to=to, steps=steps)
        else:
            only_with(run_id, "--run", "--direction rollback")
            planned = _plan_apply(services, session, to=to, steps=steps)
        renderings = _render(planned, session, everything=form != "table")
    except DataopsError as error:
        if form in pipeline.FORMATS:
            refused = redact(pipeline.refusal(form, "dataops plan", error))
            session.deliver(form, lambda: refused, report_path)
        raise
    if out is not None:
        planfile.save(planned, out)
    code = ExitCode.PENDING if detailed_exitcode and planned.steps else ExitCode.OK

    def text() -> str:
        if form == "json":
            return document({**json.plan(planned, renderings), "saved": str(out) if out else None}, code)
        return redact(pipeline.plan(form, planned, renderings, checkout(config.path.parent)))

    if not session.deliver(form, text, report_path):
        session.console.data(terminal.plan_lines(planned, renderings, verbose=session.verbose))
        if out is not None:
            session.console.say(f"Saved to {out}; apply exactly this with: dataops apply {out}")
    return code


# apply


@command("apply")
@click.argument("planned", metavar="[PLANFILE]", required=False, type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--to", metavar="REV", help="Stop at this migration: an id, its beginning, or SERVICE/ID.")
@click.option("--steps", type=click.IntRange(min=1), help="At most so many steps in all.")
@click.option(
    "--wait", "wait_seconds", callback=duration, metavar="60s", help="Wait for servers that do not answer yet."
)
@of_a_run
def apply_command(
    session: Session,
    planned: Path | None,
    yes: bool,
    to: str | None,
    steps: int | None,
    wait_seconds: float | None,
    lock_timeout: float | None,
    jobs: int | None,
    backup_marker: Path | None,
    backup_max_age: float | None,
    metrics_file: Path | None,
) -> ExitCode:
    """Show the plan, ask, and run it. With PLANFILE: exactly that plan, without a question, or nothing.

    \b
    Example:
      dataops apply --service notifications
      dataops apply --yes --wait 60s
      dataops apply today.plan
    """
    backup = backup_of(backup_marker, backup_max_age)
    with signals(session) as stop, telemetry(session, "apply", metrics_file) as observed:
        if planned is not None:
            for given, name in ((to, "--to"), (steps, "--steps"), (session.selected, "--service")):
                only_with(given, name, "no PLANFILE: a saved plan says already what to do")
            saved = planfile.load(planned)
            services = observed.services = _services_of(saved, session)
            states = read_all(services, emit=session.sink(), wait_seconds=wait_seconds or 0, stop=stop)
            plan = planfile.verify(saved, states)
        else:
            services = observed.services = session.config().services
            plan = _plan_apply(services, session, to=to, steps=steps, wait_seconds=wait_seconds or 0, stop=stop)
        yes = yes or planned is not None
        return _carry_out(session, plan, stop, yes=yes, backup=backup, lock_timeout=lock_timeout, jobs=jobs)


# rollback


@command("rollback")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--run", "run_id", metavar="ID", help="Undo this run, on every service it touched; see dataops history.")
@click.option("--to", metavar="REV", help="Undo everything after this migration; SERVICE/base for everything.")
@click.option("--steps", type=click.IntRange(min=1), help="Undo the newest so many migrations.")
@of_a_run
def rollback_command(
    session: Session,
    yes: bool,
    run_id: str | None,
    to: str | None,
    steps: int | None,
    lock_timeout: float | None,
    jobs: int | None,
    backup_marker: Path | None,
    backup_max_age: float | None,
    metrics_file: Path | None,
) -> ExitCode:
    """Undo the newest run, on every service it touched, newest step first.

    First it is proved that every step can be undone and that every file is the one that was applied.

    \b
    Example:
      dataops rollback
      dataops rollback --run 20261124T093000-1f2e3d --yes
      dataops rollback --service voucher --to 20240520210910
    """
    backup = backup_of(backup_marker, backup_max_age)
    with signals(session) as stop, telemetry(session, "rollback", metrics_file) as observed:
        services = observed.services = session.config().services
        plan = _plan_rollback(services, session, run=run_id, to=to, steps=steps)
        return _carry_out(session, plan, stop, yes=yes, backup=backup, lock_timeout=lock_timeout, jobs=jobs)


@command("resolve", services=False)
@click.argument("step", metavar="SERVICE/REV")
@click.option("--applied/--not-applied", default=None, help="What is true of the database now.")
@click.option("--reason", required=True, help="Why you say so; it is recorded.")
def resolve_command(session: Session, step: str, applied: bool | None, reason: str) -> None:
    """Decide an interrupted step, or a record that another tool changed. The answer is recorded in the journal.

    \b
    Example:
      dataops resolve api/20220310000000-add-kratos-user-id --applied --reason "index is there, checked by hand"
    """
    if applied is None:
        raise UsageError("say which: --applied or --not-applied", hint="docs/operations.md#an-interrupted-step")
    if not reason.strip():
        raise UsageError("the reason is empty", hint="the next person will want to know")
    name, slash, rest = step.partition("/")
    if not slash:
        raise UsageError(f"{step} is not SERVICE/REV", hint="for example api-keys/20231103084227")
    service = session.config(selected=[name]).services[0]
    _, migration = find_target([service], f"{name}/{rest}")
    if migration is None:
        raise UsageError(f"{rest} is not a migration")
    with signals(session) as stop, opened(service) as backend:
        decided = Step(name, migration, Direction.APPLY if applied else Direction.ROLLBACK)
        resolve(backend, session.author, decided, applied=applied, reason=reason, emit=session.sink(), stop=stop)
    answer = "applied" if applied else "not applied"
    if session.as_json:
        session.answer({"run": session.author.run, "step": decided.id, "applied": applied}, ExitCode.OK)
    else:
        session.console.data([(f"{decided.id} is recorded as {answer}", "")])


def _services_of(saved: planfile.SavedPlan, session: Session) -> tuple[Service, ...]:
    """The services that a saved plan is for. Raises StalePlan when one is not configured any more."""
    gone = set(saved.services) - set(session.config(with_urls=False).names)
    if gone:
        raise StalePlan(f"{saved.path} is stale: {', '.join(sorted(gone))}: no such service is configured any more")
    return session.config(selected=tuple(saved.services)).services


def _plan_apply(
    services: Sequence[Service],
    session: Session,
    *,
    to: str | None,
    steps: int | None,
    wait_seconds: float = 0.0,
    stop: StopSignal | None = None,
) -> Plan:
    target: Migration | None = None
    if to is not None:
        service, target = find_target(services, to)
        if target is None:
            raise UsageError("nothing is applied up to base", hint="to undo: dataops rollback --to base")
        services = [service]
    states = read_all(services, emit=session.sink(), wait_seconds=wait_seconds, stop=stop)
    return planner.plan_apply(states, to=target, steps=steps)


def _plan_rollback(
    services: Sequence[Service], session: Session, *, run: str | None, to: str | None, steps: int | None
) -> Plan:
    if sum(given is not None for given in (run, to, steps)) > 1:
        raise UsageError("--run, --to and --steps exclude each other", hint="say how far in one way")
    target: Migration | None = None
    if to is not None:
        service, target = find_target(services, to)
        services = [service]
    states = read_all(services, emit=session.sink())
    return planner.plan_rollback(states, run=run, to=target, to_base=to is not None and target is None, steps=steps)


def _render(plan: Plan, session: Session, *, everything: bool = False) -> dict[str, Rendering]:
    """The commands of every step, services side by side; of a very long plan only the first ones, unless asked.

    Of a rollback always all: a step whose stash was pruned refuses here, before anything is undone.
    """
    everything = everything or session.verbose or session.as_json or plan.direction is Direction.ROLLBACK
    limit = None if everything else terminal.SHOWN_STEPS
    states = [state for state in plan.states if plan.of(state.service.name)]

    def render(state: State) -> dict[str, Rendering]:
        with opened(state.service) as backend:
            return {step.id: backend.render(step) for step in plan.of(state.service.name)[:limit]}

    with session.running_files(only_planned=True):
        return {id_: rendering for made in side_by_side(render, states) for id_, rendering in made.items()}


def _carry_out(
    session: Session,
    plan: Plan,
    stop: StopSignal,
    *,
    yes: bool,
    backup: Backup | None,
    lock_timeout: float | None,
    jobs: int | None,
) -> ExitCode:
    renderings = _render(plan, session)
    session.console.talk(terminal.plan_lines(plan, renderings, verbose=session.verbose))
    if stop():
        raise Stopped("stopped before the first step; nothing was done")
    if plan.steps and backup is not None:
        backup.refuse_unless_new()
    completes = planner.to_complete(plan)
    if completes:
        session.console.say(f"The record of the other tool is completed in {', '.join(completes)}.")
    if (plan.steps or completes) and not yes:
        _ask(plan)
    if plan.steps or completes:
        with session.running_files():
            result = execute(plan, session.author, emit=session.sink(), stop=stop, lock_timeout=lock_timeout, jobs=jobs)
    else:
        result = Result(run=session.author.run, plan=plan)
    code = _result_code(result)
    termination.note(*(line for line, _ in terminal.result_lines(result)))
    if session.as_json:
        session.answer(json.result(result, renderings), code)
    elif plan.steps:
        lines = terminal.result_lines(result)
        session.console.talk(lines[:-1])
        session.console.data(lines[-1:])
        if result.stopped:
            where = "in the middle of a step" if result.failures else "at a safe point"
            session.console.say(f"Stopped {where}. Run again to go on from here.", "yellow")
    for failure in result.failures:
        if session.logs_lines and isinstance(failure.error, DataopsError):
            session.log.error(failure.error)
    return code


def _ask(plan: Plan) -> None:
    verb = "Apply" if plan.direction is Direction.APPLY else "Roll back"
    consent(f"{verb} {terminal.counted(len(plan.steps), 'migration')}?")


def _result_code(result: Result) -> ExitCode:
    if result.stopped:
        return ExitCode.STOPPED
    for failure in result.failures:
        return failure.error.exit_code if isinstance(failure.error, DataopsError) else ExitCode.FAILED
    return ExitCode.OK
