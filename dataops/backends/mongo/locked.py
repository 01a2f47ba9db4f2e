"""A MongoDB database while we hold its lock.

The migration and the lease have a client each. When the lease is lost, the client of the migration is closed, so that
whatever the migration does next fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database as MongoDB
from pymongo.errors import OperationFailure, PyMongoError

from dataops.backends import Waiting
from dataops.backends.journal import to_fields
from dataops.backends.loading import function_of, load_module
from dataops.backends.locking import wait_for
from dataops.backends.mongo import lease, othertools
from dataops.backends.mongo.connection import Document, database_of, error_text
from dataops.backends.mongo.listener import Listener
from dataops.backends.mongo.state import JOURNAL, RECORD
from dataops.errors import LockLost, StalePlan, Unreachable
from dataops.model import Adopted, Author, Direction, Entry, Migration, Sent, State, Step
from dataops.othertools.mirror import row_for
from dataops.redaction import redact
from dataops.stash import mongo as stash
from dataops.statements import Tally
from dataops.toolrecords import ToolRecord

if TYPE_CHECKING:
    from dataops.backends.mongo import MongoDatabase

_POLL_SECONDS = 0.3


@contextmanager
def lock(
    database: MongoDatabase, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
) -> Iterator[MongoLocked]:
    """See dataops.backends.Database.lock."""
    server, service = database.server, database.service
    seconds = service.timeouts.lease
    tally = Tally("documents", redact)
    # Dates come without a time zone, as pymongo-migrate gives them to the same files.
    work = server.client(f"dataops/{author.run}", tz_aware=False, event_listeners=[Listener(service.name, tally)])
    # A call of the lease's client must not hang for longer than a lease lasts.
    keeper = server.client("dataops/lease", socketTimeoutMS=round(seconds * 1000 / 3))
    with closing(work), closing(keeper):
        locks = database_of(keeper)
        its_lease = lease.Lease(locks, seconds, lost=partial(_abort, database, work))
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
                locks[JOURNAL].create_index("seq", name="seq", unique=True)
            yield MongoLocked(database, its_lease, work, tally)
        finally:
            its_lease.release()


def _abort(database: MongoDatabase, work: MongoClient[Document]) -> None:
    with suppress(PyMongoError):  # best effort: closing the client is what certainly stops the migration
        db = database.asking()
        for operation in _operations(db):
            db.client.admin.command("killOp", op=operation["opid"])
    work.close()


def _operations(db: MongoDB[Document]) -> list[Document]:
    """The operations that the server does for our clients in this database just now."""
    ours: list[Document] = [{"$currentOp": {"allUsers": False}}, {"$match": {"appName": {"$regex": "^dataops/"}}}]
    with suppress(OperationFailure):  # this user may not list operations
        return [op for op in db.client.admin.aggregate(ours) if str(op.get("ns", "")).startswith(f"{db.name}.")]
    return []


class MongoLocked:
    """See dataops.backends.Locked for the promises."""

    def __init__(
        self, database: MongoDatabase, its_lease: lease.Lease, work: MongoClient[Document], tally: Tally
    ) -> None:
        self.database = database
        self.notes: tuple[str, ...] = ()
        self._service = database.service
        self._explaining = database.server.explaining
        self._lease = its_lease
        self._work = work
        self._tally = tally

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
                self._lease.write(JOURNAL, {"seq": self._lease.next_seq(), **to_fields(entry)}, at="at")
            except OperationFailure as error:
                raise Unreachable(
                    f"the journal cannot be written: {error_text(error)}",
                    service=self._service.name,
                    hint=f"look at the collection {JOURNAL}; dataops history shows what it has",
                ) from error

    def run(self, step: Step, end: Callable[[], Entry]) -> Entry:
        migrate = function_of(load_module(self._service, step.migration), step)
        self.check()
        with self._explaining():
            db = database_of(self._work)
            self._await_index_builds(db)
        with self._tally.counting():
            try:
                migrate(db)
            except BaseException as error:
                if self._lease.why_lost:
                    raise LockLost(
                        f"the migration lock was lost: {self._lease.why_lost}", service=self._service.name
                    ) from error
                raise
            return self._record(step, end)

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
        if (entry.migration in self.read().applied_ids) is not applied:
            self._record_natively(entry.migration, applied=applied)
        self.write(entry)

    def adopt(self, record: ToolRecord | None, adopted: Sequence[Adopted]) -> None:
        with self._explaining():
            db = self.database.asking()
            if record is not None:
                self._refuse_changed(db, record)
            ids = [one.entry.migration for one in adopted]
            before = {str(document["name"]): document for document in db[RECORD].find({"name": {"$in": ids}})}
            documents = [document for one in adopted for document in self._documents(one, before)]
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
            stash.prune(self.database.asking(), migration)
        self.write(entry)

    def abort(self) -> None:
        _abort(self.database, self._work)

    def _await_index_builds(self, db: MongoDB[Document]) -> None:
        """Wait until no index is being built for us: the server finishes a build although its client has died."""
        while any(operation.get("command", {}).get("createIndexes") for operation in _operations(db)):
            self.check()
            time.sleep(0.5)

    def _record_natively(self, id_: str, *, applied: bool) -> None:
        """Write the fields that pymongo-migrate would write, `name` and `applied`, and no other."""
        with self._explaining():
            self.check()
            found = self.database.asking()[RECORD].find({"name": id_}, {"_id": 1})
            for one in [document["_id"] for document in found] or [ObjectId()]:
                document = {"_id": one, "name": id_}
                if applied:
                    self._lease.write(RECORD, document, at="applied")
                else:
                    self._lease.write(RECORD, {**document, "applied": None})

    def _mirror(self, migration: Migration, *, applied: bool) -> None:
        """Make migrate-mongo's record agree with what the step did."""
        with self._explaining():
            present = othertools.names_there(self.database.asking(), self._service)
            if applied:
                self._add_to_mirror(migration, present)
            else:
                self.check()
                there = {"fileName": {"$in": present.get(migration.id, [])}}
                self.database.asking()[othertools.CHANGELOG].delete_many(there)

    def _add_to_mirror(self, migration: Migration, present: Mapping[str, Sequence[str]]) -> None:
        """Add the document that migrate-mongo would have written, unless it is there.

        `present` are the file names in migrate-mongo's record, by migration.
        """
        if migration.id not in present:
            with self._explaining():
                self.check()
                name = row_for(self._service, migration).name
                self._lease.write(othertools.CHANGELOG, {"fileName": name}, at="appliedAt")

    # Adopting

    def _refuse_changed(self, db: MongoDB[Document], record: ToolRecord) -> None:
        now = {found.tool: found.rows for found in othertools.read(db, db.list_collection_names())}
        if now.get(record.tool, ()) != record.rows:
            raise StalePlan(
                f"{record.tool} has changed its record meanwhile",
                service=self._service.name,
                hint="look again: dataops adopt",
            )

    def _documents(self, one: Adopted, before: dict[str, Document]) -> Iterator[lease.Write]:
        """The document in the native record and the one in the journal, for one adopted migration.

        `before` are the documents that the native record had, by migration.
        """
        id_, applied = one.entry.migration, one.entry.direction is Direction.APPLY
        row: Document = {"_id": before.get(id_, {}).get("_id") or ObjectId(), "name": id_}
        if not applied or one.at is not None:
            row["applied"] = one.at if applied else None
        yield RECORD, row, "applied" if applied and one.at is None else None
        yield JOURNAL, {"_id": ObjectId(), "seq": self._lease.next_seq(), **to_fields(one.entry)}, "at"

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
                db[RECORD].delete_many({"_id": {"$in": ids}})
                if before:
                    db[RECORD].insert_many(before)
            raise


__all__ = ["MongoLocked", "lock"]
