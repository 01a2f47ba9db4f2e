"""A fleet of a test's own: many small databases on one server, and a project with a service that has them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import fresh_name

RAN = """
op.execute("CREATE TABLE IF NOT EXISTS ran (id text, at timestamptz DEFAULT clock_timestamp())")
op.execute("INSERT INTO ran (id) VALUES ('{id}')")
{more}
"""
UNRAN = """op.execute("DELETE FROM ran WHERE id = '{id}'")"""
RAN_MONGO = """
{more}
db.ran.update_one({{"_id": "{id}"}}, [{{"$set": {{"at": "$$NOW"}}}}], upsert=True)
"""
"""It is not one transaction, so that what was killed in the middle of it is run again: the journal says how often."""

FAILS = """
if op.get_bind().exec_driver_sql("SELECT current_setting('test.trouble', true)").scalar():
    raise RuntimeError("there is trouble")
"""
"""A piece of a migration that fails in a database where `Fleet.trouble` has been."""


@dataclass
class Fleet:
    """`names` are the databases, in the order of their names; `control` is the URL of a control database.

    A service that is `alone` is no fleet: it has one database.
    """

    project: Project
    server: PostgresServer | MongoServer
    names: tuple[str, ...]
    control: str
    service: str = "tenants"
    alone: bool = False

    @property
    def is_mongo(self) -> bool:
        return isinstance(self.server, MongoServer)

    def configure(self, *, after: Sequence[str] = (), **rollout: Any) -> Fleet:
        """Write dataops.toml; `rollout` is how the databases are changed, `after` on what they depend."""
        self.project.env["CONTROL_URL"] = self.control
        settings: dict[str, Any] = {"rollout": rollout} if rollout else {}
        settings |= {"depends_on": list(after)} if after else {}
        if self.alone:
            self.project.add(self.service, self.server.url(self.names[0]), **settings)
        else:
            self.project.add(self.service, self.server.url("{database}"), databases=list(self.names), **settings)
        return self

    def file(self, id_: str, more: str = "", **how: Any) -> None:
        """The next migration, which notes that it ran, and when by the server's clock."""
        if self.is_mongo:
            how = {"head": "repeatable = True", **how}
            self.project.file(
                self.service, id_, RAN_MONGO.format(id=id_, more=more), f"db.ran.delete_one({{'_id': {id_!r}}})", **how
            )
        else:
            self.project.file(self.service, id_, RAN.format(id=id_, more=more), UNRAN.format(id=id_), **how)

    def drop(self, name: str) -> None:
        """Drop one database."""
        if isinstance(self.server, MongoServer):
            with MongoClient[dict[str, Any]](self.server.url()) as client:
                client.drop_database(name)
        else:
            self.server.drop_database(name)

    def there(self) -> set[str]:
        """Those of the databases that are there."""
        if self.is_mongo:
            with MongoClient[dict[str, Any]](self.server.url()) as client:
                return set(client.list_database_names()) & set(self.names)
        with psycopg.connect(self.control) as connection:
            return {name for (name,) in connection.execute("SELECT datname FROM pg_database")} & set(self.names)

    def trouble(self, *names: str, ends: bool = False) -> None:
        """Make what FAILS finds in these databases, or take it away again."""
        for name in names:
            assert isinstance(self.server, PostgresServer)
            self.server.execute(f"ALTER DATABASE {{}} {'RESET test.trouble' if ends else 'SET test.trouble = 1'}", name)

    def ran(self, name: str) -> list[tuple[str, Any]]:
        """What has run in a database and was not undone, and when."""
        if self.is_mongo:
            with MongoClient[dict[str, Any]](self.server.url(name), tz_aware=True) as client:
                database = client.get_default_database()
                found = list(database.ran.find().sort("at"))
                ended = list(database.dataops_journal.find({"event": "succeeded"}))
            times = Counter[str]()
            for one in ended:
                times[one["migration"]] += 1 if one["direction"] == "apply" else -1
            return [(one["_id"], one["at"]) for one in found for _ in range(times[one["_id"]])]
        with psycopg.connect(self.server.url(name)) as connection:
            if connection.execute("SELECT to_regclass('ran')").fetchone() == (None,):
                return []
            return connection.execute("SELECT id, at FROM ran ORDER BY at").fetchall()

    def applied(self) -> dict[str, list[str]]:
        """What has run in each database."""
        return {name: [id_ for id_, _ in self.ran(name)] for name in self.names}

    def times(self, names: Sequence[str]) -> list[Any]:
        """When anything has run in these databases, in order."""
        return sorted(at for name in names for _, at in self.ran(name))

    def runs(self) -> set[str]:
        """The ids of all runs that the journals know."""
        found: set[str] = set()
        for name in self.names:
            if self.is_mongo:
                with MongoClient[dict[str, Any]](self.server.url(name)) as client:
                    found |= set(client.get_default_database().dataops_journal.distinct("run"))
            else:
                with psycopg.connect(self.server.url(name)) as connection:
                    found |= {
                        run for (run,) in connection.execute("SELECT DISTINCT run FROM dataops_history.dataops_journal")
                    }
        return found


@contextmanager
def fleet(
    project: Project,
    server: PostgresServer | MongoServer,
    number: int,
    service: str = "tenants",
    *,
    alone: bool = False,
) -> Iterator[Fleet]:
    """So many new databases, and one to control them, which are dropped after the block."""
    prefix = fresh_name("fleet")
    names = tuple(f"{prefix}_{at:03}" for at in range(number))
    control = f"{prefix}_control"
    try:
        for name in (*names, control):
            server.create_database(name)
        yield Fleet(project, server, names, server.url(control), service, alone)
    finally:
        for name in (*names, control):
            Fleet(project, server, names, "").drop(name)
