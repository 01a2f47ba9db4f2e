"""The libraries that databases and migration files are reached with, when one of them is not what it should be."""

from __future__ import annotations

import sys

from dataops.errors import ConfigError
from dataops.redaction import message_of

_LIBRARIES = {"alembic", "bson", "click", "gridfs", "psycopg", "pymongo", "rich", "sqlalchemy"}


def explained(error: ImportError) -> ConfigError | None:
    """Our error for a library that another package of the same name hides, or that is not installed.

    None when the import that failed was not one of a library that dataops needs.
    """
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
