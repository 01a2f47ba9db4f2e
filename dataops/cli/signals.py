"""SIGTERM, SIGHUP and Ctrl-C, for commands that do something."""

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
_LEAVE_SECONDS = 2.0  # from a signal with nothing to finish until we leave, whatever the main thread does
_ABORT_SECONDS = 5.0  # from the second signal until we leave, whatever still runs


@contextmanager
def signals(session: Session) -> Iterator[StopSignal]:
    """SIGTERM, SIGHUP, Ctrl-C: the first asks for a safe point, the second stops now. Before any work, the first does.

    A hang-up is never a second one: a terminal that closes sends it twice, itself and by its shell. Under nohup there
    is none.

    The main thread may be in any lock, half-written line or blocking read. So a handler of Python's, which runs there
    and may come late, only leaves where there is nothing to finish; a thread that Python's C handler wakes answers.
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
        # What does not come to its end even then, Python code of a migration for example, is left as by a crash.
        time.sleep(_ABORT_SECONDS)
        hint = "as after a crash: dataops status says what is true"
        _leave(session, Stopped("stopped now, in the middle of a step", hint=hint))


def _leave(session: Session, error: Stopped) -> NoReturn:
    session.report_error(error)
    termination.write(error.exit_code)
    os._exit(error.exit_code)
