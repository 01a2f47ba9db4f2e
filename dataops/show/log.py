"""JSON log lines for log collectors: one object a line, on stderr, one line for each event.

Each line has the keys of two common loggers, so that it passes through a pipeline that was made for either: level,
time, pid, hostname and msg of Pino, and timestamp, level, target and fields.message of Rust's tracing. Only `level`
means two things, and the caller chooses which one is written. docs/json.md documents the fields.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

from dataops import events
from dataops.errors import DataopsError
from dataops.model import Details
from dataops.text import json_text

_LEVELS = {
    events.StepFailed: "error",
    events.BackfillPaused: "warn",
    events.StepRetried: "warn",
    events.LockAwaited: "warn",
    events.ServerAwaited: "warn",
    events.Warned: "warn",
    events.StopRequested: "warn",
}
_PINO = {"info": 30, "warn": 40, "error": 50}
_NOT_LOGGED = {"service", "step", "result", "run", "plan", "message", "details", "doing"}


class JsonLog:
    """A sink for events that writes a line for each. With `words` the level is a word, as tracing writes it, and not
    Pino's number.

    `trace` has the fields that tie each line to a trace: trace_id, where there is a trace.
    """

    def __init__(
        self,
        stream: IO[str],
        run: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        words: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        self._stream = stream
        self.run = run
        self._now = now
        self._words = words
        self.trace = trace or {}
        self._who = {"pid": os.getpid(), "hostname": os.environ.get("HOSTNAME") or socket.gethostname()}

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.StepProgressed | events.ServerBusy):
            return  # too many; StillRunning says the same now and then
        fields: dict[str, Any] = {key: value for key, value in vars(event).items() if key not in _NOT_LOGGED}
        step = getattr(event, "step", None)
        if step is not None:
            fields = {"migration": step.migration.id, "direction": step.direction.value, **fields}
        result = getattr(event, "result", None)
        if result is not None:
            counts = {"done": len(result.done), "failed": len(result.failures), "left": len(result.left)}
            fields = {**fields, **counts, "seconds": round(result.seconds, 3), "stopped": result.stopped}
        if isinstance(event, events.StepFailed):
            fields |= details_of(event.details)
        if isinstance(event, events.StillRunning):
            fields |= {
                key: value for key, value in vars(event.doing).items() if key in ("done", "total", "unit") or value
            }
        for name in ("seconds", "rate", "left"):
            if isinstance(fields.get(name), float):
                fields[name] = round(fields[name], 3)
        text = event.message if isinstance(event, events.Warned) else events.sentence(event)
        self.line(_LEVELS.get(type(event), "info"), events.name(event), event.service, text, fields)

    def error(self, error: DataopsError) -> None:
        """Write the error that ends the command. If stderr is closed, there is nowhere to report that."""
        fields = {
            "migration": error.migration,
            "kind": type(error).__name__,
            "hint": error.hint,
            "exit_code": int(error.exit_code),
        }
        with suppress(OSError):
            self.line("error", "error", error.service or "", error.message, fields)

    def line(self, level: str, event: str, service: str, text: str, fields: Mapping[str, Any]) -> None:
        """Write one line. `level` is info, warn or error; `event` is a name such as `step_started`. Raises OSError."""
        now = self._now()
        written = {
            "level": level.upper() if self._words else _PINO[level],
            "time": int(now.timestamp() * 1000),
            **self._who,
            "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "target": "dataops",
            "msg": text,
            "fields": {"message": text},
            "event": event,
            "run": self.run,
            **self.trace,
            "service": service or None,
            **fields,
        }
        kept = {key: value for key, value in written.items() if value is not None}
        self._stream.write(json_text(kept, default=str) + "\n")
        self._stream.flush()


def details_of(details: Details) -> dict[str, Any]:
    """The fields that say where a step failed, and what it had sent. A JSON answer has the same."""
    return {
        "place": details.place or None,
        "traceback": details.traceback or None,
        "last_sent": details.sent.last or None,
        "writes": details.sent.writes,
        "changed": details.sent.changed,
        "unit": details.sent.unit,
    }


def parent(environ: Mapping[str, str]) -> dict[str, str]:
    """The trace in which we were called, from TRACEPARENT (W3C). A malformed value counts as not set."""
    found = re.fullmatch(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", environ.get("TRACEPARENT", ""))
    return {"trace_id": found[1]} if found and set(found[1]) != {"0"} else {}
