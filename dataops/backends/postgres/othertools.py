"""The records of other migration tools in PostgreSQL: how we read them, and how we write the ones that we mirror.

The tables are those of sqlx 0.7 and 0.8, knex 2 and 3, Flyway 6 to 11, Liquibase 4, Prisma 2 to 6, Django,
golang-migrate 4, dbmate 2, goose 3, node-pg-migrate, drizzle and Ory's pop. They are looked for under the names that
adopt.toml gives them, otherwise under their default names on the search_path, and drizzle's in its own schema.
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

from dataops.errors import ConfigError, HistoryError, LockNotObtained, StalePlan
from dataops.model import Migration, Service
from dataops.othertools import match
from dataops.othertools.mirror import row_for
from dataops.redaction import redact
from dataops.toolrecords import Lookalike, Outcome, ToolAliases, ToolRecord, ToolRow, is_called_like_a_record

_APPLIED = "NULL::text AS other, 'applied' AS outcome, '' AS checksum"


@dataclass(frozen=True)
class _Table:
    """The table of one tool.

    `query` returns the columns name, other, at, outcome and checksum, in the order in which the tool applied; it may
    return `whole`, a further name, and `repeatable` too. `columns` are those that the table has to have, and `booleans`
    those that have to be of that type: an application may have a table of the same name. `lock` is a query for who
    holds the tool's lock, without a row when nobody does, and `lock_name` the table of that. `schema` is that of a
    table that is not on the search_path. In both queries, `<record>` and `<lock>` stand for the two tables.
    """

    name: str
    columns: frozenset[str]
    query: str
    lock: str = ""
    lock_name: str = ""
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
        "  FROM <record> ORDER BY installed_on, version",
    ),
    match.KNEX: _Table(
        "knex_migrations",
        frozenset({"id", "name", "batch", "migration_time"}),
        f"SELECT name, {_APPLIED}, migration_time AS at FROM <record> ORDER BY id",
        lock_name="knex_migrations_lock",
        lock="SELECT 'is_locked is 1' AS held FROM <lock> WHERE is_locked = 1",
    ),
    "flyway": _Table(
        "flyway_schema_history",
        frozenset({"installed_rank", "version", "type", "script", "installed_on", "success"}),
        "SELECT script AS name, version AS other, installed_on AS at, coalesce(checksum::text, '') AS checksum,"
        "       CASE WHEN success THEN 'applied' ELSE 'failed' END AS outcome, version IS NULL AS repeatable,"
        "       type = 'BASELINE' AS baseline"
        "  FROM <record> h"
        " WHERE type NOT IN ('SCHEMA', 'DELETE') AND type NOT LIKE 'UNDO%'"
        "   AND NOT EXISTS (SELECT FROM <record> u WHERE u.version = h.version AND u.success"
        "                   AND (u.type LIKE 'UNDO%' OR u.type = 'DELETE') AND u.installed_rank > h.installed_rank)"
        # Of a repeatable one, which has no version, the newest row counts.
        "   AND (version IS NOT NULL OR success AND NOT EXISTS ("
        "           SELECT FROM <record> r WHERE r.version IS NULL AND r.success"
        "              AND r.script = h.script AND r.installed_rank > h.installed_rank))"
        " ORDER BY installed_rank",
    ),
    "liquibase": _Table(
        "databasechangelog",
        frozenset({"id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "md5sum"}),
        "SELECT id AS name, filename AS other, concat_ws('::', filename, id, author) AS whole, filename AS of,"
        "       dateexecuted AS at, coalesce(md5sum, '') AS checksum,"
        "       CASE WHEN exectype IN ('EXECUTED', 'RERAN', 'MARK_RAN') THEN 'applied' ELSE 'failed' END AS outcome"
        "  FROM <record> WHERE exectype <> 'SKIPPED' ORDER BY orderexecuted",
        lock_name="databasechangeloglock",
        lock="SELECT concat_ws(' ', 'by', lockedby, 'since', lockgranted) AS held  FROM <lock> WHERE locked",
    ),
    "prisma": _Table(
        "_prisma_migrations",
        frozenset({"id", "checksum", "finished_at", "migration_name", "rolled_back_at", "started_at"}),
        "SELECT migration_name AS name, NULL::text AS other, coalesce(finished_at, started_at) AS at, checksum,"
        "       CASE WHEN finished_at IS NULL THEN 'half-done' ELSE 'applied' END AS outcome"
        "  FROM <record> WHERE rolled_back_at IS NULL ORDER BY started_at",
    ),
    "django": _Table(
        "django_migrations",
        frozenset({"id", "app", "name", "applied"}),
        "SELECT app || '.' || name AS name, name AS other, 'applied' AS outcome, '' AS checksum, applied AS at,"
        "       app AS of"
        "  FROM <record> ORDER BY id",
    ),
    match.GOLANG_MIGRATE: _Table(
        "schema_migrations",
        frozenset({"version", "dirty"}),
        "SELECT version::text AS name, NULL::text AS other, NULL::timestamptz AS at, '' AS checksum,"
        "       CASE WHEN dirty THEN 'half-done' ELSE 'applied' END AS outcome"
        "  FROM <record> WHERE dirty OR version::text <> '-1'",  # -1 and dirty: the first one was half undone
        booleans=frozenset({"dirty"}),
    ),
    "dbmate": _Table(
        "schema_migrations",
        frozenset({"version"}),
        f"SELECT version::text AS name, {_APPLIED}, NULL::timestamptz AS at FROM <record> ORDER BY version",
    ),
    "goose": _Table(
        "goose_db_version",
        frozenset({"id", "version_id", "is_applied", "tstamp"}),
        "SELECT * FROM (SELECT DISTINCT ON (version_id) version_id::text AS name, NULL::text AS other,"
        "         'applied' AS outcome, '' AS checksum, tstamp AS at, is_applied, id"
        "    FROM <record> WHERE version_id > 0 ORDER BY version_id, id DESC) newest"
        " WHERE is_applied ORDER BY id",
    ),
    "node-pg-migrate": _Table(
        "pgmigrations",
        frozenset({"id", "name", "run_on"}),
        f"SELECT name, {_APPLIED}, run_on AS at FROM <record> ORDER BY id",
    ),
    "drizzle": _Table(
        "__drizzle_migrations",
        frozenset({"id", "hash", "created_at"}),
        "SELECT created_at::text AS name, NULL::text AS other, NULL::timestamptz AS at, 'applied' AS outcome,"
        "       hash AS checksum FROM <record> ORDER BY created_at",
        schema="drizzle",
    ),
    "typeorm": _Table(
        "migrations",
        frozenset({"id", "timestamp", "name"}),
        "SELECT \"timestamp\"::text AS name, name AS other, NULL::timestamptz AS at, 'applied' AS outcome,"
        "       '' AS checksum FROM <record> ORDER BY id",
    ),
    match.POP: _Table(
        "schema_migration",
        frozenset({"version", "version_self"}),
        f"SELECT version AS name, {_APPLIED}, NULL::timestamptz AS at FROM <record> ORDER BY version",
    ),
}

_PRESENT = """
SELECT w.what, has_table_privilege(c.oid, 'SELECT') AS readable, array_agg(a.attname::text) AS columns,
       coalesce(array_agg(a.attname::text) FILTER (WHERE a.atttypid = 'boolean'::regtype), '{}') AS booleans
  FROM unnest(%s::text[], %s::text[], %s::text[]) AS w(what, schema, name)
  JOIN pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p')
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE CASE WHEN w.schema = '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = w.schema END
 GROUP BY w.what, c.oid
"""
TABLES = tuple(sorted({name for table in _TABLES.values() for name in (table.name, table.lock_name) if name}))


@dataclass(frozen=True)
class _Name:
    """The name of a table, and its schema, "" for one that is found on the search_path."""

    schema: str
    name: str

    @classmethod
    def of(cls, text: str) -> _Name:
        """As a person writes it: `table` or `schema.table`."""
        schema, _, name = text.rpartition(".")
        return cls(schema, name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @property
    def sql(self) -> str:
        """Quoted, for a statement."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in (self.schema, self.name) if part)


@dataclass(frozen=True)
class _Names:
    """Where one tool has its record and its lock, by adopt.toml or as usual; `said` is whether adopt.toml says it."""

    record: _Name
    lock: _Name
    said: bool

    @classmethod
    def of(cls, tool: str, said: Said) -> _Names:
        aliases, table = said.get(tool, ToolAliases(tool)), _TABLES[tool]
        record = _Name.of(aliases.record or table.place)
        return cls(record, _Name.of(aliases.lock or table.lock_name), bool(aliases.record))

    def put(self, query: str) -> bytes:
        """A statement with these names in it."""
        return query.replace("<record>", self.record.sql).replace("<lock>", self.lock.sql).encode()


Said = Mapping[str, ToolAliases]
"""What adopt.toml says, by tool."""


def read(connection: psycopg.Connection[Any], said: Said | None = None) -> tuple[ToolRecord, ...]:
    """Every record of another tool in this database, read in the caller's transaction.

    A record that this user may not read comes with `readable=False`. Raises ConfigError where a table that adopt.toml
    calls a record is none.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return _read(cursor, said or {})


def _read(cursor: psycopg.Cursor[DictRow], said: Said) -> tuple[ToolRecord, ...]:
    names = {tool: _Names.of(tool, said) for tool in _TABLES}
    present = _present(cursor, names)
    records = []
    for tool, table in _TABLES.items():
        name, found = names[tool], present.get(tool)
        if found is None:
            continue
        missing = (table.columns - set(found["columns"])) | (table.booleans - set(found["booleans"]))
        if missing and name.said:
            raise ConfigError(
                f"adopt.toml says that {redact(str(name.record))} is the record of {tool}, and it has no "
                f"{' and no '.join(sorted(missing))} as that has",
                hint=f"correct record under [{tool}] in adopt.toml, or take the line out",
            )
        if missing or (tool == "dbmate" and "dirty" in found["columns"]):
            continue  # golang-migrate's table has the same name as that of dbmate
        place = redact(str(name.record))
        if not found["readable"]:
            records.append(ToolRecord(tool, place, readable=False))
            continue
        rows = tuple(_row(row) for row in cursor.execute(name.put(table.query)))
        lock = present.get(f"{tool} lock")
        held = cursor.execute(name.put(table.lock)).fetchone() if table.lock and lock and lock["readable"] else None
        locked = f"{redact(str(held['held']))} in {redact(str(name.lock))}" if held else ""
        records.append(ToolRecord(tool, place, rows, locked=locked))
    return tuple(records)


def _present(cursor: psycopg.Cursor[DictRow], names: Mapping[str, _Names]) -> dict[str, DictRow]:
    """Which of these records and locks are there, by the tool's name; that of a lock has ` lock` after it."""
    wanted = [(tool, one.record) for tool, one in names.items()]
    wanted += [(f"{tool} lock", one.lock) for tool, one in names.items() if one.lock.name]
    arguments = [[what for what, _ in wanted], [one.schema for _, one in wanted], [one.name for _, one in wanted]]
    return {row["what"]: row for row in cursor.execute(_PRESENT, arguments)}


# --- records that are not called as usual

_UNREAD = {
    "Alembic": frozenset({"version_num"}),
    "Umzug (Sequelize)": frozenset({"name"}),
    "yoyo": frozenset({"migration_hash", "migration_id", "applied_at_utc"}),
}
"""Tools whose records we cannot read, and the columns of these."""
_ONLY_THESE = frozenset({"Alembic", "Umzug (Sequelize)", "dbmate", match.GOLANG_MIGRATE, "typeorm", match.POP})
"""Tools whose records have so few columns that a table with any other column is none."""
_BY_ROWS_TOO = {
    "Umzug (Sequelize)": ("name", r"\.(js|ts|cjs|mjs|cts|mts|sql)$"),
    "dbmate": ("version", "^20[0-9]{12}$"),
}
"""Tools whose records have one column of a name that other tables have, too: what is in it in every row.

A table that is called like a record needs no row.
"""
_ALL_TABLES = """
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname AS place, c.relname AS name,
       array_agg(a.attname::text) AS columns, has_table_privilege(c.oid, 'SELECT') AS readable,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|dataops_)'
 GROUP BY 1, 2, c.oid, n.nspname HAVING count(*) < 20 ORDER BY 1
"""


def lookalikes(connection: psycopg.Connection[Any], ours: str, said: Said) -> list[Lookalike]:
    """The tables that look like the record of a tool and are not called as usual; `ours` is the name of our own."""
    known = {name.record.name for name in (_Names.of(tool, said) for tool in _TABLES)}
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_ALL_TABLES.encode()).fetchall()
        tables = [row for row in found if row["name"] != ours and (row["name"] not in known or "." in row["place"])]
        return [
            Lookalike(redact(row["place"]), tool, tool in _TABLES)
            for row in tables
            if (tool := _looks_like(frozenset(row["columns"]))) is not None
            and (tool not in _BY_ROWS_TOO or is_called_like_a_record(row["name"]) or _has_its_rows(cursor, row, tool))
        ]


def _looks_like(columns: frozenset[str]) -> str | None:
    """The tool whose records have such columns."""
    shapes = {**{tool: table.columns for tool, table in _TABLES.items()}, **_UNREAD}
    for tool, shape in sorted(shapes.items(), key=lambda one: -len(one[1])):  # that of Flyway has all of sqlx's
        if columns == shape or (shape <= columns and tool not in _ONLY_THESE):
            return tool
    return None


def _has_its_rows(cursor: psycopg.Cursor[DictRow], table: DictRow, tool: str) -> bool:
    """Whether there are rows, and each of the first hundred is as this tool writes it."""
    column, pattern = _BY_ROWS_TOO[tool]
    if not table["readable"]:
        return False
    query = (
        f"SELECT bool_and({column}::text ~ %s) AS fits FROM (SELECT {column} FROM {table['quoted']} LIMIT 100) AS first"
    )
    row = cursor.execute(query.encode(), [pattern]).fetchone()
    return bool(row and row["fits"])


def _row(row: DictRow) -> ToolRow:
    names = tuple(dict.fromkeys(str(name) for name in (row["name"], row["other"], row.get("whole")) if name))
    return ToolRow(
        names or ("",),
        _utc(row["at"]),
        Outcome(row["outcome"]),
        row["checksum"],
        repeatable=bool(row.get("repeatable")),
        baseline=bool(row.get("baseline")),
        group=row.get("of") or "",
    )


def _utc(at: datetime | None) -> datetime | None:
    """The time in UTC. Some tools record no time zone, and nobody can know which one they meant: we assume UTC."""
    if at is None:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


# --- keeping the other tool out while we write


def hold_off(connection: psycopg.Connection[Any], tool: str, *, seconds: float, said: Said | None = None) -> None:
    """Keep the other tool from migrating until the end of the caller's transaction.

    The other tool waits for us as it would wait for a second process of its own. Raises LockNotObtained when the tool
    is still migrating after `seconds`. A killed knex leaves its lock behind, and a person has to remove it.
    """
    deadline = time.monotonic() + seconds
    while not _held_off(connection, tool, said or {}):
        if time.monotonic() >= deadline:
            raise LockNotObtained(f"{tool} is migrating this database now", hint=f"wait for {tool} to end")
        time.sleep(0.2)


def _held_off(connection: psycopg.Connection[Any], tool: str, said: Said) -> bool:
    with connection.cursor(row_factory=dict_row) as cursor:
        if tool == match.SQLX:
            row = cursor.execute(
                "SELECT pg_try_advisory_xact_lock(%s) AS got", [sqlx_lock_key(connection.info.dbname)]
            ).fetchone()
            return bool(row and row["got"])
        if tool == match.KNEX:
            return _knex_held_off(cursor, _Names.of(tool, said))
        return True


def _knex_held_off(cursor: psycopg.Cursor[DictRow], names: _Names) -> bool:
    """Try to lock the row that knex updates when it takes its own lock. Then knex waits for our commit, and reads 0.

    A row that says 1 is released at once: knex is migrating, and it has to write 0 into that row at its end.
    """
    if "knex lock" not in _present(
        cursor, {match.KNEX: names}
    ):  # knex will create the table itself, so there is nothing that we could lock
        return True
    cursor.execute("SAVEPOINT knex")
    mine = cursor.execute(names.put("SELECT is_locked FROM <lock> FOR UPDATE SKIP LOCKED")).fetchall()
    rows = cursor.execute(names.put("SELECT count(*) AS number FROM <lock>")).fetchone()
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
    now = {found.tool: found.rows for found in read(connection, service.aliases)}
    if now.get(record.tool, ()) != record.rows:
        raise StalePlan(
            f"{record.tool} has changed its record meanwhile", service=service.name, hint="look again: dataops adopt"
        )


# --- the mirror

_CREATE = {
    match.SQLX: """
        CREATE TABLE IF NOT EXISTS <record> (
            version BIGINT PRIMARY KEY,
            description TEXT NOT NULL,
            installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
            success BOOLEAN NOT NULL,
            checksum BYTEA NOT NULL,
            execution_time BIGINT NOT NULL
        )""",
    match.KNEX: """
        CREATE TABLE IF NOT EXISTS <record> (
            id serial PRIMARY KEY, name varchar(255), batch integer, migration_time timestamptz
        );
        CREATE TABLE IF NOT EXISTS <lock> (index serial PRIMARY KEY, is_locked integer);
        INSERT INTO <lock> (is_locked) SELECT 0 WHERE NOT EXISTS (SELECT FROM <lock>)""",
}


def create_mirror(connection: psycopg.Connection[Any], service: Service) -> None:
    """Create the mirrored tool's own table where it is missing, as in a database that we made from nothing."""
    connection.execute(_mirrored(service).put(_CREATE[service.mirror]))


def _mirrored(service: Service) -> _Names:
    return _Names.of(service.mirror, service.aliases)


def next_batch(connection: psycopg.Connection[Any], service: Service) -> int:
    """The batch number for one run of ours: knex gives the next number to each run. 0 for other tools."""
    if service.mirror != match.KNEX:
        return 0
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            _mirrored(service).put("SELECT coalesce(max(batch), 0) + 1 AS batch FROM <record>")
        ).fetchone()
    return int(row["batch"]) if row else 1


def refuse_done_there(connection: psycopg.Connection[Any], service: Service, migration: Migration) -> None:
    """Raise HistoryError when the mirrored tool applied the migration after we read its record and before our lock."""
    for record in read(connection, service.aliases):
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
        connection.execute(_mirrored(service).put("DELETE FROM <record> WHERE name = ANY (%s)"), [present])
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
        connection.execute(_mirrored(service).put("DELETE FROM <record> WHERE version = %s"), [int(row.name)])
        return
    connection.execute(
        _mirrored(service).put(
            "INSERT INTO <record> (version, description, success, checksum, execution_time)"
            " VALUES (%s, %s, true, %s, %s) ON CONFLICT (version) DO NOTHING"
        ),
        [int(row.name), row.description, bytes.fromhex(row.checksum), round(seconds * 1e9)],
    )


def _insert_knex(connection: psycopg.Connection[Any], service: Service, migration: Migration, batch: int) -> None:
    connection.execute(
        _mirrored(service).put(
            "INSERT INTO <record> (name, batch, migration_time)"
            " VALUES (%s, %s, date_trunc('milliseconds', clock_timestamp()))"
        ),
        [row_for(service, migration).name, batch],
    )


def _knex_names(connection: psycopg.Connection[Any], service: Service) -> dict[str, list[str]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        names = [str(row["name"]) for row in cursor.execute(_mirrored(service).put("SELECT name FROM <record>"))]
    return match.names_by_migration(service, match.KNEX, names)


__all__ = [
    "TABLES",
    "create_mirror",
    "hold_off",
    "lookalikes",
    "mirror",
    "mirror_missing",
    "next_batch",
    "read",
    "refuse_changed",
    "refuse_done_there",
    "sqlx_lock_key",
]
