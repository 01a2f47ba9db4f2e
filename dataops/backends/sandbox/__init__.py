"""Runs migration files that are only looked at, in a process of their own that cannot reach out. See ADR 14.

A process is started for the first file of a kind of database, and serves all files of that kind in a plan. A file that
takes too long, reaches out or ends the process costs only that process: the next file gets a new one. `process` is our
side of it, `child` is its main loop, `fence` refuses what reaches out, and `verdict` decides what an error says about
the file. What is run in it for a kind is a module of that kind, its *part*: it has a function `perform(task)`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from dataops.backends.sandbox.pipe import EndOfPipe, TooLate
from dataops.backends.sandbox.process import Pool
from dataops.backends.sandbox.verdict import Asked, Nature, is_certain
from dataops.errors import BrokenFile, DataopsError
from dataops.model import Rendering, Service, Step
from dataops.redaction import redact

STEP_SECONDS = 10.0
"""A file is given so long, for its top level and its function together."""
PURSE_SECONDS = 30.0
"""So long all files of a plan may take together, beyond FREE_SECONDS for each."""
FREE_SECONDS = 1.0

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
    """Where migration files are looked at. A context manager; threads may share it.

    Each part has a process of its own, so that the libraries of two kinds are imported side by side. In each, one file
    is run at a time. A part gets a second process only while one file keeps the first busy for seconds.
    """

    def __init__(
        self,
        variables: Collection[str] = (),
        *,
        step_seconds: float = STEP_SECONDS,
        purse_seconds: float = PURSE_SECONDS,
    ) -> None:
        """`variables` are the names in which the configuration looks for databases; they are hidden from the files."""
        self._pool = Pool(variables)
        self._step_seconds = step_seconds
        self._purse = self._whole_purse = purse_seconds
        self._mutex = threading.Lock()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def with_its_own_purse(self) -> Sandbox:
        """The same processes, for somebody who looks at the files for another purpose. They end with ours."""
        other = Sandbox(step_seconds=self._step_seconds, purse_seconds=self._whole_purse)
        other._pool = self._pool
        return other

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
            "sys_path": [str(path) for path in service.sys_path],
            "arguments": arguments,
        }
        with self._pool.process(part) as process:
            seconds = min(self._step_seconds, FREE_SECONDS + self._purse)
            began = time.monotonic()
            try:
                if problem := process.begin({**request, "seconds": seconds}):
                    raise _error(problem)
                process.looking_since = began = time.monotonic()
                while "end" not in (message := process.receive(began + seconds)):
                    heard(message)
            except TooLate:
                process.kill()
                process.end()
                less = seconds < self._step_seconds
                shared = ", all that the files before it have left of a plan's time" if less else ""
                return Outcome(unseen=f"it did not end within {seconds:g} s{shared}")
            except EndOfPipe:
                how = process.end()
                return Outcome(unseen="the look was stopped" if process.closed else f"it ended its own process ({how})")
            finally:
                self._spend(time.monotonic() - began)
            outcome = _outcome(message["end"], service, step)
            if message.get("threads"):  # they would go on beside the next file
                process.kill()
            if message.get("threads") or outcome.unseen:
                process.end()
            return outcome

    def _spend(self, seconds: float) -> None:
        with self._mutex:
            self._purse = max(0.0, self._purse - max(0.0, seconds - FREE_SECONDS))


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
