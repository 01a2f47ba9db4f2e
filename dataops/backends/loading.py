"""Loads a migration file as a Python module, from exactly the text whose checksum was taken."""

from __future__ import annotations

import inspect
import os
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from dataops import syntax
from dataops.errors import BrokenFile, DataopsError
from dataops.model import Direction, Migration, Service, Step
from dataops.redaction import describe, redact
from dataops.text import shortened

_FRAMES = 10_000
_LONGEST = 20_000  # characters of a traceback


class Undescribable(Exception):
    """Stands for an error of a file that cannot be described: its class raises when it is looked at."""


class NotRun(Exception):
    """The function of a file is a coroutine or a generator, so that calling it runs nothing of it."""


def load_module(service: Service, migration: Migration) -> types.ModuleType:
    """Run the top level of a file. Raises BrokenFile when that fails, or when `upgrade` or `downgrade` is missing."""
    import_from(service.sys_path)
    module = types.ModuleType(re.sub(r"\W", "_", migration.path.stem))
    module.__file__ = str(migration.path)
    try:
        # dont_inherit: otherwise the __future__ imports of this module would apply to the migration file too.
        code = compile(migration.text, str(migration.path), "exec", dont_inherit=True)
        _called(exec, code, module.__dict__)
    except (Exception, SystemExit) as error:
        raise not_loaded(service, migration, error) from error
    for name in ("upgrade", "downgrade"):
        if not callable(getattr(module, name, None)) and (name == "upgrade" or migration.reversible):
            raise BrokenFile(f"{migration.path} has no {name}()", service=service.name, migration=migration.id)
    return module


def import_from(folders: Iterable[Path]) -> None:
    """Let files import modules of their project from these folders, the first one first."""
    for folder in reversed(list(map(str, folders))):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def not_loaded(service: Service, migration: Migration, error: BaseException) -> BrokenFile:
    """What a file is called whose top level has raised this error."""
    return BrokenFile(
        f"{migration.path} raises on import: {describe(error)}{_line_of(error, migration)}",
        service=service.name,
        migration=migration.id,
        hint="mend the file; nothing of it was run",
        traceback=traceback_from(error, migration),
    )


def function_of(module: types.ModuleType, step: Step) -> Callable[..., None]:
    """The function of a loaded file that does the step.

    It raises NotRun when it has run nothing, and Undescribable for an error that nothing could be said about. It
    returns only in the process in which it was called.
    """
    name = function_name(step)
    function = getattr(module, name)

    def perform(*arguments: Any) -> None:
        result = _called(function, *arguments)
        if inspect.iscoroutine(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
            if not inspect.isasyncgen(result):
                result.close()  # otherwise Python warns later that nobody has awaited it
            raise NotRun(f"{name}() returned a {type(result).__name__}, so that nothing of it was run")

    return perform


def _called(code: Callable[..., Any], *arguments: Any) -> Any:
    """Run code of a migration file, whatever it raises and however many processes it makes.

    A child process that it has forked and that comes to the end of the code ends here. It would go on with our work
    otherwise, on the connections of its parent.
    """
    ours = os.getpid()
    try:
        result = code(*arguments)
    except BaseException as error:
        if os.getpid() != ours:
            _end_child(error)
        if (problem := _problem_with(error)) is None:
            raise
        text = f"{type(error).__name__}, which cannot be described: that raised {type(problem).__name__}"
        stand_in = Undescribable(text).with_traceback(sys.exc_info()[2])
    else:
        if os.getpid() != ours:
            os._exit(0)
        return result
    raise stand_in  # here, where Python does not remember the other error as its context


def _end_child(error: BaseException) -> NoReturn:
    """End a child process as Python ends a process whose main program has raised this error."""
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        os._exit((error.code or 0) & 0xFF)
    os.write(2, "".join(traceback.format_exception(error)).encode(errors="backslashreplace"))
    os._exit(1)


def _problem_with(error: BaseException) -> BaseException | None:
    """What is raised when an error is looked at as we look at it later: its class may do anything then."""
    try:
        traceback.TracebackException.from_exception(error, limit=1)
        isinstance(error, DataopsError)  # asks for __class__
        "".join(map(str, getattr(error, "__notes__", ())))
        for name in ("orig", "statement", "diag", "details"):  # of SQLAlchemy, psycopg and pymongo
            getattr(error, name, None)
    except BaseException as problem:  # noqa: BLE001  an exception of a file may raise anything
        return problem
    return None


def function_name(step: Step) -> str:
    """The name of the function that does the step: `upgrade` or `downgrade`."""
    return "upgrade" if step.direction is Direction.APPLY else "downgrade"


def place_of(error: BaseException, step: Step) -> str:
    """Where in the migration an error was raised, for example `003_add_x.py:12 in helper`.

    It is the innermost call in the file itself or in a helper module beside it. Of a group of exceptions, it is the
    place of the first one that has any.
    """
    for one in _leaves(error):
        for frame, line in reversed(list(traceback.walk_tb(one.__traceback__))):
            if file := _file_of_migration(frame.f_code.co_filename, step.migration):
                return f"{file}:{line} in {frame.f_code.co_name}"
    return f"{step.migration.path.name}, before or after {function_name(step)}()"


def traceback_from(error: BaseException, migration: Migration) -> str:
    """The traceback of an error from the migration's own file on, without secrets. Its middle is cut if it is long."""
    # With a limit of our own, because a file may have set sys.tracebacklimit.
    whole = traceback.TracebackException.from_exception(error, limit=_FRAMES)
    _trim(whole, migration)
    return shortened(redact(syntax.text_of(whole)), _LONGEST)


def is_beside(filename: str, folder: Path) -> bool:
    """Whether code is of a migration in this folder or of a helper beside it, and not of a library that is installed.

    A virtual environment may be below the folder.
    """
    path = Path(filename).absolute()
    return path.is_relative_to(folder) and not ({"site-packages", "dist-packages"} & set(path.parts))


def _line_of(error: BaseException, migration: Migration) -> str:
    """The innermost line of the file at which its import failed. A SyntaxError names it in its own text."""
    lines = [
        f" (at {file}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if (file := _file_of_migration(frame.f_code.co_filename, migration))
    ]
    return lines[-1] if lines else ""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, and in the groups in it, and then the group itself."""
    left = [(error, False)]
    while left:  # no recursion: see _trim
        one, opened = left.pop()
        if opened or not isinstance(one, BaseExceptionGroup):
            yield one
        else:
            left += [(one, True), *((inner, False) for inner in reversed(one.exceptions))]


def _trim(whole: traceback.TracebackException, migration: Migration) -> None:
    """Take our own calls off the beginning, of the error and of those that led to it or are in it."""
    left = [whole]
    while left:  # no recursion: a loop that chains each error to the one before may have made thousands
        one = left.pop()
        files = [bool(_file_of_migration(frame.filename, migration)) for frame in one.stack]
        if True in files:
            del one.stack[: files.index(True)]
        left += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other is not None]


def _file_of_migration(name: str, migration: Migration) -> str:
    """The path of a file, relative to the migration's folder; "" when it is not in there, or is a library."""
    folder = migration.path.parent.absolute()
    return str(Path(name).absolute().relative_to(folder)) if is_beside(name, folder) else ""


__all__ = [
    "NotRun",
    "Undescribable",
    "function_name",
    "function_of",
    "is_beside",
    "load_module",
    "not_loaded",
    "place_of",
    "traceback_from",
]
