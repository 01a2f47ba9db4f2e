"""Messages between us and the process in which files are looked at: JSON, each with its length in front."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

_HEAD = struct.Struct(">I")


class EndOfPipe(Exception):
    """The other side has ended."""


class TooLate(Exception):
    """No message came in time."""


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write one message. Raises EndOfPipe."""
    data = json.dumps(message).encode()
    data = _HEAD.pack(len(data)) + data
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise EndOfPipe from error


def receive(descriptor: int, until: float | None = None) -> dict[str, Any]:
    """Read one message, until that moment of time.monotonic(). Raises TooLate and EndOfPipe."""
    (size,) = _HEAD.unpack(_exactly(descriptor, _HEAD.size, until))
    try:
        message: dict[str, Any] = json.loads(_exactly(descriptor, size, until))
    except ValueError as error:  # a file wrote into descriptors that are not its own
        raise EndOfPipe from error
    return message


def _exactly(descriptor: int, size: int, until: float | None) -> bytes:
    data = b""
    while len(data) < size:
        if until is not None:
            poll = select.poll()  # not select(), which cannot wait for a descriptor above 1023
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise TooLate
        try:
            chunk = os.read(descriptor, size - len(data))
        except OSError as error:
            raise EndOfPipe from error
        if not chunk:
            raise EndOfPipe
        data += chunk
    return data


__all__ = ["EndOfPipe", "TooLate", "receive", "send"]
