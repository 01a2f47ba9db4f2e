"""pause: backfills of a database wait."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dataops import backends
from dataops.cli import completing
from dataops.cli.errors import code_of
from dataops.cli.session import Session, command
from dataops.errors import ExitCode
from dataops.model import Service
from dataops.planning.grouping import labels
from dataops.redaction import redact
from dataops.run.reading import of_the_reachable
from dataops.show import json
from dataops.text import on_one_line


@command("pause", services=False)
@click.argument("names", metavar="SERVICE", nargs=-1, required=True, shell_complete=completing.services)
@click.option("--reason", default="", help="Why, for whoever looks at the status or the journal.")
def pause_command(session: Session, names: Sequence[str], reason: str) -> ExitCode:
    """Let the backfills of a service wait, those that run now and those to come, until `dataops resume`.

    A backfill that runs stops after its batch and holds nothing. Other migrations go on as ever.

    \b
    Example:
      dataops pause shop --reason "the sale begins"
      dataops resume shop
    """
    services = session.config(with_files=False, selected=names).services

    def pause(service: Service) -> str:
        backends.pause(service, session.author, on_one_line(reason))
        return service.name

    paused, errors = of_the_reachable(pause, services)
    code = code_of(errors)
    if session.as_json:
        session.answer({"paused": paused, "troubles": json.troubles(errors)}, code)
    else:
        again = f"dataops resume {redact(' '.join(names))}"
        shown = paused if session.verbose else labels(paused)
        session.console.data([(f"{name}: backfills wait; to go on: {again}", "") for name in shown])
    session.console.errors(errors)
    return code
