"""Signs in by SCRAM to many databases of a server, and hashes the password once for all of them.

Whoever signs in by SCRAM (RFC 5802, RFC 7677) hashes the password 4,096 times and more, with a salt that the server has
for each user. libpq does so for every connection: that takes several milliseconds, in which no other thread of Python
runs. From 18 on, libpq takes the two keys that come of it in the place of the password. The salt and the number of
rounds are known only to the handshake itself, so they are read from what libpq writes about one (PQtrace).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo, pq

C = TypeVar("C")
_TAKES_KEYS = 180000
"""The version of libpq that knows `scram_client_key` and `scram_server_key`."""
_CHALLENGE = re.compile(r"AuthenticationSASLContinue\s+'r=[^,]*,s=([A-Za-z0-9+/=]+),i=(\d+)")
_REFUSED = re.compile("authentication failed|SCRAM|server signature")
_NOT_WHO = ("dbname", "application_name")

_lock = threading.Lock()
_keys: dict[tuple[tuple[str, Any], ...], Mapping[str, str] | None] = {}
"""By server and user: the keys, none where there is no use in them, and None where one connection was made so far."""


def signed_in(connect: Callable[[Mapping[str, str]], C], given: Mapping[str, Any]) -> C:
    """What `connect` returns: it is called with the keys of this user of this server where they are known.

    `given` are the parameters of the connection. The keys are learnt when a user signs in for the second time. Where
    the server refuses them, because the password has got another salt or the URL names several servers, `connect` is
    called without. Raises what `connect` raises.
    """
    if pq.version() < _TAKES_KEYS or not given.get("password") or not given["password"].isascii():
        return connect({})  # other passwords would have to be normalised first, as SASLprep says
    who = tuple(sorted((key, value) for key, value in given.items() if key not in _NOT_WHO))
    with _lock:
        learns = _keys.get(who, {}) is None
        if learns:
            _keys[who] = {}  # the others do not wait
    if learns:
        _keys[who] = _learnt(given)
    if keys := _keys.get(who):
        try:
            return connect(keys)
        except psycopg.OperationalError as error:
            if not _REFUSED.search(str(error)):
                raise
            _keys[who] = {}
    connection = connect({})
    _keys.setdefault(who, None)
    return connection


def _learnt(given: Mapping[str, Any]) -> Mapping[str, str]:
    """The keys, of one more connection; none where the server does not ask for a password by SCRAM."""
    said = _CHALLENGE.search(_handshake(given))
    if said is None:
        return {}
    salted = hashlib.pbkdf2_hmac("sha256", given["password"].encode(), base64.b64decode(said[1]), int(said[2]))
    made = {"scram_client_key": b"Client Key", "scram_server_key": b"Server Key"}
    return {name: base64.b64encode(hmac.digest(salted, text, "sha256")).decode() for name, text in made.items()}


def _handshake(given: Mapping[str, Any]) -> str:
    """What libpq writes about the messages of one connection, which is closed again."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # what does not fit comes after what we look for
    deadline = time.monotonic() + int(given["connect_timeout"])
    with open(reader, encoding="utf8", errors="replace") as written:
        try:
            connection = pq.PGconn.connect_start(conninfo.make_conninfo(**given).encode())
            connection.trace(writer)
            while (status := pq.PollingStatus(connection.connect_poll())) in _AWAITS and time.monotonic() < deadline:
                with selectors.DefaultSelector() as selector:
                    selector.register(connection.socket, _AWAITS[status])
                    selector.select(max(0.0, deadline - time.monotonic()))
            connection.untrace()
            connection.finish()
        finally:
            os.close(writer)
        return written.read()


_AWAITS = {
    pq.PollingStatus.READING: selectors.EVENT_READ,
    pq.PollingStatus.WRITING: selectors.EVENT_WRITE,
}

__all__ = ["signed_in"]
