"""Whether the transaction of a step was committed or rolled back. The server is asked; the file's text is not searched.

A file may end the transaction that it was given: by COMMIT in SQL, by `commit()` on its bind, or by an autocommit block
in a helper. It may also commit on a second connection of its engine, or with a client of its own. A step may only be
called rolled back, and only be tried again, when nothing of that happened.

The process may die before it can ask. For the run after it there is the mark: a journal entry that is written first in
the transaction of the step, and is committed with whatever the file commits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from dataops.backends.journal import to_fields
from dataops.backends.postgres import sql
from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.tables import OurTables
from dataops.model import Entry


class StepTransaction:
    """The transaction that a step began on the connection that holds the lock, and the step's other connections.

    `begin` is called first in the transaction; before that, the step has done nothing. After `end_file`,
    `is_one_transaction` says whether the transaction of `begin` is still the open one. Then it has all that the file
    did on this connection.
    """

    def __init__(self, connection: WatchedConnection, ours: OurTables, mark: Entry | None = None) -> None:
        """`mark` is the entry that warns the next run; None for a step whose file says that it is not atomic."""
        self._others: list[WatchedConnection] = []
        self._connection = connection
        self._ours = ours
        self._mark = mark
        self._id = ""
        self.is_one_transaction = False
        self.outside = ""
        self._commits = connection.commits
        self._rollbacks = connection.rollbacks
        self._prepared = connection.prepared

    def begin(self) -> None:
        """Remember the id of the transaction, and write the mark in it. If it is rolled back, the mark is gone too."""
        self._id = self._ask("SELECT pg_current_xact_id()::text AS answer")
        self._commits = self._connection.commits
        self._rollbacks = self._connection.rollbacks
        self._prepared = self._connection.prepared
        self._write_mark(self._connection)

    def add(self, other: WatchedConnection) -> None:
        """One more connection of the step, in autocommit: the mark is committed before the file can commit anything."""
        self._others.append(other)
        self._write_mark(other)

    def reach_out(self, what: str, connect: Callable[[], WatchedConnection]) -> None:
        """The file is about to reach out by itself; `what` says how. What it commits there counts as committed.

        The mark is committed first, on a connection of ours. Afterwards `outside` is `what` came first.
        """
        if not self.outside:
            with closing(connect()) as connection:
                self._write_mark(connection)
            self.outside = what

    def end_file(self, transaction: str | None) -> None:
        """Called when the file is done, with the id of the open transaction; None when none is open or it has no id."""
        self.is_one_transaction = transaction == self._id

    def was_rolled_back(self) -> bool:
        """Whether the server has rolled back the transaction of `begin`. The file may have begun another one since."""
        return not self._id or self._ask("SELECT pg_xact_status(%s::xid8) AS answer", self._id) == "aborted"

    def lost_work(self) -> str:
        """How a transaction with work of the file ended without a commit: that of `begin`, or one that the file began.

        "" when none did. Called after `end_file`. What the file does on other connections, it began there by itself.
        """
        if self._connection.rollbacks != self._rollbacks or (not self.is_one_transaction and self.was_rolled_back()):
            return "rolled back its own transaction: what it did in it is gone"
        if self._connection.prepared != self._prepared:
            return "said PREPARE TRANSACTION: what it did waits for somebody's COMMIT PREPARED or ROLLBACK PREPARED"
        return ""

    def may_have_committed(self) -> bool:
        """Whether something may have been committed by the file, on whatever connection. Sends nothing."""
        return (
            bool(self.outside)
            or self._connection.commits != self._commits
            or any(other.commits for other in self._others)
        )

    def remove_mark(self) -> None:
        """Delete the mark, unless something may have been committed. Called last in the transaction of the step."""
        if self._mark is not None and not self.may_have_committed():
            self._ours.execute(self._connection, sql.DELETE_MARK, to_fields(self._mark))

    def close(self) -> None:
        """Close the step's other connections. What is not committed on them is rolled back."""
        for other in self._others:
            other.close()

    def _write_mark(self, connection: WatchedConnection) -> None:
        if self._mark is not None:
            self._ours.append(connection, self._mark)

    def _ask(self, question: str, *values: str) -> str:
        with self._connection.cursor() as cursor:
            row: Any = cursor.execute(question.encode(), values or None).fetchone()
        return str(row["answer"] if isinstance(row, dict) else row[0])


__all__ = ["StepTransaction"]
