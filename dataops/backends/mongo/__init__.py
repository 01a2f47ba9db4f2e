"""MongoDB: pymongo-migrate files, the collection pymongo_migrate as the record, a lease lock, a journal collection.

Our journal is a collection of its own, because pymongo-migrate reads all fields of a document in its record and fails
on a field that it does not know. Modules that only some questions or only a step need are imported when they are
needed, because `status` and `wait` are called all day and have to start fast.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING

from pymongo.database import Database as MongoDB

from dataops.backends import Copied, Database, Lent, Sampling, Waiting
from dataops.backends.journal import settled
from dataops.backends.mongo import lease, pausing, shared, state
from dataops.backends.mongo.connection import Document, Server, database_of, error_text
from dataops.contents import EACH
from dataops.errors import NotBuilt, UsageError
from dataops.model import Author, Doing, Entry, Observed, Rendering, Service, State, Step
from dataops.planning.evidence import Link
from dataops.stash.entry import StashEntry

if TYPE_CHECKING:
    from dataops.backends.mongo.foresight import Foresight
    from dataops.backends.mongo.locked import MongoLocked
    from dataops.backends.sandbox import Sandbox
    from dataops.catalogue import Catalogue
    from dataops.checkup import Check
    from dataops.contents import Contents
    from dataops.documents import Looked
    from dataops.inspection import Inspection, Place
    from dataops.schema import Schema
    from dataops.statements import Statement

_COUNT_SECONDS = 10.0


class MongoDatabase:
    """See dataops.backends.Database for the promises."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.server = Server(service)
        self._asking: MongoDB[Document] | None = None
        self._scope = ExitStack()

    def asking(self) -> MongoDB[Document]:
        """The database, over the client that all questions share. The client is made when it is first needed."""
        if self._asking is None and self.service.member is not None:
            self._asking, give_back = shared.take(self.server)
            self._scope.callback(give_back)
        elif self._asking is None:
            self._asking = database_of(self._scope.enter_context(self.server.client_to_ask()))
        return self._asking

    def read(self) -> State:
        return settled(self._look)

    def _look(self) -> State:
        with self.server.explaining():
            return state.read(self.asking(), self.server)

    def render(self, step: Step, sandbox: Sandbox) -> Rendering:
        from dataops.backends.mongo.capture import capture

        with self.server.explaining():
            return capture(self.asking(), self.service, step, sandbox, self._count_until, self._foresight)

    @cached_property
    def _foresight(self) -> Foresight:
        """What follows the steps of a plan."""
        from dataops.backends.mongo.foresight import Foresight
        from dataops.stash.mongo.notebook import PREFIX

        return Foresight(self.asking(), PREFIX)

    @cached_property
    def _count_until(self) -> float:
        """When to stop counting documents, by time.monotonic(). All steps of a plan share this limit."""
        return time.monotonic() + _COUNT_SECONDS

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        with self.server.explaining():
            return state.history(self.asking(), limit)

    def links(self) -> tuple[Link, ...]:
        with self.server.explaining():
            return state.links(self.asking())

    def checkup(self) -> Iterator[Check]:
        from dataops.backends.mongo import checkup

        with self.server.explaining():
            yield from checkup.checks(self.asking(), self.server)

    def stash_entries(self) -> tuple[StashEntry, ...]:
        from dataops.stash import mongo as stash

        with self.server.explaining():
            return stash.list_kept(self.asking())

    def catalogue(self) -> Catalogue:
        from dataops.backends.mongo import catalogue

        with self.server.explaining():
            return catalogue.read(self.asking(), self.service.record)

    def contents(self, *, each: int = EACH) -> Contents:
        from dataops.backends.mongo import contents

        with self.server.explaining(), self.server.client("dataops") as patient:  # it reads all data
            return contents.read(database_of(patient), self.service.record, each)

    def copy_into(self, scratch: Service, sampling: Sampling) -> Copied:
        from dataops.backends.mongo import rehearsing

        return rehearsing.copy(self.server, scratch, sampling, self.service.record)

    def observing(self) -> AbstractContextManager[Callable[[Statement], Observed]]:
        return nullcontext(lambda statement: Observed())  # its locks are those of the storage engine

    def rows(self, name: str, keys: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        from dataops.backends.mongo import rehearsing

        with self.server.explaining():
            return rehearsing.rows(self.asking(), name, keys)

    def schema(self, *, most_rows: int | None) -> Schema:
        from dataops.backends.mongo import schema

        with self.server.explaining(), self.server.client("dataops") as patient:  # it may read all data
            return schema.read(database_of(patient), self.service.record, most_rows=most_rows or 0)

    def hold(self, expected: Catalogue, sample: int | None) -> list[Looked]:
        from dataops.backends.mongo import catalogue, documents

        with self.server.explaining(), self.server.client("dataops") as patient:  # to look at all takes its time
            db = database_of(patient)
            there = set(db.list_collection_names())
            validators = catalogue.validators(expected).items()
            return [documents.hold(db, name, said, sample) for name, said in validators if name in there]

    def places(self) -> list[Place]:
        from dataops.backends.mongo import inspection

        with self.server.explaining():
            return inspection.places(self.asking(), self.service.record)

    def inspect(self, name: str, sample: int) -> Inspection:
        from dataops.backends.mongo import inspection

        with self.server.explaining():
            return inspection.inspect(self.asking(), self.service.record, name, sample)

    def more_to_lend(self, error: NotBuilt, before: Lent) -> Lent:
        from dataops.backends.mongo import borrowing

        return borrowing.more_to_lend(error, before)

    def in_the_way(self, error: BaseException) -> frozenset[str]:
        from dataops.backends.mongo import borrowing

        return borrowing.in_the_way(error)

    def borrow(self, other: Database | None, lent: Lent) -> None:
        from dataops.backends.mongo import borrowing

        assert other is None or isinstance(other, MongoDatabase)
        with self.server.explaining():
            source = other.asking() if other else None
            borrowing.borrow(source, self.asking(), self.service, lent)

    def doing(self) -> Doing | None:
        from dataops.backends.mongo.operations import Operations

        with self.server.explaining():
            holder = lease.holder(self.asking())
            return Operations(self.asking()).doing(holder.run) if holder else None

    def told(self) -> Doing | None:
        with self.server.explaining():
            return state.told(self.asking())

    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> AbstractContextManager[MongoLocked]:
        from dataops.backends.mongo import locked

        return locked.lock(self, author, timeout=timeout, waiting=waiting, stop=stop)

    def error_text(self, error: BaseException) -> str:
        return error_text(error)

    def close(self) -> None:
        self._asking = None
        self._scope.close()


def connect(service: Service) -> Database:
    """See dataops.backends.connect."""
    return MongoDatabase(service)


@contextmanager
def driver(service: Service) -> Iterator[MongoDB[Document]]:
    """See dataops.backends.driver."""
    with Server(service).client("dataops") as client:
        yield database_of(client)


def pause(service: Service, author: Author, reason: str) -> None:
    """See dataops.backends.pause."""
    with _writing(service) as db:
        pausing.write(db, author, reason)


def resume(service: Service) -> bool:
    """See dataops.backends.resume."""
    with _writing(service) as db:
        return pausing.end(db)


@contextmanager
def _writing(service: Service) -> Iterator[MongoDB[Document]]:
    """The database. Raises UsageError where nothing of ours is in it yet."""
    server = Server(service)
    with server.explaining(), server.client("dataops") as client:
        db = database_of(client)
        if lease.LOCK not in db.list_collection_names(filter={"name": lease.LOCK}):
            raise UsageError(
                "nothing has run here yet that could be paused", service=service.name, hint="dataops apply"
            )
        yield db


__all__ = ["MongoDatabase", "connect", "driver", "pause", "resume"]
