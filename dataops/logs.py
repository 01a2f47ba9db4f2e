"""JSON log lines, from events: one object a line, on stderr, for machines.

Every line has time (UTC, ISO 8601), level, event and run; service, migration, direction and seconds where they apply.
The fields are documented in docs/json.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

from dataops import events
from dataops.config import redact
from dataops.errors import DataopsError

_LEVELS = {
    events.StepFailed: "error",
    events.StepRetried: "warn",
    events.LockAwaited: "warn",
    events.ServerAwaited: "warn",
    events.Warned: "warn",
    events.StopRequested: "warn",
    events.StepProgressed: "debug",
}


class JsonLog:
    """A sink for events."""

    def __init__(self, stream: IO[str], run: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._stream = stream
        self._run = run
        self._now = now

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.StepProgressed):
            return  # many a second; StillRunning tells the same once a minute
        fields: dict[str, Any] = {
            key: value for key, value in vars(event).items() if key not in ("service", "step", "result", "run")
        }
        step = getattr(event, "step", None)
        if step is not None:
            fields = {"migration": step.migration.id, "direction": step.direction.value, **fields}
        result = getattr(event, "result", None)
        if result is not None:
            counts = {"done": len(result.done), "failed": len(result.failures), "left": len(result.left)}
            fields = {**fields, **counts, "seconds": round(result.seconds, 3), "stopped": result.stopped}
        if isinstance(fields.get("seconds"), float):
            fields["seconds"] = round(fields["seconds"], 3)
        self.line(_LEVELS.get(type(event), "info"), _snake(type(event).__name__), event.service, fields)

    def error(self, error: DataopsError) -> None:
        """The error that ends the command; where nobody reads the log any more there is nobody to tell."""
        fields = {"message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}
        with suppress(OSError):
            self.line("error", "error", error.service or "", {"migration": error.migration, **fields})

    def line(self, level: str, event: str, service: str, fields: dict[str, Any]) -> None:
        time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        written = {"time": time, "level": level, "event": event, "run": self._run, "service": service or None, **fields}
        kept = {key: redact.within(value) for key, value in written.items() if value is not None}
        self._stream.write(json.dumps(kept, default=str) + "\n")
        self._stream.flush()


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
