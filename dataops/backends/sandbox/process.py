"""Our side of a process in which migration files are looked at. See the package."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dataops.backends.sandbox.pipe import EndOfPipe, TooLate, receive, send
from dataops.backends.sandbox.variables import visible
from dataops.errors import NoSandbox

_END_SECONDS = 1.0
_START_SECONDS = 60.0  # importing the libraries, also on a machine that is busy
_PATIENCE_SECONDS = 2.0  # a file that takes longer makes others wait, so that a second process is worth its start
_POLL_SECONDS = 0.2
_MOST = 2
_WHAT = "the process in which migration files are looked at"

_BOOT = (
    "import sys; count = int(sys.argv[1]); sys.path[:] = sys.argv[2:2 + count]; sys.argv[:] = sys.argv[2 + count:]; "
    "from dataops.backends.sandbox.child import main; main()"
)


class Process:
    """A process that is started when it is first needed, and again after it has ended.

    Whoever uses it holds `mutex`. Only `close` may be called by any thread. `looking_since` is the moment of
    time.monotonic() when it began to look at the present file, or None.
    """

    def __init__(self, variables: Collection[str], *, closed: bool) -> None:
        """See Sandbox for `variables`. A `closed` one is never started."""
        self.mutex = threading.Lock()
        self.closed = closed
        self.looking_since: float | None = None
        self._variables = variables
        self._running: subprocess.Popen[bytes] | None = None

    def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let it import what the request needs, and begin with it. Returns {}, or our error that it ended with at once.

        Raises NoSandbox when it cannot be started, and EndOfPipe when it is closed.
        """
        if self.closed:
            raise EndOfPipe
        used = self._running is not None
        running = self._running or self._start()
        assert running.stdin is not None
        try:
            send(running.stdin.fileno(), request)
            message = self.receive(time.monotonic() + _START_SECONDS)
        except (TooLate, EndOfPipe) as error:
            if self.closed:
                raise EndOfPipe from error
            self.kill()
            how = self.end()
            if used and isinstance(error, EndOfPipe):
                return self.begin(request)
            raise NoSandbox(f"{_WHAT} has ended ({how})") from error
        problem: dict[str, Any] = message.get("end", {})
        if problem:
            self.end()
        if problem and "refused" not in problem:
            # A client's own thread, of the file before, was late and reached out; this file has not begun.
            return self.begin(request)
        return problem

    def receive(self, until: float) -> dict[str, Any]:
        """Its next message, until that moment of time.monotonic(). Raises TooLate and EndOfPipe."""
        assert self._running is not None and self._running.stdout is not None
        return receive(self._running.stdout.fileno(), until)

    def kill(self) -> None:
        """End it at once. `end` is to follow."""
        if self._running is not None:
            self._running.kill()

    def end(self) -> str:
        """Wait for a process that is ending, and kill it if it is not. Returns how it ended."""
        running, self._running = self._running, None
        if running is None:
            return "ended"
        try:
            code = running.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            code = running.wait()
        for stream in (running.stdin, running.stdout):
            assert stream is not None
            stream.close()
        return (signal.strsignal(-code) or f"signal {-code}") if code < 0 else f"exit {code}"

    def close(self) -> None:
        """End it for good. A thread that is still waiting for an answer finds the end of the pipe."""
        self.closed = True
        running = self._running
        if running is not None:
            running.kill()
        with self.mutex:
            self.kill()  # it may have been started meanwhile
            self.end()

    def _start(self) -> subprocess.Popen[bytes]:
        environ, hidden = visible(os.environ, self._variables)
        try:
            self._running = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(len(sys.path)), *sys.path, *sys.argv],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us; we end the process
            )
        except OSError as error:
            raise NoSandbox(f"{_WHAT} cannot be started: {error.strerror}") from error
        assert self._running.stdin is not None
        with suppress(EndOfPipe):  # it has ended already: `begin` tells how
            send(self._running.stdin.fileno(), {"hidden": hidden})
        return self._running


class Pool:
    """The processes for each part: one, and a second where the first is busy for long. Threads may share it."""

    def __init__(self, variables: Collection[str]) -> None:
        """See Sandbox for `variables`."""
        self._variables = variables
        self._changed = threading.Condition()
        self._processes: dict[str, list[Process]] = {}
        self._closed = False

    @contextmanager
    def process(self, part: str) -> Iterator[Process]:
        """A process that nobody else uses in this scope."""
        with self._changed:
            processes = self._processes.setdefault(part, [])
            while (free := next((one for one in processes if one.mutex.acquire(blocking=False)), None)) is None:
                if len(processes) < _MOST and all(_is_slow(one) for one in processes):
                    processes.append(Process(self._variables, closed=self._closed))
                else:
                    self._changed.wait(_POLL_SECONDS)
        try:
            yield free
        finally:
            free.looking_since = None
            free.mutex.release()
            with self._changed:
                self._changed.notify_all()

    def close(self) -> None:
        """End all processes for good."""
        with self._changed:
            self._closed = True
            processes = [process for each in self._processes.values() for process in each]
        for process in processes:
            process.close()


def _is_slow(process: Process) -> bool:
    since = process.looking_since
    return since is not None and time.monotonic() - since > _PATIENCE_SECONDS


__all__ = ["Pool", "Process"]
