"""The records of other migration tools in PostgreSQL: how we read them, and how we write the ones that we mirror.

The tables are those of sqlx 0.7 and 0.8, knex 2 and 3, Flyway 6 to 11, Liquibase 4, Prisma 2 to 6, Django,
golang-migrate 4, dbmate 2, goose 3, node-pg-migrate, drizzle and Ory's pop. They are looked for under their default
names on the search_path, and drizzle's in its own schema.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from dataops.errors import HistoryError, LockNotObtained, StalePlan
from dataops.model import Migration, Service
from dataops.othertools import match
from dataops.othertools.mirror import row_for
from dataops.redaction import redact
from dataops.toolrecords import Outcome, ToolRecord, ToolRow

_APPLIED = "NULL::text AS other, 'applied' AS outcome, '' AS checksum"


@dataclass(frozen=True)
class _Table:
    """The table of one tool.

    `query` returns the columns name, other, at, outcome and checksum, in the order in which the tool applied; it may
    return `whole`, a further name, and `repeatable` too. `columns` are those that the table has to have, and `booleans`
    those that have to be of that type: an application may have a table of the same name. `lock` is a query for who
    holds the tool's lock, without a row when nobody does. `schema` is that of a table that is not on the search_path.
    """

    name: str
    columns: frozenset[str]
    query: str
    lock: str = ""
    booleans: frozenset[str] = frozenset()
    schema: str = ""

    @property
    def place(self) -> str:
        """The table, as a person writes it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


_TABLES: Mapping[str, _Table] = {
    match.SQLX: _Table(
        "_sqlx_migrations",
        frozenset({"version", "description", "installed_on", "success", "checksum"}),
        "SELECT version::text AS name, NULL::text AS other, installed_on AS at, encode(checksum, 'hex') AS checksum,"
        "       CASE WHEN success THEN 'applied' ELSE 'failed' END AS outcome"
        "  FROM _sqlx_migrations ORDER BY installed_on, version",
    ),
    match.KNEX: _Table(
        "knex_migrations",
        frozenset({"id", "name", "batch", "migration_time"}),
        f"SELECT name, {_APPLIED}, migration_time AS at FROM knex_migrations ORDER BY id",
        lock="SELECT 'is_locked is 1 in knex_migrations_lock' AS held FROM knex_migrations_lock WHERE is_locked = 1",
    ),
    "flyway": _Table(
        "flyway_schema_history",
        frozenset({"installed_rank", "version", "type", "script", "installed_on", "success"}),
        "SELECT script AS name, version AS other, installed_on AS at, coalesce(checksum::text, '') AS checksum,"
        "       CASE WHEN success THEN 'applied' ELSE 'failed' END AS outcome, version IS NULL AS repeatable"
        "  FROM flyway_schema_history h"
        " WHERE type NOT IN ('SCHEMA', 'BASELINE', 'DELETE') AND type NOT LIKE 'UNDO%'"
        "   AND NOT EXISTS (SELECT FROM flyway_schema_history u WHERE u.version = h.version AND u.success"
        "                   AND (u.type LIKE 'UNDO%' OR u.type = 'DELETE') AND u.installed_rank > h.installed_rank)"
        # Of a repeatable one, which has no version, the newest row counts.
        "   AND (version IS NOT NULL OR success AND NOT EXISTS ("
        "           SELECT FROM flyway_schema_history r WHERE r.version IS NULL AND r.success"
        "              AND r.script = h.script AND r.installed_rank > h.installed_rank))"
        " ORDER BY installed_rank",
    ),
    "liquibase": _Table(
        "databasechangelog",
        frozenset({"id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "md5sum"}),
        "SELECT id AS name, filename AS other, concat_ws('::', filename, id, author) AS whole,"
        "       dateexecuted AS at, coalesce(md5sum, '') AS checksum,"
        "       CASE WHEN exectype IN ('EXECUTED', 'RERAN', 'MARK_RAN') THEN 'applied' ELSE 'failed' END AS outcome"
        "  FROM databasechangelog WHERE exectype <> 'SKIPPED' ORDER BY orderexecuted",
        lock="SELECT concat_ws(' ', 'by', lockedby, 'since', lockgranted) AS held"
        "  FROM databasechangeloglock WHERE locked",
    ),
    "prisma": _Table(
        "_prisma_migrations",
        frozenset({"id", "checksum", "finished_at", "migration_name", "rolled_back_at", "started_at"}),
        "SELECT migration_name AS name, NULL::text AS other, coalesce(finished_at, started_at) AS at, checksum,"
        "       CASE WHEN finished_at IS NULL THEN 'half-done' ELSE 'applied' END AS outcome"
        "  FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at",
    ),
    "django": _Table(
        "django_migrations",
        frozenset({"id", "app", "name", "applied"}),
        "SELECT app || '.' || name AS name, name AS other, 'applied' AS outcome, '' AS checksum, applied AS at"
        "  FROM django_migrations ORDER BY id",
    ),
    match.GOLANG_MIGRATE: _Table(
        "schema_migrations",
        frozenset({"version", "dirty"}),
        "SELECT version::text AS name, NULL::text AS other, NULL::timestamptz AS at, '' AS checksum,"
        "       CASE WHEN dirty THEN 'half-done' ELSE 'applied' END AS outcome"
        "  FROM schema_migrations WHERE dirty OR version::text <> '-1'",  # -1 and dirty: the first one was half undone
        booleans=frozenset({"dirty"}),
    ),
    "dbmate": _Table(
        "schema_migrations",
        frozenset({"version"}),
        f"SELECT version::text AS name, {_APPLIED}, NULL::timestamptz AS at FROM schema_migrations ORDER BY version",
    ),
    "goose": _Table(
        "goose_db_version",
        frozenset({"id", "version_id", "is_applied", "tstamp"}),
        "SELECT * FROM (SELECT DISTINCT ON (version_id) version_id::text AS name, NULL::text AS other,"
        "         'applied' AS outcome, '' AS checksum, tstamp AS at, is_applied, id"
        "    FROM goose_db_version WHERE version_id > 0 ORDER BY version_id, id DESC) newest"
        " WHERE is_applied ORDER BY id",
    ),
    "node-pg-migrate": _Table(
        "pgmigrations",
        frozenset({"id", "name", "run_on"}),
        f"SELECT name, {_APPLIED}, run_on AS at FROM pgmigrations ORDER BY id",
    ),
    "drizzle": _Table(
        "__drizzle_migrations",
        frozenset({"id", "hash", "created_at"}),
        "SELECT created_at::text AS name, NULL::text AS other, NULL::timestamptz AS at, 'applied' AS outcome,"
        "       hash AS checksum FROM drizzle.__drizzle_migrations ORDER BY created_at",
        schema="drizzle",
    ),
    "typeorm": _Table(
        "migrations",
        frozenset({"id", "timestamp", "name"}),
        "SELECT \"timestamp\"::text AS name, name AS other, NULL::timestamptz AS at, 'applied' AS outcome,"
        "       '' AS checksum FROM migrations ORDER BY id",
    ),
    match.POP: _Table(
        "schema_migration",
        frozenset({"version", "version_self"}),
        f"SELECT version AS name, {_APPLIED}, NULL::timestamptz AS at FROM schema_migration ORDER BY version",
    ),
}

_PRESENT = """
SELECT c.relname AS name, has_table_privilege(c.oid, 'SELECT') AS readable,
       array_agg(a.attname::text) AS columns,
       coalesce(array_agg(a.attname::text) FILTER (WHERE a.atttypid = 'boolean'::regtype), '{}') AS booleans
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relname = ANY (%s) AND c.relkind IN ('r', 'p')
   AND (pg_table_is_visible(c.oid) AND c.relname <> '__drizzle_migrations'
        OR c.oid = to_regclass('drizzle.__drizzle_migrations'))
 GROUP BY c.oid, c.relname
"""
_LOCK_TABLES = {match.KNEX: "knex_migrations_lock", "liquibase": "databasechangeloglock"}
TABLES = tuple(sorted({table.name for table in _TABLES.values()} | set(_LOCK_TABLES.values())))


def read(connection: psycopg.Connection[Any]) -> tuple[ToolRecord, ...]:
    """Every record of another tool in this database, read in the caller's transaction.

    A record that this user may not read comes with `readable=False`.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return _read(cursor)


def _read(cursor: psycopg.Cursor[DictRow]) -> tuple[ToolRecord, ...]:
    present = {row["name"]: row for row in cursor.execute(_PRESENT, [list(TABLES)])}
    records = []
    for tool, table in _TABLES.items():
        found = present.get(table.name)
        if found is None or not table.columns <= set(found["columns"]) or not table.booleans <= set(found["booleans"]):
            continue
        if tool == "dbmate" and "dirty" in found["columns"]:
            continue  # golang-migrate's table has the same name
        if not found["readable"]:
            records.append(ToolRecord(tool, table.place, readable=False))
            continue
        rows = tuple(_row(row) for row in cursor.execute(table.query))
        lock = present.get(_LOCK_TABLES.get(tool, ""))
        held = cursor.execute(table.lock).fetchone() if table.lock and lock and lock["readable"] else None
        records.append(ToolRecord(tool, table.place, rows, locked=redact(str(held["held"])) if held else ""))
    return tuple(records)


def _row(row: DictRow) -> ToolRow:
    names = tuple(str(name) for name in (row["name"], row["other"], row.get("whole")) if name)
    repeatable = bool(row.get("repeatable"))
    return ToolRow(names or ("",), _utc(row["at"]), Outcome(row["outcome"]), row["checksum"], repeatable)


def _utc(at: datetime | None) -> datetime | None:
    """The time in UTC. Some tools record no time zone, and nobody can know which one they meant: we assume UTC."""
    if at is None:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


# --- keeping the other tool out while we write


def hold_off(connection: psycopg.Connection[Any], tool: str, *, seconds: float) -> None:
    """Keep the other tool from migrating until the end of the caller's transaction.

    The other tool waits for us as it would wait for a second process of its own. Raises LockNotObtained when the tool
    is still migrating after `seconds`. A killed knex leaves its lock behind, and a person has to remove it.
    """
    deadline = time.monotonic() + seconds
    while not _held_off(connection, tool):
        if time.monotonic() >= deadline:
            raise LockNotObtained(f"{tool} is migrating this database now", hint=f"wait for {tool} to end")
        time.sleep(0.2)


def _held_off(connection: psycopg.Connection[Any], tool: str) -> bool:
    with connection.cursor(row_factory=dict_row) as cursor:
        if tool == match.SQLX:
            row = cursor.execute(
                "SELECT pg_try_advisory_xact_lock(%s) AS got", [sqlx_lock_key(connection.info.dbname)]
            ).fetchone()
            return bool(row and row["got"])
        if tool == match.KNEX:
            return _knex_held_off(cursor)
        return True


def _knex_held_off(cursor: psycopg.Cursor[DictRow]) -> bool:
    """Try to lock the row that knex updates when it takes its own lock. Then knex waits for our commit, and reads 0.

    A row that says 1 is released at once: knex is migrating, and it has to write 0 into that row at its end.
    """
    found = cursor.execute(_PRESENT, [[_LOCK_TABLES[match.KNEX]]]).fetchone()
    if found is None:  # knex will create the table itself, so there is nothing that we could lock
        return True
    cursor.execute("SAVEPOINT knex")
    mine = cursor.execute("SELECT is_locked FROM knex_migrations_lock FOR UPDATE SKIP LOCKED").fetchall()
    rows = cursor.execute("SELECT count(*) AS number FROM knex_migrations_lock").fetchone()
    if rows and len(mine) == rows["number"] and all(row["is_locked"] != 1 for row in mine):
        return True
    cursor.execute("ROLLBACK TO SAVEPOINT knex")
    return False


def sqlx_lock_key(database: str) -> int:
    """The session advisory lock of sqlx: 0x3d32ad9e times the CRC-32 of the database's name, as a signed int8."""
    key = (0x3D32AD9E * zlib.crc32(database.encode())) & 0xFFFF_FFFF_FFFF_FFFF
    return key - (1 << 64) if key >> 63 else key


def refuse_changed(connection: psycopg.Connection[Any], record: ToolRecord, service: Service) -> None:
    """Raise StalePlan when the record has changed since it was read."""
    now = {found.tool: found.rows for found in read(connection)}
    if now.get(record.tool, ()) != record.rows:
        raise StalePlan(
            f"{record.tool} has changed its record meanwhile", service=service.name, hint="look again: dataops adopt"
        )


# --- the mirror

_CREATE = {
    match.SQLX: """
        CREATE TABLE IF NOT EXISTS _sqlx_migrations (
            version BIGINT PRIMARY KEY,
            description TEXT NOT NULL,
            installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
            success BOOLEAN NOT NULL,
            checksum BYTEA NOT NULL,
            execution_time BIGINT NOT NULL
        )""",
    match.KNEX: """
        CREATE TABLE IF NOT EXISTS knex_migrations (
            id serial PRIMARY KEY, name varchar(255), batch integer, migration_time timestamptz
        );
        CREATE TABLE IF NOT EXISTS knex_migrations_lock (index serial PRIMARY KEY, is_locked integer);
        INSERT INTO knex_migrations_lock (is_locked)
        SELECT 0 WHERE NOT EXISTS (SELECT FROM knex_migrations_lock)""",
}


def create_mirror(connection: psycopg.Connection[Any], tool: str) -> None:
    """Create the other tool's own table where it is missing, as in a database that we made from nothing."""
    connection.execute(_CREATE[tool].encode())


def next_batch(connection: psycopg.Connection[Any], tool: str) -> int:
    """The batch number for one run of ours: knex gives the next number to each run. 0 for other tools."""
    if tool != match.KNEX:
        return 0
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT coalesce(max(batch), 0) + 1 AS batch FROM knex_migrations").fetchone()
    return int(row["batch"]) if row else 1


def refuse_done_there(connection: psycopg.Connection[Any], service: Service, migration: Migration) -> None:
    """Raise HistoryError when the mirrored tool applied the migration after we read its record and before our lock."""
    for record in read(connection):
        if record.tool == service.mirror and migration.id in match.by_migration(service, record)[0]:
            raise HistoryError(
                f"{record.tool} has applied {migration.id} meanwhile",
                service=service.name,
                migration=migration.id,
                hint=f"take it over: dataops adopt --service {service.name}",
            )


def mirror(
    connection: psycopg.Connection[Any],
    service: Service,
    migration: Migration,
    *,
    applied: bool,
    batch: int,
    seconds: float = 0.0,
) -> None:
    """Write or remove the row that the other tool would have, in the caller's transaction.

    Raises ConfigError where nothing says what that row is.
    """
    if service.mirror == match.SQLX:
        _mirror_sqlx(connection, service, migration, applied=applied, seconds=seconds)
        return
    present = _knex_names(connection, service).get(migration.id, [])
    if not applied:
        connection.execute("DELETE FROM knex_migrations WHERE name = ANY (%s)", [present])
    elif not present:
        _insert_knex(connection, service, migration, batch)


def mirror_missing(
    connection: psycopg.Connection[Any], service: Service, missing: Sequence[Migration], *, batch: int
) -> None:
    """Write the rows of these applied migrations that the other tool does not have yet. Raises like `mirror`."""
    if service.mirror == match.SQLX:
        for migration in missing:
            _mirror_sqlx(connection, service, migration, applied=True, seconds=0.0)
        return
    present = _knex_names(connection, service) if missing else {}
    for migration in missing:
        if migration.id not in present:
            _insert_knex(connection, service, migration, batch)


def _mirror_sqlx(
    connection: psycopg.Connection[Any], service: Service, migration: Migration, *, applied: bool, seconds: float
) -> None:
    row = row_for(service, migration)
    if not applied:
        connection.execute("DELETE FROM _sqlx_migrations WHERE version = %s", [int(row.name)])
        return
    connection.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)"
        " VALUES (%s, %s, true, %s, %s) ON CONFLICT (version) DO NOTHING",
        [int(row.name), row.description, bytes.fromhex(row.checksum), round(seconds * 1e9)],
    )


def _insert_knex(connection: psycopg.Connection[Any], service: Service, migration: Migration, batch: int) -> None:
    connection.execute(
        "INSERT INTO knex_migrations (name, batch, migration_time)"
        " VALUES (%s, %s, date_trunc('milliseconds', clock_timestamp()))",
        [row_for(service, migration).name, batch],
    )


def _knex_names(connection: psycopg.Connection[Any], service: Service) -> dict[str, list[str]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        names = [str(row["name"]) for row in cursor.execute("SELECT name FROM knex_migrations")]
    return match.names_by_migration(service, match.KNEX, names)


__all__ = [
    "TABLES",
    "create_mirror",
    "hold_off",
    "mirror",
    "mirror_missing",
    "next_batch",
    "read",
    "refuse_changed",
    "refuse_done_there",
    "sqlx_lock_key",
]
