"""The session that holds the lock: as it was at connect, and then ours, before every step and before what we write.

One run of ten steps is to give what ten runs of one step give. A pooler would say DISCARD ALL between two clients; that
would give the lock away too. So its parts are said one by one, and the locks of others are given back by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dataops.backends.postgres import sql
from dataops.backends.postgres.connection import KEEPALIVES

_RESET_SETTINGS = ["RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL"]
_RESET_OBJECTS = ["CLOSE ALL", "DEALLOCATE ALL", "UNLISTEN *", "DISCARD SEQUENCES", "DISCARD TEMP"]
_OURS = [
    # The server notices a client that was killed in mid-statement, and frees its lock, within a second.
    "SET client_connection_check_interval = '1s'",
    # We may have to hold the lock for long, doing nothing.
    "SET idle_session_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    # A client whose whole machine is gone is noticed within a minute.
    *(f"SET tcp_{name} = {value}" for name, value in KEEPALIVES.items()),
]


class Session:
    """Makes the session of one connection ours, and clean again, as often as that is needed."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """The connection has to be in autocommit. What its server's platform cannot do is left out from now on."""
        connection.prepare_threshold = None  # psycopg would go on using statements that `clean` has deallocated
        self._connection = connection
        self._ours: list[str] = []
        for setting in _OURS:
            try:
                connection.execute(setting.encode())
            except psycopg.Error:  # such as client_connection_check_interval, away from Linux
                continue
            self._ours.append(setting)

    def clean(self, timeouts: StepTimeouts) -> None:
        """Outside of a transaction: take back everything that a file may have left, but not our lock."""
        self._together([*_RESET_SETTINGS, *_RESET_OBJECTS, *self._ours, *timeouts.statements])
        with self._connection.cursor(row_factory=dict_row) as cursor:
            # Each lock has to be given back as often as it was taken.
            while any(row["released"] for row in cursor.execute(sql.RELEASE_OTHER_LOCKS, [sql.LOCK_KEY])):
                pass

    def end_file(self, timeouts: StepTimeouts) -> None:
        """In the transaction of a file that is done: check what it deferred, as it is set up, then reset the settings.

        So what we write next is written as ourselves and in time, whatever role and time-outs the file has set.
        """
        self._together(["SET CONSTRAINTS ALL IMMEDIATE", *_RESET_SETTINGS, *self._ours, *timeouts.statements])

    def _together(self, statements: list[str]) -> None:
        self._connection.execute("; ".join(statements).encode())


@dataclass(frozen=True)
class StepTimeouts:
    """How long a statement may wait for the lock of a table, and how long it may take, in seconds; 0 is no limit."""

    table_lock: float
    statement: float

    @property
    def statements(self) -> list[str]:
        """The SQL that sets them in a session."""
        both = (("lock_timeout", self.table_lock), ("statement_timeout", self.statement))
        return [f"SET {name} = '{round(seconds * 1000)}ms'" for name, seconds in both]


__all__ = ["Session", "StepTimeouts"]
