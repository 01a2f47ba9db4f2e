"""dev up, dev url, dev down: servers for development, as the configuration needs them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataops import config
from dataops.cli.session import main_group
from dataops.errors import ConfigError

if TYPE_CHECKING:
    from dataops.dev import Wanted


@main_group.group("dev")
def dev_group() -> None:
    """Real servers for development, on free ports of this machine.

    They are made for what dataops.toml names: a server for each kind of database, and a database for each service.

    \b
    Example:
      dataops dev up && eval "$(dataops dev url)" && dataops plan
      dataops dev down
    """


def _dev_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object."),
        click.option("--folder", type=click.Path(file_okay=False, path_type=Path),
                     help="Where to remember what runs; by default one folder for each configuration."),
        click.option("--config", "config_path", type=click.Path(path_type=Path), envvar="DATAOPS_CONFIG",
                     help="The configuration; by default dataops.toml, here or in a folder above."),
    ):  # fmt: skip
        function = option(function)
    return function


@dev_group.command("up")
@click.option("--standalone", is_flag=True, help="MongoDB without a replica set, so without transactions.")
@_dev_options
def dev_up(config_path: Path | None, folder: Path | None, standalone: bool, as_json: bool) -> int:
    """Start the servers in the background. If they run already, say so.

    \b
    Example:
      dataops dev up
    """
    from dataops import dev

    settings = config.read(config_path)
    running = dev.up(folder or dev.default_folder(settings.path), _wanted(settings), standalone=standalone)
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
def dev_url(config_path: Path | None, folder: Path | None, as_json: bool) -> int:
    """Print the variables in which each service looks for its URL, for a shell to evaluate.

    \b
    Example:
      eval "$(dataops dev url)"
    """
    from dataops import dev

    settings = config.read(config_path)
    urls = dev.urls(folder or dev.default_folder(settings.path), _wanted(settings))
    if as_json:
        _print_json({"urls": dict(urls)})
    else:
        for name, url in urls.items():
            click.echo(f"export {name}={shlex.quote(url)}")
    return 0


@dev_group.command("down")
@_dev_options
def dev_down(config_path: Path | None, folder: Path | None, as_json: bool) -> int:
    """Stop the servers and remove their data. It is no error if none run.

    \b
    Example:
      dataops dev down
    """
    from dataops import dev

    stopped = dev.down(folder or dev.default_folder(config_path or config.find(Path.cwd())))
    if as_json:
        _print_json({"stopped": stopped})
    else:
        click.echo("stopped" if stopped else "none were running")
    return 0


def _wanted(settings: config.Settings) -> list[Wanted]:
    """One database for each service, observed ones too. Raises ConfigError when two would have the same."""
    from dataops.dev import Wanted

    found: dict[str, str] = {}
    for service in settings.services.values():
        other = found.setdefault(service.url_variable, service.name)
        if other != service.name:
            raise ConfigError(
                f"{other} and {service.name} look for their URL in the same variable, {service.url_variable}",
                service=service.name,
                hint='give one of them a variable of its own: url_env = "..."',
            )
    return [Wanted(one.url_variable, one.kind, one.database or one.name) for one in settings.services.values()]


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps({**content, "exit_code": 0}, indent=2))
