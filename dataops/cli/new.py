"""new: writes a migration file."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from dataops.cli import completing
from dataops.cli.session import Session, command
from dataops.errors import ExitCode


@command("new", services=False)
@click.argument("service_name", metavar="SERVICE", shell_complete=completing.services)
@click.argument("message")
def new_command(session: Session, service_name: str, message: str) -> None:
    """Write a migration file with the right name and parent. Needs no database.

    \b
    Example:
      dataops new shop "add last_used_by"
    """
    from dataops import scaffold

    service = session.config(with_urls=False, selected=[service_name]).services[0]
    path = scaffold.new(service, message, datetime.now(UTC))
    if session.as_json:
        session.answer({"file": str(path)}, ExitCode.OK)
    else:
        session.console.data([(str(path), "")])
