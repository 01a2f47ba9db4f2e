"""What has to be true before a wave of a fleet begins: time has passed, a person agrees, a check and a query do."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataops import backends
from dataops.durations import clock
from dataops.errors import Blocked, ConfigError, PermissionDenied, Refused, Stopped, Unreachable
from dataops.events import Emit, WaveAwaited
from dataops.fleet.listing import control
from dataops.model import Service, Wave, fleet
from dataops.redaction import redact
from dataops.run.stop import StopSignal
from dataops.text import counted, shortened

Ask = Callable[[str], bool]
"""Asks a person whether to go on. Raises Stopped when a signal comes first."""
Rows = Sequence[Mapping[str, Any]]
_POLL_SECONDS = 0.1
_ASK_AGAIN_SECONDS = 1.0
_LONGEST = 100_000  # characters in a variable; Linux takes 128 KiB
_SHOWN = 300


@dataclass(frozen=True)
class Gate:
    """Opens before each wave of one fleet. `service` is that of any of its databases, `run` the id of the run.

    `ask` is None where nobody has to be asked. `timeout` is for how many seconds a control database is waited for that
    does not answer.
    """

    service: Service
    run: str
    emit: Emit
    stop: StopSignal
    ask: Ask | None
    timeout: float = 0.0

    def open(self, number: int, rule: Wave, changed: Sequence[str], since: float | None) -> None:
        """Come back when wave `number` may begin. `changed` are the databases of the waves before it.

        `since` is how many seconds ago something was changed last, None where nothing was. Raises Blocked where the
        check or the query says no, Stopped where a person does or a signal comes, and what the control database raises.
        """
        if since is not None and rule.pause > since:
            self._pause(number, rule.pause - since)
        if rule.check:
            self._check(number, rule.check, changed)
        if rule.query:
            self._query(number, rule.query)
        if rule.ask and self.ask is not None:
            unit = self.service.unit
            if not self.ask(f"{unit}: begin wave {number}, after {counted(len(changed), 'database')}?"):
                raise Stopped(f"wave {number} was not confirmed; it has not begun", service=unit)

    def _pause(self, number: int, seconds: float) -> None:
        self.emit(WaveAwaited(self.service.unit, number, f"a pause of {clock(seconds)}"))
        self.stop.pause(seconds)
        self._refuse_stopped(number)

    def _refuse_stopped(self, number: int) -> None:
        if self.stop():
            raise Stopped(f"stopped before wave {number}", service=self.service.unit)

    def _check(self, number: int, command: Sequence[str], changed: Sequence[str]) -> None:
        self.emit(WaveAwaited(self.service.unit, number, f"the check {command[0]}"))
        names = " ".join(fleet.database_of(name) for name in changed)
        told = {"DATAOPS_RUN": self.run, "DATAOPS_WAVE": str(number)}
        if len(names) <= _LONGEST:
            told["DATAOPS_DATABASES"] = names
        with tempfile.TemporaryFile("w+", errors="backslashreplace") as said:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.service.top,
                    env={**os.environ, **told},
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                raise self._blocked(number, f"the check {command[0]} cannot be run: {error.strerror}") from error
            while (code := process.poll()) is None:
                if self.stop():
                    process.kill()
                time.sleep(_POLL_SECONDS)
            self._refuse_stopped(number)
            if code != 0:
                said.seek(0)
                lines = said.read().strip().splitlines() or [""]
                more = f": {redact(shortened(lines[-1], _SHOWN))}" if lines[-1] else ""
                raise self._blocked(number, f"the check {command[0]} ended with {code}{more}")

    def _query(self, number: int, query: str) -> None:
        try:
            rows = self._rows(number, query)
        except (ConfigError, Refused) as error:
            raise self._blocked(number, f"its query fails: {error.message}") from error
        answer = next(iter(rows[0].values()), None) if rows else None
        if answer is not True:
            said = "nothing" if not rows else "NULL" if answer is None else redact(shortened(repr(answer), _SHOWN))
            raise self._blocked(number, f"its query answers {said}, and not true")

    def _rows(self, number: int, query: str) -> Rows:
        deadline, told = time.monotonic() + self.timeout, False
        while True:
            try:
                return backends.rows(control(self.service, self.service.rollout.control_url), query)
            except (Refused, PermissionDenied):
                raise
            except Unreachable as error:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    self.emit(WaveAwaited(self.service.unit, number, f"its query: {error.message}"))
                told = True
            self.stop.pause(_ASK_AGAIN_SECONDS)
            self._refuse_stopped(number)

    def _blocked(self, number: int, why: str) -> Blocked:
        return Blocked(
            f"wave {number} does not begin: {why}",
            service=self.service.unit,
            hint="the databases of the waves before it stay as they are; run again to go on, or dataops rollback",
        )


__all__ = ["Ask", "Gate"]
