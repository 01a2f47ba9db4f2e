"""The session that holds the lock: it is reset before every step, so that no step sees what an earlier one left there.

One run of ten steps has to give the same as ten runs of one step. A pooler sends DISCARD ALL between two clients, but
that would release our lock too. So we send the parts of DISCARD ALL one by one, and release only the other locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dataops.backends.postgres import sql
from dataops.backends.postgres.connection import KEEPALIVES, UNANSWERED

_RESET_SETTINGS = ["RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL"]
_RESET_OBJECTS = ["CLOSE ALL", "DEALLOCATE ALL", "UNLISTEN *", "DISCARD SEQUENCES", "DISCARD TEMP"]
_OURS = [
    # The server notices within a second that a client was killed during a statement, and releases its lock.
    "SET client_connection_check_interval = '1s'",
    # We may hold the lock for a long time without sending anything.
    "SET idle_session_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    # The server notices within a minute that the client's machine is gone.
    *(f"SET tcp_{name} = {value}" for name, value in KEEPALIVES.items()),
    f"SET tcp_user_timeout = {UNANSWERED}",
]


class Session:
    """The session of one connection: sets what we need in it, and takes back what migration files left in it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """The connection has to be in autocommit. A setting that this server does not support is never sent again."""
        connection.prepare_threshold = None  # otherwise psycopg would use statements that `clean` has deallocated
        self._connection = connection
        try:
            self._together(_OURS)
            self._ours = _OURS
        except psycopg.Error:  # for example client_connection_check_interval on a server that is not on Linux
            self._ours = [setting for setting in _OURS if self._is_supported(setting)]

    def _is_supported(self, setting: str) -> bool:
        try:
            self._connection.execute(setting.encode())
        except psycopg.Error:
            return False
        return True

    def clean(self, timeouts: StepTimeouts) -> None:
        """Take back everything that a file may have left in the session, except our lock. Not inside a transaction."""
        self._together([*_RESET_SETTINGS, *_RESET_OBJECTS, *self._ours, *timeouts.statements])
        with self._connection.cursor(row_factory=dict_row) as cursor:
            # A lock that was taken several times has to be released as many times.
            while any(row["released"] for row in cursor.execute(sql.RELEASE_OTHER_LOCKS, [sql.LOCK_KEY])):
                pass

    def end_file(self, timeouts: StepTimeouts, shield: str) -> None:
        """Check the deferred constraints of a file that is done, then reset the settings. Inside its transaction.

        The constraints are checked first, with the role and the settings of the file. After the reset we write as our
        own user and with our own timeouts and search_path (`shield`), whatever the file has set.
        """
        self._together(["SET CONSTRAINTS ALL IMMEDIATE", *_RESET_SETTINGS, *self._ours, *timeouts.statements, shield])

    def _together(self, statements: list[str]) -> None:
        self._connection.execute("; ".join(statements).encode())


@dataclass(frozen=True)
class StepTimeouts:
    """Seconds that a statement may wait for the lock of a table, and that it may take. 0 means no limit."""

    table_lock: float
    statement: float

    @property
    def statements(self) -> list[str]:
        """The SQL that sets them in a session."""
        both = (("lock_timeout", self.table_lock), ("statement_timeout", self.statement))
        return [f"SET {name} = '{round(seconds * 1000)}ms'" for name, seconds in both]


__all__ = ["Session", "StepTimeouts"]
