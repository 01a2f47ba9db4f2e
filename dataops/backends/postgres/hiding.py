"""What of a database Alembic's comparison must not see: our journal, its schema, the record and the stash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataops.backends.postgres.environment import RECORD_NAME
from dataops.backends.postgres.tables import JOURNAL_NAME, OWN_SCHEMA
from dataops.stash.postgres import SCHEMA_PREFIX


def is_not_ours(
    record: str, include_name: Callable[..., bool] | None, name: str | None, type_: Any, parents: Any
) -> bool:
    """Alembic's include_name: hides what is ours, and then asks the project's own hook."""
    if type_ == "schema" and name is not None and name.startswith((OWN_SCHEMA, SCHEMA_PREFIX)):
        return False
    if type_ == "table" and name in (JOURNAL_NAME, RECORD_NAME, record):
        return False
    return include_name is None or include_name(name, type_, parents)


__all__ = ["is_not_ours"]
