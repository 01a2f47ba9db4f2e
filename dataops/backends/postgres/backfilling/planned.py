"""A backfill in a plan: its statement as it would be for all rows at once, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dataops.backends.postgres.sql import quoted
from dataops.backfill import BackfillRefused, Change

IN_BATCHES = "/* backfill, in batches"
"""How the statement of a backfill begins in a plan."""


class PlannedBackfills:
    """See dataops.backfill.Backfills. Nothing is asked of a database."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell

    def backfill(self, at: Any, change: Change) -> None:
        head = f"{IN_BATCHES} by {', '.join(change.key) or 'the primary key'}"
        if change.keep:
            head += f"; {', '.join(change.keep)} put aside"
        self._tell(f"{head} */ {_statement(change)}", in_transaction=False)

    def restore(self, at: Any, change: Change) -> None:
        what = "gives back what was put aside" if change.set is None else f"sets {_assignments(change)}"
        self._tell(f"{IN_BATCHES}: of {change.place}, {what} in the rows that were changed */", in_transaction=False)


def _statement(change: Change) -> str:
    condition = str(change.where or "true")
    if change.statement:
        return change.statement.strip()
    return f"UPDATE {change.place} SET {_assignments(change)}" + (f" WHERE {condition}" if change.where else "")


def _assignments(change: Change) -> str:
    if not isinstance(change.set, Mapping):
        raise BackfillRefused(f"set for {change.place} has to be columns with SQL expressions: {{column: expression}}")
    return ", ".join(f"{quoted(name) if not name.isidentifier() else name} = {to}" for name, to in change.set.items())


__all__ = ["IN_BATCHES", "PlannedBackfills"]
