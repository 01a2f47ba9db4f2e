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
@click.option(
    "--autogenerate",
    is_flag=True,
    help="Let Alembic write what the metadata of env.py has and the database has not. Needs the database.",
)
def new_command(session: Session, service_name: str, message: str, autogenerate: bool) -> None:
    """Write a migration file with the right name and parent.

    In a project of Alembic, Alembic writes it, as script.py.mako and alembic.ini say. Needs no database, but for
    --autogenerate, and where alembic.ini says revision_environment.

    \b
    Example:
      dataops new shop "add last_used_by"
      dataops new shop "what the models have got" --autogenerate
    """
    from dataops import scaffold

    service = session.config(with_urls=False, selected=[service_name]).services[0]
    if scaffold.needs_database(service, autogenerate=autogenerate):
        service = session.config(selected=[service_name]).services[0]
    written = scaffold.new(service, message, datetime.now(UTC), autogenerate=autogenerate)
    if session.as_json:
        session.answer(
            {
                "file": str(written.files[0]) if written.files else None,
                "files": [str(path) for path in written.files],
                "found": [*written.found],
                "warnings": [*written.warnings],
            },
            ExitCode.OK,
        )
    else:
        session.console.data([(str(path), "") for path in written.files])
    for line in (*written.printed, *written.found):
        session.console.say(line)
    for warning in written.warnings:
        session.console.say(f"warning: {service.name}: {warning}", "yellow")
    if not written.files:
        session.console.say("The database has all that the metadata has: nothing was written.")


__all__ = ["new_command"]
