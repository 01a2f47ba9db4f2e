"""Where a backfill is, written down in the stash of its migration, in the transaction of each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dataops.backends.postgres.sql import quoted
from dataops.backfill import ChangedMeanwhile
from dataops.model import Backfill, Direction, Step
from dataops.stash import postgres as stash

TABLE = "dataops_backfill"

_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
    name      text PRIMARY KEY,
    place     text NOT NULL,
    direction text NOT NULL,
    checksum  text NOT NULL,
    key       text[] NOT NULL DEFAULT '{{}}',
    looked    bigint NOT NULL DEFAULT 0,
    total     bigint,
    changed   bigint NOT NULL DEFAULT 0,
    rate      double precision,
    paused    text NOT NULL DEFAULT '',
    at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE {table} IS 'How far the backfills of this migration are; written together with each batch';
"""

_WRITE = """
INSERT INTO {table} (name, place, direction, checksum, key, looked, total, changed, rate, paused, at)
VALUES (%(name)s, %(place)s, %(direction)s, %(checksum)s, %(key)s, %(looked)s, %(total)s, %(changed)s, %(rate)s,
        %(paused)s, pg_catalog.clock_timestamp())
ON CONFLICT (name) DO UPDATE
   SET place = excluded.place, direction = excluded.direction, checksum = excluded.checksum, key = excluded.key,
       looked = excluded.looked, total = excluded.total, changed = excluded.changed, rate = excluded.rate,
       paused = excluded.paused, at = excluded.at
"""


class Checkpoints:
    """The checkpoint of one backfill of one step."""

    def __init__(self, connection: psycopg.Connection[Any], step: Step, name: str, place: str) -> None:
        self.version = step.migration.id
        self.schema = quoted(stash.schema(step.migration.id).lower())
        self.table = f"{self.schema}.{quoted(TABLE)}"
        self.name = name
        self.place = place
        self.key: tuple[str, ...] = ()
        self.direction = step.direction
        self._checksum = step.migration.checksum
        self._connection = connection

    def begin(self, total: int | None) -> Backfill:
        """How far it is: where an earlier run in this direction has stopped, or at the beginning.

        Raises ChangedMeanwhile. Creates what is missing.
        """
        new = Backfill(self.place, self.direction, self._checksum, total=total)
        with self._connection.transaction():
            self._create()
            found = self._find()
            if found is None or found["direction"] != self.direction.value:
                self.write(new)
                return new
            if found["checksum"] != self._checksum:
                raise ChangedMeanwhile(
                    f"the file of {self.version} was changed after {of_row(found, self.direction).words}",
                    migration=self.version,
                )
            self.key = tuple(found["key"])
            return of_row({**found, "total": total}, self.direction)

    def write(self, progress: Backfill) -> None:
        """Write it down, with the present `key`, in the transaction that is open, or in one of its own."""
        fields = {
            "name": self.name,
            "place": progress.place,
            "direction": progress.direction.value,
            "checksum": progress.checksum,
            "key": list(self.key),
            "looked": progress.looked,
            "total": progress.total,
            "changed": progress.changed,
            "rate": progress.rate,
            "paused": progress.paused,
        }
        self._connection.execute(_WRITE.format(table=self.table.replace("%", "%%")).encode(), fields)

    def drop(self) -> None:
        """Forget it, and the stash with it where nothing else is in it."""
        with self._connection.transaction():
            self._connection.execute(f"DELETE FROM {self.table} WHERE name = %s".encode(), [self.name])
            with self._connection.cursor(row_factory=dict_row) as cursor:
                left = cursor.execute(f"SELECT FROM {self.table} LIMIT 1".encode()).fetchone()
                if left is None:
                    cursor.execute(f"DROP TABLE {self.table}".encode())
                    empty = cursor.execute(_EMPTY, [self.schema.strip('"').replace('""', '"')]).fetchone()
                    if empty is not None:
                        cursor.execute(f"DROP SCHEMA {self.schema}".encode())

    def _create(self) -> None:
        row = (
            self._connection.cursor(row_factory=dict_row)
            .execute(
                "SELECT pg_catalog.to_regclass(%s) IS NOT NULL AS there, pg_catalog.to_regnamespace(%s) IS NOT NULL AS stash",
                [self.table, self.schema],
            )
            .fetchone()
        )
        assert row is not None
        if not row["stash"]:
            for statement in stash.create_quoted(self.version, self.direction):
                self._connection.execute(statement.encode())
        if not row["there"]:
            self._connection.execute(_CREATE.format(table=self.table).encode())

    def _find(self) -> dict[str, Any] | None:
        cursor = self._connection.cursor(row_factory=dict_row)
        return cursor.execute(f"SELECT * FROM {self.table} WHERE name = %s".encode(), [self.name]).fetchone()


_EMPTY = """
SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = %s
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid)
"""


def of_row(row: dict[str, Any], direction: Direction | None = None) -> Backfill:
    """A checkpoint as it is read from its table."""
    return Backfill(
        place=row["place"],
        direction=direction or Direction(row["direction"]),
        checksum=row["checksum"],
        key=shown(row["key"]),
        looked=row["looked"],
        total=row["total"],
        changed=row["changed"],
        rate=row["rate"],
        paused=row["paused"],
        at=row["at"],
    )


def shown(key: Sequence[str]) -> str:
    """A key for a person."""
    return key[0] if len(key) == 1 else f"({', '.join(key)})" if key else ""


__all__ = ["TABLE", "Checkpoints", "of_row", "shown"]
