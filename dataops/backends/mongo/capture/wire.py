"""A server on a private socket that knows enough of MongoDB's wire protocol to receive a client's commands.

It understands OP_MSG, and OP_QUERY for the first hello. See MongoDB's wire protocol specification.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

Document = dict[str, Any]
Answer = Callable[[str, Document], Document]
"""Takes the name of a database and a command, and returns what the server answers."""

CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_MORE_TO_COME = 2  # a flag of OP_MSG, for a write without acknowledgement: the client expects no answer


class WireServer:
    """Listens at `path` from `start` to `stop`, with a thread for each connection, and answers each command."""

    def __init__(self, path: str, answer: Answer) -> None:
        self.path = path
        self._answer = answer
        self._ids = itertools.count(1)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connections: list[socket.socket] = []

    def start(self) -> None:
        """Begin to listen. Raises OSError when no socket can be made at `path`."""
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, name="dataops-capture-accept", daemon=True).start()

    def stop(self) -> None:
        """Close all sockets. A client that is still connected gets an error."""
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
            threading.Thread(target=self._serve, args=[connection], name="dataops-capture", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                while True:
                    header = _exactly(connection, 16)
                    length, request, _, operation = struct.unpack("<iiii", header)
                    reply = self._reply(operation, request, _exactly(connection, length - 16))
                    if reply is not None:
                        connection.sendall(reply)
        except (OSError, EOFError):
            return

    def _reply(self, operation: int, request: int, body: bytes) -> bytes | None:
        if operation == _OP_QUERY:
            name_end = body.index(b"\0", 4)
            answer = bson.encode(self._answer("admin", _decode(body[name_end + 9 :])))
            return self._message(_OP_REPLY, request, struct.pack("<iqii", 8, 0, 0, 1) + answer)
        if operation != _OP_MSG:
            raise EOFError
        (flags,) = struct.unpack_from("<I", body)
        command = _sections(body[4:])
        answer = bson.encode(self._answer(str(command.get("$db", "admin")), command))
        return None if flags & _MORE_TO_COME else self._message(_OP_MSG, request, struct.pack("<I", 0) + b"\0" + answer)

    def _message(self, operation: int, request: int, payload: bytes) -> bytes:
        return struct.pack("<iiii", 16 + len(payload), next(self._ids), request, operation) + payload


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
    return bson.decode(data[:length], CODEC)


def _sections(data: bytes) -> Document:
    """The command in the body of an OP_MSG. Its document sequences are put back into the command as lists."""
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


__all__ = ["CODEC", "Answer", "Document", "WireServer"]
