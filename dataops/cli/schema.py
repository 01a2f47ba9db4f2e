"""schema dump, schema check: the schema of each service as files in git."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataops import config, schemafile
from dataops.cli import completing
from dataops.cli.errors import code_of
from dataops.cli.options import scratch_option
from dataops.cli.session import Session, checkout, command, main_group
from dataops.cli.signals import signals
from dataops.errors import DataopsError, ExitCode
from dataops.run.reading import side_by_side
from dataops.show import json as answers
from dataops.text import counted

if TYPE_CHECKING:
    from dataops.schemafile import SchemaFile


@main_group.group("schema")
def schema_group() -> None:
    """The schema of each service as files in git, made by its history on a scratch database.

    SERVICE.sql is for people (PostgreSQL). SERVICE.json is what drift --from compares a database with.

    \b
    Example:
      dataops schema dump
      dataops schema check
    """


def folder_of(configuration: config.Config, chosen: Path | None) -> Path:
    """The folder of the schema files: the chosen one, or `schema` beside dataops.toml."""
    return chosen or configuration.path.parent / schemafile.FOLDER


def _files_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        scratch_option,
        click.option(
            "--folder",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="FOLDER",
            help="Where the files are; by default schema, beside dataops.toml.",
        ),
        click.argument("names", metavar="[SERVICE]...", nargs=-1, shell_complete=completing.services),
    ):
        function = option(function)
    return function


@command("dump", services=False, group=schema_group)
@_files_options
def dump_command(session: Session, names: tuple[str, ...], folder: Path | None, server: tuple[str, ...]) -> ExitCode:
    """Write the schema files of each service, or of those that are named. Needs no database of yours.

    \b
    Example:
      dataops schema dump
      dataops schema dump shop
    """
    loaded, found = _made(session, names, server)
    written = {
        one.service: schemafile.write(folder_of(loaded, folder), one)
        for one in found
        if not isinstance(one, DataopsError)
    }
    code = _code(found)
    if session.as_json:
        services = [
            {"service": name, "written": [str(path) for path in written.get(name, [])], "problem": problem}
            for name, problem in _problems(loaded, found)
        ]
        session.answer({"services": services}, code)
        return code
    session.console.errors(one for one in found if isinstance(one, DataopsError))
    session.console.data([(str(path), "") for paths in written.values() for path in paths])
    for one in found:
        if not isinstance(one, DataopsError) and not written[one.service]:
            session.console.say(f"{one.service}: the files are as its history up to {one.head or 'nothing'} makes them")
    return code


@command("check", services=False, group=schema_group)
@_files_options
def check_command(session: Session, names: tuple[str, ...], folder: Path | None, server: tuple[str, ...]) -> ExitCode:
    """Are the schema files what the history makes? Writes nothing. Exit 8 if not, and a diff says how.

    \b
    Example:
      dataops schema check
    """
    loaded, found = _made(session, names, server)
    root = checkout(loaded.path.parent)
    diffs = {
        one.service: schemafile.difference(folder_of(loaded, folder), one, root)
        for one in found
        if not isinstance(one, DataopsError)
    }
    code = _code(found)
    if code is ExitCode.OK and any(diffs.values()):
        code = ExitCode.DRIFT
    if session.as_json:
        services = [
            {"service": name, "diff": diffs.get(name) or None, "problem": problem}
            for name, problem in _problems(loaded, found)
        ]
        session.answer({"services": services}, code)
        return code
    session.console.errors(one for one in found if isinstance(one, DataopsError))
    session.console.data([(line, _STYLES.get(line[:1], "")) for text in diffs.values() for line in text.splitlines()])
    changed = [name for name, text in diffs.items() if text]
    if changed:
        session.console.say(
            f"{counted(len(changed), 'service')} with files that are not what the history makes. "
            f"Next: dataops schema dump {' '.join(changed)}"
        )
    elif code is ExitCode.OK:
        session.console.say(f"The files of {counted(len(diffs), 'service')} are what the history makes.", "green")
    return code


_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def _made(
    session: Session, names: Sequence[str], server: tuple[str, ...]
) -> tuple[config.Config, Sequence[SchemaFile | DataopsError]]:
    from dataops.dumping import dump
    from dataops.scratch import Scratch

    loaded = session.config(with_urls=False, selected=names)
    with signals(session) as stop, Scratch(session.author, servers=server, stop=stop) as scratch:
        scratch.start(service.kind for service in loaded.services)
        with session.running_files(on_scratch=True):
            return loaded, side_by_side(lambda one: dump(one, scratch), loaded.services)


def _code(found: Sequence[SchemaFile | DataopsError]) -> ExitCode:
    errors = [one for one in found if isinstance(one, DataopsError)]
    return code_of(errors)


def _problems(
    loaded: config.Config, found: Sequence[SchemaFile | DataopsError]
) -> list[tuple[str, dict[str, Any] | None]]:
    return [
        (service.name, answers.error(one)["error"] if isinstance(one, DataopsError) else None)
        for service, one in zip(loaded.services, found, strict=True)
    ]


__all__ = ["check_command", "dump_command", "folder_of", "schema_group"]
