"""A scratch database that holds our history up to a migration: what a database should be like, made to look at.

It is built by the same code that migrates for real, on a server that was named, or else on one that is started here for
the while (see dataops.dev). Nothing of it stays, unless the process is killed: then a named server keeps a database
called `dataops_scratch_<run>_<number>`, which may be dropped by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from dataops import dev, planner
from dataops.backends import Backend, connect
from dataops.catalogue import Catalogue
from dataops.config import redact
from dataops.errors import DataopsError, MigrationFailed, ServerUnavailable, UsageError
from dataops.executor import StopSignal, execute
from dataops.model import Author, Kind, Migration, Service

PREFIX = "dataops_scratch_"


class Scratch:
    """Servers for scratch databases, one of each kind at most, started when they are first needed."""

    def __init__(self, author: Author, *, servers: Sequence[str] = (), stop: StopSignal | None = None) -> None:
        """`servers` are URLs of servers on which we may create databases."""
        self._author = author
        self._named = {_kind(url): url for url in servers}
        self._stop = stop or StopSignal()
        self._numbers = itertools.count(1)
        self._scope = ExitStack()
        self._servers: dict[Kind, dev.PostgresServer | dev.MongoServer] = {}
        for url in servers:
            redact.learn(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.close()

    def catalogue(self, service: Service, to: Migration | None, live: Backend, *, complete: bool = False) -> Catalogue:
        """What `live` should be like with everything up to `to` applied (None: with nothing).

        Raises ServerUnavailable where there is no server to build on, MigrationFailed.
        """
        with self.database(service) as empty, opened(empty) as backend:
            backend.imitate(live)
            self.migrate(empty, to)
            return backend.catalogue(complete=complete)

    @contextmanager
    def database(self, service: Service) -> Iterator[Service]:
        """The same service with an empty database, gone afterwards."""
        name = f"{PREFIX}{self._author.run.replace('-', '_').lower()}_{next(self._numbers)}"
        named = self._named.get(service.kind)
        url = dev.create_database(named, name) if named else self._local(service, name)
        redact.learn(url)
        try:
            yield replace(service, url=url, mirror="", beside=(), depends_on=(), session_pooler=False)
        finally:
            if named:
                dev.drop_database(url, named)

    def migrate(self, service: Service, to: Migration | None) -> None:
        """Apply everything up to `to`, as for real. Raises MigrationFailed, Stopped."""
        if to is None:
            return
        with opened(service) as backend:
            plan = planner.plan_apply([backend.read()], to=to)
        result = execute(plan, self._author, emit=lambda event: None, stop=self._stop)
        for failure in result.failures:
            if isinstance(failure.error, DataopsError):
                raise failure.error
            raise MigrationFailed(str(failure.error), service=service.name) from failure.error

    def _local(self, service: Service, name: str) -> str:
        if service.kind not in self._servers:
            try:
                self._servers[service.kind] = self._start(service.kind)
            except ServerUnavailable as error:
                raise ServerUnavailable(
                    f"no server to build a comparison on: {error.message}",
                    service=service.name,
                    hint=f"--scratch URL names a {service.kind.value} server where a database may be created; "
                    "or pip install 'dataops[embedded]'",
                ) from error
        server = self._servers[service.kind]
        return server.create_database(name) if isinstance(server, dev.PostgresServer) else server.url(name)

    def _start(self, kind: Kind) -> dev.PostgresServer | dev.MongoServer:
        if kind is Kind.POSTGRESQL:
            return self._scope.enter_context(dev.postgres_server(stand_in=True))
        return self._scope.enter_context(dev.mongodb_server(replica_set=True))


@contextmanager
def opened(service: Service) -> Iterator[Backend]:
    """A backend, closed afterwards."""
    backend = connect(service)
    try:
        yield backend
    finally:
        backend.close()


def _kind(url: str) -> Kind:
    scheme = urlsplit(url).scheme
    for kind, schemes in ((Kind.POSTGRESQL, ("postgres", "postgresql")), (Kind.MONGODB, ("mongodb", "mongodb+srv"))):
        if scheme in schemes:
            return kind
    raise UsageError(
        "--scratch is not the URL of a PostgreSQL or MongoDB server",
        hint="it begins with postgres:// or mongodb://; the value itself is not shown, it may hold a password",
    )


__all__ = ["PREFIX", "Scratch", "opened"]
