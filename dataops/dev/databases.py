"""Databases on a server that somebody named by its URL: how they are created and dropped again."""

from __future__ import annotations

import re
from typing import Any

from dataops import kinds, urls
from dataops.errors import PermissionDenied, ServerUnavailable, Unreachable
from dataops.redaction import message_of

_SECONDS = 5


def create_database(server: str, name: str) -> str:
    """The URL of a new, empty database on the server that the URL `server` leads to.

    MongoDB makes it when it is first written to. Raises ServerUnavailable, PermissionDenied.
    """
    if _is_postgres(server):
        _run(server, f"CREATE DATABASE {name}")
    return urls.beside(server, name)


def drop_database(server: str, name: str) -> None:
    """Drop a database, even while somebody is connected; it is no error when there is none.

    Raises Unreachable for MongoDB, ServerUnavailable and PermissionDenied for PostgreSQL.
    """
    if _is_postgres(server):
        _run(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        return
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        with MongoClient[dict[str, Any]](server, serverSelectionTimeoutMS=_SECONDS * 1000) as client:
            client.drop_database(name)
    except PyMongoError as error:
        raise Unreachable(
            f"the scratch database {name} could not be dropped: {message_of(error)}", hint="drop it by hand"
        ) from error


def _run(server: str, statement: str) -> None:
    import psycopg
    from psycopg import conninfo

    assert re.fullmatch(r"[A-Z ]+\w+( WITH \(FORCE\))?", statement)
    try:
        database = conninfo.conninfo_to_dict(server).get("dbname") or "postgres"
        with psycopg.connect(server, dbname=database, autocommit=True, connect_timeout=_SECONDS) as connection:
            connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise PermissionDenied(
            f"--scratch: {message_of(error)}", hint="the user needs the right CREATEDB there"
        ) from error
    except psycopg.Error as error:
        raise ServerUnavailable(f"--scratch: {message_of(error).strip()}", hint="is the URL right?") from error


def _is_postgres(url: str) -> bool:
    return kinds.of_url(url) is kinds.POSTGRESQL


__all__ = ["create_database", "drop_database"]
