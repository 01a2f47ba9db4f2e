"""completion: prints what a shell has to run so that it completes our command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dataops.cli import completing
from dataops.cli.session import Session, command, main_group


@command("completion", services=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(session: Session, shell: str) -> None:
    """Print what a shell runs to complete commands, options, services, environments, migrations and runs.

    \b
    Example:
      eval "$(dataops completion bash)"
      dataops completion fish
    """
    made = get_completion_class(shell)
    assert made is not None, shell
    session.console.answer(made(main_group, {}, "dataops", completing.VARIABLE).source())
