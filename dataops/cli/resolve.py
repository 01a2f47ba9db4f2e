"""resolve: records what a person says about an interrupted step or a record that another tool changed."""

from __future__ import annotations

import click

from dataops.backends import Database, opened
from dataops.cli import completing
from dataops.cli.session import Session, command
from dataops.cli.signals import signals
from dataops.errors import Blocked, ExitCode, UsageError
from dataops.planning.target import find_migration, find_recorded
from dataops.redaction import redact
from dataops.run.under_lock import resolve


@command("resolve", services=False)
@click.argument("step", metavar="SERVICE/REV", shell_complete=completing.migrations)
@click.option("--applied", is_flag=True, help="The database has the migration now.")
@click.option("--not-applied", is_flag=True, help="The database does not have it.")
@click.option("--reason", required=True, help="Why you say so; it is recorded.")
def resolve_command(session: Session, step: str, applied: bool, not_applied: bool, reason: str) -> None:
    """Decide an interrupted step, or a record that another tool changed. The answer is recorded in the journal.

    Nothing else can be decided: what is applied is undone by rollback, and what is pending is run by apply.

    \b
    Example:
      dataops resolve docs/20220310000000-add-owner --applied --reason "index is there, checked by hand"
    """
    if applied == not_applied:
        raise UsageError("say which: --applied or --not-applied", hint="dataops docs operations an-interrupted-step")
    if not reason.strip():
        raise UsageError("the reason is empty", hint="the next person will want to know")
    name, slash, rest = step.partition("/")
    if not slash:
        raise UsageError(f"{step} is not SERVICE/REV", hint="for example shop/20231103084227")
    service = session.service(name)
    with signals(session) as stop, opened(service) as backend:
        id_ = _find(backend, step, rest)
        decision = resolve(
            backend, session.author, id_, applied=applied, reason=redact(reason), emit=session.sink(), stop=stop
        )
    answer = "applied" if applied else "not applied"
    if session.as_json:
        replaced = list(decision.replaced)
        told = {"run": session.author.run, "step": f"{name}/{id_}", "applied": applied, "replaced": replaced}
        session.answer(told, ExitCode.OK)
        return
    already = " already" if decision.recorded else ""
    session.console.data([(f"{name}/{id_} is recorded as {answer}{already}", "")])
    if decision.replaced:
        session.console.data([(f"It replaces {', '.join(decision.replaced)}, recorded as not applied", "")])


def _find(backend: Database, step: str, rest: str) -> str:
    """The migration that is meant. Its file may be missing here; then the record or the journal has to know it."""
    try:
        return find_migration([backend.service], step, not_base=f"{rest} is not a migration")[1].id
    except (UsageError, Blocked):
        found = find_recorded(backend.read(), rest)
        if found is None:
            raise
        return found
