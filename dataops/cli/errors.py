"""How an error becomes text and an exit code. The one place that catches users' errors."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

import click

from dataops.cli import termination
from dataops.cli.session import document, sessions
from dataops.errors import Bug, CannotWrite, DataopsError, ExitCode, Stopped, UsageError
from dataops.redaction import redact
from dataops.show import json as answers
from dataops.show import terminal


class AtOnce(BaseException):
    """A signal came while there was nothing to finish.

    It is a BaseException, so that a migration file which is being planned does not catch it by mistake.
    """


def guarded(command: Callable[[], int | None], given: Sequence[str]) -> int:
    """Run a command and return its exit code. Everything that it raises is shown, also a bug of dataops.

    `given` is the command line. It says whether the user wants JSON, if Click refuses before there is a session.
    """
    try:
        return int(command() or 0)
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        termination.note(f"error: {error.format_message()}")
        if "--json" in given:  # Click refuses before there is a session
            wrong = UsageError(error.format_message(), hint="see --help")
            terminal.Console().answer(document(answers.error(wrong), wrong.exit_code))
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt, AtOnce):
        tell(Stopped("interrupted; nothing was done", hint=""))
        return ExitCode.STOPPED
    except DataopsError as error:
        tell(error, given)
        return error.exit_code
    except OSError as error:
        problem = unwritable(error)
        tell(problem, given)
        return problem.exit_code
    except Exception as error:  # noqa: BLE001
        tell_bug(error)
        return ExitCode.FAILED


def unwritable(error: OSError) -> CannotWrite:
    return CannotWrite(
        f"{error.filename or 'output'}: {error.strerror or error}",
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


def tell(error: DataopsError, given: Sequence[str] = ()) -> None:
    """Show an error in every format that the user wants. `given` is the command line, for errors without a session."""
    session = sessions[-1] if sessions else None
    shown = session.console if session else terminal.Console()
    termination.note(f"error: {error}", f"hint: {error.hint}" if error.hint else "")
    if session.as_json if session else "--json" in given:
        shown.answer(document(answers.error(error), error.exit_code))
    if session is not None and session.logs_lines:
        session.log.error(error)
    shown.error(error)


def tell_bug(error: Exception) -> None:
    text = redact("".join(traceback.format_exception(error)))
    if sessions and sessions[-1].logs_lines:
        with suppress(OSError):
            sessions[-1].log.line("error", "bug", "", f"a bug: {type(error).__name__}", {"traceback": text})
    else:
        with suppress(OSError):
            click.echo(text, nl=False, err=True)
    tell(Bug(f"this is a bug in dataops: {type(error).__name__}: {redact(str(error))}"))
