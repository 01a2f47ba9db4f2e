"""dev up, dev url, dev down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dataops.cli.session import main_group


@main_group.group("dev")
def dev_group() -> None:
    """Real servers for development: a MongoDB and a PostgreSQL on free ports of this machine.

    \b
    Example:
      dataops dev up && eval "$(dataops dev url)" && dataops plan
      dataops dev down
    """


def _dev_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")(function)
    return click.option(
        "--folder", type=click.Path(file_okay=False, path_type=Path), help="The folder with the data of the servers."
    )(function)


@dev_group.command("up")
@click.option("--standalone", is_flag=True, help="MongoDB without a replica set, so without transactions.")
@_dev_options
def dev_up(folder: Path | None, standalone: bool, as_json: bool) -> int:
    """Start the servers in the background. If they run already, say so.

    \b
    Example:
      dataops dev up
    """
    from dataops import dev

    running = dev.up(folder, standalone=standalone)
    if as_json:
        _print_json({"started": running.fresh, "urls": dict(running.urls), "notes": list(running.notes)})
    else:
        for line in running.notes:
            click.echo(line, err=True)
        click.echo("started" if running.fresh else "they run already")
        click.echo('now: eval "$(dataops dev url)"')
    return 0


@dev_group.command("url")
@_dev_options
def dev_url(folder: Path | None, as_json: bool) -> int:
    """Print the variables with the URLs of the servers, for a shell to evaluate.

    \b
    Example:
      eval "$(dataops dev url)"
    """
    import shlex

    from dataops import dev

    urls = dev.urls(folder)
    if as_json:
        _print_json({"urls": dict(urls)})
    else:
        for name, url in urls.items():
            click.echo(f"export {name}={shlex.quote(url)}")
    return 0


@dev_group.command("down")
@_dev_options
def dev_down(folder: Path | None, as_json: bool) -> int:
    """Stop the servers and remove their data. It is no error if none run.

    \b
    Example:
      dataops dev down
    """
    from dataops import dev

    stopped = dev.down(folder)
    if as_json:
        _print_json({"stopped": stopped})
    else:
        click.echo("stopped" if stopped else "none were running")
    return 0


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps({**content, "exit_code": 0}, indent=2))
