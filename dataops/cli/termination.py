"""The termination message of a container, which Kubernetes shows in `kubectl describe pod` once the container is gone.

Kubernetes makes the file before the container starts, by default /dev/termination-log. Where the file does not exist,
nothing reads it, and nothing is written.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from dataops.errors import ExitCode
from dataops.text import visible

DEFAULT = "/dev/termination-log"
_LONGEST = 4096  # bytes; what is longer is cut by Kubernetes

_lines: list[str] = []


def note(*lines: str) -> None:
    """Add lines to the message. Empty ones are left out."""
    _lines.extend(line for line in lines if line)


def forget() -> None:
    """Begin a new message: in tests one process runs many commands."""
    _lines.clear()


def write(code: int) -> None:
    """Write the exit code, what it means, and the lines that were noted. Never fails, because the command has ended."""
    head = f"exit {int(code)}: {ExitCode(code).meaning}"
    text = visible("\n".join([head, *_lines])).encode()
    if len(text) > _LONGEST:
        room = _LONGEST - len(f"…\n{len(text):,} bytes more\n".encode())
        kept = text[:room].decode(errors="ignore").encode()  # not in the middle of a character
        text = kept + f"…\n{len(text) - len(kept):,} bytes more\n".encode()
    with suppress(OSError):
        # Not blocking: it may be a pipe that nobody reads.
        file = os.open(os.environ.get("DATAOPS_TERMINATION_LOG") or DEFAULT, os.O_WRONLY | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(file).st_mode):
                os.ftruncate(file, 0)
                os.write(file, text)
        finally:
            os.close(file)
