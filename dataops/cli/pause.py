"""pause: backfills of a database wait."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dataops import backends
from dataops.cli import completing
from dataops.cli.session import Session, command
from dataops.errors import ExitCode
from dataops.text import on_one_line


@command("pause", services=False)
@click.argument("names", metavar="SERVICE", nargs=-1, required=True, shell_complete=completing.services)
@click.option("--reason", default="", help="Why, for whoever looks at the status or the journal.")
def pause_command(session: Session, names: Sequence[str], reason: str) -> None:
    """Let the backfills of a service wait, those that run now and those to come, until `dataops resume`.

    A backfill that runs stops after its batch and holds nothing. Other migrations go on as ever.

    \b
    Example:
      dataops pause shop --reason "the sale begins"
      dataops resume shop
    """
    services = session.config(with_files=False, selected=names).services
    for service in services:
        backends.pause(service, session.author, on_one_line(reason))
    if session.as_json:
        session.answer({"paused": [service.name for service in services]}, ExitCode.OK)
        return
    for service in services:
        session.console.data([(f"{service.name}: backfills wait; to go on: dataops resume {service.name}", "")])
