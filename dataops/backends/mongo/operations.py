"""What the server is still doing for runs of dataops: it is looked for, ended and awaited.

A server goes on with an update when the client that has sent it is gone: after a time-out, a cut connection, a lost
lease or a crash. So nobody may say what is left of a step, or begin the next one, before the server has nothing of that
run at work any more. The client of each run carries the run and the database in its appName, by which its operations
are found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from dataops.model import Doing
from dataops.redaction import redact

_PREFIX = "dataops/"
_MONITORING = {"hello", "isMaster", "ismaster"}  # with which a driver waits for changes of the replica set
_POLL_SECONDS = 0.1

Document = dict[str, Any]


def app_name(run: str, database: str) -> str:
    """The appName of the client with which a run migrates a database."""
    return f"{_PREFIX}{run} {database}"


@dataclass(frozen=True)
class Operation:
    """One operation that the server is busy with. `builds_index`: the server finishes it whatever we do.

    Without an `id`, it is a transaction of this `session` in which nothing is being done just now: the server keeps it
    open, with what it has changed locked, for a minute after its client has died.
    """

    id: Any
    run: str
    name: str
    where: str
    seconds: int
    builds_index: bool
    session: Any = None

    def __str__(self) -> str:
        if self.id is None:
            return f"an open transaction of run {self.run}"
        return f"{self.name} in {redact(self.where)} of run {self.run}, for {self.seconds} s (opid {self.id})"


class Operations:
    """The operations of dataops on one database."""

    def __init__(self, db: Database[Document]) -> None:
        """`db` belongs to a client for questions."""
        self._db = db

    def of(self, mine: Callable[[str], bool]) -> list[Operation]:
        """What the server does just now for every run for which `mine` is true.

        A user that may not see the operations of others sees its own. One that may not see any gets an empty list.
        """
        every = [_operation(found, run) for found, run in self._found({}) if mine(run)]
        return [one for one in every if one.name not in _MONITORING]

    def connected(self, run: str) -> bool:
        """Whether the server still has a connection of that run, so that its process may be alive."""
        return any(of == run for _, of in self._found({"idleConnections": True}))

    def doing(self, run: str) -> Doing | None:
        """How far the server is with an index that it builds for a run; None where it builds none, or does not say."""
        sessions = [str(one["command"]["lsid"]) for one, of in self._found({}) if of == run and _builds_index(one)]
        if not sessions:
            return None
        # A thread of the server's own builds it, in the session of the command that waits for it
        every: Document = {"$currentOp": {"allUsers": True, "idleConnections": True}}
        building: Document = {"$match": {"command.createIndexes": {"$exists": True}, "progress": {"$exists": True}}}
        with suppress(OperationFailure):  # this user may not look at what the server does by itself
            for found in self._db.client.admin.aggregate([every, building]):
                if str(found["command"].get("lsid")) in sessions:
                    phase = str(found.get("msg", "")).removeprefix("Index Build: ").partition(" Index Build")[0]
                    what = f"index on {redact(str(found['command']['createIndexes']))}: {phase.partition(':')[0]}"
                    done, total = int(found["progress"]["done"]), int(found["progress"]["total"])
                    return Doing(what, done, total or None, "documents")
        return None

    def end(
        self, mine: Callable[[str], bool], *, seconds: float, allowed: Callable[[], None] = lambda: None
    ) -> list[Operation]:
        """End the operations of these runs and wait until they are gone. Returns what is left after `seconds`.

        `allowed` is called between finding operations and ending them. It raises when we have lost the right to end
        them; then nothing is ended. The building of an index is only awaited.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.of(mine)
            allowed()
            if not found:
                return []
            for operation in found:
                if not operation.builds_index:
                    with suppress(OperationFailure):  # it has ended, or this user may not end it: the next look tells
                        self._end(operation)
            if time.monotonic() >= deadline:
                return found
            time.sleep(_POLL_SECONDS)

    def _end(self, operation: Operation) -> None:
        if operation.id is None and operation.session is not None:
            self._db.client.admin.command("killSessions", [{"id": operation.session["id"]}])
        else:
            self._db.client.admin.command("killOp", op=operation.id)

    def _found(self, options: Document) -> list[tuple[Mapping[str, Any], str]]:
        """The operations of dataops on this database, each with its run."""
        ours = {"$match": {"appName": {"$regex": f"^{_PREFIX}"}}}
        for everybody in (True, False):
            with suppress(OperationFailure):  # this user may not look at what others do, or at nothing at all
                stage = {"$currentOp": {"allUsers": everybody, **options}}
                found = list(self._db.client.admin.aggregate([stage, ours]))
                named = [(one, *str(one["appName"]).removeprefix(_PREFIX).partition(" ")[::2]) for one in found]
                return [(one, run) for one, run, database in named if database == self._db.name]
        return []


def _builds_index(found: Mapping[str, Any]) -> bool:
    command = found.get("command") or {}
    return "createIndexes" in command and "lsid" in command


def _operation(found: Mapping[str, Any], run: str) -> Operation:
    command = found.get("command") or {}
    return Operation(
        id=found.get("opid"),
        run=run,
        name=str(next(iter(command), "") if found.get("op") == "command" else found.get("op")),
        where=str(found.get("ns", "")),
        seconds=int(found.get("secs_running", 0)),
        builds_index="createIndexes" in command,
        session=found.get("lsid"),
    )


__all__ = ["Operation", "Operations", "app_name"]
