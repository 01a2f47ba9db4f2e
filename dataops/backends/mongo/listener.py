"""Counts the commands that a migration sends and the documents that they change, and reports them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from dataops.redaction import redact
from dataops.statements import Statement, Tally, has_listeners, report

_CHANGES = {"insert", "update", "delete"}
_READS = {
    "aborttransaction", "buildinfo", "collstats", "committransaction", "connectionstatus", "connpoolstats", "count",
    "currentop", "datasize", "dbhash", "dbstats", "distinct", "endsessions", "explain", "find", "getcmdlineopts",
    "getlog", "getmore", "getparameter", "hello", "hostinfo", "ismaster", "killcursors", "listcollections",
    "listcommands", "listdatabases", "listindexes", "listsearchindexes", "ping", "refreshsessions", "replsetgetstatus",
    "rolesinfo", "saslcontinue", "saslstart", "serverstatus", "startsession", "top", "usersinfo", "validate",
    "whatsmyuri",
}  # fmt: skip
"""Commands that change no data, in small letters, because some have several spellings.

`commitTransaction` only ends what other commands have written.
"""


_ENDS = {"aborttransaction", "endsessions", "hello", "ismaster", "killcursors"}
"""Commands with which the driver ends what it has begun. They are never refused."""


class Listener(CommandListener):
    """Counts and reports commands by their names and collections alone, because they contain people's data.

    `refuse` is called before each command is sent, and may raise to refuse it: see dataops.backends.mongo.lease.
    """

    def __init__(self, service: str, tally: Tally, refuse: Callable[[], None]) -> None:
        self._service = service
        self._tally = tally
        self._refuse = refuse
        self._running: dict[int, tuple[str, int, tuple[str, ...]]] = {}  # by request: see `_ended`

    def started(self, event: CommandStartedEvent) -> None:
        name, command = event.command_name, event.command
        if name.lower() not in _ENDS:
            self._refuse()
        collection = command.get("collection" if name == "getMore" else name)
        writes = _may_write(name, command)
        if not isinstance(collection, str):
            self._tally.send(name, writes=writes)
            return
        self._tally.send(f"{name} {collection}", writes=writes)
        self._running[event.request_id] = (collection, time.time_ns(), _names(name, command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if not event.reply.get("ok", 1):  # pymongo calls it a success to drop what is not there
            self._ended(event.request_id, event.command_name, event.duration_micros, error=_code(event.reply))
            return
        changed = _changed(event.command_name, event.reply)
        if changed:
            self._tally.change(changed)
        self._ended(event.request_id, event.command_name, event.duration_micros, changed=changed)

    def failed(self, event: CommandFailedEvent) -> None:
        self._ended(event.request_id, event.command_name, event.duration_micros, error=_code(event.failure))

    def _ended(self, request: int, operation: str, micros: int, *, changed: int | None = None, error: str = "") -> None:
        collection, began, names = self._running.pop(request, ("", 0, ()))
        self._tally.spend(f"{operation} {collection}".strip(), micros / 1e6)
        if collection and has_listeners():
            report(
                Statement(
                    service=self._service,
                    operation=operation,
                    target=redact(collection),
                    began=began,
                    seconds=micros / 1e6,
                    changed=changed,
                    unit="documents",
                    error=error,
                    names=names,
                )
            )


def _may_write(name: str, command: Mapping[str, Any]) -> bool:
    """Whether a command is not certainly a read."""
    if name == "aggregate":
        return any("$out" in stage or "$merge" in stage for stage in command["pipeline"])
    return name.lower() not in _READS


def _code(failure: Mapping[str, Any]) -> str:
    return redact(str(failure.get("codeName") or failure.get("code") or "error"))


def _names(name: str, command: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the indexes that a command makes or drops, or the new name of the collection that it renames.

    To drop indexes, it may also give their keys, or `*`.
    """
    if name == "renameCollection":
        return (str(command.get("to")),)
    if name == "createIndexes":
        return tuple(str(one.get("name")) for one in command.get("indexes", ()))
    indexes = command.get("index") if name in ("dropIndexes", "deleteIndexes") else None
    listed = indexes if isinstance(indexes, list) else [indexes]
    return tuple(one for one in listed if isinstance(one, str) and one != "*")


def _changed(operation: str, reply: Mapping[str, Any]) -> int | None:
    if operation in _CHANGES:
        return int(reply.get("nModified", reply.get("n", 0))) + len(reply.get("upserted", ()))
    if operation == "findAndModify":
        return int(reply.get("lastErrorObject", {}).get("n", 0))
    if operation == "bulkWrite":
        return sum(int(reply.get(key, 0)) for key in ("nInserted", "nModified", "nUpserted", "nDeleted"))
    return None
