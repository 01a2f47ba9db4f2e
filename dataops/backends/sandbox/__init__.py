"""Runs migration files that are only looked at, in a process of their own that cannot reach out. See ADR 14.

The process is started for the first file, and serves all files of a plan. A file that takes too long, reaches out or
ends the process costs only that process: the next file gets a new one. `child` is its main loop, `fence` refuses what
reaches out, and `verdict` decides what an error says about the file. What is run in it for a kind of database is a
module of that kind, its *part*: it has a function `perform(task)`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from dataops.backends.sandbox.pipe import EndOfPipe, TooLate, receive, send
from dataops.backends.sandbox.variables import visible
from dataops.backends.sandbox.verdict import Asked, Nature, is_certain
from dataops.errors import BrokenFile, DataopsError, NoSandbox
from dataops.model import Rendering, Service, Step
from dataops.redaction import redact

STEP_SECONDS = 10.0
"""A file is given so long, for its top level and its function together."""
PURSE_SECONDS = 30.0
"""So long all files of a plan may take together, beyond FREE_SECONDS for each."""
FREE_SECONDS = 1.0
_END_SECONDS = 1.0
_START_SECONDS = 60.0  # importing the libraries, also on a machine that is busy

_BOOT = (
    "import sys; count = int(sys.argv[1]); sys.path[:] = sys.argv[2:2 + count]; sys.argv[:] = sys.argv[2 + count:]; "
    "from dataops.backends.sandbox.child import main; main()"
)

Heard = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Raised:
    """An error that a file raised while it was looked at. Its text has no secrets.

    `where` is the innermost place in the file or in a helper beside it, `003_add.py:12 in upgrade`, or "". `line` is
    the line of the file itself, 1 when it is not known.
    """

    name: str
    text: str
    where: str
    line: int
    nature: Nature
    asked: Asked

    def __str__(self) -> str:
        """The place, the class and the first line of the message."""
        first = self.text.strip().partition("\n")[0][:200]
        return ": ".join(part for part in (self.where, self.name, first) if part)

    def is_certain(self, asked: Asked = Asked.NOTHING) -> bool:
        """Whether no answer of a database could change it. `asked` is what we know besides what the process told."""
        return is_certain(self.nature, max(self.asked, asked))


@dataclass(frozen=True)
class Outcome:
    """How looking at one file ended.

    `raised` is what it raised, and `unseen` is why it was ended before that: it reached out, took too long or ended its
    process. `line` is the line of the file where, 1 when that is not known. `broken` means that it was not even loaded,
    because of `problem`. `refused` is an error of ours that the file's helpers raised.
    """

    raised: Raised | None = None
    unseen: str = ""
    line: int = 1
    broken: BrokenFile | None = None
    problem: str = ""
    refused: DataopsError | None = None

    def complete(self, rendering: Rendering, asked: Asked, why: str) -> Rendering:
        """The rendering with what is known of its end. `why` introduces an error that answers might have changed.

        Raises `broken` and `refused`.
        """
        if self.broken is not None:
            raise self.broken
        if self.refused is not None:
            raise self.refused
        if self.raised is None:
            return replace(rendering, opaque=self.unseen)
        if self.raised.is_certain(asked):
            return replace(rendering, fails=str(self.raised), line=self.raised.line)
        return replace(rendering, opaque=f"{why} ({self.raised})")


class Sandbox:
    """Where migration files are looked at. A context manager; threads may share it, one file is run at a time."""

    def __init__(
        self,
        variables: Collection[str] = (),
        *,
        step_seconds: float = STEP_SECONDS,
        purse_seconds: float = PURSE_SECONDS,
    ) -> None:
        """`variables` are the names in which the configuration looks for databases; they are hidden from the files."""
        self._variables = variables
        self._step_seconds = step_seconds
        self._purse = purse_seconds
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # a thread that is still waiting for an answer finds the end of the pipe
        with self._mutex:
            self._end()

    def run(self, part: str, service: Service, step: Step, arguments: dict[str, Any], heard: Heard) -> Outcome:
        """Load the file of the step and let `part` perform it. `heard` gets what `part` tells meanwhile, in order.

        An error of the file is in the outcome, and is not raised.
        """
        migration = step.migration
        request = {
            "part": part,
            "service": service.name,
            "kind": service.kind.name,
            "id": migration.id,
            "path": str(migration.path),
            "text": migration.text.decode("latin-1"),
            "direction": step.direction.value,
            "arguments": arguments,
        }
        with self._mutex:
            seconds = min(self._step_seconds, FREE_SECONDS + self._purse)
            began = time.monotonic()
            try:
                process = self._ready({**request, "seconds": seconds})
                began = time.monotonic()
                while "end" not in (message := self._receive(process, began + seconds)):
                    heard(message)
            except TooLate:
                process.kill()
                self._end()
                less = seconds < self._step_seconds
                shared = ", all that the files before it have left of a plan's time" if less else ""
                return Outcome(unseen=f"it did not end within {seconds:g} s{shared}")
            except EndOfPipe:
                how = self._end()
                return Outcome(unseen="the look was stopped" if self._closed else f"it ended its own process ({how})")
            finally:
                self._purse = max(0.0, self._purse - max(0.0, time.monotonic() - began - FREE_SECONDS))
            outcome = _outcome(message["end"], service, step)
            if message.get("threads"):  # they would go on beside the next file
                process.kill()
            if message.get("threads") or outcome.unseen:
                self._end()
            return outcome

    def _ready(self, request: dict[str, Any]) -> subprocess.Popen[bytes]:
        """The process, which has imported what the request needs and begins with it now."""
        if self._closed:
            raise EndOfPipe
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            send(process.stdin.fileno(), request)
            message = self._receive(process, time.monotonic() + _START_SECONDS)
        except (TooLate, EndOfPipe) as error:
            if self._closed:
                raise EndOfPipe from error
            process.kill()
            how = self._end()
            raise NoSandbox(f"the process in which migration files are looked at has ended ({how})") from error
        if "end" in message:  # a library is not what it should be
            self._end()
            raise _error(message["end"])
        return process

    def _start(self) -> subprocess.Popen[bytes]:
        environ, hidden = visible(os.environ, self._variables)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(len(sys.path)), *sys.path, *sys.argv],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us; we end the process
            )
        except OSError as error:
            raise NoSandbox(f"{NoSandbox.__doc__} ({error.strerror})") from error
        assert self._process.stdin is not None
        send(self._process.stdin.fileno(), {"hidden": hidden})
        return self._process

    def _receive(self, process: subprocess.Popen[bytes], until: float) -> dict[str, Any]:
        assert process.stdout is not None
        return receive(process.stdout.fileno(), until)

    def _end(self) -> str:
        """Wait for a process that is ending, and kill it if it is not. Returns how it ended."""
        process, self._process = self._process, None
        if process is None:
            return "ended"
        try:
            code = process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
        return (signal.strsignal(-code) or f"signal {-code}") if code < 0 else f"exit {code}"


def _outcome(end: dict[str, Any], service: Service, step: Step) -> Outcome:
    """What the last message of the process says. It has never seen a secret of ours, but a file may know one."""
    line = int(end.get("line", 1))
    if "reached" in end:
        where = redact(end["where"])
        what = ": ".join(part for part in (where, redact(end["reached"])) if part)
        return Outcome(unseen=f"it reaches out by itself: {what}", line=line)
    if "broken" in end:
        error = BrokenFile(
            redact(end["broken"]),
            hint=end["hint"],
            service=service.name,
            migration=step.migration.id,
            traceback=redact(end["traceback"]),
        )
        return Outcome(broken=error, problem=redact(end["problem"]), line=line)
    if "refused" in end:
        return Outcome(refused=_error(end))
    if "raised" in end:
        raised = Raised(
            end["raised"],
            redact(end["text"]),
            redact(end["where"]),
            line,
            Nature(end["nature"]),
            Asked(end["asked"]),
        )
        return Outcome(raised=raised, line=line)
    return Outcome()


def _error(end: dict[str, Any]) -> DataopsError:
    """The error of ours that a helper raised in the process, as its nearest class that is known here."""
    classes = {DataopsError.__name__: DataopsError}
    found = [DataopsError]
    while found:
        for each in found.pop().__subclasses__():
            classes[each.__name__] = each
            found.append(each)
    kind = next((classes[name] for name in end["refused"] if name in classes), DataopsError)
    return kind(redact(end["text"]), hint=redact(end["hint"]), service=end["service"], migration=end["migration"])


__all__ = ["Asked", "Outcome", "Raised", "Sandbox"]
