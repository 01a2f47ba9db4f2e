"""Scratch databases: databases of our own in which our history is applied, to see what a database should be like.

A scratch database is built by the same code that migrates real databases. It is created on a server that the user
names, or else on one that is started here and stopped at the end (see dataops.dev). It is dropped at the end. Only a
process that is killed leaves one behind, and only on a named server. Its name is `dataops_scratch_<run>_<number>`; a
run's id begins with the time (UTC) and is in the log of that process. It may be dropped by hand.

    with Scratch(author) as scratch:
        expected = scratch.catalogue(service, to, live)
        with scratch.database(service) as trial:  # the same service, with an empty database
            scratch.migrate(trial, to)
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from dataops import kinds, statements
from dataops.backends import Borrows, Database, Lent, connect, opened
from dataops.catalogue import OF_APPLICATIONS, Catalogue, Key, as_lent
from dataops.errors import (
    DataopsError,
    InterruptedStep,
    MigrationFailed,
    NotBuilt,
    ServerUnavailable,
    Stopped,
    UsageError,
)
from dataops.events import Event, StepFinished, StepStarted
from dataops.kinds import Kind
from dataops.model import Author, Migration, Service
from dataops.planning import planner
from dataops.redaction import describe, redact
from dataops.run.executor import execute
from dataops.run.stop import StopSignal

if TYPE_CHECKING:
    from dataops.dev import MongoServer, PostgresServer

T = TypeVar("T")

PREFIX = "dataops_scratch_"
NOTHING: Mapping[str, Lent] = {}


class Scratch:
    """Creates scratch databases. It starts at most one server of each kind, when that is first needed."""

    def __init__(
        self,
        author: Author,
        *,
        servers: Sequence[str] = (),
        stop: StopSignal | None = None,
        bodies: bool = False,
        majors: Mapping[Kind, int] | None = None,
    ) -> None:
        """`servers` are URLs of servers on which we may create databases, one for each kind. Raises UsageError.

        With `bodies`, a catalogue that is expected counts comments and bodies of functions. `majors` are the versions
        that servers of ours should have, where there is a program of that version.
        """
        self._majors = majors or {}
        self._bodies = bodies
        self._author = author
        self._named = {_kind(url): url for url in servers}
        self._stop = stop or StopSignal()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._of_fleets: dict[tuple[str, str | None], Future[Catalogue]] = {}
        self._scope = ExitStack()
        self._pool = ThreadPoolExecutor(max_workers=len(kinds.known()))
        self._servers: dict[Kind, Future[PostgresServer | MongoServer]] = {}
        for url in servers:
            redact.learn(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()  # a server that is still being started must be up before it can be stopped
        self._scope.close()

    def start(self, kinds: Iterable[Kind]) -> None:
        """Begin to start the servers for these kinds of database, side by side. Returns at once, before they are up."""
        for kind in kinds:
            if kind not in self._named and kind not in self._servers:
                self._servers[kind] = self._pool.submit(self._start, kind)

    def catalogue(self, service: Service, to: Migration | None, live: Database) -> Catalogue:
        """The catalogue that `live` should have when every migration up to `to` is applied (None: no migration).

        It is that of an empty database in which the history was run. A history may expect to find what an application
        makes by itself: just before a migration that fails for want of it, what the server has missed by name is put
        there, or empty copies of what `live` has. What only `live` has is then the application's own, and no
        difference. Raises MigrationFailed, Stopped, and ServerUnavailable when there is no server for a scratch
        database.
        """
        expected = self._shared(service, to, live) if service.member else self._expected(service, to, live)
        if service.kind.application_creates:
            expected = replace(expected, open=expected.open | OF_APPLICATIONS)
        return expected.with_bodies() if self._bodies else expected

    def _expected(self, service: Service, to: Migration | None, live: Database) -> Catalogue:
        return self.made(service, to, live, lambda _: None)[0]

    def _shared(self, service: Service, to: Migration | None, live: Database) -> Catalogue:
        """What the history of a fleet makes, built once for all its databases that stand at the same place.

        A history that needs something that is lent is built for each of them, because it may be lent what one has.
        """
        key = (service.unit, to.id if to else None)
        with self._lock:
            mine = key not in self._of_fleets
            shared = self._of_fleets.setdefault(key, Future())
        if mine:
            try:
                shared.set_result(self._expected(service, to, live))
            except BaseException as error:
                shared.set_exception(error)
                raise
        try:
            found = shared.result()
        except DataopsError as error:
            if service.kind.application_creates:  # this one may have what the other lacked
                return self._expected(service, to, live)
            again = copy(error)
            again.service = service.name
            raise again from error
        return found if mine or not found.lent else self._expected(service, to, live)

    def made(
        self, service: Service, to: Migration | None, live: Database | None, look: Callable[[Database], T]
    ) -> tuple[Catalogue, T]:
        """What every migration up to `to` makes in an empty database, and what `look` finds there.

        Without `live`, nothing is lent but what the server has missed by name, and what the configuration names.
        """
        return self.lending(service, live, lambda lent: self._made(service, to, live, look, lent))

    def lending(self, service: Service, live: Database | None, build: Callable[[Mapping[str, Lent]], T]) -> T:
        """What `build` returns, which runs the history with what it is given as lent, by migration.

        It is called again with more for as long as a migration fails for want of something, as `made` says.
        """
        lent: Mapping[str, Lent] = {}
        while True:
            try:
                return build(lent)
            except NotBuilt as error:
                more = _more(connect(service), live, error, lent)
                if more == lent:
                    raise _with_a_way_out(error, service, live) from error.__cause__
                lent = more

    def needs(self, service: Service, to: Migration) -> Mapping[str, Lent]:
        """What has to be lent to the history up to `to`, by migration. It is run on a scratch database to find out.

        Raises NotBuilt where it cannot be run with anything, Stopped, and ServerUnavailable.
        """
        if not service.kind.application_creates:
            return {}

        def build(lent: Mapping[str, Lent]) -> Mapping[str, Lent]:
            with self.database(service) as empty:
                self.migrate(empty, to, lent)
            return lent

        return self.lending(service, None, build)

    def lend(self, service: Service, lent: Lent) -> None:
        """Make in a scratch database what is lent."""
        with opened(service) as database:
            if isinstance(database, Borrows):
                database.borrow(None, lent)

    def _made(
        self,
        service: Service,
        to: Migration | None,
        live: Database | None,
        look: Callable[[Database], T],
        lent: Mapping[str, Lent],
    ) -> tuple[Catalogue, T]:
        with self.database(service) as empty, opened(empty) as database:
            copies: list[tuple[Catalogue, Catalogue, frozenset[Key]]] = []
            dropped = dict[Key, str]()
            for migration in service.migrations:
                if migration.id in lent and isinstance(database, Borrows):
                    at = service.position[migration.id]
                    dropped |= self.migrate(empty, service.migrations[at - 1] if at else None)
                    before = database.catalogue()
                    database.borrow(live, lent[migration.id])
                    copies.append((before, database.catalogue(), frozenset(dropped)))
            dropped |= self.migrate(empty, to)
            built = replace(database.catalogue(), gone=dropped)
            for before, after, gone in copies:
                built = as_lent(before, after, built, gone)
            return built, look(database)

    @contextmanager
    def database(self, service: Service) -> Iterator[Service]:
        """The same service with an empty database, which is dropped after the scope, whoever is still connected."""
        name = self._name()
        named = self._named.get(service.kind)
        with _dropped(named, name) if named else ExitStack():
            url = self._create(service, named, name)
            redact.learn(url)
            yield replace(
                service,
                url=url,
                mirror="",
                coexist=(),
                depends_on=(),
                session_pooler=False,
                onto_existing=True,
                member=None,
            )

    @contextmanager
    def copy(self, template: Service) -> Iterator[Service]:
        """The same service with a copy of a scratch database, which nobody may use meanwhile. Dropped at the end."""
        from dataops import dev

        name = self._name()
        url = dev.copy_database(template.url, name)
        redact.learn(url)
        with _dropped(template.url, name):
            yield replace(template, url=url)

    def is_ours(self, kind: Kind) -> bool:
        """Whether databases of this kind are on a server that is started here, and no one has named."""
        return kind not in self._named

    def migrate(self, service: Service, to: Migration | None, lent: Mapping[str, Lent] = NOTHING) -> dict[Key, str]:
        """Apply every migration up to `to` (None: none), as `apply` does. Raises NotBuilt, Stopped.

        What is `lent` is made just before the migrations that need it.

        Returns the collections and indexes of MongoDB that were dropped, each with the migration that has dropped it
        last.
        """
        if to is None:
            return {}
        dropped: dict[Key, str] = {}
        for migration in _pending(service, to) if lent else ():
            if migration.id in lent:
                at = service.position[migration.id]
                dropped |= self.migrate(service, service.migrations[at - 1] if at else None)
                self.lend(service, lent[migration.id])
        drops = _Drops(service)
        with opened(service) as database:
            plan = planner.plan_apply([database.read()], to=to)
        with statements.listening(drops.hear):
            result = execute(plan, self._author, emit=drops.follow, stop=self._stop)
        if result.failures:
            failure = result.failures[0]
            error = failure.error
            text = error.message if isinstance(error, DataopsError) else describe(error)
            if isinstance(error, MigrationFailed | InterruptedStep):
                text = text.rpartition("\n  ")[0] or text  # without what is left of it: nobody sees that database
            not_built = NotBuilt(
                f"our history cannot be built in a scratch database: {text}",
                service=service.name,
                migration=failure.step.migration.id if failure.step else None,
                hint="your own database was only read; the migrations have to run on an empty one: dataops dev up",
                traceback=failure.details.traceback,
            )
            not_built.place = drops.missed
            raise not_built from error
        if result.left:
            raise Stopped("stopped while a scratch database was built; nothing was changed", service=service.name)
        return dropped | drops.found

    def _name(self) -> str:
        return f"{PREFIX}{self._author.run.replace('-', '_').lower()}_{next(self._numbers)}"

    def _create(self, service: Service, named: str | None, name: str) -> str:
        from dataops import dev

        if named:
            return dev.create_database(named, name)
        self.start([service.kind])
        try:
            server = self._servers[service.kind].result()
        except ServerUnavailable as error:
            raise ServerUnavailable(
                f"no server to build a comparison on: {error.message}",
                service=service.name,
                hint=f"--scratch URL names a {service.kind.name} server where a database may be created; "
                "or pip install 'dataops[embedded]'",
            ) from error
        return server.create_database(name) if isinstance(server, dev.PostgresServer) else server.url(name)

    def _start(self, kind: Kind) -> PostgresServer | MongoServer:
        from dataops import dev

        return self._scope.enter_context(dev.scratch_server(kind, self._majors.get(kind)))


def _pending(service: Service, to: Migration) -> tuple[Migration, ...]:
    with opened(service) as database:
        return tuple(step.migration for step in planner.plan_apply([database.read()], to=to).steps)


def _more(database: Database, live: Database | None, error: NotBuilt, lent: Mapping[str, Lent]) -> Mapping[str, Lent]:
    """What the migrations may need beside what they were `lent`, by migration; the same where nothing can help."""
    if error.migration is None or not isinstance(database, Borrows):
        return lent
    if lent and (obstacles := database.in_the_way(error)):
        return {id_: replace(one, but=one.but | obstacles) for id_, one in lent.items()}
    known = lent.get(error.migration) or Lent(but=frozenset().union(*(one.but for one in lent.values())))
    more = database.more_to_lend(error, known)
    if live is None and more.collections and (known.collections or not database.service.application):
        return lent  # there is nothing more to lend
    return {**lent, error.migration: more}


def _with_a_way_out(error: NotBuilt, service: Service, live: Database | None) -> NotBuilt:
    """The error, which says what can be done where an application may have made what a migration wants to find."""
    if service.kind.application_creates and isinstance(error.__cause__, Exception):
        found = "is not in your database" if live is not None else "is made by your application"
        error.hint = (
            f"{error.hint}; where {error.migration} expects a collection that {found}, name it: "
            f'application = ["..."] under [services.{service.unit}] in dataops.toml; then run this again'
        )
    return error


class _Drops:
    """Finds out which collections and indexes the migrations of a service drop.

    What is dropped by its name is heard. After a migration that may have dropped more (all indexes, one by its keys)
    the server is asked which are left. The indexes of a collection that was dropped or renamed do not count: where
    there is one of that name again, it is another one, and its application makes indexes. `missed` is what the last
    statement was about that has failed.
    """

    def __init__(self, service: Service) -> None:
        self.found: dict[Key, str] = {}
        self.missed = ""
        self._service = service
        self._migration = ""
        self._unclear = False
        self._indexes = self._read() if service.kind.application_creates else set()

    def follow(self, event: Event) -> None:
        if isinstance(event, StepStarted) and event.step:
            self._migration = event.step.migration.id
        elif isinstance(event, StepFinished) and self._unclear:
            now = self._read()
            self.found |= dict.fromkeys(self._indexes - now, self._migration)
            self._indexes, self._unclear = now, False

    def hear(self, statement: statements.Statement) -> None:
        if statement.service != self._service.name:
            return
        named = {("index", f"{statement.target}.{name}") for name in statement.names}
        if statement.error:
            self.missed = statement.target
        elif statement.operation == "createIndexes":
            self._indexes |= named
        elif statement.operation in _DROPS_INDEXES:
            self.found |= dict.fromkeys(named, self._migration)
            self._unclear = True
        elif statement.operation == "drop":
            self.found["collection", statement.target] = self._migration
            self._forget(statement.target)
        elif statement.operation == "renameCollection":  # it may take the place of another
            for whole in (statement.target, *statement.names):
                self._forget(whole.partition(".")[2])

    def _forget(self, collection: str) -> None:
        self._indexes = {one for one in self._indexes if not one[1].startswith(f"{collection}.")}

    def _read(self) -> set[Key]:
        with opened(self._service) as database:
            return {key for key in database.catalogue().objects if key[0] == "index"}


_DROPS_INDEXES = frozenset({"dropIndexes", "deleteIndexes", "convertToCapped"})
"""The commands of MongoDB after which a collection may have fewer indexes."""


@contextmanager
def _dropped(server: str, name: str) -> Iterator[None]:
    """Drop the database at the end. After an error in the scope, that error is raised, even if the drop fails too."""
    from dataops import dev

    try:
        yield
    except BaseException:
        with suppress(DataopsError):
            dev.drop_database(server, name)
        raise
    dev.drop_database(server, name)


def _kind(url: str) -> Kind:
    kind = kinds.of_url(url)
    if kind is None:
        raise UsageError(
            "--scratch is not the URL of a PostgreSQL or MongoDB server",
            hint="it begins with postgres:// or mongodb://; the value itself is not shown, it may hold a password",
        )
    return kind


__all__ = ["NOTHING", "PREFIX", "Scratch"]
