"""resume: backfills of a database that were paused go on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dataops import backends
from dataops.cli import completing
from dataops.cli.session import Session, command
from dataops.errors import ExitCode


@command("resume", services=False)
@click.argument("names", metavar="SERVICE", nargs=-1, required=True, shell_complete=completing.services)
def resume_command(session: Session, names: Sequence[str]) -> None:
    """Let the backfills of a service go on that `dataops pause` has stopped.

    \b
    Example:
      dataops resume shop
    """
    resumed = {}
    for service in session.config(with_files=False, selected=names).services:
        resumed[service.name] = backends.resume(service)
    if session.as_json:
        session.answer({"resumed": [name for name, paused in resumed.items() if paused]}, ExitCode.OK)
        return
    for name, paused in resumed.items():
        session.console.data([(f"{name}: {'backfills go on' if paused else 'was not paused'}", "")])
