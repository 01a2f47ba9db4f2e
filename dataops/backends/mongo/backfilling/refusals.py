"""What a plan can say already: a backfill that is not written for MongoDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataops.backends.mongo.backfilling.changing import Changing
from dataops.backfill import BackfillRefused, Change

WRONG_FILTER = frozenset({2, 9, 14, 40, 51091})
"""With these codes a server refuses a filter: a value, a syntax, a type, conflicts, a regular expression."""


def refuse(at: Any, change: Change) -> None:
    """Raise BackfillRefused, without a look at the database."""
    if change.statement:
        raise BackfillRefused(f"backfill of {change.place}: a statement is for PostgreSQL; say set")
    if change.key not in ((), ("_id",)):
        raise BackfillRefused(f"backfill of {change.place}: the key of a collection is always _id")
    if change.where is not None and not isinstance(change.where, Mapping):
        raise BackfillRefused(f"where for {change.place} has to be a filter, such as {{'country': 'UK'}}")
    for field in change.keep:
        if not field or field.startswith("$") or "." in field or field == "_id":
            raise BackfillRefused(
                f"keep for {change.place} names {field!r}: it has to be a field at the top of a document"
            )
    Changing(change)


__all__ = ["WRONG_FILTER", "refuse"]
