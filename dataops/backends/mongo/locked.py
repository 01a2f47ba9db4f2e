"""A MongoDB database while we hold its lock.

The migration and the lease have a client each. When the lease is lost, the client of the migration is closed, so that
whatever the migration does next fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.database import Database as MongoDB
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from dataops.backends import HalfDone, Waiting
from dataops.backends.journal import seal, to_fields
from dataops.backends.loading import function_of, load_module
from dataops.backends.locking import wait_for
from dataops.backends.mongo import lease, othertools
from dataops.backends.mongo.backfilling import MongoBackfills
from dataops.backends.mongo.connection import Document, database_of, error_text
from dataops.backends.mongo.listener import Listener
from dataops.backends.mongo.operations import Operation, Operations, app_name
from dataops.backends.mongo.state import JOURNAL
from dataops.backfill import served_by
from dataops.errors import LockLost, LockNotObtained, StalePlan, Stopped, Unreachable
from dataops.model import Adopted, Author, Direction, Doing, Entry, Migration, Sent, State, Step
from dataops.othertools.mirror import row_for
from dataops.redaction import redact
from dataops.stash import mongo as stash
from dataops.statements import Tally
from dataops.toolrecords import ToolRecord

if TYPE_CHECKING:
    from dataops.backends.mongo import MongoDatabase

_POLL_SECONDS = 0.3
_GRACE_SECONDS = 5.0  # for an operation that was told to end


@contextmanager
def lock(
    database: MongoDatabase, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
) -> Iterator[MongoLocked]:
    """See dataops.backends.Database.lock."""
    server, service = database.server, database.service
    seconds = service.timeouts.lease
    # A call of the lease's client must not hang for longer than a lease lasts.
    keeper = server.client("dataops-lease", socketTimeoutMS=round(seconds * 1000 / 3))
    with closing(keeper):
        locks = database_of(keeper)
        its_lease = lease.Lease(locks, seconds, lost=lambda: locked.abort())
        locked = MongoLocked(database, its_lease, author)
        ended = True
        try:
            with server.explaining():
                wait_for(
                    partial(its_lease.take, author),
                    partial(lease.holder, locks),
                    service=service,
                    timeout=timeout,
                    waiting=waiting,
                    stop=stop,
                    poll_seconds=_POLL_SECONDS,
                )
                locked.end_what_others_left(timeout, stop)
                locks[JOURNAL].create_index("seq", name="seq", unique=True)
            yield locked
        finally:
            if its_lease.taken:
                ended = locked.end_own_operations() == []
            locked.close()
            its_lease.release(give_back=ended)


class MongoLocked:
    """See dataops.backends.Locked for the promises."""

    def __init__(self, database: MongoDatabase, its_lease: lease.Lease, author: Author) -> None:
        """Makes the client that migrates. `close` has to be called."""
        self.database = database
        self.notes: tuple[str, ...] = ()
        self._service = database.service
        self._explaining = database.server.explaining
        self._lease = its_lease
        self._run = author.run
        self._migration = ""
        self._changelog = othertools.changelog_of(self._service.aliases)
        self._tally = Tally("documents", redact)
        listener = Listener(self._service.name, self._tally, its_lease.refuse_late)
        name = app_name(author.run, database.asking().name)
        # Dates come without a time zone, as pymongo-migrate gives them to the same files.
        self._work = database.server.client(name, tz_aware=False, event_listeners=[listener])

    def close(self) -> None:
        """Close the client that migrates."""
        self._work.close()

    def end_what_others_left(self, seconds: float, stop: Callable[[], bool]) -> None:
        """End and await what the server still does for runs that have lost the lease, which is ours now.

        Raises LockNotObtained when something is left after `seconds`, and Stopped.
        """

        def go_on() -> None:
            self.check()
            if stop():
                raise Stopped("stopped while waiting for the operations of another run", service=self._service.name)

        operations = Operations(self.database.asking())
        silent_at = lease.clock() + self._lease.seconds
        while True:
            left = operations.end(lambda run: run != self._run, seconds=max(seconds, _GRACE_SECONDS), allowed=go_on)
            if left:
                raise LockNotObtained(
                    f"the server is still busy with {left[0]}",
                    service=self._service.name,
                    hint="wait until it has ended; more: dataops docs operations what-a-dead-run-has-left",
                )
            # A run that lost the lease and still has connections may send one more command, until it notices by its own
            # clock, which may take as long as the lease lasts.
            if not self._lease.dead or lease.clock() > silent_at or not operations.connected(self._lease.dead):
                return
            go_on()
            time.sleep(_POLL_SECONDS)

    def end_own_operations(self) -> list[Operation] | None:
        """End what the server still does for this run, and return what cannot be ended; None when nobody can know."""
        try:
            operations = Operations(self.database.asking())
            return operations.end(
                lambda run: run == self._run, seconds=max(self._service.timeouts.lock, _GRACE_SECONDS)
            )
        except PyMongoError:
            return None

    def read(self) -> State:
        return self.database.read()

    def check(self) -> None:
        try:
            self._lease.check()
        except LockLost as error:
            raise LockLost(error.message, service=self._service.name) from error

    def write(self, entry: Entry) -> None:
        with self._explaining():
            self.check()
            try:
                self._lease.write(JOURNAL, self._sealed(entry, *self._lease.newest_hash(JOURNAL)))
            except OperationFailure as error:
                raise Unreachable(
                    f"the journal cannot be written: {error_text(error)}",
                    service=self._service.name,
                    hint=f"look at the collection {JOURNAL}; dataops history shows what it has",
                ) from error

    def _sealed(self, entry: Entry, previous: str, at: datetime) -> Document:
        """The document of an entry in the journal, bound to the one before."""
        stored = {"seq": self._lease.next_seq(), **to_fields(entry), "at": at}
        return {**stored, **seal(stored, previous)}

    def run(self, step: Step, end: Callable[[], Entry]) -> Entry:
        migrate = function_of(load_module(self._service, step.migration), step)
        self.check()
        migrated = False
        self._migration = step.migration.id
        backfills = MongoBackfills(step, self.database.asking, self._service.limits, self._tally)
        with self._tally.counting():
            try:
                with served_by(backfills):
                    migrate(database_of(self._work))
                backfills.ended()
                migrated = True
                return self._record(step, end)
            except BaseException as error:
                self._end_failed_step(error)
                if migrated or (self._tally.sent().writes and not backfills.left_nothing):
                    cut_off = isinstance(error, ConnectionFailure)
                    raise HalfDone(error, error_text(error), cut_off=cut_off) from error
                raise
            finally:
                self._lease.told = None

    def _end_failed_step(self, error: BaseException) -> None:
        """End what the server still does for a step that has failed. Raises LockLost."""
        left = self.end_own_operations()
        try:
            self.check()
        except LockLost as lost:
            raise lost from error
        if left:
            error.add_note(f"the server is still busy with {left[0]}")

    def tell(self, doing: Doing) -> None:
        whole = {"done": round(doing.done), "total": None if doing.total is None else round(doing.total)}
        self._lease.told = {"migration": self._migration, **whole, "unit": doing.unit, "rate": doing.rate}

    def sent(self) -> Sent:
        return self._tally.sent()

    def _record(self, step: Step, end: Callable[[], Entry]) -> Entry:
        """Write down everywhere that the step is done."""
        applied = step.direction is Direction.APPLY
        # These writes are no transaction, so a crash may come between them. The order makes sure that the mirrored
        # record never has a migration that ours lacks: that would look as if the other tool had applied it. If the
        # mirrored record lacks one, the next run adds it.
        if self._service.mirror and not applied:
            self._mirror(step.migration, applied=False)
        self._record_natively(step.migration.id, applied=applied)
        if self._service.mirror and applied:
            self._mirror(step.migration, applied=True)
        entry = end()
        self.write(entry)
        return entry

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        now = self.read()
        if (entry.migration in now.applied_ids or entry.migration in now.unknown) is not applied:
            self._record_natively(entry.migration, applied=applied)
        self.write(entry)

    def adopt(self, record: ToolRecord | None, adopted: Sequence[Adopted]) -> None:
        with self._explaining():
            db = self.database.asking()
            if record is not None:
                self._refuse_changed(db, record)
            ids = [one.entry.migration for one in adopted]
            before = {
                str(document["name"]): document for document in db[self._service.record].find({"name": {"$in": ids}})
            }
            documents: list[lease.Write] = []
            previous, now = self._lease.newest_hash(JOURNAL)
            for one in adopted:
                entry = self._sealed(one.entry, previous, now)
                previous = str(entry["hash"])
                documents += [self._adopted(one, before), (JOURNAL, {"_id": ObjectId(), **entry}, None)]
            if self._lease.write_together(documents):
                return
            self._write_one_by_one(db, documents, list(before.values()))

    def complete_mirror(self, missing: Sequence[Migration]) -> None:
        if missing:
            with self._explaining():
                present = othertools.names_there(self.database.asking(), self._service)
            for migration in missing:
                self._add_to_mirror(migration, present)

    def prune(self, migration: str, entry: Entry) -> None:
        self.check()
        with self._explaining():
            try:  # by the client that migrates, so that the next run can end what a dead one has left
                stash.prune(database_of(self._work), migration)
            except lease.LeaseOver:
                self.check()
                raise
        self.write(entry)

    def abort(self) -> None:
        with suppress(PyMongoError):  # best effort: closing the client is what certainly stops the migration
            Operations(self.database.asking()).end(lambda run: run == self._run, seconds=0)
        self.close()

    def _record_natively(self, id_: str, *, applied: bool) -> None:
        """Write the fields that pymongo-migrate would write, `name` and `applied`, and no other."""
        with self._explaining():
            self.check()
            found = self.database.asking()[self._service.record].find({"name": id_}, {"_id": 1})
            for one in [document["_id"] for document in found] or [ObjectId()]:
                document = {"_id": one, "name": id_}
                if applied:
                    self._lease.write(self._service.record, document, at="applied")
                else:
                    self._lease.write(self._service.record, {**document, "applied": None})

    def _mirror(self, migration: Migration, *, applied: bool) -> None:
        """Make migrate-mongo's record agree with what the step did."""
        with self._explaining():
            present = othertools.names_there(self.database.asking(), self._service)
            if applied:
                self._add_to_mirror(migration, present)
            else:
                self.check()
                there = {"fileName": {"$in": present.get(migration.id, [])}}
                self.database.asking()[self._changelog].delete_many(there)

    def _add_to_mirror(self, migration: Migration, present: Mapping[str, Sequence[str]]) -> None:
        """Add the document that migrate-mongo would have written, unless it is there.

        `present` are the file names in migrate-mongo's record, by migration.
        """
        if migration.id not in present:
            with self._explaining():
                self.check()
                row = row_for(self._service, migration)
                hashed = {"fileHash": row.checksum.lower()} if row.checksum else {}
                self._lease.write(self._changelog, {"fileName": row.name, **hashed}, at="appliedAt")

    # Adopting

    def _refuse_changed(self, db: MongoDB[Document], record: ToolRecord) -> None:
        now = {
            found.tool: found.rows for found in othertools.read(db, db.list_collection_names(), self._service.aliases)
        }
        if now.get(record.tool, ()) != record.rows:
            raise StalePlan(
                f"{record.tool} has changed its record meanwhile",
                service=self._service.name,
                hint="look again: dataops adopt",
            )

    def _adopted(self, one: Adopted, before: dict[str, Document]) -> lease.Write:
        """The document in the native record for one adopted migration.

        `before` are the documents that the native record had, by migration.
        """
        id_, applied = one.entry.migration, one.entry.direction is Direction.APPLY
        row: Document = {"_id": before.get(id_, {}).get("_id") or ObjectId(), "name": id_}
        if not applied or one.at is not None:
            row["applied"] = one.at if applied else None
        return self._service.record, row, "applied" if applied and one.at is None else None

    def _write_one_by_one(
        self, db: MongoDB[Document], documents: Sequence[lease.Write], before: Sequence[Document]
    ) -> None:
        """Write without a transaction: one document after the other, and all are taken back when one of them fails."""
        try:
            for collection, document, server_time in documents:
                self._lease.write(collection, document, at=server_time)
        except Exception:
            with suppress(PyMongoError):  # the first error is the one to report
                ids: list[Any] = [document["_id"] for _, document, _ in documents]
                db[JOURNAL].delete_many({"_id": {"$in": ids}})
                db[self._service.record].delete_many({"_id": {"$in": ids}})
                if before:
                    db[self._service.record].insert_many(before)
            raise


__all__ = ["MongoLocked", "lock"]
