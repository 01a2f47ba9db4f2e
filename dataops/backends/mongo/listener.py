"""Reports the commands that a migration sends, and how many documents they change, to `dataops.statements`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from dataops.redaction import redact
from dataops.statements import Statement, report

_CHANGES = {"insert", "update", "delete"}


class Listener(CommandListener):
    """Reports commands on a collection by their names alone, because they contain people's data."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._running: dict[int, tuple[str, int]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        collection = event.command.get(event.command_name)
        if isinstance(collection, str):
            self._running[event.request_id] = (redact(collection), time.time_ns())

    def succeeded(self, event: CommandSucceededEvent) -> None:
        changed = _changed(event.command_name, event.reply)
        self._ended(event.request_id, event.command_name, event.duration_micros, changed=changed)

    def failed(self, event: CommandFailedEvent) -> None:
        name = event.failure.get("codeName") or event.failure.get("code") or "error"
        self._ended(event.request_id, event.command_name, event.duration_micros, error=redact(str(name)))

    def _ended(self, request: int, operation: str, micros: int, *, changed: int | None = None, error: str = "") -> None:
        collection, began = self._running.pop(request, ("", 0))
        if collection:
            report(
                Statement(
                    service=self._service,
                    operation=operation,
                    target=collection,
                    began=began,
                    seconds=micros / 1e6,
                    changed=changed,
                    unit="documents",
                    error=error,
                )
            )


def _changed(operation: str, reply: Mapping[str, Any]) -> int | None:
    if operation in _CHANGES:
        return int(reply.get("nModified", reply.get("n", 0))) + len(reply.get("upserted", ()))
    if operation == "findAndModify":
        return int(reply.get("lastErrorObject", {}).get("n", 0))
    return None
