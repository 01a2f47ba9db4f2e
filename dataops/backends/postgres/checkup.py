"""What `dataops doctor` asks a PostgreSQL server. It only reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
from psycopg.rows import DictRow

from dataops import checkup
from dataops.backends.postgres import state, tables
from dataops.backends.postgres.connection import Server, WatchedConnection
from dataops.backends.postgres.tables import OurTables
from dataops.checkup import Check, Level
from dataops.model import Service
from dataops.redaction import redact

NEWEST_MAJOR = 18
"""The newest version that the tests run on."""

_ABOUT = """
SELECT pg_backend_pid() AS pid, clock_timestamp() AS now, current_user AS me, current_database() AS database,
       pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only') = 'on' AS read_only,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       pg_size_pretty(pg_database_size(current_database())) AS size,
       (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls
"""
_RIGHTS = """
SELECT has_table_privilege(%(name)s, 'SELECT') AS may_read,
       has_table_privilege(%(name)s, 'INSERT') AND has_table_privilege(%(name)s, 'UPDATE, DELETE') AS may_write
"""
_SCHEMA = "SELECT has_schema_privilege(%(name)s, 'CREATE') AS may_create"
_FOREIGN_TABLES = """
SELECT format('%%I.%%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner) AS owner
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT pg_has_role(c.relowner, 'MEMBER')
 ORDER BY 1
"""
_EXTENSIONS = "SELECT name, installed_version FROM pg_available_extensions"
_CREATE_EXTENSION = re.compile(r"""create\s+extension\s+(?:if\s+not\s+exists\s+)?\\?["']?([\w-]+)""", re.IGNORECASE)


def checks(server: Server) -> Iterator[Check]:
    """Everything that is looked at, as far as it can be: what is refused is told too. Raises Unreachable."""
    asked = checkup.now()
    with server.asking() as connection:
        about = _one(connection, _ABOUT)
        yield _version(connection)
        yield Check("connection", f"{server.address} as {redact(about['me'])}, {'TLS' if about['tls'] else 'no TLS'}")
        yield checkup.clock(about["now"], asked, checkup.now())
        yield _pooler(connection, server.service, about["pid"])
        ours = tables.find(connection, server.service)
        yield _to_read(connection, ours)
        yield _to_write(connection, ours, about)
        if not about["superuser"]:
            yield from _owners(connection)
        yield _lock(connection)
        yield from _extensions(connection, server.service)
        yield Check("size", f"{about['size']}; how much of the disk is left, PostgreSQL cannot say")


def _one(connection: psycopg.Connection[DictRow], question: str, **names: str) -> DictRow:
    row = connection.execute(question.encode(), names).fetchone()
    assert row is not None
    return row


def _version(connection: WatchedConnection) -> Check:
    number = connection.info.server_version
    major, minor = divmod(number, 10000)
    if major > NEWEST_MAJOR:
        return Check(
            "version",
            f"PostgreSQL {major}.{minor}",
            Level.NOTE,
            f"newer than {NEWEST_MAJOR}, with which dataops is tested: try it on a copy first",
        )
    return Check("version", f"PostgreSQL {major}.{minor}")


def _pooler(connection: WatchedConnection, service: Service, pid: int) -> Check:
    if pid == connection.info.backend_pid:
        return Check("pooler", "none: the address is the server's own")
    if service.session_pooler:
        return Check("pooler", 'there is one, in session mode as pooler = "session" says')
    return Check(
        "pooler",
        "there is one: asking works, a lock would belong to nobody",
        Level.FAILED,
        'use the address of the server itself; if the pooler is in session mode, set pooler = "session"',
    )


def _to_read(connection: WatchedConnection, ours: OurTables) -> Check:
    hidden = [str(table) for table in _existing(connection, ours) if not _rights(connection, table.sql)["may_read"]]
    if hidden:
        names = ", ".join(map(redact, hidden))
        return Check("rights to look", f"no SELECT on {names}", Level.FAILED, f"GRANT SELECT ON {names} TO this user")
    return Check("rights to look", "plan, status, history and wait work")


def _to_write(connection: WatchedConnection, ours: OurTables, about: DictRow) -> Check:
    if about["standby"] or about["read_only"]:
        why = "the server is a standby" if about["standby"] else "this user or database is set to read only"
        return Check(
            "rights to migrate",
            f"none: {why}",
            Level.NOTE,
            "to migrate, use the address of the primary and another user",
        )
    missing = [
        f"INSERT, UPDATE, DELETE ON {table}"
        for table in _existing(connection, ours)
        if not _rights(connection, table.sql)["may_write"]
    ]
    schema = ours.record.schema
    if schema and not _one(connection, _SCHEMA, name=schema)["may_create"]:
        missing.append(f"CREATE ON SCHEMA {schema}")
    if missing:
        return Check(
            "rights to migrate",
            f"missing: {redact('; '.join(missing))}",
            Level.NOTE,
            f"this user can only look; for one that migrates: GRANT {redact(missing[0])}",
        )
    if not about["may_create_schemas"]:
        return Check(
            "rights to migrate",
            "apply and rollback work, without a schema of their own for the journal and for what is put aside",
            Level.NOTE,
            f"GRANT CREATE ON DATABASE {redact(about['database'])}",
        )
    return Check("rights to migrate", "apply and rollback work")


def _existing(connection: WatchedConnection, ours: OurTables) -> list[tables.Table]:
    found = [ours.record] if ours.record.schema else []
    found += [ours.journal] if ours.journal is not None else []
    rows = {
        table: _one(connection, "SELECT to_regclass(%(name)s) IS NOT NULL AS there", name=table.sql) for table in found
    }
    return [table for table, row in rows.items() if row["there"]]


def _rights(connection: WatchedConnection, name: str) -> DictRow:
    return _one(connection, _RIGHTS, name=name)


def _owners(connection: WatchedConnection) -> Iterator[Check]:
    """Tables of others, which this user cannot alter. Whether a migration has to is not known."""
    rows = connection.execute(_FOREIGN_TABLES.encode()).fetchall()
    if rows:
        first = f"{redact(rows[0]['name'])} belongs to {redact(rows[0]['owner'])}"
        more = f", and {len(rows) - 1} more belong to others" if len(rows) > 1 else ""
        yield Check(
            "ownership",
            f"{first}{more}: this user cannot alter them",
            Level.NOTE,
            f"ALTER TABLE {redact(rows[0]['name'])} OWNER TO this user, where migrations change it",
        )


def _lock(connection: WatchedConnection) -> Check:
    holder = state.lock_holder(connection)
    if holder is None:
        return Check("lock", "free")
    return Check("lock", f"held by {holder}", Level.NOTE, "dataops docs operations a-held-lock")


def _extensions(connection: WatchedConnection, service: Service) -> Iterator[Check]:
    """Those that the text of the migrations names, against those that the server has."""
    named = {
        found.lower()
        for migration in service.migrations
        for found in _CREATE_EXTENSION.findall(migration.text.decode("utf-8", "replace"))
    }
    if not named:
        return
    there = {row["name"] for row in connection.execute(_EXTENSIONS.encode())}
    missing = sorted(named - there)
    if missing:
        yield Check(
            "extensions",
            f"the server does not have {', '.join(missing)}, which the migrations create",
            Level.NOTE,
            "install the package that has it on the server; it does not matter if that migration is applied already",
        )
    else:
        yield Check("extensions", f"the server has {', '.join(sorted(named))}")


__all__ = ["NEWEST_MAJOR", "checks"]
