"""The streams of the process: what files, their child processes and C code write is kept apart from ours."""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_STANDARD = (1, 2)
_CAPACITY = 1 << 20  # bytes: C code that holds Python's lock while it writes more than this at once would never end

_own = False


def make_own() -> None:
    """Give sys.stdout and sys.stderr descriptors of their own, so that `diverted` can take 1 and 2.

    It opens /dev/null in place of each standard stream that is closed: a database connection must not get its number.
    Writing to a closed stdout still fails. A character that the encoding of stdout does not have is escaped.
    """
    global _own  # descriptors belong to the process
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for number, name in zip(_STANDARD, ("stdout", "stderr"), strict=True):
        stream = getattr(sys, name)
        stream.flush()
        own = open(os.dup(number), "w", encoding=stream.encoding, errors="backslashreplace")  # noqa: SIM115
        own.reconfigure(line_buffering=own.line_buffering or number == 2)
        setattr(sys, name, own)
    _own = True


@contextmanager
def diverted(write: Callable[[str], object]) -> Iterator[bool]:
    """While this scope lasts, whatever is written to the descriptors 1 and 2 is passed to `write`, in another thread.

    So what child processes, C code and `os.write(1, ...)` write is redacted, and gets into no answer. At the end, what
    is in the pipe is passed on. A child that lives longer gets EPIPE when it writes then.
    Without `make_own` nothing is diverted, because sys.stdout may be on one of the descriptors. Gives whether it is.
    """
    if not _own:
        yield False
        return
    theirs, ours = os.pipe()
    told, tell = os.pipe()
    with suppress(OSError, AttributeError):  # not on every system, and there is a limit for each user
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _CAPACITY)
    before = {number: os.dup(number) for number in _STANDARD}
    reader = threading.Thread(target=_pass_on, args=[theirs, told, write], name="dataops-output", daemon=True)
    reader.start()
    try:
        for number in _STANDARD:
            os.dup2(ours, number)
        os.close(ours)
        yield True
    finally:
        _flush_others()
        for number, real in before.items():
            os.dup2(real, number)
            os.close(real)
        os.close(tell)
        reader.join()
        os.close(told)


def _pass_on(pipe: int, told: int, write: Callable[[str], object]) -> None:
    """Read until everybody has closed the pipe, or until `told` is closed and what was in the pipe by then is read."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    left = None
    try:
        while left is None or left > 0:
            ready, _, _ = select.select([pipe, told] if left is None else [pipe], [], [], None if left is None else 0)
            if told in ready:
                left = _CAPACITY
            elif not ready:
                break
            if pipe in ready:
                data = os.read(pipe, 1 << 16)
                if not data:
                    break
                left = None if left is None else left - len(data)
                write(decoder.decode(data))
        write(decoder.decode(b"", final=True))
    finally:
        os.close(pipe)  # whatever happened here, nobody waits for ever for room in the pipe


def _flush_others() -> None:
    """Write out what Python's first streams and C's streams still hold. Otherwise it would follow our answer."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, io.TextIOBase):
            with suppress(OSError, ValueError):  # ValueError: a file has closed it
                stream.flush()
    with suppress(ImportError, OSError, AttributeError):  # a Python without ctypes
        import ctypes

        ctypes.CDLL(None).fflush(None)


__all__ = ["diverted", "make_own"]
