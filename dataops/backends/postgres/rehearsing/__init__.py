"""Copies a live database into a scratch database, as it is and with a sample of its rows; and watches steps there.

`sampling` says how rows are read and `masking` what takes the place of a value, `filling` puts them into the scratch
database and fetches the rows to which others refer, and `watching` asks about locks and rewrites. See ADR 24.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from dataops.backends import Copied, Sampling
from dataops.backends.postgres import schema
from dataops.backends.postgres.connection import Server, WatchedConnection
from dataops.backends.postgres.environment import options_of
from dataops.backends.postgres.rehearsing import filling, sampling
from dataops.errors import ServerUnavailable
from dataops.model import Service
from dataops.redaction import redact

_LIMITS = "SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '1s'"
_NAMED = 5
_ROLES = "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_'"
_OWNERS = """
SELECT i.type, i.identity, pg_get_userbyid(o.owner)::text
  FROM (SELECT 'pg_class'::regclass AS class, oid, relowner AS owner, relnamespace AS namespace FROM pg_class
         WHERE relkind IN ('r', 'p', 'v', 'm', 'f') OR (relkind = 'S' AND NOT EXISTS (
               SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = pg_class.oid
                  AND d.deptype IN ('a', 'i')))
        UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, pronamespace FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, typowner, typnamespace FROM pg_type
         WHERE typtype IN ('e', 'd') OR (typtype = 'c' AND typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c'))
        UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner, oid FROM pg_namespace) o
  JOIN pg_namespace n ON n.oid = o.namespace
 CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
 WHERE n.nspname !~ '^(pg_|information_schema$|dataops_history)' AND o.owner <> 10
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
 ORDER BY (o.class = 'pg_namespace'::regclass) DESC, o.oid
"""
_SEQUENCES = """
SELECT schemaname::text, sequencename::text, last_value FROM pg_sequences WHERE last_value IS NOT NULL
"""


def copy(live: Server, scratch: Service, wanted: Sampling) -> Copied:
    """See dataops.backends.Rehearses.copy_into."""
    target = Server(scratch)
    with live.asking(long=True) as source:
        source.execute(_LIMITS)
        remarks = list(_prepare(source, target, wanted))
        path = _path_of(source)
        before, after, unwritten = schema.around_rows(source)
        tables = sampling.tables(source)
        plan = sampling.planned(source, tables, wanted)
        with target.connect() as connection, target.explaining(connection):
            connection.execute(path)
            remarks += _make(connection, before)
            copied, told = filling.fill(source, connection, plan, wanted)
            remarks += told
            remarks += _make(connection, after)
            _set_sequences(source, connection)
            if wanted.ours:
                remarks += _set_owners(source, connection)
            connection.execute("ANALYZE")
    if unwritten:
        more = f", and {len(unwritten) - _NAMED} more" if len(unwritten) > _NAMED else ""
        remarks.append(f"not copied: {', '.join(map(redact, unwritten[:_NAMED]))}{more}")
    masked = sampling.masked(tables, wanted.masks)
    return Copied(copied, tuple(remarks), frozenset(one for masks in masked.values() for one in masks.values()))


def _prepare(source: WatchedConnection, target: Server, wanted: Sampling) -> Iterator[str]:
    """Give the scratch database the search_path, the schemas and the roles that the live one has."""
    with target.connect() as connection:
        ours, theirs = (one.info.server_version // 10000 for one in (connection, source))
        if ours != theirs:
            yield f"rehearsed on PostgreSQL {ours}, but the database is on {theirs}: --scratch names another server"
        path = source.shielded().schemas
        record = options_of(target.service).version_table_schema
        for name in dict.fromkeys([*path, *([record] if record else [])]):
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(name)))
        if path:
            set_path = SQL("ALTER DATABASE {} SET search_path = {}")
            names = SQL(", ").join(map(Identifier, path))
            connection.execute(set_path.format(Identifier(connection.info.dbname), names))
        roles = _names(source, _ROLES) - _names(connection, _ROLES)
        if wanted.ours:
            for name in sorted(roles):
                connection.execute(SQL("CREATE ROLE {}").format(Identifier(name)))


def _names(connection: WatchedConnection, query: str) -> set[str]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return {str(row[0]) for row in cursor.execute(query.encode())}


def _path_of(source: WatchedConnection) -> bytes:
    return source.shielded().shield.encode()


def _make(connection: WatchedConnection, statements: Sequence[str]) -> Iterator[str]:
    """Run what makes the schema; yield what cannot be made. Raises ServerUnavailable for an extension that lacks."""
    rights = False
    for statement in statements:
        try:
            connection.execute(statement.replace("SET LOCAL", "SET", 1).encode())
        except psycopg.Error as error:
            if statement.startswith("CREATE EXTENSION"):
                name = statement.removeprefix("CREATE EXTENSION IF NOT EXISTS ").split()[0]
                raise ServerUnavailable(
                    f"the scratch server has no extension {name}, which the database uses: {filling.told(error)}",
                    hint="name a server that has it: --scratch URL",
                ) from error
            if statement.startswith(("GRANT", "REVOKE", "ALTER DEFAULT")):
                rights = True
                continue
            first = " ".join(statement.split("\n")[0].split())
            yield f"not in the rehearsal: {redact(first)} ({filling.told(error)})"
    if rights:
        yield "not in the rehearsal: rights of roles that the scratch server has not"


def _set_owners(source: WatchedConnection, connection: WatchedConnection) -> Iterator[str]:
    """Give what was made to the roles that own it live; those of the first superuser stay as they are."""
    with source.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(_OWNERS.encode()).fetchall()
    left = 0
    for kind, identity, owner in found:
        statement = SQL("ALTER {} {} OWNER TO {}").format(SQL(kind), SQL(identity), Identifier(owner))
        try:
            connection.execute(statement)
        except psycopg.Error:  # it was not made, which has been told
            left += 1
    if left:
        yield f"not in the rehearsal: the owners of {left} objects"


def _set_sequences(source: WatchedConnection, connection: WatchedConnection) -> None:
    """Let the sequences stand where they stand live, as far as this user may see that and they were copied."""
    with source.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(_SEQUENCES.encode()).fetchall()
    for schema_name, name, last in found:
        place = SQL("{}").format(Identifier(schema_name, name)).as_string(connection)
        connection.execute(
            "SELECT setval(to_regclass(%(place)s), %(last)s) WHERE to_regclass(%(place)s) IS NOT NULL",
            {"place": place, "last": last},
        )


__all__ = ["copy"]
