"""What became of the transaction of a step: asked of the server, not read out of the file's text.

A file may end the transaction that it was given: by COMMIT in SQL, by `commit()` on its bind, by an autocommit block in
a helper; or it may commit on a second connection of its engine. Whoever calls a step rolled back has to know.
"""

from __future__ import annotations

from typing import Any

from dataops.backends.postgres.connection import WatchedConnection


class Watch:
    """The transaction in which a step began, on the connection that holds the lock, and the step's other connections.

    `begin` is called first in the transaction. Before that the step has done nothing. After `end_file`,
    `is_one_transaction` says whether all that the file did is in the transaction that is still open.
    """

    def __init__(self, connection: WatchedConnection) -> None:
        self.others: list[WatchedConnection] = []
        self._connection = connection
        self._id = ""
        self.is_one_transaction = False
        self._commits = connection.commits

    def begin(self) -> None:
        """Remember which transaction it is."""
        self._id = self._ask("SELECT pg_current_xact_id()::text AS answer")
        self._commits = self._connection.commits

    def end_file(self, transaction: str | None) -> None:
        """When the file is done: the id of the transaction that is open now, None when it has none yet."""
        self.is_one_transaction = transaction == self._id

    def was_rolled_back(self) -> bool:
        """Whether the server has rolled back the transaction of `begin`. The file may have gone on in another one."""
        return not self._id or self._ask("SELECT pg_xact_status(%s::xid8) AS answer", self._id) == "aborted"

    def may_have_committed(self) -> bool:
        """Whether something was committed since `begin`, as far as its connections have seen. Asks nobody."""
        return self._connection.commits != self._commits or any(other.commits for other in self.others)

    def close(self) -> None:
        """Close what the file has left open of its own connections; what is not committed there is rolled back."""
        for other in self.others:
            other.close()

    def _ask(self, question: str, *values: str) -> str:
        with self._connection.cursor() as cursor:
            row: Any = cursor.execute(question.encode(), values or None).fetchone()
        return str(row["answer"] if isinstance(row, dict) else row[0])


__all__ = ["Watch"]
