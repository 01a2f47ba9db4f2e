"""resolve: records what a person says about an interrupted step or a record that another tool changed."""

from __future__ import annotations

import click

from dataops.backends import opened
from dataops.cli.session import Session, command
from dataops.cli.signals import signals
from dataops.errors import ExitCode, UsageError
from dataops.model import Direction, Step
from dataops.planning.target import find_migration
from dataops.redaction import redact
from dataops.run.under_lock import resolve


@command("resolve", services=False)
@click.argument("step", metavar="SERVICE/REV")
@click.option("--applied/--not-applied", default=None, help="Whether the database has the migration now.")
@click.option("--reason", required=True, help="Why you say so; it is recorded.")
def resolve_command(session: Session, step: str, applied: bool | None, reason: str) -> None:
    """Decide an interrupted step, or a record that another tool changed. The answer is recorded in the journal.

    \b
    Example:
      dataops resolve docs/20220310000000-add-owner --applied --reason "index is there, checked by hand"
    """
    if applied is None:
        raise UsageError("say which: --applied or --not-applied", hint="docs/operations.md#an-interrupted-step")
    if not reason.strip():
        raise UsageError("the reason is empty", hint="the next person will want to know")
    name, slash, rest = step.partition("/")
    if not slash:
        raise UsageError(f"{step} is not SERVICE/REV", hint="for example shop/20231103084227")
    service = session.config(selected=[name]).services[0]
    _, migration = find_migration([service], f"{name}/{rest}", not_base=f"{rest} is not a migration")
    with signals(session) as stop, opened(service) as backend:
        decided = Step(name, migration, Direction.APPLY if applied else Direction.ROLLBACK)
        resolve(
            backend, session.author, decided, applied=applied, reason=redact(reason), emit=session.sink(), stop=stop
        )
    answer = "applied" if applied else "not applied"
    if session.as_json:
        session.answer({"run": session.author.run, "step": decided.id, "applied": applied}, ExitCode.OK)
    else:
        session.console.data([(f"{decided.id} is recorded as {answer}", "")])
