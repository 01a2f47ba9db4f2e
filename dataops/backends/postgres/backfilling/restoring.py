"""The batches that take back what a backfill has done: through the keys that it has put aside."""

from __future__ import annotations

from typing import Any

from dataops.backends.postgres.backfilling.batch import Batching, key_of
from dataops.backends.postgres.backfilling.checkpoint import Checkpoints
from dataops.backends.postgres.backfilling.place import Place
from dataops.backends.postgres.backfilling.refusals import refuse_assignments, refuse_for
from dataops.backends.postgres.backfilling.remembered import Remembered
from dataops.backends.postgres.backfilling.signals import Observer
from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.sql import quoted
from dataops.backfill import BackfillRefused, Change
from dataops.backfill.loop import Batch
from dataops.model import Backfill, Direction, Step
from dataops.statements import Tally


class Restoring(Batching):
    """See dataops.backfill.loop.Batches. What is taken back is removed from what is put aside, in one transaction."""

    def __init__(
        self,
        connection: WatchedConnection,
        step: Step,
        place: Place,
        change: Change,
        checkpoints: Checkpoints,
        observer: Observer,
        tally: Tally,
    ) -> None:
        super().__init__(connection, checkpoints, observer, tally)
        self._place = place
        self._change = change
        self._remembered = Remembered(connection, step, change.name).of(place)
        self._there = self._remembered.there

    def begin(self) -> Backfill:
        if not self._there:
            return Backfill(self._change.place, Direction.ROLLBACK)
        refuse_assignments(self._change)
        refuse_for(self._place, self._change)
        if self._change.set is None and not self._remembered.kept:
            raise BackfillRefused(
                f"nothing of {self._change.place} was kept that could be given back",
                hint="say keep=[...] in the backfill, or restore(..., set={...}) for what takes it back",
            )
        with self.connection.cursor() as cursor:
            # Without statistics the server takes the first batch for a third of it, and goes over the whole table.
            cursor.execute(f"ANALYZE {self._remembered.sql}".encode())
            row: Any = cursor.execute(f"SELECT count(*) FROM {self._remembered.sql}".encode()).fetchone()
        return self.checkpoints.begin(row[0] if isinstance(row, tuple) else row["count"])

    def batch(self, size: int, before: Backfill) -> Batch:
        if not self._there:
            return Batch(before, 0, last=True)
        keys = self._remembered.key
        with self.transaction(size) as cursor:
            last = key_of(
                self.send(
                    cursor,
                    f"SELECT {self._texts()} FROM {self._remembered.sql} WHERE {self._after()} "
                    f"ORDER BY {keys} OFFSET {size - 1} LIMIT 1",
                )
            )
            within = self._after() + (f" AND ({keys}) <= ({self._place.values(last)})" if last is not None else "")
            table = quoted(self._place.name)
            same = " AND ".join(
                f"{table}.{column.sql} = dataops_done.dataops_k{at}" for at, column in enumerate(self._place.key, 1)
            )
            row = self.send(
                cursor,
                f"WITH dataops_done AS (DELETE FROM {self._remembered.sql} WHERE {within} RETURNING *), "
                f"changed AS (UPDATE {self._place.sql} SET {self._assignments()} FROM {self._source()} "
                f"WHERE {same} RETURNING 1) "
                f"SELECT (SELECT count(*) FROM dataops_done) AS looked, (SELECT count(*) FROM changed) AS changed",
            )
            assert row is not None
            batch = self.write(before, last, int(row["looked"]), int(row["changed"]))
        return self.done(batch, before, last)

    def none_left(self) -> bool:
        return True  # what it has put aside is gone through once, and nobody adds to it

    def again(self) -> None:
        self.checkpoints.key = ()

    def finish(self) -> None:
        if self._there:
            self._remembered.drop()
            self.checkpoints.drop()

    def _after(self) -> str:
        key = self.checkpoints.key
        return f"({self._remembered.key}) > ({self._place.values(key)})" if key else "true"

    def _texts(self) -> str:
        return ", ".join(f"k{at}::text AS k{at}" for at in range(1, len(self._place.key) + 1))

    def _source(self) -> str:
        """What is deleted, with names that no expression of a file uses."""
        names = [f"k{at}" for at in range(1, len(self._place.key) + 1)]
        numbers = range(1, len(self._remembered.kept) + 1)
        renamed = [f"{letter}{at} AS dataops_{letter}{at}" for letter in "wl" for at in numbers]
        chosen = [f"{name} AS dataops_{name}" for name in names] + renamed
        return f"(SELECT {', '.join(chosen)} FROM dataops_done) AS dataops_done"

    def _assignments(self) -> str:
        if self._change.set is not None:
            return ", ".join(f"{quoted(name)} = ({expression})" for name, expression in self._change.set.items())
        table = quoted(self._place.name)
        back = []
        for at, column in enumerate(self._remembered.kept, 1):
            now = f"{table}.{column.sql}"
            # It compares the values bit by bit: there are types without equality, such as json.
            as_left = f"pg_catalog.record_image_eq(ROW({now}), ROW(dataops_done.dataops_l{at}))"
            back.append(f"{column.sql} = CASE WHEN {as_left} THEN dataops_done.dataops_w{at} ELSE {now} END")
        return ", ".join(back)


__all__ = ["Restoring"]
