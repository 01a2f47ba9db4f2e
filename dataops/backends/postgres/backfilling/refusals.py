"""What of a backfill cannot be done as it is written: by its words alone, and for the table that is there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dataops.backends.postgres.backfilling.place import Place
from dataops.backfill import BackfillRefused, Change

BATCH = re.compile(r"\{batch(?::\s*([A-Za-z_]\w*))?\}")
"""Where the condition for the rows of a batch goes in a statement of a file, and what that calls the table."""


def refuse_words(change: Change) -> None:
    """Raise BackfillRefused for what no table could make right."""
    if change.where is not None and not isinstance(change.where, str):
        raise BackfillRefused(f"where for {change.place} has to be a condition in SQL")
    if change.fields:
        raise BackfillRefused(f"fields for {change.place} is for MongoDB, where a function gets documents")
    if change.statement and not BATCH.search(change.statement):
        raise BackfillRefused(
            f"the statement for {change.place} has no {{batch}} in it",
            hint="write WHERE {batch} AND ..., or {batch:o} where the statement calls the table o",
        )
    refuse_assignments(change)


def refuse_assignments(change: Change) -> None:
    """Raise BackfillRefused where `set` is given and does not say columns with expressions."""
    if change.set is None:
        return
    said = change.set
    if not (
        isinstance(said, Mapping) and said and all(isinstance(part, str) for pair in said.items() for part in pair)
    ):
        raise BackfillRefused(f"set for {change.place} has to be columns with SQL expressions: {{column: expression}}")


def refuse_for(place: Place, change: Change) -> None:
    """Raise BackfillRefused for what cannot be done with this table."""
    for name in change.set or ():
        column = place.column(name, "set")
        if column in place.key:
            raise BackfillRefused(f"set changes {name}, which is in the key of {place.name}")
        if column.is_generated:
            raise BackfillRefused(f"set changes {name}, whose value {place.name} computes by itself")
    for name in change.keep:
        place.column(name, "keep")


__all__ = ["BATCH", "refuse_assignments", "refuse_for", "refuse_words"]
