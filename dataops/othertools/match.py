"""Which row in another tool's record is which of our migrations. Pure.

A tool writes down a file name, a number, or both, and each writes them differently. So a migration of ours is found by
its id, by the name of its file, by the names that adopt.toml gives it, and by the number in front of its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from glob import escape

from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import Migration, Service, State
from dataops.toolrecords import Alias, ToolAliases, ToolRecord, ToolRow

SQLX, KNEX, MIGRATE_MONGO, POP, GOLANG_MIGRATE = "sqlx", "knex", "migrate-mongo", "pop", "golang-migrate"
DJANGO = "django"
TOOLS: Mapping[str, tuple[Kind, ...]] = {
    SQLX: (POSTGRESQL,),
    KNEX: (POSTGRESQL,),
    "flyway": (POSTGRESQL,),
    "liquibase": (POSTGRESQL,),
    "prisma": (POSTGRESQL,),
    DJANGO: (POSTGRESQL,),
    GOLANG_MIGRATE: (POSTGRESQL, MONGODB),
    "dbmate": (POSTGRESQL,),
    "goose": (POSTGRESQL,),
    "node-pg-migrate": (POSTGRESQL,),
    "drizzle": (POSTGRESQL,),
    "typeorm": (POSTGRESQL,),
    POP: (POSTGRESQL,),
    MIGRATE_MONGO: (MONGODB,),
}
"""The tools whose records we can read, and in which kinds of database."""
MIRRORED: Mapping[str, Kind] = {SQLX: POSTGRESQL, KNEX: POSTGRESQL, MIGRATE_MONGO: MONGODB}
"""The tools whose records we can write, and in which kind of database."""
_EXTENSIONS = (".up.sql", ".sql", ".up", ".ts", ".mjs", ".cjs", ".js", ".py", ".go", ".rb", ".xml", ".yaml", ".json")


class Identities:
    """A table that says which migration of ours a row of one tool means.

    It takes time in proportion to the number of migrations to make one, so it must not be made for each row:
    `identities_of` makes one for a service and a tool, and keeps it.
    """

    def __init__(self, service: Service, aliases: ToolAliases) -> None:
        self._by_name: dict[str, str] = {}
        self._by_number: dict[str, str | None] = {}
        self._by_version: dict[Version, str | None] = {}
        self._of = aliases.app or aliases.file
        self._retired = tuple(bare_name(name) for name in (*aliases.retired, *_replaced(service, aliases)))
        # The names of files that are gone are not known, but the number in front of a name is that of the id.
        numbers = (leading_number(id_) for id_ in service.replaced_by)
        self._replaced = {significant(number) for number in numbers if number}
        for migration in service.migrations:
            alias = aliases.migrations.get(migration.id, Alias())
            mirrored = migration.path.stem + aliases.extension
            for name in (migration.id, migration.path.stem, mirrored, alias.name, *alias.also):
                if name:
                    self._by_name[bare_name(name)] = migration.id
            number = significant(number_of(migration))
            # A number that two migrations share identifies neither of them.
            self._by_number[number] = None if number in self._by_number else migration.id
            version = version_of(migration)
            if len(version) > 1:
                self._by_version[version] = None if version in self._by_version else migration.id

    def migration_of(self, row: ToolRow) -> str | None:
        """The id of the migration of ours that the row means; None when it means none."""
        if self._is_elsewhere(row):
            return None
        for name in map(bare_name, row.names):
            if self._is_retired(name):
                return None
            found = self._by_name.get(name)
            if found is None and name.isdigit():
                found = self._by_number.get(significant(name))
            if found is None and _VERSION.fullmatch(name):
                found = self._by_version.get(version(name))
            if found is not None:
                return found
        return None

    def is_retired(self, row: ToolRow) -> bool:
        """Whether the row is history, for which no file is needed: adopt.toml says so, or it is squashed.

        So is a row of another application or file than the one that adopt.toml names.
        """
        if self._is_elsewhere(row):
            return True
        names = [bare_name(name) for name in row.names]
        return any(self._is_retired(name) or significant(leading_number(name)) in self._replaced for name in names)

    def is_named_whole(self, row: ToolRow) -> bool:
        """Whether one of our migrations is said to have the whole name of the row, with its application or file."""
        whole = (name for name in row.names if name.startswith((f"{row.group}.", f"{row.group}::")))
        return any(bare_name(name) in self._by_name for name in whole)

    def _is_elsewhere(self, row: ToolRow) -> bool:
        return bool(self._of and row.group) and row.group != self._of

    def _is_retired(self, name: str) -> bool:
        # A pattern such as `auth.*` means all migrations of one application, as Django names them.
        return any(fnmatchcase(name, pattern) for pattern in self._retired)


def _replaced(service: Service, aliases: ToolAliases) -> Iterator[str]:
    """The names of the migrations of which a squashed file took the place: they are history, as retired ones are."""
    for id_ in service.replaced_by:
        alias = aliases.migrations.get(id_, Alias())
        yield from (escape(name) for name in (id_, alias.name, *alias.also) if name)


@lru_cache(maxsize=64)
def identities_of(service: Service, tool: str) -> Identities:
    """The table of identities for one service and one tool, which is made once."""
    return Identities(service, aliases_of(service, tool))


def by_migration(service: Service, record: ToolRecord) -> tuple[dict[str, list[ToolRow]], list[ToolRow]]:
    """The rows of each of our migrations, by id, and the rows that are none of ours. Retired names are left out."""
    identities = identities_of(service, record.tool)
    ours: dict[str, list[ToolRow]] = {}
    others: list[ToolRow] = []
    for row in _row_for_each_migration(service, record):
        id_ = identities.migration_of(row)
        if id_ is not None:
            ours.setdefault(id_, []).append(row)
        elif not row.repeatable and not identities.is_retired(row):
            others.append(row)
    return ours, others


def taken_back(state: State, record: ToolRecord) -> tuple[str, ...]:
    """The applied migrations that this record once had, by our journal, and has no more: the tool has undone them.

    They were adopted from it, or we wrote them there.
    """
    ours, _ = by_migration(state.service, record)
    return tuple(
        applied.id
        for applied in state.applied
        if record.tool in (applied.adopted, applied.mirrored) and applied.id not in ours
    )


def before_later(state: State, gone: Sequence[str]) -> str | None:
    """The id at which a rollback has to stop that undoes what still stands on migrations that are `gone`.

    None where nothing stands on them.
    """
    ids = [applied.id for applied in state.applied]
    first = min((ids.index(id_) for id_ in gone), default=len(ids))
    return next((ids[at - 1] for at in range(first, len(ids)) if ids[at] not in gone), None)


def names_by_migration(service: Service, tool: str, names: Iterable[str]) -> dict[str, list[str]]:
    """Of the names in a tool's record, those that mean migrations of ours, by id."""
    identities = identities_of(service, tool)
    found: dict[str, list[str]] = {}
    for name in names:
        id_ = identities.migration_of(ToolRow((name,)))
        if id_ is not None:
            found.setdefault(id_, []).append(name)
    return found


def aliases_of(service: Service, tool: str) -> ToolAliases:
    """What adopt.toml says about a tool; nothing where it does not mention the tool."""
    return service.aliases.get(tool, ToolAliases(tool))


def bare_name(name: str) -> str:
    """The name of a file without the extension that the tools give to migrations."""
    for extension in _EXTENSIONS:
        if name.endswith(extension):
            return name.removesuffix(extension)
    return name


Version = tuple[int, ...]
_VERSION = re.compile(r"\d+(?:[._]\d+)*")


def version(text: str) -> Version:
    """A version that may have dots, as Flyway compares it: 1.0 is 1, and 1.10 comes after 1.9."""
    numbers = [int(one) for one in re.split(r"[._]", text)]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def version_of(migration: Migration) -> Version:
    """The version in front of a migration's file name, or of its id: `V1_2__add`, `1.2`, `001_2`. () without one."""
    for name in (migration.path.stem, migration.id):
        found = re.match(r"[VvBb]?(\d+(?:[._]\d+)*)(?![^\W_])", name)
        if found:
            return version(found[1])
    return ()


def number_of(migration: Migration) -> str:
    """The digits in front of a migration's file name, or of its id; "" where there are none."""
    return leading_number(migration.path.stem) or leading_number(migration.id)


def leading_number(name: str) -> str:
    """The digits in front of a name; "" where there are none."""
    found = re.match(r"\d+", name)
    return found[0] if found else ""


def significant(number: str) -> str:
    """The digits without leading zeros: tools that keep a number record `000012_x.up.sql` as 12."""
    return number.lstrip("0") or number[-1:]


def _row_for_each_migration(service: Service, record: ToolRecord) -> Iterable[ToolRow]:
    """The rows, also for golang-migrate, which records only the newest number: everything below it is applied too."""
    if any(row.baseline for row in record.rows):
        return _with_baseline(service, record)
    if record.tool != GOLANG_MIGRATE or not record.rows or not record.rows[-1].name.isdigit():
        return record.rows
    newest = record.rows[-1]
    numbers = ((migration, number_of(migration)) for migration in service.migrations)
    below = [ToolRow((migration.id,)) for migration, number in numbers if number and int(number) < int(newest.name)]
    return [*below, newest]


def _with_baseline(service: Service, record: ToolRecord) -> Iterable[ToolRow]:
    """The rows, and one for each migration of ours that a baseline says was there before Flyway came."""
    known = identities_of(service, record.tool)
    there = {known.migration_of(row) for row in record.rows if not row.baseline}
    for row in record.rows:
        if not row.baseline:
            yield row
            continue
        upto = version(row.names[-1]) if _VERSION.fullmatch(row.names[-1]) else ()
        for migration in service.migrations:
            if () < version_of(migration) <= upto and migration.id not in there:
                yield replace(row, names=(migration.id,), baseline=False)


__all__ = [
    "DJANGO",
    "GOLANG_MIGRATE",
    "KNEX",
    "MIGRATE_MONGO",
    "MIRRORED",
    "POP",
    "SQLX",
    "TOOLS",
    "Identities",
    "aliases_of",
    "bare_name",
    "before_later",
    "by_migration",
    "identities_of",
    "leading_number",
    "names_by_migration",
    "number_of",
    "significant",
    "taken_back",
    "version",
    "version_of",
]
