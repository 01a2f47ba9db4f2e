"""What the batches of both directions have in common: a transaction each, which gives up rather than waits for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dataops.backends.postgres.backfilling.checkpoint import Checkpoints, shown
from dataops.backends.postgres.backfilling.signals import Observer
from dataops.backends.postgres.connection import WatchedConnection
from dataops.backfill.loop import Batch, InTheWay
from dataops.model import Backfill
from dataops.statements import Tally

_LOCK_MILLISECONDS = 400
_BATCH_MILLISECONDS = 900

_GIVES_UP = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.QueryCanceled,
)


class Batching:
    """Runs batches on one connection."""

    most = 100_000

    def __init__(
        self, connection: WatchedConnection, checkpoints: Checkpoints, observer: Observer, tally: Tally
    ) -> None:
        self.connection = connection
        self.checkpoints = checkpoints
        self.observer = observer
        self.signals = observer.signals
        self._tally = tally

    def others(self) -> int | None:
        return self.observer.others(self.connection)

    def latencies(self) -> None:
        return None  # PostgreSQL counts nothing like it; see `waiting`

    def note(self, progress: Backfill) -> None:
        self.checkpoints.write(progress)

    def forget(self) -> bool:
        """Forget that it was tried, if nothing was changed. Returns whether that is so."""
        return False

    @contextmanager
    def transaction(self, size: int) -> Iterator[psycopg.Cursor[Any]]:
        """One batch. Raises InTheWay when it was rolled back because of somebody else, or because it took too long.

        One of a single row may take as long as it takes.
        """
        longest = 0 if size == 1 else _BATCH_MILLISECONDS
        rollbacks = self.connection.rollbacks
        self.connection.answer_within = None
        try:
            with self.connection.transaction(), self.connection.cursor(row_factory=dict_row) as cursor:
                cursor.execute(
                    f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
                    f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}; SET LOCAL statement_timeout = {longest}".encode()
                )
                yield cursor
        except _GIVES_UP as error:
            self.connection.rollbacks = rollbacks  # which are not the file's: the batch is tried again
            raise InTheWay(_why(error, size)) from error

    def send(self, cursor: psycopg.Cursor[Any], statement: str) -> dict[str, Any] | None:
        """Execute a statement of a batch, count it, and return its row, if it has one."""
        self._tally.send(statement, writes=True)
        began = time.monotonic()
        cursor.execute(statement.encode())
        self._tally.spend(statement, time.monotonic() - began)
        return cursor.fetchone() if cursor.description else None

    def write(self, before: Backfill, end: tuple[str, ...] | None, looked: int, changed: int) -> Batch:
        """Write down how far it is, still in the transaction of the batch. Without an end, the pass is at its own."""
        key = self.checkpoints.key if end is None else end
        progress = replace(before, key=shown(key), looked=before.looked + looked, changed=before.changed + changed)
        self.checkpoints.write(progress, key)
        return Batch(progress, looked, end is None, waiting=self.observer.keeps_waiting())

    def done(self, batch: Batch, before: Backfill, end: tuple[str, ...] | None) -> Batch:
        """The batch is committed."""
        self.checkpoints.key = self.checkpoints.key if end is None else end
        self._tally.change(batch.progress.changed - before.changed)
        return batch


def key_of(row: dict[str, Any] | None) -> tuple[str, ...] | None:
    """The key in a row of k1, k2, ..."""
    return None if row is None else tuple(row[name] for name in row if name.startswith("k"))


def _why(error: psycopg.Error, size: int) -> str:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"a batch of {size:,} took too long, and is tried again with less"
    return f"another session holds rows of the next batch ({type(error).__name__})"


__all__ = ["Batching", "key_of"]
