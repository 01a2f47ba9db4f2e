"""The commands: parse, ask, call, show. The only place that knows Click, and that turns errors into exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from click.shell_completion import shell_complete

from dataops.cli import completing, streams, termination
from dataops.cli.errors import AtOnce, guarded, unwritable
from dataops.cli.session import Invocation, main_group
from dataops.errors import ExitCode
from dataops.redaction import traceback_of
from dataops.text import visible


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Errors are shown, never raised."""
    if instruction := os.environ.get(completing.VARIABLE):
        return shell_complete(main_group, {}, "dataops", completing.VARIABLE, instruction)
    termination.forget()
    invocation = Invocation(sys.argv[1:] if arguments is None else list(arguments))
    code = guarded(
        lambda: main_group.main(
            args=list(invocation.given), prog_name="dataops", standalone_mode=False, obj=invocation
        ),
        invocation,
    )
    lost = invocation.session.console.lost if invocation.session else None
    if lost is not None and not isinstance(lost, BrokenPipeError):
        invocation.report_error(unwritable(lost))
        code = code or ExitCode.UNREACHABLE
    termination.write(code)
    return code


def _print_of_thread(error: threading.ExceptHookArgs) -> None:
    """Print the traceback of a thread without its secrets, which Python's own hook would print."""
    if error.exc_value is not None and sys.stderr is not None:
        with suppress(OSError, ValueError):  # ValueError: stderr is closed
            sys.stderr.write(visible(traceback_of(error.exc_value)))


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Leave at once. Commands that change something replace this handler by `signals`."""
    raise AtOnce


def main() -> NoReturn:
    """Run the installed command. It ends with os._exit, because pymongo's threads would hold it up for 0.5 s."""
    streams.make_own()
    threading.excepthook = _print_of_thread
    signal.signal(signal.SIGTERM, _leave)  # the first process of a container ignores it otherwise
    code = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # `run` has reported it
            stream.flush()
    os._exit(code)


__all__ = ["main", "main_group", "run"]
