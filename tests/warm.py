"""The command in a process that need not import everything again: a copy of one that has, made by the system.

A test run starts the command some twelve thousand times, and Alembic's own some hundreds; most of what such a process
did was to import libraries. What runs is the same: the real `main`, in a process of its own, a child of the test like
any other, with its own streams, folder, variables, session and signals. The processes that the command starts with
`python -c`, to look at files and at env.py, are copies too, and children of the command. What differs is that the
modules are there already.

So whatever depends on how a process is started gets a new interpreter: options of Popen that are not in `_OPTIONS`,
variables that Python or a library reads while it is imported, and a system that is not Linux. The tests of signals and
of hostile files ask for one, with the fixture `new_interpreters`; those of the sandbox want it for what the command
starts (`new_children`). DATAOPS_TEST_COLD=1 gives one to every command, or to one command, among its variables.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import io
import json
import os
import pkgutil
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

_OPTIONS = {"env", "cwd", "stdin", "stdout", "stderr", "text", "start_new_session"}
COLD = "DATAOPS_TEST_COLD"
COLD_CHILDREN = "children"
"""The value of COLD with which only what the command starts gets a new interpreter."""
_READ_EARLY = (
    COLD,
    "PYTHON",
    "LD_",
    "LC_",
    "LANG",
    "TZ",
    "GLIBC_",
    "MALLOC_",
    "PSYCOPG_",
    "DISABLE_SQLALCHEMY",
    "OTEL_",
)
_LIBRARIES = (
    "alembic.context",
    "alembic.op",
    "sqlalchemy.dialects.postgresql.psycopg",
    "psycopg",
    "pymongo",
    "postgast",
)
_NOT_BEFORE = (
    "dataops.__main__",
    "dataops.testing",  # imports pytest
    "dataops.show.otel",  # OpenTelemetry reads variables while it is imported
    "dataops.backends.postgres.rehearsing",  # makes a secret for each process
)
_COMMANDS = {
    "dataops": "from dataops.__main__ import main; main()",
    "alembic": "import sys; from alembic.config import main; sys.exit(main())",
}
"""What the installed commands do."""
_CLONE = {"x86_64": 56, "aarch64": 220}  # the number of the system call
_CLONE_PARENT = 0x8000

# --- the side of the tests


def start(command: Path, args: Sequence[str], env: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    """What `subprocess.Popen` does with a program beside our Python, from a copy where that is the same."""
    early = {name: value for name, value in env.items() if name.startswith(_READ_EARLY)}
    if _is_possible() and command.name in _COMMANDS and set(options) <= _OPTIONS and early == {"LC_ALL": "C.UTF-8"}:
        return _Copy([str(command), *args], env=env, **options)
    return subprocess.Popen([str(command), *args], env=env, **options)


def _is_possible() -> bool:
    is_cold = _ALL_COLD or (os.environ.get(COLD) or COLD_CHILDREN) != COLD_CHILDREN
    return sys.platform == "linux" and platform.machine() in _CLONE and not is_cold


_ALL_COLD = bool(os.environ.get(COLD))  # before the variables that we read are taken out of the tests


class _Copy(subprocess.Popen[str]):
    """A child of ours that the original makes, in place of fork and exec."""

    def _execute_child(self, *args: Any, **more: Any) -> None:
        _original.start(self, _given(self, args, more))


def _given(popen: subprocess.Popen[Any], args: Sequence[Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name with which Popen asks for a child."""
    return inspect.signature(_execute_child).bind(popen, *args, **more).arguments


_execute_child = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_ENDS = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


class _Original:
    """The process that has imported everything, at the other end of a socket, until we close ours."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self.socket: socket.socket | None = None

    def start(self, popen: subprocess.Popen[Any], given: Mapping[str, Any]) -> None:
        """Make the child that Popen asks for."""
        command = {
            "argv": [os.fspath(one) for one in given["args"]],
            "env": dict(os.environ if given["env"] is None else given["env"]),
            "cwd": os.fspath(given["cwd"] or os.getcwd()),
            "session": given["start_new_session"],
            "children": os.environ.get(COLD) != COLD_CHILDREN,
        }
        streams = [given["p2cread"], given["c2pwrite"], given["errwrite"]]
        try:
            with self._mutex:
                self.socket = self.socket or self._started(command["env"])
                inherited = [number if stream == -1 else stream for number, stream in enumerate(streams)]
                socket.send_fds(self.socket, [json.dumps(command).encode()], inherited)
                answer = self.socket.recv(100)
            assert answer, "the process of which others are copies has ended"
            popen.pid = int(answer)
            popen._child_created = True  # type: ignore[attr-defined]
        finally:
            popen._close_pipe_fds(*(given[name] for name in _ENDS))  # type: ignore[attr-defined]

    def _started(self, env: Mapping[str, str]) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        variables = {name: env[name] for name in ("PATH", "LC_ALL", "HOME") if name in env}
        with theirs:
            process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], env=variables, cwd="/", pass_fds=[theirs.fileno()]
            )
        atexit.register(self._end, process)
        return ours

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        assert self.socket is not None
        self.socket.close()
        process.wait()


_original = _Original()


# --- the process that is copied


def _import_all() -> None:
    for name in _LIBRARIES:
        importlib.import_module(name)
    import dataops

    for name in _below(dataops):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a copy that looks through these objects would copy their memory


def _serve(asked: socket.socket) -> NoReturn:
    """Make a copy for each message, until nobody can ask any more."""
    while True:
        message, streams, _, _ = socket.recv_fds(asked, 1 << 20, 3)
        if not message:
            os._exit(0)
        child = _child_of_our_parent()
        if child == 0:
            asked.close()
            _become(json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        asked.send(str(child).encode())


def _below(package: ModuleType) -> Iterator[str]:
    """The modules of the package and of those in it, but for `_NOT_BEFORE`."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name not in _NOT_BEFORE:
            yield module.name
            if module.ispkg:
                yield from _below(sys.modules[module.name])


def _child_of_our_parent() -> int:
    """As os.fork, but the new process is a child of the test, which can wait for it, stop it and see how it ended."""
    ctypes.pythonapi.PyOS_BeforeFork()
    number = _CLONE[platform.machine()]
    child: int = _syscall(number, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    if child < 0:
        raise OSError("the system has refused a new process")
    return child


def _become(command: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be as a new interpreter that was started with this command, and run it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if command["session"]:
        os.setsid()
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    tempfile.tempdir = None
    program, *arguments = command["argv"]
    sys.orig_argv = [sys.executable, *command["argv"]]
    before = (sys.stdout, sys.stderr)  # to which a module may hold fast that was imported earlier, as Alembic's does
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115
        errors, lines = ("backslashreplace", True) if name == "stderr" else ("surrogateescape", raw.isatty())
        text = io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=lines)
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    if program == sys.executable:
        _, code, *rest = arguments
        sys.argv, sys.path[0] = ["-c", *rest], ""
    else:
        code = _COMMANDS[Path(program).name]
        sys.argv, sys.path[0] = [program, *arguments], str(Path(program).parent)
        starts = not _STARTS_PYTHON.isdisjoint(arguments) or any(Path().glob("*/env.py"))
        if starts and command["children"]:
            _copy_what_it_starts()
    status = 0
    try:
        exec(code, vars(module))
        threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001  what a new interpreter does with it
        sys.excepthook(*sys.exc_info())
        status = 1
    for written in (*before, sys.stdout, sys.stderr):
        written.flush()
    os._exit(status)


def _copy_what_it_starts() -> None:
    """Let a further copy make the processes that the command starts with `python -c`, which import the same modules.

    They are the command's own children. The further copy is made here, while there is one thread, and ends with the
    command, or as soon as that is killed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        os.chdir("/")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _TO_ALL}
        os.register_at_fork(after_in_child=lambda: [signal.signal(*one) for one in before.items()])
        _serve(theirs)
    theirs.close()
    original = _Original()
    original.socket = ours

    def execute_child(self: subprocess.Popen[Any], *args: Any, **more: Any) -> None:
        given = _given(self, args, more)
        plain = not (given["preexec_fn"] or given["pass_fds"] or given["shell"])
        if plain and isinstance(given["args"], list) and given["args"][:2] == [sys.executable, "-c"]:
            sys.audit("subprocess.Popen", sys.executable, given["args"], given["cwd"], given["env"])
            original.start(self, given)
        else:
            _execute_child(self, *args, **more)

    subprocess.Popen._execute_child = execute_child  # type: ignore[attr-defined]


_STARTS_PYTHON = frozenset(
    ("plan", "apply", "rollback", "lint", "rehearse", "drift", "prove", "squash", "new", "schema", "import")
)
_TO_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # what is sent to all processes of a terminal


if __name__ == "__main__":
    _syscall = ctypes.PyDLL(None, use_errno=True).syscall
    _syscall.restype = ctypes.c_long
    _import_all()
    _serve(socket.socket(fileno=int(sys.argv[1])))
