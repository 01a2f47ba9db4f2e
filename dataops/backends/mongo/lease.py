"""The MongoDB lock: one document with a lease, and writes that the lease guards.

There is no session lock in MongoDB, so a holder that dies has to be outlived. The lease ends by the *server's* clock,
or when a waiter has seen no heartbeat for as long as the lease lasts, by the waiter's own clock: the server's may be
set back. A holder that only sleeps (a paused process, a cut network) has to notice by itself. It counts from before
each heartbeat was sent, on its own clock, and from then on sends nothing: `refuse_late` is asked before every command
of a migration. Every holder has a token of its own. `Lease.write` is one server-side command that writes only while the
lock document still has this token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from dataops.errors import LockLost
from dataops.model import Author, Holder
from dataops.redaction import message_of, redact

LOCK = "dataops_lock"
_ID = "migrations"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_TRIES = 5
_INTERRUPTED = 11601
_TOO_LATE = "no heartbeat reached the server in time"

Document = dict[str, Any]
Write = tuple[str, Mapping[str, Any], str | None]
"""A collection, a document with its _id, and the field that gets the server's time (None: no field)."""


def clock() -> float:
    """Seconds on a clock that never goes back. Where the system offers it, the clock runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class LeaseOver(BaseException):
    """A command after the end of the lease. It is not sent.

    It is raised inside of the driver, by a listener. Of what listeners raise, the driver passes on only what is not an
    Exception.
    """


def holder(db: Database[Document]) -> Holder | None:
    """Who has the lock now, by the server's clock. Writes nothing."""
    held = {"$match": {"_id": _ID, "$expr": {"$gt": ["$expires_at", "$$NOW"]}}}
    found = next(iter(db[LOCK].aggregate([held])), None)
    return (
        None if found is None else Holder(run=found["run"], who=redact(str(found["who"])), since=found["acquired_at"])
    )


def told(db: Database[Document]) -> Document | None:
    """What the holder of the lock has told with its last heartbeat. Writes nothing."""
    held = {"$match": {"_id": _ID, "$expr": {"$gt": ["$expires_at", "$$NOW"]}}}
    found = next(iter(db[LOCK].aggregate([held, {"$project": {"told": 1}}])), {})
    said: Document | None = found.get("told")
    return said


class Lease:
    """The lock of one database. After `take`, a thread renews it until `release` is called or the lease is lost."""

    def __init__(self, db: Database[Document], seconds: float, lost: Callable[[], None]) -> None:
        """The lease lasts `seconds` after each heartbeat. `lost` is called once, when the lease is or may be lost.

        The call may come from the thread that renews the lease.
        """
        self._db = db.with_options(
            write_concern=WriteConcern(w="majority", j=True), read_preference=ReadPreference.PRIMARY
        )
        self._seconds = seconds
        self._on_lost = lost
        self._token = 0
        self._written = 0
        self._valid_until = 0.0
        self._why_lost = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._heartbeat: tuple[Any, Any] = (None, None)  # the last one of the present holder, and
        self._seen_at = 0.0  # when it was seen first
        self.dead = ""
        self.told: Document | None = None
        """What other processes are to know of the running step (see `told`). The next heartbeat has it with it."""

    @property
    def seconds(self) -> float:
        """How long the lease lasts after each heartbeat."""
        return self._seconds

    @property
    def taken(self) -> bool:
        """Whether the lease was ours at any time."""
        return self._token > 0

    @property
    def why_lost(self) -> str:
        return self._why_lost

    def take(self, author: Author) -> bool:
        """Try once to take the lease. False when somebody else holds it.

        Afterwards, `dead` is the run that had the lease before and did not give it back; "" when it was given back.
        """
        try:
            return self._take(author)
        except OperationFailure as error:
            if error.code == _INTERRUPTED:  # somebody ends operations by hand, or ends those of a dead run
                return False
            raise

    def _take(self, author: Author) -> bool:
        locks = self._db[LOCK]
        with suppress(DuplicateKeyError):  # another run created the document in the same moment
            locks.update_one({"_id": _ID}, {"$setOnInsert": {"token": 0, "expires_at": _LONG_AGO}}, upsert=True)
        sent = clock()
        mine = {
            "token": {"$add": ["$token", 1]},
            "run": {"$literal": author.run},
            "who": {"$literal": f"{author.actor}@{author.host}"},
            "acquired_at": "$$NOW",
            "expires_at": self._until(),
            "lease": self._seconds,
            "told": "$$REMOVE",
        }
        free = {"_id": _ID, "$expr": {"$lte": ["$expires_at", "$$NOW"]}}
        found = locks.find_one_and_update(free, [{"$set": mine}])
        if found is None and self._holder_is_silent(locks):
            token, expires_at = self._heartbeat
            silent = {"_id": _ID, "token": token, "expires_at": expires_at}
            found = locks.find_one_and_update(silent, [{"$set": mine}])
        if found is None:
            return False
        self._token = found["token"] + 1
        self.dead = "" if found["expires_at"] == _LONG_AGO else str(found.get("run", ""))
        self._valid_until = sent + self._seconds
        self._thread = threading.Thread(target=self._keep, name="dataops-lease", daemon=True)
        self._thread.start()
        return True

    def _holder_is_silent(self, locks: Collection[Document]) -> bool:
        """Whether the holder has sent no heartbeat for longer than its lease, by our own clock."""
        found = locks.find_one({"_id": _ID}) or {}
        heartbeat = (found.get("token"), found.get("expires_at"))
        if heartbeat != self._heartbeat:
            self._heartbeat, self._seen_at = heartbeat, clock()
        return clock() - self._seen_at > max(self._seconds, float(found.get("lease") or 0.0))

    def refuse_late(self) -> None:
        """Raise LeaseOver once the lease is, or may be, over. For every thread, and between two steps of the driver."""
        if self._why_lost or clock() >= self._valid_until:
            raise LeaseOver(f"the migration lock was lost: {self._why_lost or _TOO_LATE}")

    def check(self) -> None:
        """Raise LockLost once the lease is, or may be, over."""
        if not self._why_lost and clock() >= self._valid_until:
            self._lose(_TOO_LATE)
        if self._why_lost:
            raise LockLost(f"the migration lock was lost: {self._why_lost}")

    def newest_hash(self, journal: str) -> tuple[str, datetime]:
        """The hash of the newest entry that has one, "" where none has, and the server's time. Raises LockLost.

        While the lease is ours, nobody else writes entries.
        """
        newest: list[dict[str, Any]] = [
            {"$match": {"hash": {"$gt": ""}}},
            {"$sort": {"seq": -1}},
            {"$limit": 1},
            {"$project": {"hash": 1}},
        ]
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": _ID, "token": self._token}},
            {"$lookup": {"from": journal, "pipeline": newest, "as": "newest"}},
            {"$project": {"now": "$$NOW", "newest": 1}},
        ]
        for left in reversed(range(_TRIES)):
            self.check()
            try:
                for found in self._db[LOCK].aggregate(pipeline):
                    return next((str(one["hash"]) for one in found["newest"]), ""), found["now"]
                break
            except AutoReconnect:
                if not left:
                    raise
                time.sleep(0.2)
        self._lose("another run holds it")
        raise LockLost(f"the migration lock was lost: {self._why_lost}")

    def write(self, collection: str, document: Mapping[str, Any], *, at: str | None = None) -> None:
        """Insert or merge one document by its _id, only while the lease is ours. Raises LockLost.

        `at` names a field that gets the server's time. It is one command on the server: no other run can take the lock
        between the check and the write. When this returns, the document is durable on a majority of the servers.
        """
        self.check()
        document = {"_id": ObjectId(), **document}
        content: dict[str, Any] = {"$literal": document}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": _ID, "token": self._token}},
            {"$replaceWith": {"$mergeObjects": [content, {at: "$$NOW"} if at else {}]}},
            {"$merge": {"into": collection, "on": "_id", "whenMatched": "merge", "whenNotMatched": "insert"}},
        ]
        wanted = {key: value for key, value in document.items() if key != at}
        for left in reversed(range(_TRIES)):
            try:
                self._db[LOCK].aggregate(pipeline)
                if self._db[collection].find_one(wanted, {"_id": 1}) is not None:
                    return
                break
            except AutoReconnect:  # an election or a cut connection; writing the same document again does no harm
                if not left:
                    raise
                self.check()
                time.sleep(0.2)
        self._lose("another run holds it")
        self.check()  # raises LockLost

    def write_together(self, documents: Sequence[Write]) -> bool:
        """Write many documents in one transaction, only while the lease is ours. Raises LockLost.

        Returns False when the server has no transactions, as a standalone, and then it has written nothing.
        """
        self.check()
        hello = self._db.client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            return False

        def body(session: ClientSession) -> bool:
            mine = {"_id": _ID, "token": self._token}
            beat = [{"$set": {"expires_at": self._until()}}]
            if self._db[LOCK].update_one(mine, beat, session=session).matched_count == 0:
                return False
            for collection, document, at in documents:
                content: list[dict[str, Any]] = [{"$literal": dict(document)}, {at: "$$NOW"} if at else {}]
                whole = [{"$replaceWith": {"$mergeObjects": content}}]
                self._db[collection].update_one({"_id": document["_id"]}, whole, upsert=True, session=session)
            return True

        with self._db.client.start_session() as session:
            if not session.with_transaction(body, write_concern=self._db.write_concern):
                self._lose("another run holds it")
                self.check()  # raises LockLost
        return True

    def next_seq(self) -> int:
        """The next `seq` of the journal. It begins with the token, so that it rises from each holder to the next."""
        self._written += 1
        return (self._token << 20) + self._written  # room for a million entries of one holder

    def release(self, *, give_back: bool = True) -> None:
        """Give the lease back if it is still ours; otherwise, and without `give_back`, it ends by itself.

        Raises no error of the server.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if give_back and not self._why_lost:
            mine = {"_id": _ID, "token": self._token}
            try:
                self._db[LOCK].update_one(mine, {"$set": {"expires_at": _LONG_AGO}})
            except PyMongoError as error:
                self._why_lost = f"not released: {type(error).__name__}"
        self._why_lost = self._why_lost or "it was given back"

    def _until(self) -> dict[str, Any]:
        return {"$add": ["$$NOW", round(self._seconds * 1000)]}

    def _keep(self) -> None:
        pause = self._seconds / 3
        while not self._stop.wait(pause):
            sent = clock()
            try:
                found = self._beat(self._db[LOCK])
            except PyMongoError as error:
                if clock() >= self._valid_until:
                    self._lose(f"no heartbeat reached the server: {message_of(error).split(', Timeout:')[0]}")
                    return
                pause = min(1.0, self._seconds / 10)
                continue
            if found is None:
                self._lose("another run took it")
                return
            self._valid_until = sent + self._seconds
            pause = self._seconds / 3

    def _beat(self, locks: Collection[Document]) -> Document | None:
        # Not by the server's clock, which may have been set forward: while the token is ours, nobody took the lease.
        mine = {"_id": _ID, "token": self._token}
        told: Any = {"$literal": self.told} if self.told else "$$REMOVE"
        return locks.find_one_and_update(mine, [{"$set": {"expires_at": self._until(), "told": told}}])

    def _lose(self, why: str) -> None:
        if not self._why_lost:
            self._why_lost = why
            self._on_lost()
