"""Refuses what reaches out of the process in which files are looked at.

Python tells an audit hook before it opens a file or a connection, or starts a process. Libraries in C that connect by
themselves (libpq) do not, and are replaced. It keeps out what migration files do; it is no prison for malicious code,
which could do the same in a real run.

What is refused ends the process at once. So a file cannot catch the refusal, go on, and show what it does after that.
"""

from __future__ import annotations

import _posixsubprocess
import os
import resource
import sys
import threading
import types
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from dataops.backends.connecting import wrap_connecting
from dataops.backends.loading import is_beside

Ended = Callable[[str, str, int], NoReturn]
"""Ends the process. Gets what was refused, where (`003.py:12 in upgrade`), and the line of the migration."""

_MEGABYTE = 1 << 20
_MEMORY = 4096 * _MEGABYTE

_STARTS = "it starts a process"
_REFUSED = {
    "socket.bind": "it listens on a socket",
    "socket.sendto": "it sends to a socket",
    "socket.sendmsg": "it sends to a socket",
    "socket.getaddrinfo": "it looks up the address of {0!r}",
    "socket.gethostbyname": "it looks up the address of {0!r}",
    "socket.gethostbyaddr": "it looks up the name of {0!r}",
    "subprocess.Popen": "it starts the program {0!r}",
    "os.system": "it runs {0!r}",
    "os.exec": "it starts the program {0!r}",
    "os.posix_spawn": "it starts the program {0!r}",
    "os.spawn": "it starts the program {1!r}",
    "os.fork": _STARTS,
    "os.forkpty": _STARTS,
    "os.killpg": "it sends a signal to other processes",
    "os.remove": "it removes {0!r}",
    "os.rename": "it renames {0!r}",
    "os.mkdir": "it makes the folder {0!r}",
    "os.rmdir": "it removes {0!r}",
    "os.link": "it makes the link {1!r}",
    "os.symlink": "it makes the link {1!r}",
    "os.truncate": "it writes {0!r}",
    "os.chmod": "it changes {0!r}",
    "os.chown": "it changes {0!r}",
    "os.utime": "it changes {0!r}",
    "os.setxattr": "it changes {0!r}",
    "os.removexattr": "it changes {0!r}",
    "sqlite3.connect": "it opens the database {0!r}",  # one in memory can open files later: ATTACH, VACUUM INTO
    "syslog.openlog": "it writes to the system's log",
    "syslog.syslog": "it writes to the system's log",
}
"""Audit events that are always refused, and what they mean. The fields are the arguments of the event."""

_UNSEEN = {"mkfifo": "it makes {0!r}", "mknod": "it makes {0!r}"}
"""Functions of `os` for which Python has no audit event."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Fence:
    """Refuses what reaches out while it is up. There is one for each process, because audit hooks stay for ever."""

    def __init__(self, hidden: Collection[str], ended: Ended) -> None:
        """`hidden` are the names of variables that the file may not read."""
        self._ended = ended
        self._path = Path()
        self._sockets = set[str]()
        self._up = False
        self._main = threading.get_ident()
        self._hidden = set(hidden)
        self._read = _hide(self.refuse, lambda: self._path.parent.absolute())
        sys.addaudithook(self._heard)
        for name, words in _UNSEEN.items():
            setattr(os, name, self._instead(words))
        _posixsubprocess.fork_exec = self._instead(_STARTS)  # multiprocessing calls it without an audit event
        wrap_connecting(lambda _: self._instead("it connects to a database"))
        # Libraries in C may write files without telling Python. Only Linux counts memory in a way that can be limited.
        limits = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
        if sys.platform == "linux":
            limits[resource.RLIMIT_DATA] = _MEMORY
        for limit, value in limits.items():
            hard = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))

    @contextmanager
    def around(self, path: Path, socket: str) -> Iterator[None]:
        """Refuse in this scope what the migration at `path` does, but connections to the `socket` of ours.

        A thread that a file has started is refused outside of the scope as well.
        """
        self._path, self._up = path, True
        self._sockets.add(socket)  # a client's own thread may still go to that of the file before
        self._read.clear()
        self._read.update(self._hidden)
        sys.dont_write_bytecode = True  # what the file imports would be compiled into files
        try:
            yield
        finally:
            self._up = sys.dont_write_bytecode = False

    def refuse(self, what: str) -> None:
        """End the process because the file does this, unless the fence is down."""
        if self._is_down():
            return
        folder = self._path.parent.absolute()
        frames = list(_frames(sys._getframe(), folder))
        if not frames:  # a thread that a library has started for the file
            frames = list(_frames(sys._current_frames().get(self._main), folder))
        where = ""
        if frames:
            code = frames[0].f_code
            where = f"{Path(code.co_filename).absolute().relative_to(folder)}:{frames[0].f_lineno}"
            where += f" in {code.co_name}" if code.co_name != "<module>" else ""
        line = next((frame.f_lineno for frame in frames if frame.f_code.co_filename == str(self._path)), 1)
        self._ended(what, where, line)

    def _is_down(self) -> bool:
        return not self._up and threading.get_ident() == self._main

    def _instead(self, words: str) -> Callable[..., Any]:
        def refused(*arguments: Any, **_: Any) -> None:
            self.refuse(words.format(*map(_shown, arguments)))

        return refused

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_down():
            return
        words = _REFUSED.get(event, "")
        match event:
            case "open":
                path, _, flags = arguments
                if flags & _WRITES and isinstance(path, str | bytes) and os.fsdecode(path) != os.devnull:
                    words = "it opens {0!r} for writing"
            case "socket.connect":
                address = arguments[1]
                if address not in self._sockets:
                    words = f"it connects to {_address(address)}"
            case "os.kill":
                if arguments[0] != os.getpid():
                    words = "it sends a signal to another process"
            case "ctypes.dlopen" | "ctypes.dlsym" | "ctypes.dlsym/handle":
                if _is_called_by(self._path.parent.absolute(), "ctypes"):
                    words = "it calls functions in C by ctypes"
        if words:
            self.refuse(words.format(*map(_shown, arguments)))


def _shown(value: object) -> object:
    return os.fsdecode(value) if isinstance(value, bytes | os.PathLike) else value


def _address(address: object) -> str:
    """An address of a socket, for a person: `127.0.0.1:5432`, or a path."""
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(_shown(address))


def _frames(frame: types.FrameType | None, folder: Path) -> Iterator[types.FrameType]:
    """The calls in the migration and its helpers, from the innermost one."""
    while frame is not None:
        if is_beside(frame.f_code.co_filename, folder):
            yield frame
        frame = frame.f_back


def _is_called_by(folder: Path, *modules: str) -> bool:
    """Whether a migration calls one of these modules directly. Importing it is not calling it."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "").partition(".")[0]
        if name not in (*modules, __name__.partition(".")[0]):
            return is_beside(frame.f_code.co_filename, folder)
        frame = frame.f_back
    return False


def _hide(refuse: Callable[[str], None], folder: Callable[[], Path]) -> set[str]:
    """A set of names; it is refused that a variable of such a name is read, unless the file has set it itself.

    A copy of all variables is refused to the migration in `folder`, and not to the libraries that it uses.

    They are not in the environment, so C does not see them either.
    """
    hidden: set[str] = set()

    class Environ(os._Environ):  # type: ignore[type-arg]
        def __getitem__(self, key: Any) -> Any:
            if key in hidden:
                refuse(f"it reads the variable {key}, which leads to a database")
            return super().__getitem__(key)

        def __iter__(self) -> Iterator[Any]:
            # The copy would not have them, and a file that looks for them there would seem to fail.
            if hidden and _is_called_by(folder(), "os", "collections"):
                refuse("it reads all variables, and some of them lead to databases")
            return super().__iter__()

        def __setitem__(self, key: Any, value: Any) -> None:
            hidden.discard(key)
            super().__setitem__(key, value)

    os.environ.__class__ = Environ
    return hidden


__all__ = ["Fence"]
