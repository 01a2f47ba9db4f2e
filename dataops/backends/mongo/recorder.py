"""Finds out which commands a migration sends, by running it against a server that is not one.

A real client is connected, through a private socket, to this recorder, which speaks enough of MongoDB's wire protocol
to stand in for a server. Whatever API a migration uses, this is where its commands arrive. Those that only read are
passed on to the real server, bounded in time and in documents; all others are written down and answered as if they had
found nothing. Only the commands in `_READS` can ever reach the server, so nothing can be written.

The protocol: OP_MSG, and OP_QUERY for the first hello; see MongoDB's wire protocol specification.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from dataops.errors import DataopsError
from dataops.redaction import describe, message_of, redact
from dataops.stash.mongo import undivided

Document = dict[str, Any]

MAX_COMMANDS = 2000
MAX_DOCUMENTS = 300
MAX_SECONDS = 10.0
_READ_MS = 1000
_BATCH = 100

STASH = "dataops_stash_"

_SAMPLED = "reads of {} were limited to samples: more commands of this kind may run"

_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_READS = {
    "find", "aggregate", "count", "distinct", "listCollections", "listIndexes", "dbStats", "collStats", "buildInfo",
}  # fmt: skip
_TALK = {"ping", "endSessions", "killCursors", "commitTransaction", "abortTransaction", "getMore"}
_SESSION_KEYS = {
    "lsid", "$db", "$clusterTime", "$readPreference", "txnNumber", "startTransaction", "autocommit", "readConcern",
    "writeConcern", "apiVersion", "apiStrict", "apiDeprecationErrors", "maxTimeMS",
}  # fmt: skip


@dataclass
class Recording:
    """What was written down: commands in order, and notes on what the plan's reader has to know."""

    commands: list[str] = field(default_factory=list)
    puts_aside: list[str] = field(default_factory=list)
    stash: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class TooMuch(Exception):
    """The migration sends more commands, or takes longer, than a plan can follow."""


def record(
    real: Database[Document], migrate: Callable[[Database[Document]], None], count_until: float
) -> tuple[Recording, str]:
    """Run `migrate` against the recorder. The second value says why the recording is incomplete, or is "".

    Until `count_until` (monotonic) it also counts what the commands would touch. `real` is where reads go, with
    whatever rights it has. A refusal in our own words (StashPruned) is raised.
    """
    recording = Recording()
    try:
        folder = tempfile.mkdtemp(prefix="dataops-")  # 0700: nobody else may connect
    except OSError as error:
        return recording, f"a recording needs a temporary folder: {error.strerror}"
    recorder = _Recorder(real, recording, os.path.join(folder, "r.sock"), count_until)
    try:
        recorder.start()
        return recording, _run(recorder, real.name, migrate)
    finally:
        recorder.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _run(recorder: _Recorder, name: str, migrate: Callable[[Database[Document]], None]) -> str:
    problem: list[str] = []
    refused: list[DataopsError] = []
    url = f"mongodb://{quote_plus(recorder.path)}/?directConnection=true&retryWrites=false&retryReads=false"

    def work() -> None:
        client: MongoClient[Document] = MongoClient(
            url, serverSelectionTimeoutMS=3000, heartbeatFrequencyMS=60_000, tz_aware=False
        )
        try:
            with undivided():
                migrate(client.get_database(name))
        except DataopsError as error:
            refused.append(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            # A migration that needs the answer to one of its writes cannot be followed. That is a fact about the
            # migration, and applying it may be perfectly fine.
            text = message_of(error).split("\n")[0][:200]
            needs = f"it needs answers that only a real run gives ({type(error).__name__}: {text})"
            problem.append(recorder.broken or needs)
        finally:
            client.close()

    thread = threading.Thread(target=work, name="dataops-recorder", daemon=True)
    thread.start()
    thread.join(MAX_SECONDS)
    if thread.is_alive():
        recorder.broken = "following it takes too long"
        return recorder.broken
    if refused:
        raise refused[0]
    return problem[0] if problem else ""


class _Recorder:
    def __init__(self, real: Database[Document], recording: Recording, path: str, count_until: float) -> None:
        self.path = path
        self.broken = ""
        self._real = real
        self._recording = recording
        self._documents_left = MAX_DOCUMENTS
        self._ids = itertools.count(1)
        self._mutex = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connections: list[socket.socket] = []
        self._hello: Document | None = None
        self._counted: dict[str, str] = {}
        self._count_until = count_until

    def start(self) -> None:
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, name="dataops-recorder-accept", daemon=True).start()

    def stop(self) -> None:
        self.broken = self.broken or "the recorder was stopped"
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=[connection], name="dataops-serve", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                while True:
                    header = _exactly(connection, 16)
                    length, request, _, op = struct.unpack("<iiii", header)
                    answer = self._answer(op, request, _exactly(connection, length - 16))
                    if answer is not None:
                        connection.sendall(answer)
        except (OSError, EOFError):
            return

    def _answer(self, op: int, request: int, body: bytes) -> bytes | None:
        if op == _OP_QUERY:
            name_end = body.index(b"\0", 4)
            reply = bson.encode(self._handle("admin", _decode(body[name_end + 9 :])))
            payload = struct.pack("<iqii", 8, 0, 0, 1) + reply
            return struct.pack("<iiii", 16 + len(payload), next(self._ids), request, _OP_REPLY) + payload
        if op != _OP_MSG:
            raise EOFError
        (flags,) = struct.unpack_from("<I", body)
        command = _sections(body[4:])
        reply = bson.encode(self._handle(str(command.get("$db", "admin")), command))
        if flags & 2:  # moreToCome: an unacknowledged write wants no answer
            return None
        payload = struct.pack("<I", 0) + b"\0" + reply
        return struct.pack("<iiii", 16 + len(payload), next(self._ids), request, _OP_MSG) + payload

    def _handle(self, database: str, command: Document) -> Document:
        name = next(iter(command))
        with self._mutex:
            try:
                if name.lower() in ("hello", "ismaster"):
                    return self._hello_answer()
                if name in _TALK:
                    return {"ok": 1.0, "cursor": {"id": 0, "ns": f"{database}.", "nextBatch": []}}
                writes = name == "aggregate" and any(
                    stage in ("$merge", "$out") for stage in (command.get("pipeline") or [{}])[-1]
                )
                if name in _READS and not writes:
                    return self._read(database, name, command)
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
        if self._hello is None:
            real = self._real.client.admin.command("hello")
            kept = (
                "isWritablePrimary", "maxBsonObjectSize", "maxMessageSizeBytes", "maxWriteBatchSize", "localTime",
                "logicalSessionTimeoutMinutes", "minWireVersion", "maxWireVersion", "readOnly", "setName", "hosts",
                "me",
            )  # fmt: skip
            self._hello = {key: real[key] for key in kept if key in real}
        return {"helloOk": True, "ismaster": True, **self._hello, "isWritablePrimary": True, "ok": 1.0}

    # Reading

    def _read(self, database: str, name: str, command: Document) -> Document:
        asked = {key: value for key, value in command.items() if key not in _SESSION_KEYS}
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
            answer = self._real.client[database].command(asked, codec_options=_CODEC)
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

    # Writing down

    def _write(self, database: str, name: str, command: Document) -> Document:
        if len(self._recording.commands) >= MAX_COMMANDS:
            raise TooMuch(f"it sends more than {MAX_COMMANDS} commands")
        target = _target(command["pipeline"][-1]) if name == "aggregate" else str(command[name])
        if target.startswith(STASH):
            self._recording.stash.add(len(self._recording.commands))
        self._recording.commands.append(redact(_text(name, command)))
        self._note_size(database, name, command)
        if name == "insert":
            return {"n": len(command.get("documents", [])), "ok": 1.0}
        if name == "findAndModify":
            return {"value": None, "lastErrorObject": {"n": 0, "updatedExisting": False}, "ok": 1.0}
        if name == "aggregate":
            return {"cursor": {"id": bson.Int64(0), "ns": f"{database}.{command[name]}", "firstBatch": []}, "ok": 1.0}
        if name == "createIndexes":
            return {"numIndexesBefore": 1, "numIndexesAfter": 1 + len(command.get("indexes", [])), "ok": 1.0}
        if name == "bulkWrite":
            counts = dict.fromkeys(("nErrors", "nInserted", "nMatched", "nModified", "nUpserted", "nDeleted"), 0)
            cursor = {"id": bson.Int64(0), "ns": "admin.$cmd.bulkWrite", "firstBatch": []}
            return {"cursor": cursor, **counts, "ok": 1.0}
        return {"n": 0, "nModified": 0, "ok": 1.0}

    def _note_size(self, database: str, name: str, command: Document) -> None:
        collection = command.get(name)
        if not isinstance(collection, str) or collection.startswith(STASH):
            return
        pipeline = command.get("pipeline") or [{}]
        filters: list[Document] = []
        told = self._recording.notes
        if name in ("update", "delete"):
            filters = [op["q"] for op in command.get(f"{name}s", []) if op.get("multi") or op.get("limit") == 0][:3]
        elif name == "aggregate":
            filters = [pipeline[0].get("$match", {})]
            if _target(pipeline[-1]).startswith(STASH):
                told = self._recording.puts_aside
        elif name in ("createIndexes", "drop"):
            filters = [{}]
        for query in filters:
            key = f"{collection} {query!r}"
            if key not in self._counted:
                self._counted[key] = self._count(database, collection, query)
            if self._counted[key] and self._counted[key] not in told:
                told.append(self._counted[key])

    def _count(self, database: str, collection: str, query: Document) -> str:
        if time.monotonic() > self._count_until:
            return ""
        name = redact(collection)
        try:
            real = self._real.client[database][collection]
            if not query:
                count = real.estimated_document_count(maxTimeMS=_READ_MS)
                return f"{name}: about {count:,} documents" if count else ""
            count = real.count_documents(query, limit=1_000_000, maxTimeMS=_READ_MS)
            if not count:
                return ""
            return f"{name}: {'more than ' if count >= 1_000_000 else ''}{count:,} documents match"
        except ExecutionTimeout:
            return f"{name}: too many documents to count in {_READ_MS / 1000:g} s"
        except PyMongoError as error:
            return f"{name}: not counted ({type(error).__name__})"


def _exactly(connection: socket.socket, size: int) -> bytes:
    chunks = []
    while size:
        chunk = connection.recv(min(size, 1 << 20))
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _decode(data: bytes) -> Document:
    (length,) = struct.unpack_from("<i", data)
    return bson.decode(data[:length], _CODEC)


def _sections(data: bytes) -> Document:
    """An OP_MSG's body, with the document sequences put back where they belong."""
    command: Document = {}
    at = 0
    while at < len(data):
        kind = data[at]
        (size,) = struct.unpack_from("<i", data, at + 1)
        if kind == 0:
            command = {**_decode(data[at + 1 : at + 1 + size]), **command}
        else:
            end = at + 1 + size
            name_end = data.index(b"\0", at + 5)
            documents = []
            here = name_end + 1
            while here < end:
                documents.append(_decode(data[here:]))
                here += struct.unpack_from("<i", data, here)[0]
            command[data[at + 5 : name_end].decode()] = documents
        at += 1 + size
    return command


_SEQUENCES = {"insert": "documents", "update": "updates", "delete": "deletes", "bulkWrite": "ops"}


def _text(name: str, command: Document) -> str:
    """A command for a reader: its name, its collection, the rest; of many alike operations one, and how many."""
    shown = {key: value for key, value in command.items() if key not in _SESSION_KEYS and key != "ordered"}
    where = shown.pop(name)
    many = shown.get(_SEQUENCES.get(name, ""), [])
    more = f" and {len(many) - 1} more {_SEQUENCES[name]}" if len(many) > 1 else ""
    if name == "aggregate":
        shown.pop("cursor", None)
    for key in ("documents", "updates", "deletes", "ops", "indexes", "pipeline"):
        if key in shown:
            first = shown.pop(key)
            one = first if key == "pipeline" else first[0] if first else {}
            ending = _others(first) if key == "indexes" else more
            return f"{name} {where} {_json(one)}{_options(shown)}{ending}"
    return f"{name} {where}{_options(shown)}"


def _options(rest: Document) -> str:
    return f" {_json(rest)}" if rest else ""


def _others(indexes: list[Document]) -> str:
    return f" and {len(indexes) - 1} more indexes" if len(indexes) > 1 else ""


def _json(value: Any) -> str:
    return json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS)


def _target(stage: Document) -> str:
    """The collection that a last stage writes to."""
    into = stage.get("$merge", stage.get("$out", ""))
    into = into.get("into", into.get("coll", "")) if isinstance(into, dict) else into
    return str(into.get("coll", "") if isinstance(into, dict) else into)
