"""Decides what the recording server answers to a command, and what it records.

Commands that only read are passed on to the real server, with a limit of time and of documents. All others are
recorded, and answered as if they had found nothing. Only the commands in `_READS` are ever sent to the real server, so
that nothing can be written there.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import bson
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from dataops.backends.mongo.capture.wire import CODEC
from dataops.backends.mongo.capture.wording import SESSION_KEYS, command_text, target_of
from dataops.backends.sandbox import Asked
from dataops.redaction import describe, redact

Document = dict[str, Any]

MAX_COMMANDS = 2000
MAX_DOCUMENTS = 300
_READ_MS = 1000
_BATCH = 100
_STASH = "dataops_stash_"
_SAMPLED = "reads of {} were limited to samples: more commands of this kind may run"
_READS = {
    "find", "aggregate", "count", "distinct", "listCollections", "listIndexes", "dbStats", "collStats", "buildInfo",
}  # fmt: skip
_COUNTED = {
    "insert", "update", "delete", "bulkWrite", "aggregate", "createIndexes", "create", "drop", "dropIndexes",
    "renameCollection", "collMod",
}  # fmt: skip
"""Writes whose answer is no more than how many documents or indexes they changed."""
_WITHOUT_EFFECT = {"ping", "endSessions", "killCursors", "commitTransaction", "abortTransaction", "getMore"}


@dataclass
class Recording:
    """The commands of one migration, and notes. `sent` are the same commands as they came, with their names.

    `stash` are the positions of commands that only serve the stash.

    `harms` are the commands that change what is ours.
    """

    commands: list[str] = field(default_factory=list)
    puts_aside: list[str] = field(default_factory=list)
    stash: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    harms: list[str] = field(default_factory=list)
    sent: list[tuple[str, Document]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note for the reader of the plan, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)


_ANY_SERVER = {
    "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": False,
}  # fmt: skip
"""What the oldest server that we support, 7.0, says of itself."""


class TooMuch(Exception):
    """The migration sends more commands than a plan can follow."""


class Answers:
    """Answers the commands of one migration.

    Reads go to `real`, with the rights of its user; without it, they find nothing. `name` is the name of the database
    in which the migration runs. Until `count_until` (of time.monotonic) it also counts the documents that the commands
    would change. `broken` says why the recording is incomplete, or is "". `asked` is what the migration has learned:
    also a read may be about documents that its own writes, or a step before it, would change. `ours` are the names of
    the collections that no migration may change.
    """

    def __init__(
        self,
        real: Database[Document] | None,
        name: str,
        recording: Recording,
        count_until: float,
        ours: frozenset[str],
    ) -> None:
        self.broken = ""
        self.asked = Asked.NOTHING
        self._real = real
        self.name = name
        self._recording = recording
        self._ours = ours
        self._documents_left = MAX_DOCUMENTS
        self._mutex = threading.Lock()
        self._hello: Document = {}
        self._counted: dict[str, str] = {}
        self._count_until = count_until

    def answer(self, database: str, command: Document) -> Document:
        """The answer to a command. An error of the server is an answer too, and is not raised."""
        name = next(iter(command))
        with self._mutex:
            try:
                if name.lower() in ("hello", "ismaster"):
                    return self._hello_answer()
                if name in _WITHOUT_EFFECT:
                    return {"ok": 1.0, "cursor": {"id": 0, "ns": f"{database}.", "nextBatch": []}}
                writes = name == "aggregate" and any(
                    stage in ("$merge", "$out") for stage in (command.get("pipeline") or [{}])[-1]
                )
                if name in _READS and not writes:
                    self.asked = Asked.ANSWERS
                    return self._read(database, name, command)
                self.asked = max(self.asked, Asked.COUNTS if name in _COUNTED else Asked.ANSWERS)
                return self._write(database, name, command)
            except TooMuch as error:
                self.broken = str(error)
                return {"ok": 0.0, "errmsg": self.broken, "code": 50, "codeName": "MaxTimeMSExpired"}
            except OperationFailure as error:
                details = error.details or {}
                return {"ok": 0.0, "errmsg": str(details.get("errmsg", error)), "code": error.code or 1}
            except PyMongoError as error:
                return {"ok": 0.0, "errmsg": describe(error), "code": 1}

    def _hello_answer(self) -> Document:
        if not self._hello and self._real is not None:
            real = self._real.client.admin.command("hello")
            fields = (
                "isWritablePrimary", "maxBsonObjectSize", "maxMessageSizeBytes", "maxWriteBatchSize", "localTime",
                "logicalSessionTimeoutMinutes", "minWireVersion", "maxWireVersion", "readOnly", "setName", "hosts",
                "me", "msg",
            )  # fmt: skip
            self._hello = {key: real[key] for key in fields if key in real}
        # A client sends writes only to a primary. So we are one, even if the real server is a secondary.
        return {"helloOk": True, "ismaster": True, **(self._hello or _ANY_SERVER), "isWritablePrimary": True, "ok": 1.0}

    # Reading

    def _read(self, database: str, name: str, command: Document) -> Document:
        if self._real is None:
            return self._empty(database, command, name)
        asked = {key: value for key, value in command.items() if key not in SESSION_KEYS}
        allowed = min(self._documents_left, _BATCH)
        if name == "find":
            wanted = abs(asked.get("limit") or 0)
            asked.update(limit=min(wanted, allowed) if wanted else allowed, singleBatch=True, batchSize=allowed)
            if not allowed:
                return self._empty(database, command, name)
        elif name == "aggregate":
            if not allowed:
                return self._empty(database, command, name)
            asked["pipeline"] = [*asked["pipeline"], {"$limit": allowed}]
            asked["cursor"] = {"batchSize": allowed}
        if name not in ("buildInfo", "dbStats", "collStats"):
            asked["maxTimeMS"] = _READ_MS
        try:
            answer = self._real.client[database].command(asked, codec_options=CODEC)
        except ExecutionTimeout:
            self._recording.note(f"a read of {redact(str(command[name]))} was cut short after {_READ_MS / 1000:g} s")
            return self._empty(database, command, name)
        cursor = answer.get("cursor")
        if name in ("find", "aggregate") and cursor is not None:
            cursor["id"] = bson.Int64(0)
            self._documents_left -= len(cursor["firstBatch"])
            if len(cursor["firstBatch"]) >= allowed:
                self._recording.note(_SAMPLED.format(redact(str(command[name]))))
        return {key: value for key, value in answer.items() if key not in ("$clusterTime", "operationTime")}

    def _empty(self, database: str, command: Document, name: str) -> Document:
        if name == "count":
            return {"n": 0, "ok": 1.0}
        if name == "distinct":
            return {"values": [], "ok": 1.0}
        self._recording.note(_SAMPLED.format(redact(str(command[name]))))
        return {"cursor": {"id": bson.Int64(0), "ns": f"{database}.{command[name]}", "firstBatch": []}, "ok": 1.0}

    # Recording

    def _write(self, database: str, name: str, command: Document) -> Document:
        if len(self._recording.commands) >= MAX_COMMANDS:
            raise TooMuch(f"it sends more than {MAX_COMMANDS} commands")
        target = target_of(command["pipeline"][-1]) if name == "aggregate" else str(command[name])
        if target.startswith(_STASH):
            self._recording.stash.add(len(self._recording.commands))
        if self._is_harm(database, name, target, command):
            self._recording.harms.append(name if name == "dropDatabase" else redact(f"{name} {target}"))
        self._recording.commands.append(redact(command_text(name, command)))
        self._recording.sent.append((name, command))
        self._note_size(database, name, command)
        return self._answer_to_write(database, name, command)

    def _is_harm(self, database: str, name: str, target: str, command: Document) -> bool:
        """Whether a command changes the record, the journal or the lock of this database."""
        if name == "dropDatabase":
            return database == self.name
        changed = {f"{database}.{target}"}
        if name == "renameCollection":
            changed = {str(command[name]), str(command.get("to", ""))}
        elif name == "bulkWrite":
            changed = {str(space.get("ns", "")) for space in command.get("nsInfo", [])}
        return any(f"{self.name}.{ours}" in changed for ours in self._ours)

    def _answer_to_write(self, database: str, name: str, command: Document) -> Document:
        """The answer to a write, as if it had found no document."""
        nothing = {"id": bson.Int64(0), "ns": f"{database}.{command[name]}", "firstBatch": []}
        match name:
            case "insert":
                return {"n": len(command.get("documents", [])), "ok": 1.0}
            case "findAndModify":
                return {"value": None, "lastErrorObject": {"n": 0, "updatedExisting": False}, "ok": 1.0}
            case "aggregate":
                return {"cursor": nothing, "ok": 1.0}
            case "createIndexes":
                return {"numIndexesBefore": 1, "numIndexesAfter": 1 + len(command.get("indexes", [])), "ok": 1.0}
            case "bulkWrite":
                counts = dict.fromkeys(("nErrors", "nInserted", "nMatched", "nModified", "nUpserted", "nDeleted"), 0)
                return {"cursor": {**nothing, "ns": "admin.$cmd.bulkWrite"}, **counts, "ok": 1.0}
        return {"n": 0, "nModified": 0, "ok": 1.0}

    def _note_size(self, database: str, name: str, command: Document) -> None:
        """About how many documents go into the stash. What other commands do is foreseen from all of them."""
        pipeline = command.get("pipeline") or [{}]
        if name != "aggregate" or not target_of(pipeline[-1]).startswith(_STASH):
            return
        collection, query = str(command[name]), pipeline[0].get("$match", {})
        key = f"{collection} {query!r}"
        if key not in self._counted:
            self._counted[key] = self._count(database, collection, query)
        if self._counted[key] and self._counted[key] not in self._recording.puts_aside:
            self._recording.puts_aside.append(self._counted[key])

    def _count(self, database: str, collection: str, query: Document) -> str:
        if self._real is None or time.monotonic() > self._count_until:
            return ""
        try:
            real, name = self._real.client[database][collection], redact(collection)
            if not query:
                count = real.estimated_document_count(maxTimeMS=_READ_MS)
                return f"{name}: about {count:,} documents" if count else ""
            count = real.count_documents(query, limit=1_000_000, maxTimeMS=_READ_MS)
            if not count:
                return ""
            return f"{name}: {'more than ' if count >= 1_000_000 else ''}{count:,} documents match"
        except ExecutionTimeout:
            return f"{redact(collection)}: too many documents to count in {_READ_MS / 1000:g} s"
        except PyMongoError as error:
            return f"{redact(collection)}: not counted ({type(error).__name__})"


__all__ = ["Answers", "Recording"]
