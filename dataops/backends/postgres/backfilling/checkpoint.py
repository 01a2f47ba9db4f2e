"""Where a backfill is, written down beside the journal, in the transaction of each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from dataops.backends.postgres.beside import Beside
from dataops.backfill import ChangedMeanwhile
from dataops.model import Backfill, Direction, Step
from dataops.redaction import redact

_COLUMNS = """
    migration text NOT NULL,
    name      text NOT NULL,
    place     text NOT NULL,
    direction text NOT NULL,
    checksum  text NOT NULL,
    key       text[] NOT NULL,
    looked    bigint NOT NULL,
    total     bigint,
    changed   bigint NOT NULL,
    rate      double precision,
    paused    text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (migration, name)
"""

_WRITE = """
INSERT INTO {table} (migration, name, place, direction, checksum, key, looked, total, changed, rate, paused, at)
VALUES (%(migration)s, %(name)s, %(place)s, %(direction)s, %(checksum)s, %(key)s, %(looked)s, %(total)s, %(changed)s,
        %(rate)s, %(paused)s, pg_catalog.clock_timestamp())
ON CONFLICT (migration, name) DO UPDATE
   SET place = excluded.place, direction = excluded.direction, checksum = excluded.checksum, key = excluded.key,
       looked = excluded.looked, total = excluded.total, changed = excluded.changed, rate = excluded.rate,
       paused = excluded.paused, at = excluded.at
"""


class Checkpoints:
    """The checkpoint of one backfill of one step. `key` is the last key that it has come to, as texts."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str, step: Step, name: str, place: str) -> None:
        self.key: tuple[str, ...] = ()
        self._connection = connection
        self._table = _table(schema)
        self._migration = step.migration.id
        self._new = Backfill(place, step.direction, step.migration.checksum)
        self._which = {"migration": self._migration, "name": name}

    def begin(self, total: int | None) -> Backfill:
        """How far it is: where an earlier run in this direction has stopped, or at the beginning.

        Raises ChangedMeanwhile.
        """
        self._table.make(self._connection)
        found = self._table.execute(
            self._connection, "SELECT * FROM {table} WHERE migration = %(migration)s AND name = %(name)s", self._which
        ).fetchone()
        new = Backfill(self._new.place, self._new.direction, self._new.checksum, total=total)
        if found is None or found["direction"] != new.direction.value:
            return new
        before = _of(found)
        if before.checksum != new.checksum and not before.changed:
            return new  # nothing was done yet with the other text
        if before.checksum != new.checksum:
            raise ChangedMeanwhile(
                f"the file of {self._migration} was changed in the middle of its backfill of {before.words}",
                migration=self._migration,
            )
        self.key = tuple(found["key"])
        return _of({**found, "total": total, "paused": ""})

    def write(self, progress: Backfill, key: Sequence[str] | None = None) -> None:
        """Write it down, with `key` (None: the present one), in the open transaction or in one of its own."""
        fields = {
            **self._which,
            "place": progress.place,
            "direction": progress.direction.value,
            "checksum": progress.checksum,
            "key": list(self.key if key is None else key),
            "looked": progress.looked,
            "total": progress.total,
            "changed": progress.changed,
            "rate": progress.rate,
            "paused": progress.paused,
        }
        self._table.execute(self._connection, _WRITE, fields)

    def changed(self) -> int:
        """How many rows were changed, as it is written down."""
        if not self._table.is_readable(self._connection):
            return 0
        found = self._table.execute(
            self._connection,
            "SELECT changed FROM {table} WHERE migration = %(migration)s AND name = %(name)s",
            self._which,
        ).fetchone()
        return 0 if found is None else int(found["changed"])

    def drop(self) -> None:
        """Forget it."""
        if not self._table.is_readable(self._connection):
            return
        self._table.execute(
            self._connection, "DELETE FROM {table} WHERE migration = %(migration)s AND name = %(name)s", self._which
        )


def _table(schema: str) -> Beside:
    what = "How far the backfills of half-done migrations are; written together with each batch"
    return Beside(schema, "dataops_backfill", _COLUMNS, what)


def read(connection: psycopg.Connection[Any], schema: str, migration: str) -> tuple[Backfill, ...]:
    """How far the backfills of a migration are. None, where this user may not read that."""
    table = _table(schema)
    if not table.is_readable(connection):
        return ()
    rows = table.execute(connection, "SELECT * FROM {table} WHERE migration = %s ORDER BY name", [migration])
    return tuple(map(_of, rows))


def forget(connection: psycopg.Connection[Any], schema: str, migration: str) -> None:
    """Forget how far the backfills of a migration were: its step has ended well, in either direction."""
    table = _table(schema)
    if table.is_readable(connection):
        table.execute(connection, "DELETE FROM {table} WHERE migration = %s", [migration])


def _of(row: dict[str, Any]) -> Backfill:
    return Backfill(
        place=redact(row["place"]),
        direction=Direction(row["direction"]),
        checksum=row["checksum"],
        key=shown(row["key"]),
        looked=row["looked"],
        total=row["total"],
        changed=row["changed"],
        rate=row["rate"],
        paused=redact(row["paused"]),
        at=row["at"],
    )


def shown(key: Sequence[str]) -> str:
    """A key for a person."""
    return redact(key[0] if len(key) == 1 else f"({', '.join(key)})" if key else "")


__all__ = ["Checkpoints", "forget", "read", "shown"]
