"""Databases on a server that somebody named by URL: made, and dropped again."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dataops.errors import PermissionDenied, ServerUnavailable, Unreachable


def create_database(server: str, name: str) -> str:
    """The URL of a new, empty database beside the one that `server` names.

    Raises Unreachable, PermissionDenied.
    """
    if not _is_postgres(server):
        return _with_path(server, name)  # MongoDB makes it when it is first written to
    _run(server, f"CREATE DATABASE {name}")
    return _with_path(server, name)


def drop_database(url: str, server: str) -> None:
    """Drop the database of `url`, whoever is still connected, by way of `server`; no error when there is none."""
    name = urlsplit(url).path.lstrip("/")
    if _is_postgres(server):
        _run(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        return
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=5000) as client:
            client.drop_database(name)
    except PyMongoError as error:
        raise Unreachable(f"the scratch database {name} could not be dropped: {error}") from error


def _run(server: str, statement: str) -> None:
    import psycopg

    assert re.fullmatch(r"[A-Z ]+\w+( WITH \(FORCE\))?", statement)
    try:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise PermissionDenied(f"--scratch: {error}", hint="the user needs the right CREATEDB there") from error
    except psycopg.Error as error:
        raise ServerUnavailable(f"--scratch: {str(error).strip()}", hint="is the URL right?") from error


def _is_postgres(url: str) -> bool:
    return url.startswith(("postgres://", "postgresql://"))


def _with_path(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


__all__ = ["create_database", "drop_database"]
