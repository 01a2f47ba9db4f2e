"""Loads a migration file as a Python module, from exactly the text whose checksum was taken."""

from __future__ import annotations

import re
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataops.errors import BrokenFile
from dataops.model import Direction, Migration, Service, Step
from dataops.redaction import describe, redact
from dataops.text import shortened

_FRAMES = 10_000
_LONGEST = 20_000  # characters of a traceback


def load_module(service: Service, migration: Migration) -> types.ModuleType:
    """Run the top level of a file. Raises BrokenFile when that fails, or when `upgrade` or `downgrade` is missing."""
    module = types.ModuleType(re.sub(r"\W", "_", migration.path.stem))
    module.__file__ = str(migration.path)
    try:
        # dont_inherit: otherwise the __future__ imports of this module would apply to the migration file too.
        exec(compile(migration.text, str(migration.path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise not_loaded(service, migration, error) from error
    for name in ("upgrade", "downgrade"):
        if not callable(getattr(module, name, None)) and (name == "upgrade" or migration.reversible):
            raise BrokenFile(f"{migration.path} has no {name}()", service=service.name, migration=migration.id)
    return module


def not_loaded(service: Service, migration: Migration, error: BaseException) -> BrokenFile:
    """What a file is called whose top level has raised this error."""
    return BrokenFile(
        f"{migration.path} raises on import: {describe(error)}{_line_of(error, migration)}",
        service=service.name,
        migration=migration.id,
        hint="mend the file; nothing of it was run",
        traceback=traceback_from(error, migration),
    )


def function_of(module: types.ModuleType, step: Step) -> Any:
    """The function of a loaded file that does the step."""
    return getattr(module, function_name(step))


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
    return shortened(redact("".join(whole.format())), _LONGEST)


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
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    yield error


def _trim(whole: traceback.TracebackException | None, migration: Migration) -> None:
    """Take our own calls off the beginning, of the error and of those that led to it or are in it."""
    if whole is None:
        return
    files = [bool(_file_of_migration(frame.filename, migration)) for frame in whole.stack]
    if True in files:
        del whole.stack[: files.index(True)]
    for other in (whole.__cause__, whole.__context__, *(whole.exceptions or ())):
        _trim(other, migration)


def _file_of_migration(name: str, migration: Migration) -> str:
    """The path of a file, relative to the migration's folder; "" when it is not in there, or is a library."""
    folder = migration.path.parent.absolute()
    return str(Path(name).absolute().relative_to(folder)) if is_beside(name, folder) else ""


__all__ = [
    "function_name",
    "function_of",
    "is_beside",
    "load_module",
    "not_loaded",
    "place_of",
    "traceback_from",
]
