"""Which row in another tool's record is which of our migrations. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from dataops.errors import (
    HistoryError,
    InterruptedStep,
    PermissionDenied,
)
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import (
    Alias,
    Migration,
    Service,
    ToolAliases,
    ToolRecord,
    ToolRow,
)

SQLX, KNEX, MIGRATE_MONGO, POP, GOLANG_MIGRATE = "sqlx", "knex", "migrate-mongo", "pop", "golang-migrate"
TOOLS: Mapping[str, tuple[Kind, ...]] = {
    SQLX: (POSTGRESQL,),
    KNEX: (POSTGRESQL,),
    "flyway": (POSTGRESQL,),
    "liquibase": (POSTGRESQL,),
    "prisma": (POSTGRESQL,),
    "django": (POSTGRESQL,),
    GOLANG_MIGRATE: (POSTGRESQL, MONGODB),
    "dbmate": (POSTGRESQL,),
    "goose": (POSTGRESQL,),
    POP: (POSTGRESQL,),
    MIGRATE_MONGO: (MONGODB,),
}
"""The tools whose records we can read, and in which kinds of database."""
MIRRORED = {SQLX: POSTGRESQL, KNEX: POSTGRESQL, MIGRATE_MONGO: MONGODB}
"""The tools whose record we can write, and where."""
_EXTENSIONS = (".up.sql", ".sql", ".up", ".ts", ".mjs", ".cjs", ".js", ".py", ".go", ".rb", ".xml", ".yaml", ".json")


def by_migration(service: Service, record: ToolRecord) -> tuple[dict[str, list[ToolRow]], list[ToolRow]]:
    """The rows of each of our migrations, by id, and the rows that are none of ours. Retired names are left out."""
    identify = _Identities(service, aliases_of(service, record.tool))
    ours: dict[str, list[ToolRow]] = {}
    others: list[ToolRow] = []
    for row in _rows(service, record):
        id_ = identify(row)
        if id_ is not None:
            ours.setdefault(id_, []).append(row)
        elif not identify.retired(row):
            others.append(row)
    return ours, others


class _Identities:
    def __init__(self, service: Service, aliases: ToolAliases) -> None:
        self._by_name: dict[str, str] = {}
        self._by_number: dict[str, str | None] = {}
        self._retired = tuple(_bare(name) for name in aliases.retired)
        for migration in service.migrations:
            known = aliases.migrations.get(migration.id, Alias())
            mirrored = migration.path.stem + aliases.extension
            for name in (migration.id, migration.path.stem, mirrored, known.name, *known.also):
                if name:
                    self._by_name[_bare(name)] = migration.id
            number = _significant(_number(migration))
            self._by_number[number] = None if number in self._by_number else migration.id  # None: it names two

    def __call__(self, row: ToolRow) -> str | None:
        for name in map(_bare, row.names):
            if self._is_retired(name):
                return None
            found = self._by_name.get(name) or (self._by_number.get(_significant(name)) if name.isdigit() else None)
            if found is not None:
                return found
        return None

    def retired(self, row: ToolRow) -> bool:
        return any(self._is_retired(_bare(name)) for name in row.names)

    def _is_retired(self, name: str) -> bool:
        """`auth.*` is all of an application's, as Django names them."""
        return any(fnmatchcase(name, pattern) for pattern in self._retired)


def _rows(service: Service, record: ToolRecord) -> Iterable[ToolRow]:
    """One row a migration, also of a tool that writes only where it stands."""
    if record.tool != GOLANG_MIGRATE or not record.rows or not record.rows[-1].name.isdigit():
        return record.rows
    here = record.rows[-1]
    below = [ToolRow((m.id,)) for m in service.migrations if (n := _number(m)) and int(n) < int(here.name)]
    return [*below, here]


def aliases_of(service: Service, tool: str) -> ToolAliases:
    return service.aliases.get(tool, ToolAliases(tool))


def _bare(name: str) -> str:
    for extension in _EXTENSIONS:
        if name.endswith(extension):
            return name.removesuffix(extension)
    return name


def _number(migration: Migration) -> str:
    return _leading_number(migration.path.stem) or _leading_number(migration.id)


def _leading_number(name: str) -> str:
    found = re.match(r"\d+", name)
    return found[0] if found else ""


def _significant(number: str) -> str:
    """`000012_x.up.sql` is recorded as 12 by the tools that keep a number."""
    return number.lstrip("0") or number[-1:]


_REPAIR = {
    SQLX: "mend the database and its row in _sqlx_migrations as sqlx asks for, then run this again",
    "flyway": "mend it, then: flyway repair",
    "prisma": "mend it, then: prisma migrate resolve",
    GOLANG_MIGRATE: "mend it, then: migrate force VERSION",
}


def refuse_unreadable(service: Service, record: ToolRecord) -> None:
    """Raise PermissionDenied for a record that is there, but hidden from this user."""
    if not record.readable:
        raise PermissionDenied(
            f"this user may not read {record.place}, the record of {record.tool}",
            service=service.name,
            hint=f"GRANT SELECT ON {record.place} TO the user in the URL",
        )


def _failed(service: Service, record: ToolRecord, migration: str, what: str) -> InterruptedStep:
    return InterruptedStep(
        f"{record.tool} says of {migration}: {what.removesuffix(' there')}; nobody knows how far it came",
        service=service.name,
        migration=migration,
        hint=_REPAIR.get(record.tool, f"repair it with {record.tool} first"),
    )


def _not_ours(service: Service, record: ToolRecord, others: Iterable[Service]) -> HistoryError:
    fits = [other.name for other in others if other.name != service.name and by_migration(other, record)[0]]
    hint = (
        f"it is the record of {' or '.join(fits)}: are two URLs swapped?"
        if fits
        else f'is the URL right? If that record is about something else: coexist = ["{record.tool}"] '
        f"under [services.{service.name}]"
    )
    return HistoryError(
        f"this database has a record of {record.tool} ({record.place}) with {len(record.rows)} migrations, "
        "none of which is ours",
        service=service.name,
        hint=hint,
    )
