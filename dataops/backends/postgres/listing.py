"""The databases of a server, how big they are, and what a control database answers: for fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from dataops.backends.postgres.connection import Server, error_text
from dataops.errors import ConfigError
from dataops.model import Service
from dataops.redaction import redact

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
_READ_ONLY = "nothing was written: a control database is only read"


def names(service: Service, like: str) -> list[str]:
    """The names of the server's databases that fit a pattern of LIKE and can be connected to, in their order."""
    with Server(service).asking() as connection:
        return [name for (name,) in connection.cursor(row_factory=tuple_row).execute(_NAMES, [like])]


def sizes(service: Service, databases: Sequence[str]) -> dict[str, int]:
    """The sizes in bytes of those of these databases about which this user may know."""
    with Server(service).asking() as connection:
        return dict(connection.cursor(row_factory=tuple_row).execute(_SIZES, [list(databases)]).fetchall())


def rows(service: Service, query: str) -> list[Mapping[str, Any]]:
    """What a query answers in a connection that cannot write, each row by the names of its columns in their order.

    Raises ConfigError for a query that writes, and for one of whose columns two have the same name.
    """
    with Server(service).asking() as connection:
        try:
            answer = connection.ask(query)
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise ConfigError(f"the query must not write: {error_text(error)}", hint=_READ_ONLY) from error
        columns = [column.name for column in answer.description or ()]
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(
                f"two columns of the query are called {redact(twice)}", hint="give each a name of its own, with AS"
            )
        return [dict(zip(columns, row, strict=True)) for row in (answer if columns else ())]


__all__ = ["names", "rows", "sizes"]
