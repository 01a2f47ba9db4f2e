"""Databases on a server that somebody named by its URL: how they are created and dropped again."""

from __future__ import annotations

import re
from typing import Any

from dataops import kinds, urls
from dataops.errors import PermissionDenied, ServerUnavailable, Unreachable
from dataops.redaction import message_of

_SECONDS = 5
_SETTINGS = """
SELECT split_part(unnest(setconfig), '=', 1) FROM pg_db_role_setting
 WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def create_database(server: str, name: str) -> str:
    """The URL of a new, empty database on the server that the URL `server` leads to.

    MongoDB makes it when it is first written to. Raises ServerUnavailable, PermissionDenied.
    """
    if _is_postgres(server):
        _run(server, f"CREATE DATABASE {name}")
    return urls.beside(server, name)


def copy_database(url: str, name: str) -> str:
    """The URL of a new database on the same server with all that the database of `url` has.

    Nobody else may be connected to a PostgreSQL database while it is copied. Of a MongoDB every collection, view, index
    and document is copied, one after the other: it is meant for small ones. Raises ServerUnavailable, PermissionDenied.
    """
    copy = urls.beside(url, name)
    if _is_postgres(url):
        from psycopg import conninfo

        _run(url, f"CREATE DATABASE {name} TEMPLATE {conninfo.conninfo_to_dict(url)['dbname']}")
        _copy_settings(url, name)
    else:
        _copy_documents(url, copy)
    return copy


def _copy_settings(url: str, name: str) -> None:
    """Give the copy what ALTER DATABASE ... SET has said of the other one: the server does not copy that."""
    import psycopg
    from psycopg import sql

    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=_SECONDS) as connection:
            for (setting,) in connection.execute(_SETTINGS).fetchall():
                parts = sql.Identifier(*str(setting).split("."))
                connection.execute(sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT").format(sql.Identifier(name), parts))
    except psycopg.Error as error:
        raise ServerUnavailable(f"a database could not be copied: {message_of(error)}") from error


def _copy_documents(url: str, copy: str) -> None:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        with MongoClient[dict[str, Any]](url, w=1) as client, MongoClient[dict[str, Any]](copy, w=1) as other:
            source, target = client.get_default_database(), other.get_default_database()
            infos = [info for info in source.list_collections() if not info["name"].startswith("system.")]
            for info in sorted(infos, key=lambda info: bool(info["type"] == "view")):
                name = info["name"]
                target.command({"create": name, **info.get("options", {})})
                if info["type"] == "view":
                    continue
                indexes = [
                    {"collation": {"locale": "simple"}} | {key: index[key] for key in index if key not in ("v", "ns")}
                    for index in source[name].list_indexes()
                    if index["name"] != "_id_" and not index.get("clustered")
                ]
                documents = list(source[name].find())
                if documents:
                    target[name].insert_many(documents, bypass_document_validation=info["type"] == "collection")
                if indexes:
                    target.command({"createIndexes": name, "indexes": indexes})
    except PyMongoError as error:
        raise ServerUnavailable(f"a database could not be copied: {message_of(error)}") from error


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

    assert re.fullmatch(r"[A-Z ]+\w+( WITH \(FORCE\)| TEMPLATE \w+)?", statement)
    try:
        database = conninfo.conninfo_to_dict(server).get("dbname") or "postgres"
        with psycopg.connect(server, dbname=database, autocommit=True, connect_timeout=_SECONDS) as connection:
            connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise PermissionDenied(
            f"--scratch: {message_of(error)}", hint="the user needs the right CREATEDB there"
        ) from error
    except psycopg.Error as error:
        raise ServerUnavailable(
            f"--scratch: {' '.join(message_of(error).split())}", hint="is the URL right?"
        ) from error


def _is_postgres(url: str) -> bool:
    return kinds.of_url(url) is kinds.POSTGRESQL


__all__ = ["copy_database", "create_database", "drop_database"]
