"""What apply and rollback share: they show the plan, ask, run it and say what was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataops.cli import drift, termination
from dataops.cli.backup import MAX_AGE, Backup
from dataops.cli.options import RunOptions
from dataops.cli.plan_from_options import approvals_of, render
from dataops.cli.rolling_out import Rolling, asking
from dataops.cli.session import Session, consent
from dataops.errors import DataopsError, ExitCode, Stopped
from dataops.fleet.control import Shared
from dataops.model import ENDS_HALF_DONE, Direction, Plan, Policy, Rendering, Result
from dataops.planning import planfile, planner, policies, runs
from dataops.run.executor import execute
from dataops.run.stop import StopSignal
from dataops.show import json, paragraphs, plans
from dataops.text import counted, listed

if TYPE_CHECKING:
    from dataops.drift import Drift

Verify = Callable[[], "Sequence[Drift]"]
"""Compares what a run has made with what the history says. Called at the end of a run that was done."""


def carry_out(
    session: Session,
    plan: Plan,
    stop: StopSignal,
    options: RunOptions,
    verify: Verify | None = None,
    *,
    saved: planfile.SavedPlan | None = None,
    rolling: Rolling,
) -> ExitCode:
    """Show the plan, ask whether to run it, run it and show the result. Returns the exit code, also if a step failed.

    `saved` is the file that the plan comes from. A rollback that is in no file needs no approval: it cannot wait.
    `rolling` says in which waves fleets are changed. Raises the error of a database that cannot be planned, if no more
    of them may fail.
    Raises Stopped if the user does not agree, and Blocked if the policy forbids it, or if a backup is required and none
    is new.
    """
    policy = session.rules
    renderings = render(plan, session, everything=policy.looks)
    approvals = None
    if policy.approvals and (saved is not None or plan.direction is Direction.APPLY):
        approvals = approvals_of(plan, saved.sha256 if saved else "", policy)
    forbidden = policies.violations(policy, plan, renderings, options.allowed, datetime.now(UTC), approvals)
    width = session.console.width_of_messages
    session.console.messages(
        plans.plan_lines(
            plan, renderings, approvals=approvals, courses=rolling.courses, verbose=session.verbose, width=width
        )
    )
    policies.refuse(policy, forbidden, f"dataops {plan.direction.value}", saved.path if saved else None)
    rolling.refuse_troubles(plan)
    if stop():
        raise Stopped("stopped before the first step; nothing was done")
    _refuse_without_backup(plan, policy, options)
    completes = planner.to_complete(plan)
    if completes:
        session.console.say(f"The record of the other tool is completed in {', '.join(completes)}.")
    if (plan.steps or completes) and not options.yes:
        _ask(session, plan)
        if plan.steps:  # a person may take hours to answer
            policies.refuse_late(policy, datetime.now(UTC))
            _refuse_without_backup(plan, policy, options)
    if plan.steps or completes or plan.troubles or rolling.shared is not None:
        with session.running_files():
            result = execute(
                plan,
                session.author,
                emit=session.sink(),
                stop=stop,
                lock_timeout=options.lock_timeout,
                jobs=options.jobs,
                courses=rolling.courses,
                ask=None if options.yes else asking(session, stop),
                shared=rolling.shared,
            )
    else:
        result = Result(run=session.author.run, plan=plan)
    code = _exit_code(result)
    verified = verify() if verify is not None and code is ExitCode.OK else None
    if verified is not None:
        code = drift.code_of(verified)
    _say(session, result, renderings, verified, code)
    if rolling.shared is not None and not result.stopped:
        code = _last(rolling.shared, result, code)
    return code


def _last(shared: Shared, result: Result, code: ExitCode) -> ExitCode:
    """The exit code of a process that shares a run, which ends after all others where something has failed in it.

    It is not one with which a cluster puts another process in its place: that would begin an attempt by itself. Only
    one that has waited for a wave in vain is replaced, and goes on.
    """
    errors = [failure.error for failure in result.failures]
    if any(isinstance(error, DataopsError) and shared.is_lost(error) for error in errors):
        return code
    if errors:
        shared.await_over()
        code = ExitCode.BLOCKED if code in (ExitCode.LOCKED, ExitCode.UNREACHABLE) else code
    shared.leave()
    return code


def _refuse_without_backup(plan: Plan, policy: Policy, options: RunOptions) -> None:
    """Raise Blocked unless the backups are new, that of the policy and that of the option."""
    for backup in (_backup_of(policy), options.backup):
        if plan.steps and backup is not None:
            backup.refuse_unless_new()


def _backup_of(policy: Policy) -> Backup | None:
    if policy.backup is None:
        return None
    return Backup(policy.backup, MAX_AGE if policy.backup_max_age is None else policy.backup_max_age)


def _ask(session: Session, plan: Plan) -> None:
    number = counted(len(plan.steps), "migration")
    if plan.direction is Direction.APPLY:
        consent(f"Apply {number}?")
        return
    addresses = [state.identity.address for state in plan.states if plan.of(state.service.name)]
    where = f"environment {session.environment}" if session.environment else listed(addresses)
    undone = runs.undone_by(plan)
    told = [f"run {run.told(datetime.now(UTC))}" for run in undone]
    half = sum(step.half == ENDS_HALF_DONE for step in plan.steps)  # which no record shows as applied
    if half:
        told.append(counted(half, "half-done migration"))
    others = len(plan.steps) - sum(run.steps for run in undone) - half
    if others:
        told.append(f"{counted(others, 'migration')} that no run of dataops applied")
    consent(f"Roll back {number} in {where}: {', '.join(told)}?")


def _say(
    session: Session,
    result: Result,
    renderings: Mapping[str, Rendering],
    verified: Sequence[Drift] | None,
    code: ExitCode,
) -> None:
    termination.note(*(line for line, _ in paragraphs.result_lines(result)))
    if session.as_json:
        found = None if verified is None else [{"service": one.service.name, **json.drift_of(one)} for one in verified]
        session.answer({**json.result(result, renderings), "verified": found}, code)
    elif result.plan.steps or result.failures:
        lines = paragraphs.result_lines(result, verbose=session.verbose)
        session.console.messages(lines[:-1])
        session.console.data(lines[-1:])
        if result.stopped:
            where = "in the middle of a step" if result.failures else "at a safe point"
            session.console.say(f"Stopped {where}. Run again to go on from here.", "yellow")
    if verified is not None:
        drift.tell(session, verified)
    for failure in result.failures:
        if session.logs_lines and isinstance(failure.error, DataopsError):
            session.log.error(failure.error)


def _exit_code(result: Result) -> ExitCode:
    if result.stopped:
        return ExitCode.STOPPED
    for failure in result.failures:
        return failure.error.exit_code if isinstance(failure.error, DataopsError) else ExitCode.FAILED
    return ExitCode.OK
