"""How an error becomes text and an exit code. The one place that catches users' errors."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import click

from dataops import libraries
from dataops.cli import termination
from dataops.cli.session import Invocation
from dataops.errors import CannotWrite, ConfigError, DataopsError, ExitCode, Stopped, UsageError
from dataops.redaction import message_of, redact
from dataops.text import visible


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
        invocation.report_error(Stopped("interrupted; nothing was done", hint=""))
        return ExitCode.STOPPED
    except DataopsError as error:
        invocation.report_error(error)
        return error.exit_code
    except OSError as error:
        problem = unwritable(error)
        invocation.report_error(problem)
        return problem.exit_code
    except BaseException as error:  # noqa: BLE001  a file may raise any class, and Python would print its secrets
        hidden = libraries.explained(error)
        if hidden is None:
            invocation.report_bug(error)
            return ExitCode.FAILED
        invocation.report_error(hidden)
        return hidden.exit_code


def _refuse_lost_folder() -> None:
    """Refuse a working directory that was removed: neither our files nor those of a migration can be found in it."""
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError("the working directory does not exist any more", hint="go to one that does") from error


def _report_usage(error: click.ClickException, invocation: Invocation) -> None:
    """Report what Click refuses, without secrets: its message quotes the command line, which may hold a URL."""
    shown = io.StringIO()
    error.show(file=shown)
    message = redact(error.format_message())
    with suppress(OSError):
        click.echo(visible(redact(shown.getvalue())), nl=False, err=True)
    termination.note(f"error: {message}")
    invocation.answer_error(UsageError(message, hint="see --help"))


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


def worst(errors: Sequence[DataopsError]) -> DataopsError:
    """The error that needs a person most urgently: its exit code is the exit code of the command."""
    return min(errors, key=lambda e: _SEVERITY.index(e.exit_code) if e.exit_code in _SEVERITY else len(_SEVERITY))
