"""One database, three kinds of it: what is promised is promised by all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataops import config
from dataops.backends import Database, connect
from dataops.model import Author, Direction, Service, Step
from tests import memory
from tests.projects import Project

AUTHOR = Author(run="20261124T093000-aaaaaa", actor="ana", host="pod-1", version="0.1.0")
OTHER = Author(run="20261124T093100-bbbbbb", actor="bob", host="pod-2", version="0.1.0")


class Trial:
    """A service with a few migrations on an empty database, and backends to it."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        self.url = url
        self._open: list[Database] = []
        project.add("it", url, timeouts={"lease": "2s", "table_lock": "300ms", "connect": "3s"})
        project.table("it", "001")
        project.table("it", "002")

    @property
    def is_postgres(self) -> bool:
        return self.url.startswith("postgres")

    @property
    def is_memory(self) -> bool:
        return self.url.startswith("memory")

    @property
    def nowhere(self) -> str:
        """A URL of the same kind where nobody listens."""
        return f"{self.url.partition('://')[0]}://u:p@127.0.0.1:1/x"

    @property
    def service(self) -> Service:
        path = self.project.folder / "dataops.toml"
        return config.load(path, environ=self.project.env).services[0]

    def database(self) -> Database:
        database = connect(self.service)
        self._open.append(database)
        return database

    def step(self, id_: str, direction: Direction = Direction.APPLY) -> Step:
        return Step("it", self.service.by_id[id_], direction)

    def close(self) -> None:
        for database in self._open:
            database.close()


@pytest.fixture(params=["postgresql", "mongodb", "mongodb standalone", "memory"])
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    fixture = {"postgresql": "pg_url", "mongodb": "mongo_url", "mongodb standalone": "mongo_standalone_url"}
    name = fixture.get(request.param)
    made = Trial(Project(tmp_path), request.getfixturevalue(name) if name else memory.fresh_url())
    yield made
    made.close()


@pytest.fixture
def objects(trial: Trial) -> Callable[[], set[str]]:
    """The names of all tables or collections that are there now."""
    import psycopg
    from pymongo import MongoClient

    def look() -> set[str]:
        if trial.is_memory:
            return set(memory.server_of(trial.url).data)
        if trial.is_postgres:
            with psycopg.connect(trial.url) as connection:
                query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
                return {str(row[0]) for row in connection.execute(query)}
        with MongoClient[dict[str, object]](trial.url) as client:
            return set(client.get_default_database().list_collection_names())

    return look
