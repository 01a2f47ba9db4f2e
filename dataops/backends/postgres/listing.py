"""The databases of a server, how big they are, and what a control database answers: for fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import dict_row, tuple_row

from dataops.backends.postgres.connection import Server
from dataops.model import Service

_NAMES = """
    SELECT datname FROM pg_catalog.pg_database
    WHERE datallowconn AND NOT datistemplate AND datname LIKE %s ORDER BY datname COLLATE "C"
"""
_SIZES = """
    SELECT datname, pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database
    WHERE datname = ANY (%s) AND datallowconn AND (
        pg_catalog.has_database_privilege(oid, 'CONNECT') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
    )
"""


def names(service: Service, like: str) -> list[str]:
    """The names of the server's databases that fit a pattern of LIKE and can be connected to, in their order."""
    with Server(service).asking() as connection:
        return [name for (name,) in connection.cursor(row_factory=tuple_row).execute(_NAMES, [like])]


def sizes(service: Service, databases: Sequence[str]) -> dict[str, int]:
    """The sizes in bytes of those of these databases about which this user may know."""
    with Server(service).asking() as connection:
        return dict(connection.cursor(row_factory=tuple_row).execute(_SIZES, [list(databases)]).fetchall())


def rows(service: Service, query: str) -> list[Mapping[str, Any]]:
    """What a query answers in a connection that cannot write, each row by the names of its columns in their order."""
    with Server(service).asking() as connection:
        return list(connection.cursor(row_factory=dict_row).execute(query.encode()))


__all__ = ["names", "rows", "sizes"]
