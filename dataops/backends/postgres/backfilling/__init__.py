"""Backfills of PostgreSQL: see `dataops.backfill` for the promises.

Batches run on the connection that holds the lock, each in a transaction of its own. `checkpoint` writes down where it
is. In the stash of the migration, a table for each backfill (`remembered`) has the keys of the rows that it has
changed, where they may be needed again, with their former values. `place` looks at the table, `refusals` say what
cannot be, `filling` and `restoring` make the batches, `signals` say when to wait, `planned` is a backfill in a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from dataops.backends.postgres.backfilling.checkpoint import Checkpoints
from dataops.backends.postgres.backfilling.filling import Filling
from dataops.backends.postgres.backfilling.place import find
from dataops.backends.postgres.backfilling.remembered import Remembered
from dataops.backends.postgres.backfilling.restoring import Restoring
from dataops.backends.postgres.backfilling.signals import Observer
from dataops.backends.postgres.connection import WatchedConnection, as_tuples
from dataops.backfill import BackfillRefused, Change, refuse_loss
from dataops.backfill.around import present
from dataops.backfill.loop import run
from dataops.model import Limits, Step
from dataops.statements import Tally


class PostgresBackfills:
    """See dataops.backfill.Backfills. One for each step."""

    def __init__(
        self,
        step: Step,
        connection: WatchedConnection,
        tally: Tally,
        limits: Limits,
        look: Callable[[], WatchedConnection],
        schema: str,
    ) -> None:
        """`connection` holds the lock. `look` opens one that only reads, to see what the server does meanwhile.

        `schema` is that of our journal, where a pause is written down.
        """
        self.left_nothing = False
        """Whether the first thing that the step did was a backfill that was refused before it changed anything."""
        self._step = step
        self._connection = connection
        self._tally = tally
        self._limits = limits
        self._look = look
        self._schema = schema

    def backfill(self, at: Any, change: Change) -> None:
        refuse_loss(change, self._step.migration)
        self._run(at, change, Filling)

    def restore(self, at: Any, change: Change) -> None:
        self._run(at, change, Restoring)

    def _run(self, at: Any, change: Change, kind: type[Filling] | type[Restoring]) -> None:
        around = present(self._limits)
        with self._between_transactions(at):
            connection = self._connection
            key = change.key if kind is Filling else Remembered(connection, self._step, change.name).key_names
            place = find(connection, change.place, key)
            checkpoints = Checkpoints(connection, self._schema, self._step, change.name, change.place)
            observer = Observer(self._look, connection.info.backend_pid, around.limits, self._schema)
            batches = kind(connection, self._step, place, change, checkpoints, observer, self._tally)
            first = not self._tally.sent().writes
            with closing(observer):
                try:
                    run(batches, around)
                except BackfillRefused:
                    self.left_nothing = first and batches.forget()
                    raise

    @contextmanager
    def _between_transactions(self, at: Any) -> Iterator[None]:
        """Commit what the file has done so far, and leave its transaction for this scope, as autocommit_block does."""
        context = getattr(at, "get_context", None)
        if context is None:
            raise BackfillRefused("the first argument of a backfill is op, in a file of Alembic")
        with context().autocommit_block():
            try:
                yield
            finally:  # the run has used the connection in between: the rest of the file finds it as before
                self._connection.answer_within = None
                as_tuples(self._connection)


__all__ = ["PostgresBackfills"]
