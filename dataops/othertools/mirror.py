"""The row that another tool expects to find for a migration of ours. Pure."""

from __future__ import annotations

import re

from dataops.errors import (
    ConfigError,
)
from dataops.model import (
    Alias,
    Migration,
    Service,
    State,
)
from dataops.othertools.match import SQLX, _number, aliases_of, by_migration


def row_for(service: Service, migration: Migration) -> Alias:
    """How `migration` has to be written into the record of the tool that is mirrored. Raises ConfigError."""
    aliases = aliases_of(service, service.mirror)
    known = aliases.migrations.get(migration.id, Alias())
    if service.mirror != SQLX:
        extension = aliases.extension or ".js"
        return known if known.name else Alias(name=migration.path.stem + extension, checksum=known.checksum)
    if not re.fullmatch(r"[0-9a-fA-F]{96}", known.checksum) or not _number(migration):
        raise ConfigError(
            f"mirror: nothing says what sqlx has to find for {migration.id}",
            service=service.name,
            hint=f"write description and checksum (SHA-384 of its .sql file, 96 hexadecimal digits) under "
            f'[sqlx.migrations."{migration.id}"] in {service.folder / "adopt.toml"}; without the right row '
            "the service would not start",
        )
    return Alias(name=_number(migration), description=known.description, checksum=known.checksum)


def rows_missing(state: State) -> tuple[Migration, ...]:
    """Of what is applied here, what the mirrored record does not have, oldest first."""
    there: set[str] = set()
    for record in state.tool_records:
        if record.tool == state.service.mirror:
            there |= by_migration(state.service, record)[0].keys()
    return tuple(state.service.by_id[applied.id] for applied in state.applied if applied.id not in there)
