"""How far a step is, told to other processes: in the name of a session of its own, which ends with the step.

The session that migrates cannot say it: what it sends would be part of the migration's transaction. A table cannot say
it either: a row that is written again and again would be work for vacuum, and needs rights. Every user may see the
application_name of every session.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from dataops.backends.postgres import sql
from dataops.backends.postgres.connection import Server, WatchedConnection
from dataops.model import Doing
from dataops.redaction import redact

_FORMAT = re.compile(r"dataops-at/\d+ (\d+)/(\d+|-) ([\d.e+-]+) (.*)")
_CLOSING_SECONDS = 1.0


class Telling:
    """Tells how far the step of one locked database is. `tell` is called from another thread than the rest."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._mutex = threading.Lock()
        self._running = False
        self._connection: WatchedConnection | None = None

    @contextmanager
    def of_step(self) -> Iterator[None]:
        """The scope in which `tell` tells something. At its end the session is closed."""
        self._running = True
        try:
            yield
        finally:
            self._running = False
            if self._mutex.acquire(timeout=_CLOSING_SECONDS):  # else the thread that waits for the server closes it
                try:
                    self._close()
                finally:
                    self._mutex.release()

    def tell(self, doing: Doing) -> None:
        """See dataops.backends.Tells."""
        with self._mutex:
            try:
                if self._running:
                    self._name_session(doing)
            finally:
                if not self._running:
                    self._close()

    def _name_session(self, doing: Doing) -> None:
        connection = self._connection or self._server.connect("dataops-at")
        self._connection = connection
        connection.answer_within = self._server.answer_within
        try:
            connection.execute(sql.TELL, {"text": _text(doing), "key": sql.LOCK_KEY})
        except psycopg.OperationalError:  # the server has ended an idle session, for example: the next one is new
            self._close()
        except (psycopg.Error, UnicodeError) as error:
            raise self._server.explained(error, connection) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _text(doing: Doing) -> str:
    total = "-" if doing.total is None else str(round(doing.total))
    rate = "-" if doing.rate is None else f"{doing.rate:.4g}"
    return f"{round(doing.done)}/{total} {rate} {doing.unit}"


def told(connection: psycopg.Connection[dict[str, object]]) -> Doing | None:
    """What the holder of our lock has told of its step."""
    row = connection.execute(sql.TOLD, [sql.LOCK_KEY]).fetchone()
    found = _FORMAT.fullmatch(str(row["name"])) if row else None
    if found is None:
        return None
    done, total, rate, unit = found.groups()
    return Doing("", int(done), None if total == "-" else int(total), redact(unit), _number(rate))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


__all__ = ["Telling", "told"]
