"""What we write into another tool's record, so that the tool finds it complete. Pure."""

from __future__ import annotations

import re

from dataops.errors import ConfigError
from dataops.model import Migration, Service, State
from dataops.othertools.match import SQLX, aliases_of, by_migration, number_of
from dataops.toolrecords import Alias


def row_for(service: Service, migration: Migration) -> Alias:
    """The row that the mirrored tool expects for this migration. Raises ConfigError where nothing says what it is."""
    aliases = aliases_of(service, service.mirror)
    alias = aliases.migrations.get(migration.id, Alias())
    if service.mirror != SQLX:
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


def rows_missing(state: State) -> tuple[Migration, ...]:
    """The migrations that are applied here and that the mirrored record does not have, oldest first."""
    there: set[str] = set()
    for record in state.tool_records:
        if record.tool == state.service.mirror:
            there |= by_migration(state.service, record)[0].keys()
    return tuple(state.service.by_id[applied.id] for applied in state.applied if applied.id not in there)
