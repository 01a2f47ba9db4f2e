"""The main loop of the process in which migration files are looked at. See the package."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import threading
import traceback
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dataops import kinds, libraries
from dataops.backends.loading import function_of, import_from, load_module, not_loaded, place_of
from dataops.backends.sandbox.fence import Fence
from dataops.backends.sandbox.pipe import EndOfPipe, receive, send
from dataops.backends.sandbox.verdict import Asked, Nature, nature_of
from dataops.backfill import BackfillRefused
from dataops.errors import BrokenFile, DataopsError
from dataops.model import Direction, Migration, Service, Step
from dataops.redaction import describe, message_of

_GRACE_SECONDS = 5


@dataclass
class Task:
    """A file that is loaded, for the part of its kind.

    `tell` sends a message to us, who wait for it. `asked` is what the file has learned from the database so far, as far
    as the part sees it.
    """

    path: Path
    module: types.ModuleType
    function: Callable[..., Any]
    arguments: dict[str, Any]
    tell: Callable[[dict[str, Any]], None]
    asked: Asked = Asked.NOTHING


class _Pipe:
    """The two ends that we have of the pipes. Any thread may end the process, in the middle of another's message."""

    def __init__(self) -> None:
        self._in, self._out = os.dup(0), os.dup(1)
        self._mutex = threading.RLock()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)

    def receive(self) -> dict[str, Any]:
        return receive(self._in)

    def send(self, message: dict[str, Any]) -> None:
        with self._mutex:
            send(self._out, message)

    def end(self, what: str, where: str, line: int) -> NoReturn:
        """Say that the file reaches out, and end the process."""
        with self._mutex:
            send(self._out, {"end": {"reached": what, "where": where, "line": line}})
            _exit(0)


_exit = os._exit


def main() -> NoReturn:
    """Serve until the pipe is closed."""
    pipe = _Pipe()
    fence = Fence(pipe.receive()["hidden"], pipe.end)
    os._exit = _exits
    folder, environ = os.getcwd(), dict(os.environ)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a KeyboardInterrupt would look like an error of the file
    while True:
        try:
            request = pipe.receive()
        except EndOfPipe:
            _exit(0)
        gc.disable()  # what is imported stays: to look through it again and again takes a tenth of the time
        try:
            part = importlib.import_module(request["part"])
        except Exception as error:
            if (problem := libraries.explained(error)) is None:
                raise
            pipe.send({"end": _refused(problem)})
            _exit(0)
        gc.enable()
        # Whoever started us ends us when the time is over. If they are gone, the alarm does it.
        signal.alarm(int(request["seconds"]) + _GRACE_SECONDS)
        pipe.send({"ready": True})
        end = _look(request, part, fence, pipe)
        signal.alarm(0)
        pipe.send({"end": end, "threads": _threads()})
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)


def _look(request: dict[str, Any], part: types.ModuleType, fence: Fence, pipe: _Pipe) -> dict[str, Any]:
    """Load the file, perform the step, and return how that ended."""
    path = Path(request["path"])
    kind = kinds.named(request["kind"])
    service = Service(request["service"], kind, "", path.parent)
    migration = Migration(request["id"], (), path, kind, request["text"].encode("latin-1"))
    step = Step(service.name, migration, Direction(request["direction"]))
    task: Task | None = None
    with fence.around(path, request["arguments"].get("socket", "")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import_from(map(Path, request["sys_path"]))
            module = load_module(service, migration)
            task = Task(path, module, function_of(module, step), request["arguments"], pipe.send)
            part.perform(task)
        except BackfillRefused as error:  # by its words alone, whatever the database answers
            return {
                "raised": "BackfillRefused",
                "text": error.message,
                "where": place_of(error, step),
                "line": _line(error, migration),
                "nature": int(Nature.NEVER_GOOD),
                "asked": int(Asked.NOTHING),
            }
        except DataopsError as error:
            if isinstance(error, BrokenFile) and task is None:
                return _broken(error, migration)
            error.service = error.service or service.name  # a refusal of the stash does not know of which service it is
            return _refused(error)
        except BaseException as error:  # noqa: BLE001  a file may raise anything, and only the file raises here
            if task is None:
                return _broken(not_loaded(service, migration, error), migration, error)
            return {
                "raised": type(error).__name__,
                "text": message_of(error),
                "where": place_of(error, step),
                "line": _line(error, migration),
                "nature": int(nature_of(error, path.parent.absolute())),
                "asked": int(task.asked),
            }
    return {}


def _refused(error: DataopsError) -> dict[str, Any]:
    names = [each.__name__ for each in type(error).__mro__]
    who = {"service": error.service, "migration": error.migration}
    return {"refused": names, "text": error.message, "hint": error.hint, **who}


def _broken(error: BrokenFile, migration: Migration, cause: BaseException | None = None) -> dict[str, Any]:
    cause = cause or error.__cause__
    problem = describe(cause) if cause else error.message.rpartition("/")[2]
    told = {"broken": error.message, "hint": error.hint, "traceback": error.traceback}
    return {**told, "problem": problem, "line": _line(cause, migration)}


def _line(error: BaseException | None, migration: Migration) -> int:
    """The line of the file where the error was raised."""
    trail = traceback.walk_tb(error.__traceback__) if error else []
    lines = [line for frame, line in trail if frame.f_code.co_filename == str(migration.path) and line]
    return lines[-1] if lines else 1


def _threads() -> bool:
    """Whether threads of the file go on. A client of pymongo lets its own threads end a little later."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    return not all(thread.name.startswith("pymongo_") for thread in others)


def _exits(status: int = 0) -> NoReturn:
    raise SystemExit(f"os._exit({status}) in a migration file")


__all__ = ["Task", "main"]
