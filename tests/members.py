"""Fleets of real databases for tests: some of PostgreSQL and some of MongoDB, with names that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from pymongo import MongoClient

from dataops import urls
from dataops.dev import MongoServer, PostgresServer
from tests.projects import Project
from tests.servers import fresh_name


class Fleet:
    """The databases of one fleet: `prefix` begins the name of each, and `url` is their template."""

    def __init__(self, prefix: str, url: str, names: tuple[str, ...]) -> None:
        self.prefix = prefix
        self.url = url
        self.names = names

    def url_of(self, name: str) -> str:
        return self.url.replace("{database}", name)

    def ask(self, name: str, sql: str) -> list[Any]:
        """What PostgreSQL answers in one of the databases, or that it did what it was told."""
        with psycopg.connect(self.url_of(name), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgres_fleet(server: PostgresServer, count: int) -> Iterator[Fleet]:
    prefix = fresh_name("fleet") + "_"
    names = tuple(f"{prefix}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:count])
    try:
        made = [server.create_database(name) for name in names]
        yield Fleet(prefix, made[0].replace(names[0], "{database}"), names)
    finally:
        for name in names:
            server.drop_database(name)


@contextmanager
def mongo_fleet(server: MongoServer, count: int) -> Iterator[Fleet]:
    prefix = fresh_name("fleet") + "_"
    names = tuple(f"{prefix}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:count])
    with MongoClient[dict[str, Any]](server.url()) as client:
        try:
            for name in names:
                client[name].create_collection("of_the_application")
            yield Fleet(prefix, urls.beside(server.url("x"), "{database}"), names)
        finally:
            for name in names:
                client.drop_database(name)


def fleet_of(project: Project, service: str, fleet: Fleet, databases: Any, **settings: Any) -> None:
    """Add a fleet to a project; `databases` is what its paragraph says, a list or a table."""
    project.add(service, fleet.url, databases=databases, **settings)
