"""A third kind of database, in memory. It uses only what docs/architecture.md names for a new kind.

It keeps every promise of `Database` and `Locked`, and runs in the contract tests beside PostgreSQL and MongoDB. A step
is one transaction: it works on a copy of the data, which replaces the data when the step and its record are complete.
Migration files are those of pymongo-migrate, and get an object with a few methods of a pymongo Database.

A URL is `memory://NAME`. Each name is a server with one database, which lives as long as this process.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dataops import kinds
from dataops.backends import Database, RolledBack, Waiting
from dataops.backends.journal import (
    ENDED_WELL,
    Journal,
    NativeRecord,
    from_fields,
    link_of,
    seal,
    settled,
    state_of,
    to_fields,
)
from dataops.backends.loading import function_of, load_module
from dataops.backends.locking import wait_for
from dataops.backends.sandbox import Sandbox
from dataops.catalogue import Catalogue
from dataops.checkup import Check
from dataops.contents import EACH, Contents
from dataops.errors import LockLost, Unreachable
from dataops.kinds import PYMONGO_MIGRATE, Kind
from dataops.model import (
    Adopted,
    Author,
    Direction,
    Entry,
    Holder,
    Identity,
    JournalEvent,
    Rendering,
    Sent,
    Service,
    State,
    Step,
)
from dataops.planning.evidence import Link
from dataops.redaction import redact
from dataops.stash.entry import StashEntry
from dataops.statements import Tally
from dataops.toolrecords import ToolRecord

MEMORY = Kind(
    name="memory",
    title="memory",
    schemes=("memory",),
    format=PYMONGO_MIGRATE,
    transactional=True,
    application_creates=False,
    url_in_parts=False,
    url_variable="MEMORY",
    language="text",
    module="tests.memory",
)
kinds.register(MEMORY)

_POLL_SECONDS = 0.02

hooks: dict[str, Callable[[], object]] = {}
"""Functions by name. A migration file runs one with `call(NAME)`, so that a test can act while a step runs."""


def call(name: str) -> None:
    """Run the hook of that name, if a test has set one. Called in migration files."""
    hooks.get(name, lambda: None)()


_numbers = itertools.count(1)


def fresh_url() -> str:
    """The URL of a new, empty server that no other test uses."""
    return f"memory://server-{next(_numbers)}"


class Conflict(Exception):
    """A migration raises this to simulate an error with an SQLSTATE, after which the server rolls the step back."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"conflict {sqlstate}")
        self.sqlstate = sqlstate


@dataclass
class Server:
    """The data of one server. `token` changes with every holder of the lock, so that an old holder is recognised."""

    data: dict[str, list[Any]] = field(default_factory=dict)
    record: dict[str, datetime] = field(default_factory=dict)
    journal: list[dict[str, Any]] = field(default_factory=list)
    stash: dict[str, list[Any]] = field(default_factory=dict)
    holder: Holder | None = None
    token: int = 0
    forgets: bool = False  # a faulty server: it says that a step is committed, and loses it
    running: bool = False
    mutex: threading.RLock = field(default_factory=threading.RLock)

    def take(self, author: Author) -> bool:
        with self.mutex:
            if self.holder is not None:
                return False
            self.holder = Holder(author.run, f"{author.actor}@{author.host}", datetime.now(UTC))
            self.token += 1
            return True

    def release(self, token: int) -> None:
        with self.mutex:
            if self.token == token:
                self.holder = None
                self.token += 1

    def append(self, entry: Entry) -> Entry:
        stored = {**to_fields(entry), "seq": len(self.journal) + 1, "at": datetime.now(UTC)}
        stored |= seal(stored, next((one["hash"] for one in reversed(self.journal) if one["hash"]), ""))
        self.journal.append(stored)
        return from_fields(stored)


_servers: dict[str, Server] = {}


def server_of(url: str) -> Server:
    """The server of a URL. Raises Unreachable for port 1, on which no server listens in any test."""
    if ":1/" in url:
        raise Unreachable(f"cannot connect to {url.partition('://')[2]}")
    return _servers.setdefault(url, Server())


class Collection:
    """The methods of a pymongo Collection that the migrations of the contract tests use."""

    def __init__(self, rows: list[Any], use: Callable[[str], None], drop: Callable[[], None]) -> None:
        self._rows = rows
        self._use = use
        self._drop = drop

    def insert_one(self, document: Any) -> None:
        self._use(f"insert {document}")
        self._rows.append(document)

    def find_one(self) -> Any:
        self._use("")
        return self._rows[0] if self._rows else None

    def drop(self) -> None:
        self._use("drop")
        self._drop()


class Data:
    """The database that a migration gets. Its attributes are collections.

    `use` is called with each command, and may raise an error to end the step.
    """

    def __init__(self, data: dict[str, list[Any]], use: Callable[[str], None]) -> None:
        self._data = data
        self._use = use

    def __getattr__(self, name: str) -> Collection:
        def use(command: str) -> None:
            self._use(f"{command.partition(' ')[0]} {name} {command.partition(' ')[2]}".strip() if command else "")

        return Collection(self._data.setdefault(name, []), use, lambda: self._data.__delitem__(name))


class MemoryDatabase:
    """See dataops.backends.Database for the promises."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def read(self) -> State:
        return settled(self._look)

    def _look(self) -> State:
        server = server_of(self.service.url)
        with server.mutex:
            ended_well = [e for e in map(from_fields, server.journal) if e.event in ENDED_WELL]
            of_steps = [stored for stored in server.journal if stored["event"] != JournalEvent.APPROVED.value]
            journal = Journal(from_fields(of_steps[-1]) if of_steps else None, {e.migration: e for e in ended_well})
            applied = tuple(m.id for m in self.service.migrations if m.id in server.record)
            unknown = tuple(id_ for id_ in server.record if id_ not in self.service.by_id)
            record = NativeRecord(applied, unknown, dict(server.record))
            address = self.service.url.partition("://")[2]
            identity = Identity(server="memory", database=address, address=address)
            return state_of(
                self.service,
                identity,
                "memory 1",
                record,
                journal,
                holder=server.holder,
                look_around=lambda: list(server.data),
            )

    def render(self, step: Step, sandbox: Sandbox) -> Rendering:
        commands: list[str] = []
        data = copy.deepcopy(server_of(self.service.url).data)
        function_of(load_module(self.service, step.migration), step)(Data(data, commands.append))
        return Rendering(tuple(command for command in commands if command))

    def history(self, limit: int | None) -> tuple[Entry, ...]:
        newest_first = list(reversed(server_of(self.service.url).journal))
        return tuple(from_fields(stored) for stored in newest_first[:limit])

    def links(self) -> tuple[Link, ...]:
        return tuple(link_of(stored) for stored in server_of(self.service.url).journal)

    def checkup(self) -> Iterator[Check]:
        yield Check("connection", self.service.url)

    def stash_entries(self) -> tuple[StashEntry, ...]:
        stash = server_of(self.service.url).stash
        return tuple(StashEntry(id_, f"stash.{id_}", id_, len(rows), 0, None) for id_, rows in stash.items())

    def catalogue(self) -> Catalogue:
        return Catalogue({("collection", name): "" for name in server_of(self.service.url).data})

    def contents(self, *, each: int = EACH) -> Contents:
        return {}

    @contextmanager
    def lock(
        self, author: Author, *, timeout: float, waiting: Waiting, stop: Callable[[], bool]
    ) -> Iterator[MemoryLocked]:
        server = server_of(self.service.url)
        wait_for(
            partial(server.take, author),
            lambda: server.holder,
            service=self.service,
            timeout=timeout,
            waiting=waiting,
            stop=stop,
            poll_seconds=_POLL_SECONDS,
        )
        locked = MemoryLocked(self, server)
        try:
            yield locked
        finally:
            server.release(locked.token)

    def error_text(self, error: BaseException) -> str:
        return redact(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """There is nothing to close."""


class MemoryLocked:
    """See dataops.backends.Locked for the promises."""

    def __init__(self, database: MemoryDatabase, server: Server) -> None:
        self.database: Database = database
        self.notes: tuple[str, ...] = ()
        self.token = server.token
        self._service = database.service
        self._server = server
        self._aborted = threading.Event()
        self._tally = Tally("rows", redact)

    def read(self) -> State:
        return self.database.read()

    def check(self) -> None:
        if self._server.token != self.token:
            raise LockLost("the migration lock was lost: another run holds it", service=self._service.name)

    def write(self, entry: Entry) -> None:
        with self._server.mutex:
            self.check()
            self._server.append(entry)

    def run(self, step: Step, end: Callable[[], Entry]) -> Entry:
        migrate = function_of(load_module(self._service, step.migration), step)
        self.check()
        data = copy.deepcopy(self._server.data)
        self._server.running = True
        with self._tally.counting():
            try:
                migrate(Data(data, self._use))
            except BaseException as error:
                sqlstate = error.sqlstate if isinstance(error, Conflict) else ""
                raise RolledBack(error, self.database.error_text(error), sqlstate) from error
            finally:
                self._server.running = False
        with self._server.mutex:
            self.check()
            if not self._server.forgets:
                self._server.data = data
                self._record(step.migration.id, applied=step.direction is Direction.APPLY)
            return self._server.append(end())

    def sent(self) -> Sent:
        return self._tally.sent()

    def resolve(self, entry: Entry, *, applied: bool) -> None:
        with self._server.mutex:
            self.check()
            self._record(entry.migration, applied=applied)
            self._server.append(entry)

    def adopt(self, record: ToolRecord | None, adopted: Sequence[Adopted]) -> None:
        with self._server.mutex:
            self.check()
            for one in adopted:
                self._record(one.entry.migration, applied=one.entry.direction is Direction.APPLY)
                self._server.append(one.entry)

    def prune(self, migration: str, entry: Entry) -> None:
        with self._server.mutex:
            self.check()
            self._server.stash.pop(migration, None)
            self._server.append(entry)

    def abort(self) -> None:
        self._aborted.set()

    def _use(self, command: str) -> None:
        if self._aborted.is_set():
            raise InterruptedError("aborted")
        if command:
            self._tally.send(command.split()[0], writes=True)

    def _record(self, id_: str, *, applied: bool) -> None:
        if applied:
            self._server.record.setdefault(id_, datetime.now(UTC))
        else:
            self._server.record.pop(id_, None)


def connect(service: Service) -> Database:
    """See dataops.backends.connect."""
    return MemoryDatabase(service)


@contextmanager
def driver(service: Service) -> Iterator[Data]:
    """See dataops.backends.driver."""
    yield Data(server_of(service.url).data, lambda command: None)


__all__ = ["MEMORY", "Conflict", "Server", "call", "connect", "driver", "fresh_url", "hooks", "server_of"]
