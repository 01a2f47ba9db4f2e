"""MongoDB: pymongo-migrate files, the collection pymongo_migrate as the record, a lease lock, a journal collection.

Our journal is a collection of its own, because pymongo-migrate builds its state from a record's whole document and
fails on a field that it does not know. The client that migrates is not the client that keeps the lease: when the lease
is lost, the first one is closed, and whatever the migration does next fails.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri

from dataops.backends import Backend, Retrying, StillHeld, Waiting, load_module, settled
from dataops.backends.mongo import catalogue, contents, lease, records
from dataops.backends.mongo.listener import Listener
from dataops.catalogue import Catalogue
from dataops.contents import Contents
from dataops.errors import (
    ConfigError,
    LockLost,
    LockNotObtained,
    PermissionDenied,
    StalePlan,
    Stopped,
    Unreachable,
)
from dataops.model import (
    AppliedMigration,
    Author,
    Direction,
    Entry,
    Holder,
    Identity,
    JournalEvent,
    Migration,
    Rendering,
    Service,
    StashEntry,
    State,
    Step,
    ToolRecord,
)
from dataops.othertools import examine, mirror
from dataops.progress import Report, reporting
from dataops.redaction import message_of, redact
from dataops.stash import mongo as stash
from dataops.statements import listened

RECORD = "pymongo_migrate"
JOURNAL = "dataops_journal"
MINIMUM_VERSION = (6, 0)
_POLL_SECONDS = 0.3
_COUNT_SECONDS = 10.0
_ENDED_WELL = [JournalEvent.SUCCEEDED.value, JournalEvent.RESOLVED.value, JournalEvent.ADOPTED.value]
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18

Document = dict[str, Any]


class MongoBackend:
    """See dataops.backends.Backend for the promises."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._asking_client: MongoClient[Document] | None = None
        self._lease: lease.Lease | None = None
        self._count_until = 0.0
        self._work: MongoClient[Document] | None = None

    # Asking

    def read(self) -> State:
        return settled(self._look)

    def _look(self) -> State:
        with self._explaining():
            db = self._asking()
            hello = db.client.admin.command("hello")
            version = self._version(db)
            collections = list(db.list_collections())
            identity = self._identity(db, hello, collections)
            others = records.read(db, {str(collection["name"]) for collection in collections})
            for _ in range(20):
                # Between the questions another run may go on; ask again until nothing was written in between.
                last = self._last(db)
                known = self._ended_well(db)
                record = self._record(db)
                holder = lease.holder(db)
                if self._last(db) == last:
                    break
            else:
                known = {}
            topology = f"replica set {hello['setName']}" if "setName" in hello else "standalone"
            if hello.get("msg") == "isdbgrid":
                topology = "sharded cluster"
            state = self._state(identity, f"MongoDB {redact(version)}, {topology}", record, known, last, holder)
            return replace(state, tool_records=others)

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        with self._explaining():
            found = self._asking()[JOURNAL].find().sort("seq", -1).limit(limit or 0)
            return tuple(_entry(document) for document in found)

    def render(self, step: Step) -> Rendering:
        from dataops.backends.mongo.recorder import record

        module = load_module(self.service, step.migration)
        migrate = module.upgrade if step.direction is Direction.APPLY else module.downgrade
        with self._explaining():
            if not self._count_until:  # one budget for all steps of a plan
                self._count_until = time.monotonic() + _COUNT_SECONDS
            recording, problem = record(self._asking(), migrate, self._count_until)
        return Rendering(
            tuple(recording.commands),
            problem,
            tuple(recording.notes),
            tuple(recording.puts_aside),
            frozenset(recording.stash),
        )

    def stash_entries(self) -> tuple[StashEntry, ...]:
        with self._explaining():
            return stash.list_kept(self._asking())

    def catalogue(self, *, complete: bool = False) -> Catalogue:
        with self._explaining():
            return catalogue.read(self._asking())

    def contents(self) -> Contents:
        with self._explaining():
            return contents.read(self._asking())

    @contextmanager
    def handle(self) -> Iterator[Database[Document]]:
        with self._client("dataops") as client:
            yield self._database(client)

    def imitate(self, other: Backend, *, strictly: bool) -> None:
        """Collections and indexes come and go with the application too: a migration only changes what it finds."""
        assert isinstance(other, MongoBackend)
        with self._explaining():
            catalogue.copy_shell(other._asking(), self._asking(), unique=strictly)

    # Doing

    @contextmanager
    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> Iterator[StillHeld]:
        seconds = self.service.timeouts.lease
        # The lease's client must not hang longer than a lease lasts.
        keeper = self._client("dataops/lease", socketTimeoutMS=round(seconds * 1000 / 3))
        held = lease.Lease(self._database(keeper), seconds, lost=self.abort)
        try:
            with self._explaining():
                self._obtain(held, self._database(keeper), author, timeout, waiting, stop)
                self._lease = held
                self._database(keeper)[JOURNAL].create_index("seq", name="seq", unique=True)
                # Dates without a zone, as pymongo-migrate hands them to the same files.
                listeners = [Listener(self.service.name)] if listened() else []
                self._work = self._client(f"dataops/{author.run}", tz_aware=False, event_listeners=listeners)
            yield self._still_held
        finally:
            self._lease = None
            held.release()
            keeper.close()
            self._close_work()

    def write(self, entry: Entry) -> None:
        with self._explaining():
            held = self._held()
            try:
                held.write(JOURNAL, {"seq": held.next_seq(), **_document(entry)}, at="at")
            except OperationFailure as error:
                raise Unreachable(
                    f"the journal cannot be written: {self.error_text(error)}",
                    service=self.service.name,
                    hint=f"look at the collection {JOURNAL}; dataops history shows what it has",
                ) from error

    def run(self, step: Step, done: Entry, *, report: Report, retrying: Retrying) -> float:
        module = load_module(self.service, step.migration)
        migrate = module.upgrade if step.direction is Direction.APPLY else module.downgrade
        work = self._work
        if work is None:
            raise LockLost("the lock is not held", service=self.service.name)
        self._still_held()
        before = time.monotonic()
        db = self._database(work)
        self._await_index_builds(db)
        try:
            with reporting(report):
                migrate(db)
        except (Exception, SystemExit) as error:
            if self._lease is not None and self._lease.why_lost:
                raise LockLost(
                    f"the migration lock was lost: {self._lease.why_lost}", service=self.service.name
                ) from error
            raise
        applied = step.direction is Direction.APPLY
        # The mirrored record may lack what ours has, which the next run adds, but never have what ours lacks: that
        # would look as if the other tool had moved on.
        if self.service.mirror and not applied:
            self._mirror(step.migration, applied=False)
        self._record_natively(step.migration.id, applied=applied)
        if self.service.mirror and applied:
            self._mirror(step.migration, applied=True)
        seconds = round(time.monotonic() - before, 3)
        self.write(replace(done, seconds=seconds))
        return seconds

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        if (entry.migration in self.read().applied_ids) is not applied:
            self._record_natively(entry.migration, applied=applied)
        self.write(entry)

    def adopt(
        self, record: ToolRecord | None, entries: Sequence[Entry], at: Mapping[str, datetime], head: str | None
    ) -> None:
        with self._explaining():
            db = self._asking()
            if record is not None:
                names = db.list_collection_names()
                now = {found.tool: found.rows for found in records.read(db, names)}
                if now.get(record.tool, ()) != record.rows:
                    raise StalePlan(
                        f"{record.tool} has changed its record meanwhile",
                        service=self.service.name,
                        hint="look again: dataops adopt",
                    )
            self._adopt(self._held(), entries, at)

    def _adopt(self, held: lease.Lease, entries: Sequence[Entry], at: Mapping[str, datetime]) -> None:
        """In one transaction where there are such; else in the order of the history, and taken back if it fails.

        What a kill leaves of the latter is a beginning: the other record then has more than ours, so that nothing is
        applied until the adoption is run again.
        """
        record = self._asking()[RECORD]
        before = {d["name"]: d for d in record.find({"name": {"$in": [entry.migration for entry in entries]}})}
        documents: list[tuple[str, Document, str | None]] = []
        for entry in entries:
            applied = entry.direction is Direction.APPLY
            id_, when = entry.migration, at.get(entry.migration)
            row: Document = {"_id": before.get(id_, {}).get("_id") or ObjectId(), "name": id_}
            if not applied or when is not None:
                row["applied"] = when if applied else None
            documents.append((RECORD, row, "applied" if applied and when is None else None))
            documents.append((JOURNAL, {"_id": ObjectId(), "seq": held.next_seq(), **_document(entry)}, "at"))
        if held.write_together(documents):
            return
        try:
            for collection, document, server_time in documents:
                held.write(collection, document, at=server_time)
        except Exception:
            with suppress(PyMongoError):  # the first error is the one to tell
                ids = [document["_id"] for _, document, _ in documents]
                self._asking()[JOURNAL].delete_many({"_id": {"$in": ids}})
                record.delete_many({"_id": {"$in": ids}})
                if before:
                    record.insert_many(list(before.values()))
            raise

    def mirror(self, missing: Sequence[Migration]) -> None:
        with self._explaining():
            for migration in missing:
                self._mirror(migration, applied=True)

    def _mirror(self, migration: Migration, *, applied: bool) -> None:
        """The document that migrate-mongo would have."""
        with self._explaining():
            there = records.names_there(self._asking(), self.service, migration)
            self._still_held()
            if not applied:
                self._asking()[records.CHANGELOG].delete_many({"fileName": {"$in": there}})
            elif not there:
                name = mirror.row_for(self.service, migration).name
                self._held().write(records.CHANGELOG, {"fileName": name}, at="appliedAt")

    def prune(self, migration: str, entry: Entry) -> None:
        self._still_held()
        with self._explaining():
            stash.prune(self._asking(), migration)
        self.write(entry)

    def abort(self) -> None:
        work = self._work
        if work is None:
            return
        with suppress(PyMongoError):  # best effort: the closed client below is what really ends it
            self._kill_operations()
        work.close()

    def close(self) -> None:
        client, self._asking_client = self._asking_client, None
        if client is not None:
            client.close()
        self._close_work()

    def error_text(self, error: BaseException) -> str:
        details = getattr(error, "details", None)
        told = details.get("errmsg") if isinstance(details, Mapping) else None
        text = redact(str(told)) if told else message_of(error)
        text = text.split(", Timeout:")[0]  # then follows the driver's picture of all servers
        # A refused command is repeated by the server whole, with its session and signatures.
        text = re.sub(r'(to execute command) \{ (\w+): ("[^"]*"|[^,}]*).*', r"\1 \2 \3", " ".join(text.split()))
        return f"{type(error).__name__}: {text}"[:500]

    # Clients

    def _client(self, name: str, **settings: Any) -> MongoClient[Document]:
        connect = round(self.service.timeouts.connect * 1000)
        given = self.service.url.lower()
        defaults = {"serverSelectionTimeoutMS": connect, "connectTimeoutMS": connect, "w": "majority"}
        options: dict[str, Any] = {key: value for key, value in defaults.items() if f"{key.lower()}=" not in given}
        try:
            self._refuse_wrong_options()
            return MongoClient(self.service.url, appname=name[:128], **{"tz_aware": True, **options, **settings})
        except (InvalidURI, ConfigurationError, ValueError) as error:
            if type(error.__cause__).__module__.startswith("dns."):
                raise Unreachable(
                    f"cannot look up {self._address()}: {message_of(error)}",
                    service=self.service.name,
                    hint="is the name right, and does this machine reach its name server?",
                ) from error
            # The parser's message may quote a piece of the password.
            raise ConfigError(
                "the URL is not a valid MongoDB URL",
                service=self.service.name,
                hint="characters such as @ : / % in a user or password have to be escaped: %40 %3A %2F %25",
            ) from None

    def _refuse_wrong_options(self) -> None:
        """The driver would only warn of `tls=ture`, and go on without TLS."""
        url = self.service.url.replace("mongodb+srv://", "mongodb://", 1)
        parse_uri(url, validate=False)
        try:
            parse_uri(url)
        except OSError as error:
            raise ConfigError(
                f"a file that the URL names, {redact(str(error.filename))}: {error.strerror}", service=self.service.name
            ) from error
        except (ConfigurationError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the URL has a wrong option: {message_of(error)}",
                service=self.service.name,
                hint="the options are listed in MongoDB's manual under connection strings",
            ) from None

    def _database(self, client: MongoClient[Document]) -> Database[Document]:
        db: Database[Document] = client.get_default_database()
        return db.with_options(read_preference=ReadPreference.PRIMARY)

    def _asking(self) -> Database[Document]:
        if self._asking_client is None:
            self._asking_client = self._client("dataops")
        return self._database(self._asking_client)

    def _close_work(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.close()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn the driver's errors about reaching the server into ours."""
        try:
            yield
        except OperationFailure as error:
            if error.code in (_UNAUTHORIZED, _AUTHENTICATION_FAILED):
                raise PermissionDenied(
                    self.error_text(error),
                    service=self.service.name,
                    hint="check user, password and authSource in the URL"
                    if error.code == _AUTHENTICATION_FAILED
                    else "docs/operations.md#rights lists what each command needs",
                ) from error
            raise
        except ServerSelectionTimeoutError as error:
            text = message_of(error).split(", Timeout:")[0]
            raise Unreachable(
                f"cannot connect to {self._address()}: {text}",
                service=self.service.name,
                hint="is the server up and the address right? --wait 60s waits for a server that is starting",
            ) from error
        except ConnectionFailure as error:
            raise Unreachable(
                self.error_text(error), service=self.service.name, hint="run again when the server is well"
            ) from error

    def _address(self) -> str:
        parsed = parse_uri(self.service.url, validate=False) if "+srv" not in self.service.url else {}
        nodes = sorted(f"{host}:{port}" for host, port in parsed.get("nodelist", []))
        name = self._name()
        return f"{','.join(nodes)}/{name}" if nodes else f"{self.service.url.split('@')[-1].split('?')[0]}"

    def _name(self) -> str:
        return self.service.url.split("?")[0].rsplit("/", 1)[-1]

    # State

    def _version(self, db: Database[Document]) -> str:
        version = str(db.client.admin.command("buildInfo")["version"])
        if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
            raise ConfigError(
                f"MongoDB {version} is too old", service=self.service.name, hint="dataops needs 6.0 or newer"
            )
        return version

    def _identity(
        self, db: Database[Document], hello: Mapping[str, Any], collections: Sequence[Mapping[str, Any]]
    ) -> Identity:
        address = self._address()
        server = f"standalone at {address.rpartition('/')[0]}"
        if "setName" in hello:
            # However we came in, and whatever our rights: a set is known by what it and its members call themselves.
            # It has an id too, but a plan that was made without the right to see it has to fit one who may.
            members = ",".join(sorted(hello.get("hosts", [])))
            server, address = f"replica set {hello['setName']} of {members}", f"{members}/{db.name}"
        # Our own collections do not count: they may come into being between a plan and its application.
        marks = {
            collection["info"]["uuid"].hex()
            for collection in collections
            if collection.get("info", {}).get("uuid") and not collection["name"].startswith(("dataops_", RECORD))
        }
        return Identity(server=server, database=db.name, address=address, marks=frozenset(marks))

    def _last(self, db: Database[Document]) -> Entry | None:
        found = db[JOURNAL].find_one(sort=[("seq", -1)])
        return _entry(found) if found else None

    def _ended_well(self, db: Database[Document]) -> dict[str, Document]:
        pipeline: list[Document] = [
            {"$match": {"event": {"$in": _ENDED_WELL}}},
            {"$sort": {"seq": 1}},
            {"$group": {"_id": "$migration", "entry": {"$last": "$$ROOT"}}},
        ]
        return {found["_id"]: found["entry"] for found in db[JOURNAL].aggregate(pipeline, allowDiskUse=True)}

    def _record(self, db: Database[Document]) -> dict[str, Any]:
        documents = db[RECORD].find({"applied": {"$ne": None}}, {"name": 1, "applied": 1})
        return {str(document["name"]): document["applied"] for document in documents}

    def _state(
        self,
        identity: Identity,
        server: str,
        record: dict[str, Any],
        known: dict[str, Document],
        last: Entry | None,
        holder: Holder | None,
    ) -> State:
        claims = {id_: entry["direction"] == Direction.APPLY.value for id_, entry in known.items()}
        if last is not None and last.event is JournalEvent.STARTED:
            claims.pop(last.migration, None)
        applied = [m.id for m in self.service.migrations if m.id in record]
        unknown = sorted(
            (id_ for id_ in record if id_ not in self.service.by_id), key=lambda id_: (str(record[id_]), id_)
        )
        return State(
            service=self.service,
            identity=identity,
            server=server,
            applied=tuple(_applied(id_, record[id_], known.get(id_)) for id_ in applied),
            unknown=tuple(unknown),
            last=last,
            holder=holder,
            claims=claims,
        )

    # The lock

    def _obtain(
        self,
        held: lease.Lease,
        db: Database[Document],
        author: Author,
        timeout: float,
        waiting: Waiting,
        stop: Callable[[], bool],
    ) -> None:
        deadline = time.monotonic() + timeout
        told: Holder | None = None
        first = True
        while not held.take(author):
            holder = lease.holder(db)
            if first or (holder is not None and holder != told):
                waiting(holder)
                told, first = holder, False
            if stop():
                raise Stopped("stopped while waiting for the lock", service=self.service.name)
            if time.monotonic() >= deadline:
                raise LockNotObtained(
                    f"the migration lock is held by {told or 'somebody'}; gave up after {timeout:g} s",
                    service=self.service.name,
                )
            time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.0))

    def _held(self) -> lease.Lease:
        if self._lease is None:
            raise LockLost("the lock is not held", service=self.service.name)
        return self._lease

    def _still_held(self) -> None:
        try:
            self._held().check()
        except LockLost as error:
            raise LockLost(error.message, service=self.service.name) from error

    def _record_natively(self, id_: str, *, applied: bool) -> None:
        """What pymongo-migrate would write: name and applied, and nothing else."""
        with self._explaining():
            held = self._held()
            ids = [d["_id"] for d in self._asking()[RECORD].find({"name": id_}, {"_id": 1})] or [ObjectId()]
            for one in ids:
                document = {"_id": one, "name": id_}
                if applied:
                    held.write(RECORD, document, at="applied")
                else:
                    held.write(RECORD, {**document, "applied": None})

    # Operations of ours on the server

    def _await_index_builds(self, db: Database[Document]) -> None:
        """An index build outlives the client that asked for it: let one that a dead run began come to its end."""
        while any(op.get("command", {}).get("createIndexes") for op in self._operations(db, f"{db.name}.")):
            self._still_held()
            time.sleep(0.5)

    def _operations(self, db: Database[Document], namespace: str) -> list[Document]:
        ours: list[Document] = [{"$currentOp": {"allUsers": False}}, {"$match": {"appName": {"$regex": "^dataops/"}}}]
        with suppress(OperationFailure):  # without the right to look there is nothing to see
            return [op for op in db.client.admin.aggregate(ours) if str(op.get("ns", "")).startswith(namespace)]
        return []

    def _kill_operations(self) -> None:
        db = self._asking()
        name = f"{db.name}."
        for op in self._operations(db, name):
            db.client.admin.command("killOp", op=op["opid"])


def _document(entry: Entry) -> Document:
    return {
        "run": entry.run,
        "migration": entry.migration,
        "direction": entry.direction.value,
        "event": entry.event.value,
        "seconds": entry.seconds,
        "actor": entry.actor,
        "host": entry.host,
        "version": entry.version,
        "checksum": entry.checksum,
        "raw_checksum": entry.raw_checksum,
        "error": entry.error,
        "reason": entry.reason,
    }


def _entry(document: Mapping[str, Any]) -> Entry:
    fields = {key: value for key, value in document.items() if key != "_id"}
    for key in ("error", "reason"):  # a run that did not know our secrets may have written them
        fields[key] = redact(fields[key])
    return Entry(**{**fields, "direction": Direction(fields["direction"]), "event": JournalEvent(fields["event"])})


def _applied(id_: str, at: Any, entry: Mapping[str, Any] | None) -> AppliedMigration:
    if entry is None or entry["direction"] != Direction.APPLY.value:
        return AppliedMigration(id_, at)
    tool = examine.adopted_from(entry["reason"]) if entry["event"] == JournalEvent.ADOPTED.value else ""
    return AppliedMigration(
        id_, entry["at"], entry["checksum"] or None, entry["raw_checksum"] or None, entry["run"], tool
    )


def connect(service: Service) -> Backend:
    """The database of one service; see dataops.backends."""
    return MongoBackend(service)


__all__ = ["MongoBackend", "connect"]
