"""How SIGTERM, SIGHUP and Ctrl-C stop a command that changes something."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from dataops.cli import termination
from dataops.cli.errors import AtOnce
from dataops.cli.session import Session
from dataops.errors import Stopped
from dataops.events import StopRequested
from dataops.run.stop import StopSignal

_ASK_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LEAVE_SECONDS = 2.0  # from a signal before any work until we leave, whatever the main thread does
_ABORT_SECONDS = 5.0  # from the second signal until we leave, whatever still runs


@contextmanager
def signals(session: Session) -> Iterator[StopSignal]:
    """In this scope the first signal asks the run to stop at a safe point, and the second stops it now.

    Before any work has begun, the first signal stops it now. A SIGHUP never counts as the second: when a terminal
    closes, it comes twice, from the terminal and from the shell. Under nohup SIGHUP stays ignored.

    Python runs signal handlers in the main thread, which may hold any lock, be in the middle of a line of output or
    wait in a system call. So the handler only leaves if there is nothing to finish. A thread, which Python's C handler
    wakes through a pipe, does the rest.
    """
    stop = StopSignal()
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)

    def handle(number: int, frame: FrameType | None) -> None:
        if not stop.working:
            raise AtOnce

    threading.Thread(target=_answer_signals, args=[ours, stop, session], daemon=True).start()
    woken = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {number: signal.signal(number, handle) for number in _ASK_TO_STOP if number not in ignored}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(theirs)  # ends the thread


def _answer_signals(pipe: int, stop: StopSignal, session: Session) -> None:
    emit = session.sink()

    def heard() -> str | None:
        number = os.read(pipe, 1)
        return signal.Signals(number[0]).name if number else None

    with open(pipe, "rb", buffering=0):
        first = heard()
        if first is None:
            return
        stop.stop()
        if not stop.working:
            if select.select([pipe], [], [], _LEAVE_SECONDS)[0] and heard() is None:
                return  # the main thread has left by itself
            _leave(session, Stopped("interrupted; nothing was done", hint=""))
        emit(StopRequested(signal=first))
        second = heard()
        while second == signal.SIGHUP.name:
            second = heard()
        if second is None:
            return
        emit(StopRequested(signal=second, now=True))
        threading.Thread(target=stop.abort, daemon=True).start()
        # Whatever still runs now, such as Python code of a migration, ends as in a crash.
        time.sleep(_ABORT_SECONDS)
        hint = "as after a crash: dataops status says what is true"
        _leave(session, Stopped("stopped now, in the middle of a step", hint=hint))


def _leave(session: Session, error: Stopped) -> NoReturn:
    session.report_error(error)
    termination.write(error.exit_code)
    os._exit(error.exit_code)
