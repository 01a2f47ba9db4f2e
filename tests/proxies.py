"""A proxy between the command and a real server that breaks one exchange: it cuts, truncates, delays or refuses it.

    with proxied(url, Fault("refuse", at=7, code="53100")) as (through, proxy):
        project("status", env={"SHOP_URL": through})

The proxy counts what the clients ask, over all their connections, and lets everything else pass. It understands as
much of the two protocols as it needs to find the beginning and the end of a question: PostgreSQL's frontend/backend
protocol, version 3, and MongoDB's OP_MSG. Neither connection may use TLS.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import bson

_OP_MSG = 2013
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_PG_ENDS = b"QSpX"  # Query, Sync, password and Terminate: the messages that end what a client sends at once
_MONITORING = ("hello", "isMaster", "ismaster")

KINDS = ("cut", "cut answer", "truncate", "garbage", "delay", "refuse")


@dataclass(frozen=True)
class Fault:
    """What happens to the question number `at`, counted from 1; 0 means: to every question.

    `cut` closes the connection instead of passing the question on, and `cut answer` instead of passing the answer on.
    `truncate` passes half of the answer on, and `garbage` passes noise on instead; then both close. `delay` keeps the
    answer until the proxy is closed, and `hold` the question. `refuse` answers with the server's error
    `code`: an SQLSTATE, or a number for MongoDB. `concern` makes that an error of the write concern, which MongoDB
    reports beside a success. `only` limits the fault to commands of that name (MongoDB), `containing` to questions that
    have these bytes in them, and `times`, if it is not 0, to so many.
    """

    kind: str
    at: int = 0
    code: str = ""
    concern: bool = False
    only: str = ""
    containing: bytes = b""
    times: int = 0


class Proxy:
    """Listens on a port of 127.0.0.1 and passes everything on to a server, except for what the fault says."""

    def __init__(self, host: str, port: int, fault: Fault | None, *, mongo: bool) -> None:
        self.asked = 0
        self.struck = threading.Event()
        self._struck = 0
        self._fault = fault
        self._mongo = mongo
        self._to = (host, port)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, name="proxy-accept", daemon=True).start()

    def close(self) -> None:
        """End every connection and listen no more."""
        self._closed.set()
        for one in (self._listener, *self._sockets):
            _close(one)

    def cut(self) -> None:
        """End every connection that is open now, as a firewall does that forgets them."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            _close(one)

    def go_away(self) -> None:
        """End every connection, and refuse all new ones, as where a server is stopped."""
        _close(self._listener)
        self.cut()

    def come_back(self) -> None:
        """Listen again, at the same address."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._listen()

    def begin(self, fault: Fault) -> None:
        """From now on, break the exchanges that this fault is for, and `struck` says when."""
        with self._lock:
            self._fault = fault
            self._struck = 0
            self.struck.clear()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._to)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets += [client, server]
            relay = _Relay(self, client, server)
            asking, answering = (relay.pass_mongo, relay.answer) if self._mongo else (relay.pass_pg, relay.answer)
            for work in (asking, answering):
                threading.Thread(target=_until_closed, args=[work, client, server], daemon=True).start()

    def strikes(self, question: bytes, name: str = "") -> bool:
        """Count a question, and say whether it is the one that the fault is for."""
        with self._lock:
            self.asked += 1
            fault = self._fault
            if fault is None or (fault.at and fault.at != self.asked) or (fault.only and fault.only != name):
                return False
            if fault.containing not in question:
                return False
            self._struck += 1
            if fault.times and self._struck > fault.times:
                return False
        self.struck.set()
        return True

    @property
    def fault(self) -> Fault:
        assert self._fault is not None
        return self._fault

    def wait_until_closed(self) -> None:
        """Until the proxy is closed."""
        self._closed.wait()


class _Relay:
    """One connection of a client, and ours to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._ids = itertools.count(1 << 20)
        self._answer: Callable[[bytes], bytes | None] | None = None

    # From the client to the server

    def pass_pg(self) -> None:
        while True:  # the client may first ask for TLS, and hear no
            size = _exactly(self._client, 4)
            body = _exactly(self._client, struct.unpack("!i", size)[0] - 4)
            self._server.sendall(size + body)
            if struct.unpack("!i", body[:4])[0] not in (_SSL_REQUEST, _GSS_REQUEST):
                break
        question = b""
        while True:
            header = _exactly(self._client, 5)
            question += header + _exactly(self._client, struct.unpack("!i", header[1:])[0] - 4)
            if header[:1] not in _PG_ENDS:
                continue
            if header[:1] in b"pX" or not self._proxy.strikes(question):
                self._server.sendall(question)
            elif self._proxy.fault.kind == "refuse":
                code = self._proxy.fault.code
                raises = f"DO $$ BEGIN RAISE EXCEPTION 'refused by the proxy' USING ERRCODE = '{code}'; END $$"
                query = raises.encode() + b"\0"
                self._server.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)
            else:
                self._spoil(question)
            question = b""

    def pass_mongo(self) -> None:
        while True:
            header = _exactly(self._client, 16)
            length, request, _, operation = struct.unpack("<iiii", header)
            body = _exactly(self._client, length - 16)
            name = _command(body) if operation == _OP_MSG else ""
            if not name or name in _MONITORING or not self._proxy.strikes(body, name):
                self._server.sendall(header + body)
            elif self._proxy.fault.kind == "refuse":
                if self._proxy.fault.concern:
                    self._answer = self._with_concern
                    self._server.sendall(header + body)
                else:
                    self._client.sendall(self._message(request, _error(self._proxy.fault.code)))
            else:
                self._spoil(header + body)

    def _spoil(self, question: bytes) -> None:
        kind = self._proxy.fault.kind
        if kind == "cut":
            raise EOFError
        if kind == "hold":
            self._proxy.wait_until_closed()
            raise EOFError
        spoil = {"cut answer": lambda _: b"", "truncate": lambda data: data[: len(data) // 2], "garbage": _noise}
        self._answer = self._withhold if kind == "delay" else spoil[kind]
        self._server.sendall(question)

    # From the server to the client

    def answer(self) -> None:
        while True:
            data = self._server.recv(1 << 16)
            if not data:
                return
            change, self._answer = self._answer, None
            if change is None:
                self._client.sendall(data)
                continue
            changed = change(data)
            if changed is None:
                return
            self._client.sendall(changed)
            if change != self._with_concern:
                return

    def _withhold(self, data: bytes) -> None:
        self._proxy.wait_until_closed()

    def _with_concern(self, data: bytes) -> bytes:
        length, _, answered, _ = struct.unpack("<iiii", data[:16])
        while len(data) < length:
            data += self._server.recv(1 << 16)
        reply = bson.decode(data[21:length])
        reply["writeConcernError"] = {"code": int(self._proxy.fault.code), "errmsg": "refused by the proxy"}
        return self._message(answered, reply)

    def _message(self, request: int, reply: dict[str, Any]) -> bytes:
        payload = struct.pack("<I", 0) + b"\0" + bson.encode(reply)
        return struct.pack("<iiii", 16 + len(payload), next(self._ids), request, _OP_MSG) + payload


def _until_closed(work: Callable[[], None], client: socket.socket, server: socket.socket) -> None:
    try:
        with suppress(OSError, EOFError):
            work()
    finally:
        _close(client)
        _close(server)


def _close(one: socket.socket) -> None:
    with suppress(OSError):  # it wakes up the thread that reads
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = connection.recv(size - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found


def _command(body: bytes) -> str:
    """The name of the command in an OP_MSG: the first key of its document."""
    if body[4] != 0:
        return ""
    (length,) = struct.unpack_from("<i", body, 5)
    return next(iter(bson.decode(body[5 : 5 + length])), "")


def _error(code: str) -> dict[str, Any]:
    return {"ok": 0.0, "code": int(code), "codeName": f"Code{code}", "errmsg": f"refused by the proxy with {code}"}


def _noise(data: bytes) -> bytes:
    return bytes((byte * 167 + 13) % 256 for byte in range(max(len(data), 64)))


@contextmanager
def proxied(url: str, fault: Fault | None = None) -> Iterator[tuple[str, Proxy]]:
    """The URL through a proxy, and the proxy, which is closed after the block. A MongoDB is not asked for its set."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    mongo = parts.scheme == "mongodb"
    proxy = Proxy(parts.hostname, parts.port, fault, mongo=mongo)
    credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    through = parts._replace(netloc=f"{credentials}127.0.0.1:{proxy.port}")
    if mongo:
        options = [one for one in parts.query.split("&") if one and not one.lower().startswith("replicaset=")]
        through = through._replace(query="&".join([*options, "directConnection=true"]))
    try:
        yield through.geturl(), proxy
    finally:
        proxy.close()


__all__ = ["KINDS", "Fault", "Proxy", "proxied"]
