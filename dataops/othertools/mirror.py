"""What we write into another tool's record, so that the tool finds it complete. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dataops.errors import ConfigError
from dataops.model import Direction, Migration, Service, State
from dataops.othertools.match import MIGRATE_MONGO, SQLX, aliases_of, by_migration, number_of, taken_back
from dataops.toolrecords import Alias


def row_for(service: Service, migration: Migration, *, hashed: bool = False) -> Alias:
    """The row that the mirrored tool expects for this migration. Raises ConfigError if adopt.toml does not say it.

    `hashed` says that migrate-mongo runs with useFileHash: it would run a migration again whose hash is another one.
    """
    aliases = aliases_of(service, service.mirror)
    alias = aliases.migrations.get(migration.id, Alias())
    if service.mirror != SQLX:
        if hashed and not re.fullmatch(r"[0-9a-fA-F]{64}", alias.checksum):
            raise ConfigError(
                f"mirror: {service.mirror} works with useFileHash, and nothing says the hash of {migration.id}",
                service=service.name,
                hint=f"write checksum (SHA-256 of its file there, 64 hexadecimal digits) under "
                f'[{service.mirror}.migrations."{migration.id}"] in {service.folder / "adopt.toml"}; without it '
                f"{service.mirror} would run its file again",
            )
        extension = aliases.extension or ".js"
        return alias if alias.name else Alias(name=migration.path.stem + extension, checksum=alias.checksum)
    if not re.fullmatch(r"[0-9a-fA-F]{96}", alias.checksum) or not number_of(migration):
        raise ConfigError(
            f"mirror: nothing says what sqlx has to find for {migration.id}",
            service=service.name,
            hint=f"write description and checksum (SHA-384 of its .sql file, 96 hexadecimal digits) under "
            f'[sqlx.migrations."{migration.id}"] in {service.folder / "adopt.toml"}; without the right row '
            "the service would not start",
        )
    return Alias(name=number_of(migration), description=alias.description, checksum=alias.checksum)


def refuse_unknown_rows(state: State, migrations: Iterable[Migration]) -> None:
    """Raise ConfigError if nothing says which rows the mirrored tool expects for these and for those that it lacks."""
    service = state.service
    rows = [row for record in state.tool_records if record.tool == service.mirror for row in record.rows]
    hashed = service.mirror == MIGRATE_MONGO and any(row.checksum for row in rows)
    for migration in (*rows_missing(state), *migrations):
        row_for(service, migration, hashed=hashed)


def to_deploy(service: Service, migrations: Sequence[Migration], direction: Direction) -> str:
    """What has to be deployed before these steps, because of how the mirrored tool checks its record; "" for nothing.

    knex and sqlx refuse to start on a row for which they have no file, and every tool runs again what is rolled back.
    """
    if not service.mirror or not migrations:
        return ""
    if direction is Direction.ROLLBACK:
        return (
            f"first deploy a version of {service.name} without the files of these migrations: at its next start, "
            f"{service.mirror} would run again what it still has"
        )
    if service.mirror == MIGRATE_MONGO:
        return ""
    rows = [row_for(service, migration) for migration in migrations]
    names = [
        row.name if service.mirror != SQLX else f"{row.name}_{row.description.replace(' ', '_')}.sql" for row in rows
    ]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"first deploy a version of {service.name} that has {shown}, or put the file into the old one: "
        f"{service.mirror} refuses to start on a row without a file"
    )


def rows_missing(state: State) -> tuple[Migration, ...]:
    """The migrations that are applied here and that the mirrored record never had, oldest first."""
    there: set[str] = set()
    for record in state.tool_records:
        if record.tool == state.service.mirror:
            there |= {*by_migration(state.service, record)[0], *taken_back(state, record)}
    return tuple(state.service.by_id[applied.id] for applied in state.applied if applied.id not in there)
