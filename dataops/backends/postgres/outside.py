"""Notices when a migration reaches out by itself while it runs: with a client of its own, a program or a socket.

What it commits there does not belong to the transaction of its step, and the server cannot be asked about it. So the
step may not be tried again, and may not be called rolled back. The sandbox refuses the same when files are looked at.
"""

from __future__ import annotations

import functools
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataops.backends.connecting import wrap_connecting
from dataops.backends.loading import is_beside

_PROGRAM = "it starts a program"
_EVENTS = {
    "socket.connect": "it opens a connection",
    "subprocess.Popen": _PROGRAM,
    "os.system": _PROGRAM,
    "os.exec": _PROGRAM,
    "os.posix_spawn": _PROGRAM,
    "os.spawn": _PROGRAM,
    "os.fork": "it starts a process",
    "os.forkpty": "it starts a process",
}
"""Audit events, and what they mean."""


@dataclass(frozen=True)
class _Watched:
    """A step that runs in this thread. Its file may start threads of its own, which are known by their code."""

    folder: Path
    noticed: Callable[[str], None]


_steps: dict[int, _Watched] = {}  # by thread: services run side by side
_here = threading.local()


@contextmanager
def watching(folder: Path, noticed: Callable[[str], None]) -> Iterator[None]:
    """Call `noticed`, with a few words, before the migration in `folder` that runs in this scope reaches out."""
    _listen()
    thread = threading.get_ident()
    _steps[thread] = _Watched(folder.absolute(), noticed)
    try:
        yield
    finally:
        del _steps[thread]


@contextmanager
def by_ourselves() -> Iterator[None]:
    """In this scope, what this thread does is not the migration's."""
    before = getattr(_here, "by_ourselves", False)
    _here.by_ourselves = True
    try:
        yield
    finally:
        _here.by_ourselves = before


@functools.cache
def _listen() -> None:
    """Once in a process: an audit hook stays for ever."""
    sys.addaudithook(_heard)
    wrap_connecting(_noticing)


def _heard(event: str, _: tuple[Any, ...]) -> None:
    if event in _EVENTS:
        _notice(_EVENTS[event])


def _noticing(connect: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(connect)
    def noticed(*arguments: Any, **more: Any) -> Any:
        _notice("it connects to a database")
        return connect(*arguments, **more)

    return noticed


def _notice(what: str) -> None:
    if not _steps or getattr(_here, "by_ourselves", False):
        return
    step = _steps.get(threading.get_ident()) or _of_code(sys._getframe())
    if step is not None:
        with by_ourselves():
            step.noticed(what)


def _of_code(frame: types.FrameType | None) -> _Watched | None:
    """The step whose file, or a helper beside it, has called this in another thread."""
    while frame is not None:
        for step in list(_steps.values()):
            if is_beside(frame.f_code.co_filename, step.folder):
                return step
        frame = frame.f_back
    return None


__all__ = ["by_ourselves", "watching"]
