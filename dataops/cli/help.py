"""help: shows the help of a command."""

from __future__ import annotations

from typing import Any

import click

from dataops.cli.session import command
from dataops.errors import UsageError
from dataops.text import near


@command("help", services=False)
@click.argument("names", metavar="[COMMAND]", nargs=-1)
def help_command(session: Any, names: tuple[str, ...]) -> None:
    """Show the help of a command, as its --help does.

    \b
    Example:
      dataops help apply
    """
    context = click.get_current_context().find_root()
    wanted: click.Command = context.command
    for name in names:
        found = wanted.get_command(context, name) if isinstance(wanted, click.Group) else None
        if found is None:
            known = wanted.list_commands(context) if isinstance(wanted, click.Group) else []
            raise UsageError(f"there is no command {' '.join(names)}", hint=near(name, known))
        context = click.Context(found, info_name=name, parent=context)
        wanted = found
    session.console.answer(wanted.get_help(context) + "\n")
