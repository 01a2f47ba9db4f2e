"""How an error becomes text and an exit code. The one place that catches users' errors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

import click

from dataops import libraries
from dataops.cli.session import Invocation
from dataops.errors import CannotWrite, ConfigError, DataopsError, ExitCode, Stopped, UsageError
from dataops.redaction import message_of, redact
from dataops.text import near


class AtOnce(BaseException):
    """A signal came while there was nothing to finish.

    It is a BaseException, so that a migration file which is being planned does not catch it by mistake.
    """


def guarded(command: Callable[[], int | None], invocation: Invocation) -> int:
    """Run a command and return its exit code. Everything that it raises is shown, also a bug of dataops."""
    try:
        _refuse_lost_folder()
        return int(command() or 0)
    except click.ClickException as error:
        _report_usage(error, invocation)
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt, AtOnce):
        return _interrupted(invocation)
    except DataopsError as error:
        invocation.report_error(error)
        return error.exit_code
    except OSError as error:
        problem = unwritable(error)
        invocation.report_error(problem)
        return problem.exit_code
    except BaseException as error:  # noqa: BLE001  a file may raise any class, and Python would print its secrets
        if _by_signal(error):
            return _interrupted(invocation)
        hidden = libraries.explained(error)
        if hidden is None:
            invocation.report_bug(error)
            return ExitCode.FAILED
        invocation.report_error(hidden)
        return hidden.exit_code


def _interrupted(invocation: Invocation) -> ExitCode:
    invocation.report_error(Stopped("interrupted; nothing was done", hint=""))
    return ExitCode.STOPPED


def _by_signal(error: BaseException | None) -> bool:
    """Whether the signal was the cause: Python wraps what comes up while it makes a class into a RuntimeError."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, AtOnce):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _refuse_lost_folder() -> None:
    """Refuse a working directory that was removed: neither our files nor those of a migration can be found in it."""
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError("the working directory does not exist any more", hint="go to one that does") from error


_PLAIN = {
    r"is not a valid integer( range)?$": "is no whole number",
    r"(\S+) is not in the range x>=(\d+)$": r"\1 is less than \2",
    r"(\S+) is not in the range (\d+)<=x<=(\d+)$": r"\1 is not between \2 and \3",
}
"""What Click says of numbers, and what we say."""


def _report_usage(error: click.ClickException, invocation: Invocation) -> None:
    """Report what Click refuses as any error, without secrets: it quotes the command line, which may hold a URL."""
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path if context is not None else 'dataops'} --help"
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption):
        message = f"there is no option {error.option_name}"
        if error.possibilities:
            hint = f"did you mean {' or '.join(sorted(error.possibilities))}? {hint}"
    wrong = re.match(r"No such command '(.*?)'\.", error.format_message())
    if wrong and context is not None:
        message = f"there is no command {wrong[1]}"
        similar = near(wrong[1], context.command.list_commands(context))
        hint = f"{similar} {hint}" if similar.endswith("?") else hint
    for words, plain in _PLAIN.items():
        message = re.sub(words, plain, message)
    invocation.report_error(UsageError(redact(message[:1].lower() + message[1:]), hint=hint))


def unwritable(error: OSError) -> CannotWrite:
    """The error for an output that could not be written."""
    return CannotWrite(
        f"{error.filename or 'output'}: {redact(error.strerror or '') or message_of(error)}",
        hint="what the command did stands; is the disk full, or the output closed?",
    )


_SEVERITY = (
    ExitCode.INTERRUPTED,
    ExitCode.INVALID,
    ExitCode.DRIFT,
    ExitCode.AHEAD,
    ExitCode.UNREACHABLE,
    ExitCode.LOCKED,
)


def code_of(errors: Sequence[DataopsError]) -> ExitCode:
    """The exit code of a command that went on where some of the databases had these errors."""
    return worst(errors).exit_code if errors else ExitCode.OK


def worst(errors: Sequence[DataopsError]) -> DataopsError:
    """The error that needs a person most urgently: its exit code is the exit code of the command."""
    return min(errors, key=lambda e: _SEVERITY.index(e.exit_code) if e.exit_code in _SEVERITY else len(_SEVERITY))
