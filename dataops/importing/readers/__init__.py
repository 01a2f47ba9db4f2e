"""The tools whose migrations can be imported, and how the files of each are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataops.importing.originals import File, Found
from dataops.importing.readers import flyway, generated, liquibase, programs, versioned
from dataops.kinds import MONGODB, POSTGRESQL, Kind

_SCRIPTS = (".js", ".ts", ".mjs", ".cjs")


@dataclass(frozen=True)
class Tool:
    """A tool. `record` is its name in adopt.toml, "" where its record is not read.

    `endings` are those of the files that are read, and `deep` says whether folders in the folder are looked into.
    """

    record: str
    read: Callable[[Sequence[File], Path], Found]
    endings: tuple[str, ...] = (".sql",)
    deep: bool = False
    kind: Kind = POSTGRESQL


TOOLS: Mapping[str, Tool] = {
    "sqlx": Tool("sqlx", versioned.sqlx),
    "dbmate": Tool("dbmate", versioned.dbmate),
    "goose": Tool("goose", versioned.goose, (".sql", ".go")),
    "golang-migrate": Tool("golang-migrate", versioned.golang_migrate),
    "flyway": Tool("flyway", flyway.flyway, (".sql", ".sql.conf", ".java"), deep=True),
    "liquibase-sql": Tool("liquibase", liquibase.liquibase_sql, (".sql", ".xml", ".yaml", ".yml", ".json"), deep=True),
    "node-pg-migrate-sql": Tool("node-pg-migrate", versioned.node_pg_migrate, (".sql", *_SCRIPTS)),
    "prisma": Tool("prisma", generated.prisma, (".sql", "migration_lock.toml"), deep=True),
    "drizzle": Tool("drizzle", generated.drizzle, (".sql", "_journal.json"), deep=True),
    "knex": Tool("knex", programs.by_name, _SCRIPTS),
    "migrate-mongo": Tool("migrate-mongo", programs.by_name, _SCRIPTS, kind=MONGODB),
    "typeorm": Tool("typeorm", programs.typeorm, _SCRIPTS),
    "django": Tool("django", programs.django, (".py",), deep=True),
}
"""By the name that `dataops import --from` has for it."""

__all__ = ["TOOLS", "Tool"]
