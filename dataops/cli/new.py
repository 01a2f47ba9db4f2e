"""new: writes a migration file."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from dataops.cli import completing
from dataops.cli.options import only_with
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
@click.option(
    "--template",
    type=click.Choice(["backfill", "expand", "contract", "rename", "index", "not-null"]),
    help="Write the files of a change of a big, busy table that are easy to get wrong (dataops docs recipes).",
)
@click.option("--on", default="", metavar="TABLE.COLUMN", help="With --template: what it is about.")
@click.option("--to", default="", metavar="NAME", help="With --template rename, and contract after it: the new name.")
@click.option(
    "--type", "type_", default="", metavar="TYPE", help="With --template: the column's type; by default text."
)
@click.option("--value", default="", metavar="VALUE", help="With --template: what to fill in. SQL; for MongoDB JSON.")
def new_command(
    session: Session,
    service_name: str,
    message: str,
    autogenerate: bool,
    template: str | None,
    on: str,
    to: str,
    type_: str,
    value: str,
) -> None:
    """Write a migration file with the right name and parent.

    In a project of Alembic, Alembic writes it, as script.py.mako and alembic.ini say. Needs no database, but for
    --autogenerate, and where alembic.ini says revision_environment.

    \b
    Example:
      dataops new shop "add last_used_by"
      dataops new shop "what the models have got" --autogenerate
      dataops new shop "totals in cents" --template not-null --on orders.cents --value "total * 100"
    """
    from dataops import scaffold
    from dataops.scaffold import templates

    service = session.config(with_urls=False, selected=[service_name]).services[0]
    if template is None:
        for given, name in ((on, "--on"), (to, "--to"), (type_, "--type"), (value, "--value")):
            only_with(given, name, "--template")
    else:
        only_with(autogenerate, "--autogenerate", "no --template")
    if template is None and scaffold.needs_database(service, autogenerate=autogenerate):
        service = session.service(service_name)
    now = datetime.now(UTC)
    if template is not None:
        wanted = templates.Wanted(template, on, to, type_, value)
        written = scaffold.new_from_template(service, message, now, wanted)
    else:
        written = scaffold.new(service, message, now, autogenerate=autogenerate)
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
