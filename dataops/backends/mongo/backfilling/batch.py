"""What the batches of both directions have in common: one transaction each, which gives up rather than be in the way.

A server never lets a transaction wait for a document: it refuses the batch, which is then tried again with less.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pymongo
from pymongo.client_session import ClientSession
from pymongo.errors import ConnectionFailure, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from dataops.backends.mongo.backfilling.checkpoint import Checkpoints
from dataops.backends.mongo.backfilling.place import Key, Place, shown
from dataops.backends.mongo.backfilling.signals import Observer
from dataops.backfill.around import Around
from dataops.backfill.loop import Batch, InTheWay
from dataops.backfill.sharing import Latencies
from dataops.model import Backfill

_BATCH_SECONDS = 0.9
_AGAIN_SECONDS = 0.1
_EXPIRED = 50
_GIVES_UP = {_EXPIRED, 112, 24, 388}  # too long; a write conflict; a lock of the catalogue; more than the cache holds
_SNAPSHOT, _MAJORITY = ReadConcern("snapshot"), WriteConcern("majority")


class Batching:
    """Runs batches in transactions, where the server has them."""

    most = 10_000  # so that one batch is a moderate entry in the oplog

    def __init__(
        self, place: Place, checkpoints: Checkpoints, observer: Observer, around: Around, *, transactions: bool
    ) -> None:
        self.place = place
        self.checkpoints = checkpoints
        self.observer = observer
        self.signals = observer.signals
        self.transactions = transactions
        self._check = around.check

    def others(self) -> int | None:
        return self.observer.others()

    def latencies(self) -> Latencies | None:
        return self.observer.latencies()

    def note(self, progress: Backfill) -> None:
        self.checkpoints.tell(progress)

    def again(self) -> None:
        self.checkpoints.key = ()

    def forget(self) -> bool:
        """Forget that it was tried, if nothing was changed. Returns whether that is so."""
        return False

    @contextmanager
    def transaction(self, size: int) -> Iterator[ClientSession | None]:
        """One batch; its session is None on a server without transactions.

        Raises InTheWay when nothing is left of it because of somebody else, or because it took too long. One of a
        single document may take as long as it takes.
        """
        with self.giving_up(size):
            if not self.transactions:
                yield None
                return
            with self.place.db.client.start_session() as session:
                session.start_transaction(_SNAPSHOT, _MAJORITY)
                try:
                    with pymongo.timeout(None if size == 1 else _BATCH_SECONDS):
                        yield session
                except BaseException:
                    session.abort_transaction()
                    raise
                self._commit(session)

    def progress(
        self, before: Backfill, end: Key, looked: int, changed: int, session: ClientSession | None
    ) -> Backfill:
        """Write down how far it is, still in the transaction of the batch. Without an end, the pass is at its own."""
        key = end or self.checkpoints.key
        progress = replace(
            before, key=shown(key), looked=before.looked + looked, changed=before.changed + changed, paused=""
        )
        self.checkpoints.write(progress, key, session)
        return progress

    def done(self, progress: Backfill, end: Key, looked: int) -> Batch:
        """The batch is committed."""
        self.checkpoints.key = end or self.checkpoints.key
        return Batch(progress, looked, last=not end)

    def _commit(self, session: ClientSession) -> None:
        """Commit, and ask again for as long as nobody knows whether it is committed."""
        while True:
            try:
                session.commit_transaction()
                return
            except PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult"):
                    raise
                self._check()
                time.sleep(_AGAIN_SECONDS)

    @contextmanager
    def giving_up(self, size: int) -> Iterator[None]:
        """Raise InTheWay for what may be tried again, because nothing is left of it."""
        try:
            yield
        except PyMongoError as error:
            code = error.code if isinstance(error, OperationFailure) else None
            lost = self.transactions and (error.timeout or isinstance(error, ConnectionFailure))
            if lost or error.has_error_label("TransientTransactionError") or code in _GIVES_UP:
                raise InTheWay(_why(error, code, size)) from error
            raise
        except DocumentTooLarge as error:  # the _ids of a batch, in one command
            if size == 1:
                raise
            raise InTheWay(f"a batch of {size:,} is too large for a command, and is tried again with less") from error


def _why(error: PyMongoError, code: int | None, size: int) -> str:
    if code == _EXPIRED or error.timeout:
        return f"a batch of {size:,} took too long, and is tried again with less"
    if isinstance(error, ConnectionFailure):
        return f"there is no answer from a primary ({type(error).__name__})"
    what = (error.details or {}).get("codeName") if isinstance(error, OperationFailure) else None
    return f"another client is at documents of the next batch ({what or type(error).__name__})"


__all__ = ["Batching"]
