"""A backfill in a plan: its statement as it would be for all rows at once, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataops.backends.postgres.backfilling.refusals import refuse_assignments, refuse_words
from dataops.backends.postgres.sql import quoted
from dataops.backfill import Change

IN_BATCHES = "/* backfill, in batches"
"""How the statement of a backfill begins in a plan."""

Tell = Callable[[str, dict[str, Any]], None]


class PlannedBackfills:
    """See dataops.backfill.Backfills. Nothing is asked of a database."""

    def __init__(self, tell: Tell) -> None:
        """`tell` gets a statement, and the fields of the change, but for those that are only for MongoDB."""
        self._tell = tell

    def backfill(self, at: Any, change: Change) -> None:
        refuse_words(change)
        head = f"{IN_BATCHES} by {', '.join(change.key) or 'the primary key'}"
        if change.keep:
            head += f"; {', '.join(change.keep)} put aside"
        self._tell(f"{head} */ {_statement(change)}", vars(change))

    def restore(self, at: Any, change: Change) -> None:
        refuse_assignments(change)
        what = "gives back what was put aside" if change.set is None else f"sets {_assignments(change)}"
        self._tell(f"{IN_BATCHES}: of {change.place}, {what} in the rows that were changed */", vars(change))


def _statement(change: Change) -> str:
    if change.statement:
        return change.statement.strip()
    return f"UPDATE {change.place} SET {_assignments(change)}" + (f" WHERE {change.where}" if change.where else "")


def _assignments(change: Change) -> str:
    return ", ".join(f"{quoted(name) if not name.isidentifier() else name} = {to}" for name, to in change.set.items())


__all__ = ["IN_BATCHES", "PlannedBackfills"]
