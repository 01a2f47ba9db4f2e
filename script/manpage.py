"""Write the man page docs/dataops.1 from the commands' own help; the wheel installs it as share/man/man1/dataops.1.

    .venv/bin/python script/manpage.py            write it
    .venv/bin/python script/manpage.py --print    print it

It has no date, so that it changes only when a command changes.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from dataops import __version__
from dataops.cli import main_group
from dataops.errors import ExitCode

PAGE = Path(__file__).resolve().parent.parent / "docs" / "dataops.1"
_SHARED = ("selected", "config_path", "environment", "as_json", "log_format", "verbose", "_click_default_help", "help")


def page() -> str:
    """The whole page, as roff."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield '.\\" Made by script/manpage.py from the help of the commands: change that help, not this file.'
    yield f'.TH DATAOPS 1 "" "dataops {__version__}" "User Commands"'
    yield ".ad l"
    yield from (".SH NAME", f"dataops \\- {_text(_first_sentence(main_group))}")
    yield from (".SH SYNOPSIS", ".B dataops", "\\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]")
    yield from (".SH DESCRIPTION", *_paragraphs(main_group.help or ""), *_example(main_group))
    plan = main_group.get_command(click.Context(main_group), "plan")
    assert plan is not None
    yield from (".SH OPTIONS OF EVERY COMMAND", "They stand before or behind the name of the command.")
    yield from _options(plan, shared=True)
    yield ".SH COMMANDS"
    for name, command in _commands(main_group, "dataops"):
        yield from (f'.SS "{_text(_usage(name, command))}"', *_paragraphs(command.help or ""))
        yield from _options(command, shared=False)
        yield from _example(command)
    yield ".SH EXIT STATUS"
    for code in ExitCode:
        yield from (".TP", f".B {int(code)}", _text(code.meaning))
    yield from (".SH FILES", ".TP", ".I dataops.toml", "The services and their databases: dataops docs configuration")
    yield from (".SH SEE ALSO", "The whole documentation is installed with the program: dataops docs")


def _commands(group: click.Group, above: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=above)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{above} {name}")
        else:
            yield f"{above} {name}", command


def _usage(name: str, command: click.Command) -> str:
    return " ".join((name, *command.collect_usage_pieces(click.Context(command))))


def _options(command: click.Command, *, shared: bool) -> Iterator[str]:
    context = click.Context(command, parent=click.Context(main_group, **main_group.context_settings))
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and (parameter.name in _SHARED) == shared:
            yield from (".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1]))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        if paragraph.strip():
            yield from (".PP", _text(" ".join(paragraph.split())))


def _example(command: click.Command) -> Iterator[str]:
    """What stands in the help below "Example:", line by line as it is."""
    text = (command.epilog or "").partition("Example:\n")[2]
    if text:
        yield from (".PP", "Example:", ".PP", ".RS 4", ".nf")
        yield from map(_text, textwrap.dedent(text).strip().split("\n"))
        yield from (".fi", ".RE")


def _first_sentence(command: click.Command) -> str:
    text = (command.help or "").strip().split("\n\n")[0].rstrip(".")
    return text[:1].lower() + text[1:]


def _text(text: str) -> str:
    """Text that roff prints as it is: its `\\`, `-`, `"` and a command in its first column mean nothing."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())
