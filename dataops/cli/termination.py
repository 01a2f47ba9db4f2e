"""The last words of a container: what Kubernetes shows of it once it is gone, in `kubectl describe pod`.

Kubernetes makes the file before the container starts, by default /dev/termination-log. Where nobody made it, nobody
reads it, and nothing is written.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from dataops.errors import ExitCode
from dataops.redaction import redact

DEFAULT = "/dev/termination-log"
_LONGEST = 4096  # bytes; what is longer is cut by Kubernetes

_words: list[str] = []


def note(*words: str) -> None:
    """Something worth reading when all is over."""
    _words.extend(word for word in words if word)


def forget() -> None:
    _words.clear()


def write(code: int) -> None:
    """The exit code, what it means, and what was noted. Never fails: there is nobody left to tell."""
    head = f"exit {int(code)}: {ExitCode(code).meaning}"
    text = redact("\n".join([head, *_words])).encode()
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 4].decode(errors="ignore").encode() + "…\n".encode()
    with suppress(OSError):
        # Not blocking: it may be a pipe that nobody reads.
        file = os.open(os.environ.get("DATAOPS_TERMINATION_LOG") or DEFAULT, os.O_WRONLY | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(file).st_mode):
                os.ftruncate(file, 0)
                os.write(file, text)
        finally:
            os.close(file)
