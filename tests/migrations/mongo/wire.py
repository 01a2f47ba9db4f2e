"""A wire between a client and a MongoDB that can be cut at any write, or in the middle of one.

    with Wire(server_uri) as wire, MongoClient(wire.uri) as client:
        wire.cut_at(3)                  # the third write does not reach the server; nothing after it does either
        wire.cut_at(3, half=True)       # half of its documents are written, as when a server is killed
        wire.mend()

It stands between the two and reads the messages, so that no command can pass it by, whichever call of the driver
sends it. What is cut is answered with an error of a code of its own.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any

import bson
from pymongo import MongoClient
from pymongo.errors import OperationFailure

Document = dict[str, Any]

CUT = 59_999
WRITES = frozenset(
    {
        "collMod",
        "create",
        "createIndexes",
        "delete",
        "drop",
        "dropDatabase",
        "dropIndexes",
        "findAndModify",
        "insert",
        "renameCollection",
        "update",
    }
)
_OP_MSG = 2013
_HEADER = struct.Struct("<iiii")
_NOT_OURS = ("lsid", "txnNumber", "$clusterTime", "$db", "$readPreference")


def is_cut(error: BaseException) -> bool:
    return isinstance(error, OperationFailure) and error.code == CUT


def is_write(command: Mapping[str, Any]) -> bool:
    first = next(iter(command))
    if first == "aggregate":
        return bool(command["pipeline"]) and next(iter(command["pipeline"][-1])) in {"$out", "$merge"}
    return first in WRITES


class Wire:
    """Listens on a free loopback port and hands everything on to the server at `uri`."""

    def __init__(self, uri: str) -> None:
        self.writes = 0
        """How many writes have come since the last `cut_at` or `mend`."""
        self.is_down = False
        """Whether the cut has happened."""
        self.was_half = False
        """Whether something of the command that was cut was written."""
        self._at: int | None = None
        self._half = False
        self._server: MongoClient[Document] = MongoClient(uri)
        address = self._server.address
        assert address is not None
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.uri = f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false&retryReads=false"
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._server.close()

    def cut_at(self, write: int, *, half: bool = False) -> None:
        """Cut at this write, counted from 1."""
        self.writes, self.is_down, self.was_half = 0, False, False
        self._at, self._half = write, half

    def mend(self) -> None:
        self.writes, self.is_down, self._at = 0, False, None

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed: the end
                return
            server = socket.create_connection(self._address)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            threading.Thread(target=self._watch, args=(client, server), daemon=True).start()

    def _watch(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            while message := _read(client):
                _, request, _, kind = _HEADER.unpack_from(message)
                if kind == _OP_MSG and self._stops(_command(message)):
                    client.sendall(_refusal(request))
                else:
                    server.sendall(message)

    def _stops(self, command: Document) -> bool:
        if "hello" in command or "ismaster" in command or self._at is None:
            return False
        if self.is_down:
            return True
        if is_write(command):
            self.writes += 1
            if self.writes == self._at:
                self.is_down = True
                self.was_half = self._half and self._write_half(command)
        return self.is_down

    def _write_half(self, command: Document) -> bool:
        """Do the first half of the command, if it has halves; False if nothing was done."""
        db = self._server[command["$db"]]
        command = {key: value for key, value in command.items() if key not in _NOT_OURS}
        verb = next(iter(command))
        if verb == "aggregate":
            return self._merge_half(command, db)
        part = {"insert": "documents", "update": "updates", "delete": "deletes"}.get(verb)
        if part is None:
            return False
        statements: list[Document] = command[part]
        if len(statements) > 1:
            db.command(command | {part: statements[: len(statements) // 2]})
            return True
        statement = statements[0]
        if verb == "insert" or not (statement.get("multi") or statement.get("limit") == 0):
            return False
        found = [document["_id"] for document in db[command[verb]].find(statement["q"], {"_id": 1})]
        if len(found) < 2:
            return False
        half = {"$and": [statement["q"], {"_id": {"$in": found[: len(found) // 2]}}]}
        db.command(command | {part: [statement | {"q": half}]})
        return True

    def _merge_half(self, command: Document, db: Any) -> bool:
        *stages, last = command["pipeline"]
        if "$merge" not in last:
            return False
        counted = list(db[command["aggregate"]].aggregate([*stages, {"$count": "documents"}]))
        count: int = counted[0]["documents"] if counted else 0
        if count < 2:
            return False
        db.command(command | {"pipeline": [*stages, {"$limit": count // 2}, last]})
        return True


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:  # one side has gone
        pass
    finally:
        target.close()


def _read(sock: socket.socket) -> bytes:
    """One whole message, or nothing when the other side has gone."""
    try:
        head = sock.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return b""
        return head + sock.recv(struct.unpack("<i", head)[0] - 4, socket.MSG_WAITALL)
    except OSError:
        return b""


def _command(message: bytes) -> Document:
    """The command in an OP_MSG, its document sequences put back where they belong."""
    command: Document = {}
    at = _HEADER.size + 4
    end = len(message) - (4 if message[_HEADER.size] & 1 else 0)
    while at < end:
        kind, at = message[at], at + 1
        (size,) = struct.unpack_from("<i", message, at)
        section = message[at : at + size]
        at += size
        if kind == 0:
            command = bson.decode(section) | command
        else:
            name, _, documents = section[4:].partition(b"\0")
            command[name.decode()] = bson.decode_all(documents)
    verb = next(key for key in command if not isinstance(command[key], list))
    return {verb: command.pop(verb)} | command


def _refusal(request: int) -> bytes:
    body = struct.pack("<i", 0) + b"\0" + bson.encode({"ok": 0.0, "errmsg": "the wire was cut", "code": CUT})
    return _HEADER.pack(_HEADER.size + len(body), 0, request, _OP_MSG) + body
