"""The batches that change rows."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import psycopg

from dataops.backends.postgres.backfilling.batch import Batching, key_of
from dataops.backends.postgres.backfilling.checkpoint import Checkpoints, shown
from dataops.backends.postgres.backfilling.place import Place
from dataops.backends.postgres.backfilling.refusals import BATCH, refuse_for, refuse_words
from dataops.backends.postgres.backfilling.remembered import Remembered
from dataops.backends.postgres.backfilling.signals import Observer
from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.sql import quoted
from dataops.backfill import BackfillRefused, Change
from dataops.backfill.loop import Batch, InTheWay
from dataops.model import Backfill, Step
from dataops.statements import Tally

_DELETES = re.compile(r"\bDELETE\b", re.IGNORECASE)
_LOOK = 2  # not one row, which may take as long as it takes


class Filling(Batching):
    """See dataops.backfill.loop.Batches."""

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
        self._where = change.where or "true"
        self._remembered: Remembered | None = None
        if change.once or change.keep:
            self._remembered = Remembered(connection, step, change.name).of(place)

    def begin(self) -> Backfill:
        refuse_words(self._change)
        refuse_for(self._place, self._change)
        progress = self.checkpoints.begin(self._place.rows)
        if self._remembered is not None:
            self._remembered.create([self._place.column(name, "keep") for name in self._change.keep])
        return progress

    def batch(self, size: int, before: Backfill) -> Batch:
        with self.transaction(size) as cursor:
            last = key_of(self.send(cursor, self._last(size)))
            within = self._place.within(self.checkpoints.key, last)
            looked = size if last is not None else self._rest(cursor, within)
            if self._change.statement:
                changed = self._by_statement(cursor, within)
            elif self._remembered is not None:
                changed = self._remembering(cursor, within)
            else:
                changed = self._plainly(cursor, within)
            batch = self.write(before, last, looked, changed)
        return self.done(batch, before, last)

    def none_left(self) -> bool:
        try:
            with self.transaction(_LOOK) as cursor:
                return self._left(cursor) is None
        except InTheWay:  # a table so big is gone through once more, in batches
            return False

    def _left(self, cursor: psycopg.Cursor[Any], within: str = "true") -> tuple[str, ...] | None:
        """The key of a row that is still to be changed."""
        unless = f" AND NOT {self._remembered.has}" if self._remembered is not None else ""
        question = f"SELECT {self._key_texts()} FROM {self._place.sql} WHERE {within} AND ({self._where}\n){unless}"
        return key_of(cursor.execute(f"{question} LIMIT 1".encode()).fetchone())

    def again(self) -> None:
        self.checkpoints.key = ()

    def finish(self) -> None:
        if not self._change.statement:
            self._refuse_untouched()
        self.checkpoints.drop()

    def forget(self) -> bool:
        if self.checkpoints.changed():
            return False
        if self._remembered is not None:
            self._remembered.drop_if_empty()
        self.checkpoints.drop()
        return True

    # The statements

    def _last(self, size: int) -> str:
        """Asks for the last key of the batch; there is none in the last batch of a pass."""
        after = self._place.within(self.checkpoints.key, None)
        return (
            f"SELECT {self._key_texts()} FROM {self._place.sql} WHERE {after} "
            f"ORDER BY {self._place.order} OFFSET {size - 1} LIMIT 1"
        )

    def _key_texts(self) -> str:
        table = quoted(self._place.name)
        return ", ".join(f"{table}.{column.sql}::text AS k{at}" for at, column in enumerate(self._place.key, 1))

    def _rest(self, cursor: psycopg.Cursor[Any], within: str) -> int:
        row = self.send(cursor, f"SELECT count(*) AS rows FROM {self._place.sql} WHERE {within}")
        return 0 if row is None else int(row["rows"])

    def _plainly(self, cursor: psycopg.Cursor[Any], within: str) -> int:
        """One UPDATE, which also says whether a row still matches afterwards."""
        row = self.send(
            cursor,
            f"WITH changed AS (UPDATE {self._place.sql} SET {self._assignments()} WHERE {within} AND ({self._where}\n) "
            f"RETURNING ({self._where}\n) IS TRUE AS still) "
            f"SELECT count(*) AS changed, count(*) FILTER (WHERE still) AS still FROM changed",
        )
        assert row is not None
        if row["still"]:
            matching = f"{self._place.sql} WHERE {within} AND ({self._where}\n) LIMIT 1"
            example = key_of(self.send(cursor, f"SELECT {self._key_texts()} FROM {matching}"))
            self._refuse_still(row["still"], row["changed"], example)
        return int(row["changed"])

    def _remembering(self, cursor: psycopg.Cursor[Any], within: str) -> int:
        """Lock the rows, change them, and remember their keys with what was there and what is there now."""
        remembered = self._remembered
        assert remembered is not None
        table, keys = quoted(self._place.name), self._place.key
        numbered = list(enumerate(remembered.kept, 1))
        names = [f"k{at}" for at in range(1, len(keys) + 1)] + [f"w{at}" for at, _ in numbered]
        todo = ", ".join(
            [f"{table}.{column.sql} AS k{at}" for at, column in enumerate(keys, 1)]
            + [f"{table}.{column.sql} AS w{at}" for at, column in numbered]
        )
        renamed = ", ".join(f"k{at} AS dataops_k{at}" for at in range(1, len(keys) + 1))
        same = " AND ".join(f"{table}.{column.sql} = dataops_todo.dataops_k{at}" for at, column in enumerate(keys, 1))
        left = ", ".join(
            [f"{table}.{column.sql} AS k{at}" for at, column in enumerate(keys, 1)]
            + [f"{table}.{column.sql} AS l{at}" for at, column in numbered]
        )
        kept = ", ".join([*(f"todo.{name}" for name in names), *(f"changed.l{at}" for at, _ in numbered)])
        joined = " AND ".join(f"todo.k{at} = changed.k{at}" for at in range(1, len(keys) + 1))
        columns = ", ".join([*names, *(f"l{at}" for at, _ in numbered)])
        row = self.send(
            cursor,
            f"WITH todo AS MATERIALIZED (SELECT {todo} FROM {self._place.sql} "
            f"WHERE {within} AND ({self._where}\n) AND NOT {remembered.has} "
            f"ORDER BY {self._place.order} FOR NO KEY UPDATE OF {table}), "
            f"changed AS (UPDATE {self._place.sql} SET {self._assignments()} "
            f"FROM (SELECT {renamed} FROM todo) AS dataops_todo WHERE {same} "
            f"RETURNING ({self._where}\n) IS TRUE AS still, {left}), "
            f"put AS (INSERT INTO {remembered.sql} ({columns}) SELECT {kept} FROM todo JOIN changed ON {joined} "
            f"RETURNING 1) "
            f"SELECT (SELECT count(*) FROM put) AS changed, count(*) FILTER (WHERE still) AS still, "
            f"count(*) AS updated, {self._example()} FROM changed",
        )
        assert row is not None
        self._refuse_moved(row["updated"] - row["changed"])
        self._refuse_still(row["still"], row["changed"], key_of(row))
        return int(row["changed"])

    def _by_statement(self, cursor: psycopg.Cursor[Any], within: str) -> int:
        """Lock the rows of the batch, let the file's own statement change them, and look whether they still match."""
        table, remembered = quoted(self._place.name), self._remembered
        unless = f" AND NOT {remembered.has}" if remembered is not None else ""
        aggregated = ", ".join(f"array_agg(k{at}) AS k{at}" for at in range(1, len(self._place.key) + 1))
        row = self.send(
            cursor,
            f"SELECT {aggregated} FROM (SELECT {self._key_texts()} FROM {self._place.sql} WHERE {within} "
            f"AND ({self._where}\n){unless} ORDER BY {self._place.order} FOR NO KEY UPDATE OF {table}) AS todo",
        )
        keys: tuple[Any, ...] = key_of(row) or ()
        if keys[0] is None:
            return 0
        if remembered is not None:
            self._remember(cursor, remembered, keys)
        self.send(cursor, BATCH.sub(lambda found: self._among(found[1] or table, keys), self._change.statement))
        changed = cursor.rowcount
        if remembered is not None and remembered.kept:
            self._note_left(cursor, remembered, keys)
        if remembered is not None and not _DELETES.search(self._change.statement):
            there = f"SELECT count(*) AS rows FROM {self._place.sql} WHERE {self._among(table, keys)}"
            self._refuse_moved(len(keys[0]) - (self.send(cursor, there) or {"rows": 0})["rows"])
        row = self.send(
            cursor,
            f"SELECT count(*) AS still, {self._example()} FROM (SELECT {self._key_texts()}, true AS still "
            f"FROM {self._place.sql} WHERE {self._among(table, keys)} AND ({self._where}\n)) AS changed",
        )
        assert row is not None
        self._refuse_still(row["still"], len(keys[0]), key_of(row))
        return max(changed, 0)

    def _among(self, table: str, keys: tuple[Any, ...]) -> str:
        """The condition for the rows with these keys, for a table that a statement calls `table`."""
        columns = ", ".join(f"{table}.{column.sql}" for column in self._place.key)
        arrays = ", ".join(f"{psycopg.sql.Literal(list(values)).as_string(None)}::text[]" for values in keys)
        names = ", ".join(f"k{at}" for at in range(1, len(keys) + 1))
        typed = ", ".join(f"k{at}::{column.type}" for at, column in enumerate(self._place.key, 1))
        return f"({columns}) IN (SELECT {typed} FROM unnest({arrays}) AS dataops_batch ({names}))"

    def _remember(self, cursor: psycopg.Cursor[Any], remembered: Remembered, keys: tuple[Any, ...]) -> None:
        table = quoted(self._place.name)
        chosen = [f"{table}.{column.sql}" for column in (*self._place.key, *remembered.kept)]
        names = [f"k{at}" for at in range(1, len(keys) + 1)]
        names += [f"w{at}" for at in range(1, len(remembered.kept) + 1)]
        self.send(
            cursor,
            f"INSERT INTO {remembered.sql} ({', '.join(names)}) SELECT {', '.join(chosen)} FROM {self._place.sql} "
            f"WHERE {self._among(table, keys)}",
        )

    def _note_left(self, cursor: psycopg.Cursor[Any], remembered: Remembered, keys: tuple[Any, ...]) -> None:
        table = quoted(self._place.name)
        left = ", ".join(f"l{at} = {table}.{column.sql}" for at, column in enumerate(remembered.kept, 1))
        same = " AND ".join(f"done.k{at} = {table}.{column.sql}" for at, column in enumerate(self._place.key, 1))
        self.send(
            cursor,
            f"UPDATE {remembered.sql} AS done SET {left} FROM {self._place.sql} "
            f"WHERE {same} AND {self._among(table, keys)}",
        )

    def _assignments(self) -> str:
        return ", ".join(f"{quoted(name)} = ({expression})" for name, expression in self._change.set.items())

    def _example(self) -> str:
        """The key of a row that still matches, for a message."""
        return ", ".join(
            f"(array_agg(k{at}::text) FILTER (WHERE still))[1] AS k{at}" for at in range(1, len(self._place.key) + 1)
        )

    # What is refused

    def _refuse_untouched(self) -> None:
        """Raise BackfillRefused where a row is left that an UPDATE does not change. It is tried, and rolled back."""
        with suppress(InTheWay), self.transaction(_LOOK) as cursor:
            key = self._left(cursor)
            if key is None:
                return
            within = f"({self._place.order}) = ({self._place.values(key)})"
            with self.connection.transaction(force_rollback=True):  # it may have come after the last pass
                change = self._plainly if self._remembered is None else self._remembering
                if change(cursor, within) or self._left(cursor, within) is None:
                    return
            raise BackfillRefused(
                f"rows of {self._place.name} are left that UPDATE does not change, for example the one with the key "
                f"{shown(key)}",
                hint="look for a trigger that returns NULL, and for row security",
            )

    def _refuse_moved(self, rows: int) -> None:
        """Raise BackfillRefused where rows have another key now, so that they would be taken for others."""
        if rows:
            raise BackfillRefused(
                f"{rows:,} rows of {self._place.name} have another key after they were changed",
                hint="look for a trigger that changes the key; it has to stay as it is",
            )

    def _refuse_still(self, still: int, changed: int, key: tuple[str, ...] | None) -> None:
        if still and not self._change.once:
            raise BackfillRefused(
                f"{still:,} of {changed:,} rows of {self._place.name} still match where after they were changed, for "
                f"example the one with the key {shown(key or ())}: it would never end",
                hint="write where so that a row that is done does not match any more, or say once=True",
            )


__all__ = ["Filling"]
