"""Why a backfill of PostgreSQL has to wait: asked of the server, on a connection of its own that only reads."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dataops.backends.postgres import pausing
from dataops.backends.postgres.connection import WatchedConnection, error_text
from dataops.backfill import BackfillRefused
from dataops.backfill.loop import Signal
from dataops.durations import clock
from dataops.errors import DataopsError
from dataops.model import Limits
from dataops.redaction import redact
from dataops.text import size_text

_PRESENT = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint AS present"

_STANDBYS = """
SELECT coalesce(nullif(r.application_name, ''), host(r.client_addr), r.pid::text) AS name,
       pg_catalog.pg_wal_lsn_diff(r.replay_lsn, '0/0')::bigint AS replayed,
       extract(epoch FROM r.replay_lag)::float8 AS lag,
       extract(epoch FROM pg_catalog.clock_timestamp() - r.reply_time)::float8 AS silent
  FROM pg_catalog.pg_stat_replication r
 WHERE r.replay_lsn IS NOT NULL
"""
"""A standby that hangs sends no replies, and then the server's own `replay_lag` stays as it was."""

_ARCHIVE = """
SELECT pg_catalog.current_setting('archive_mode') <> 'off' AS archives, a.last_archived_wal AS archived,
       pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) AS present,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')) AS segment
  FROM pg_catalog.pg_stat_archiver a
"""

_WAITING = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l
                WHERE NOT l.granted AND %s = ANY (pg_catalog.pg_blocking_pids(l.pid))) AS waits
"""
"""Of pg_stat_activity, one who is not in pg_monitor sees nothing of the sessions of others."""

_OTHERS = """
SELECT (xact_commit + xact_rollback)::bigint AS done FROM pg_catalog.pg_stat_database
 WHERE datname = pg_catalog.current_database()
"""

_COUNT_NOW = "SELECT pg_catalog.pg_stat_force_next_flush()"
_COUNTS_BY_ITSELF = "SELECT"
_COUNTS_AGAIN_SECONDS = 0.6
"""A session counts what it has done at the end of a transaction, if it has not done so for a second (14: half a second)
or is told to, which is new in 15."""

_GONE_SECONDS = 300.0
_REMEMBERED = 2000  # positions of the WAL, one a second or less often


class Observer:
    """What the server says while a backfill works. `signals` are asked between two batches."""

    def __init__(self, look: Callable[[], WatchedConnection], worker: int, limits: Limits, schema: str) -> None:
        """`look` opens a connection, `worker` is the process that runs the batches, `schema` that of our journal."""
        self._look = look
        self._worker = worker
        self._limits = limits
        self._schema = schema
        self._connection: WatchedConnection | None = None
        self._positions: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._lagging: dict[str, float] = {}
        self._first_segment: int | None = None
        self._asked = False

    @property
    def signals(self) -> Sequence[Signal]:
        limits = self._limits
        wanted = (
            (True, self._paused),
            (limits.lag, self._lag),
            (limits.unarchived, self._unarchived),
            (limits.pause_while, self._own_rule),
        )
        return [signal for limit, signal in wanted if limit]

    def others(self, worker: WatchedConnection) -> int | None:
        """How many transactions of others have ended in this database up to now, by the server's statistics.

        `worker` runs the batches, and is in none. The server is made to count all of its transactions, and ours, before
        they are taken out.
        """

        def count(looking: WatchedConnection) -> int:
            knows_how = looking.info.server_version >= 150000
            if not knows_how:
                time.sleep(_COUNTS_AGAIN_SECONDS)
            for connection in (worker, looking):
                connection.execute(_COUNT_NOW if knows_how else _COUNTS_BY_ITSELF)
            ours = worker.commits + looking.commits
            row = looking.cursor(row_factory=dict_row).execute(_OTHERS).fetchone()
            return int(row["done"]) - ours if row else 0

        counted: int | None = self._ask(count)
        return counted

    def keeps_waiting(self) -> bool:
        """Whether some session waits for what the batch holds just now."""
        rows = self._rows(_WAITING, [self._worker])
        return bool(rows and rows[0]["waits"])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _paused(self) -> str:
        paused = self._ask(lambda connection: pausing.read(connection, self._schema))
        return str(paused) if paused else ""

    def _lag(self) -> str:
        present = self._rows(_PRESENT)
        if not present:
            return ""
        now = time.monotonic()
        self._positions.append((now, int(present[0]["present"])))
        standbys = self._rows(_STANDBYS) or []
        lags = {str(row["name"]): self._behind(row, now) for row in standbys}
        slow = {name: seconds for name, seconds in lags.items() if seconds > self._limits.lag}
        for name in slow:
            self._lagging[name] = now
        gone = {name: at for name, at in self._lagging.items() if name not in lags and now - at < _GONE_SECONDS}
        self._lagging = {**dict.fromkeys(slow, now), **gone}
        if slow:
            name = max(slow, key=lambda one: slow[one])
            return f"the standby {redact(name)} is {clock(slow[name])} behind"
        if gone:
            return f"the standby {redact(next(iter(gone)))} was behind and is not connected any more"
        return ""

    def _behind(self, row: dict[str, Any], now: float) -> float:
        """How many seconds a standby is behind: since when there has been WAL that it has not replayed yet."""
        later = next((at for at, position in self._positions if position > row["replayed"]), None)
        if later is None:
            return 0.0
        silent = row["silent"] if row["silent"] is not None else 0.0
        return float(max(now - later, row["lag"] or 0.0, silent))

    def _unarchived(self) -> str:
        rows = self._rows(_ARCHIVE)
        if not rows or not rows[0]["archives"]:
            return ""
        archived, present = (_segment(rows[0][name], rows[0]["segment"]) for name in ("archived", "present"))
        if present is None:
            return ""
        if archived is None:  # nothing ever was: what comes from now on is counted
            self._first_segment = present if self._first_segment is None else self._first_segment
            archived = self._first_segment - 1
        waiting = max(0, present - archived - 1) * int(rows[0]["segment"])
        if waiting <= self._limits.unarchived:
            return ""
        return f"{size_text(waiting)} of WAL are not archived yet"

    def _own_rule(self) -> str:
        def ask(connection: WatchedConnection) -> str:
            row = connection.ask(self._limits.pause_while).fetchone()
            said = row[0] if row else None
            return "" if not said else f"pause_while says {redact(str(said))}"

        try:
            answer = ask(self._connected())
        except (psycopg.Error, DataopsError) as error:
            if not self._asked:
                raise BackfillRefused(f"pause_while cannot be asked: {error_text(error)}") from error
            return f"pause_while cannot be asked: {error_text(error)}"
        self._asked = True
        return answer

    def _rows(self, question: str, values: Sequence[Any] | None = None) -> list[dict[str, Any]] | None:
        """The rows of an answer; None where this user may not ask, or the server cannot say."""

        def ask(connection: WatchedConnection) -> list[dict[str, Any]]:
            return connection.cursor(row_factory=dict_row).execute(question.encode(), values).fetchall()

        rows: list[dict[str, Any]] | None = self._ask(ask)
        return rows

    def _ask(self, question: Callable[[WatchedConnection], Any]) -> Any:
        try:
            return question(self._connected())
        except (psycopg.Error, DataopsError):  # not to be able to look must not end the work
            if self._connection is not None and (self._connection.closed or self._connection.broken):
                self._connection = None
            return None

    def _connected(self) -> WatchedConnection:
        if self._connection is None:
            self._connection = self._look()
        return self._connection


def _segment(name: str | None, size: int) -> int | None:
    """The number of a file of WAL: its name is timeline, log and segment, of 8 hexadecimal digits each."""
    found = re.match(r"[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})", name or "")
    return int(found[1], 16) * ((1 << 32) // size) + int(found[2], 16) if found else None


__all__ = ["Observer"]
