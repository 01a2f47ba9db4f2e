"""Loads a migration file as a Python module, from exactly the text whose checksum was taken."""

from __future__ import annotations

import re
import traceback
import types
from pathlib import Path
from typing import Any

from dataops.errors import BrokenFile
from dataops.model import Direction, Migration, Service, Step
from dataops.redaction import describe


def load_module(service: Service, migration: Migration) -> types.ModuleType:
    """Run the top level of a file. Raises BrokenFile when that fails, or when `upgrade` or `downgrade` is missing."""
    module = types.ModuleType(re.sub(r"\W", "_", migration.path.stem))
    module.__file__ = str(migration.path)
    try:
        # dont_inherit: otherwise the __future__ imports of this module would apply to the migration file too.
        exec(compile(migration.text, str(migration.path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise BrokenFile(
            f"{migration.path} raises on import: {describe(error)}",
            service=service.name,
            migration=migration.id,
            hint="mend the file; nothing of it was run",
        ) from error
    for name in ("upgrade", "downgrade"):
        if not callable(getattr(module, name, None)) and (name == "upgrade" or migration.reversible):
            raise BrokenFile(f"{migration.path} has no {name}()", service=service.name, migration=migration.id)
    return module


def function_of(module: types.ModuleType, step: Step) -> Any:
    """The function of a loaded file that does the step."""
    return getattr(module, function_name(step))


def function_name(step: Step) -> str:
    """The name of the function that does the step: `upgrade` or `downgrade`."""
    return "upgrade" if step.direction is Direction.APPLY else "downgrade"


def place_of(error: BaseException, migration: Migration) -> str:
    """Where in the migration an error was raised: `003_add_x.py:12 in upgrade`; "" when it was not raised in there.

    It is the innermost call in the file itself or in a helper module beside it.
    """
    folder = migration.path.parent.absolute()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).absolute()
        if path.is_relative_to(folder) and frame.name != "<module>":
            return f"{path.relative_to(folder)}:{frame.lineno} in {frame.name}"
    return ""


__all__ = ["function_name", "function_of", "load_module", "place_of"]
