"""The libraries that databases and migration files are reached with, when one of them is not what it should be."""

from __future__ import annotations

import sys
import traceback

from dataops.errors import ConfigError
from dataops.redaction import describe, message_of

_LIBRARIES = {"alembic", "bson", "click", "gridfs", "prometheus_client", "psycopg", "pymongo", "rich", "sqlalchemy"}


def explained(error: BaseException) -> ConfigError | None:
    """Our error for a library that another package of the same name hides, or that is not installed.

    None when the error is not that of an import of a library that dataops needs.
    """
    if not isinstance(error, ImportError):
        for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
            name = frame.f_globals.get("__name__", "").partition(".")[0]
            if name in _LIBRARIES and frame.f_code.co_name == "<module>":  # its import was not finished
                return ConfigError(
                    f"the Python package {name} that was found in {frame.f_code.co_filename} cannot be imported: "
                    f"{describe(error)}",
                    hint="give that package another name, or take it out of PYTHONPATH; or install dataops again",
                )
        return None
    name = (error.name or "").partition(".")[0]
    if name not in _LIBRARIES:
        return None
    found = getattr(sys.modules.get(name), "__path__", None)
    if found is None:
        return ConfigError(f"the Python package {name} is missing: {message_of(error)}", hint="install dataops again")
    return ConfigError(
        f"the Python package {name} that was found in {', '.join(found)} is not the library that dataops needs",
        hint="give that folder another name, or take it out of PYTHONPATH",
    )


__all__ = ["explained"]
