"""Changes many rows or documents in batches, beside a live application: for migration files.

    from dataops.backfill import backfill, restore

    def upgrade() -> None:
        backfill(op, "orders", where="total_cents IS NULL", set={"total_cents": "round(total * 100)"})

    def downgrade() -> None:
        pass

    def upgrade(db):
        backfill(db, "orders", where={"country": "UK"}, set=[{"$set": {"country": "GB"}}], keep=["country"])

    def downgrade(db):
        restore(db, "orders")

The rows of a table, or the documents of a collection, are gone through in the order of their key, batch by batch.
Each batch is a transaction of its own, in which it is written down how far it came. The promises (ADR 25):

1. *Exactly once.* A row is to be changed when it matches `where` and was not changed by this backfill before. What it
   has changed is known because it does not match any more, or because its key is put aside, in the same transaction. It
   does not matter how often it is stopped, killed or cut off, nor what is inserted, deleted or changed meanwhile: at
   the end, every row that was there when the last pass began is done.
2. *It can be stopped after every batch*, and goes on there: the next run, in the same direction. A run the other way
   takes back what was done.
3. *It gives way*: see `dataops.model.Limits`. Each batch is steered to a time, and gives up and is made smaller when
   somebody else holds a row that it needs.
4. *What it overwrites can be given back*: with `keep`, former values go into the stash, batch by batch, and `restore`
   gives them back in the same way, each only while the row still has what the backfill wrote.

A standalone MongoDB has no transactions. There a batch has to be one that may run twice: without `once` and `keep`.
A file that has nothing but calls of these two functions is repeatable, and may be stopped anywhere in one direction and
then be run in the other. It runs under dataops only, which has the lock, and the place where it is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from dataops.errors import BackfillRefused, ChangedMeanwhile
from dataops.model import Migration

Set = Mapping[str, str] | Mapping[str, Any] | Sequence[Mapping[str, Any]] | Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Change:
    """What a file asks for. `name` is what its place in the stash is called; the other fields are as in `backfill`."""

    place: str
    where: Any = None
    set: Any = None
    statement: str = ""
    key: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    once: bool = False
    name: str = ""


class Backfills(Protocol):
    """Runs the backfills of one step, or tells what they would do."""

    def backfill(self, at: Any, change: Change) -> None:
        """See `backfill`."""

    def restore(self, at: Any, change: Change) -> None:
        """See `restore`. Of the change, only `place`, `name` and `set` are said."""


@dataclass(frozen=True)
class _Scope:
    """Who serves the calls of one file, and the names that it has used, which nothing else may have."""

    backfills: Backfills
    used: set[tuple[str, str]] = field(default_factory=set)


_running: ContextVar[_Scope | None] = ContextVar("dataops_backfills", default=None)


def refuse_loss(change: Change, migration: Migration) -> None:
    """Raise BackfillRefused where values are put aside and the way back does not give them back."""
    restored = migration.facts.restored
    if change.keep and migration.reversible and restored is not None and change.name not in restored:
        raise BackfillRefused(
            f"what is kept of {change.name} would not be given back: downgrade() does not call restore for it",
            hint=f'write restore(..., "{change.name}") there, leave keep out, or say reversible = False',
        )


def not_given_back(place: str) -> BackfillRefused:
    """The error of a way back that has left what was kept of `place`: `restore` was called for something else."""
    return BackfillRefused(
        f"what was kept of {place} was not given back",
        hint=f'call restore(..., "{place}") in downgrade(), with the name that backfill has',
    )


@contextmanager
def served_by(backfills: Backfills) -> Iterator[None]:
    """In this scope, calls of `backfill` and `restore` in this thread go to `backfills`."""
    token = _running.set(_Scope(backfills))
    try:
        yield
    finally:
        _running.reset(token)


def backfill(
    at: Any,
    place: str,
    *,
    where: str | Mapping[str, Any] | None = None,
    set: Set | None = None,  # noqa: A002
    statement: str = "",
    key: str | Sequence[str] = (),
    keep: str | Sequence[str] = (),
    fields: Sequence[str] = (),
    once: bool = False,
    name: str = "",
) -> None:
    """Change every row of a table, or document of a collection, that matches `where`, exactly once.

    `at` is `op` in a file of Alembic, `db` in one of MongoDB, and `place` the table or collection.

    PostgreSQL: `where` is a condition, `set` gives a column's new value as an expression: both are SQL over the columns
    of the table. Or `statement` is an UPDATE of its own, with `{batch}` where its condition for the rows of the batch
    goes; `{batch:o}` if it calls the table `o`. `key` is the primary key, or any other unique one without NULL.

    MongoDB: `where` is a filter, and `set` an update or the stages of one; or a function that gets a document (with
    `fields`: these alone, and `_id`) and returns its update, or None to leave it as it is. The key is `_id`.

    A row that was changed must not match `where` any more. Where it may, or without `where`, its key is put aside
    (`once`). `keep` names the columns or fields whose former values are put aside, for `restore`. A file that
    backfills one place twice gives each a `name`.

    Raises BackfillRefused before anything is changed where it cannot be done as it is written: no unique key, a `set`
    that changes the key, rows that still match after they were changed. ChangedMeanwhile for a file that is not the one
    with which it began. Stopped after a batch when the run is asked to stop.
    """
    change = Change(
        place=place,
        where=where or None,
        set=set,
        statement=statement,
        key=_names(key),
        keep=_names(keep),
        fields=tuple(fields),
        once=once or not where,
        name=name or place,
    )
    if (set is None) is (not statement):
        raise BackfillRefused(f"backfill of {place}: say what to change, by set or by statement")
    _server("backfill", change).backfill(at, change)


def restore(at: Any, place: str, *, set: Set | None = None, name: str = "") -> None:  # noqa: A002
    """Take back what the backfill of this migration did to `place`, batch by batch, and drop what it has put aside.

    Each row that it has changed gets the former values of `keep` back, where it still has what the backfill wrote; what
    the application has written meanwhile stays. With `set`, that is done to each of these rows instead, as in
    `backfill`, and a `keep` is not needed there but `once`, so that it is known which rows these are.
    """
    change = Change(place=place, set=set, name=name or place)
    _server("restore", change).restore(at, change)


def _names(said: str | Sequence[str]) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said)


def _server(function: str, change: Change) -> Backfills:
    scope = _running.get()
    if scope is None:
        raise BackfillRefused(
            "a backfill needs dataops, which has the lock and remembers how far it is",
            hint="run it with dataops apply; for a bare alembic: dataops docs backfills",
        )
    if (function, change.name) in scope.used:
        raise BackfillRefused(
            f"two calls of {function} in one direction of this file have the name {change.name}, so that they would "
            "take each other's work for their own",
            hint=f"""give each a name of its own: {function}(..., "{change.place}", name="...")""",
        )
    scope.used.add((function, change.name))
    return scope.backfills


__all__ = [
    "BackfillRefused",
    "Backfills",
    "Change",
    "ChangedMeanwhile",
    "backfill",
    "not_given_back",
    "refuse_loss",
    "restore",
    "served_by",
]
