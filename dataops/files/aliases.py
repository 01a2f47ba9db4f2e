"""What other tools call our migrations: the adopt.toml that lies beside the files of a service."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dataops.errors import ConfigError
from dataops.files import toml
from dataops.model import Migration
from dataops.redaction import redact
from dataops.text import near
from dataops.toolrecords import Alias, ToolAliases

ADOPT_FILE = "adopt.toml"
_MANUAL = "see dataops docs adopting adopttoml"
TOOL_FIELDS = {
    "extension": str, "retired": list, "record": str, "lock": str, "app": str, "file": str, "migrations": dict,
}  # fmt: skip
_ONLY_OF = {"app": ("django",), "file": ("liquibase",), "lock": ("knex", "liquibase", "migrate-mongo")}
"""Which tools have something that a key is about."""
_ALIAS_FIELDS = {"name": str, "also": list, "description": str, "checksum": str, "earlier": list}
_TYPES: Mapping[type, str] = {str: "text", list: "list of texts", dict: "table"}


def load(service: str, folder: Path, migrations: Iterable[Migration]) -> dict[str, ToolAliases]:
    """What the adopt.toml in `folder` says, by tool; nothing where there is no such file. Raises ConfigError."""
    path = folder / ADOPT_FILE
    ids = {id_ for migration in migrations for id_ in (migration.id, *migration.replaces)}
    try:
        content = toml.read(path, optional=True)
        return {
            tool: _tool(tool, toml.table(value, f"{path}: [{tool}]", _MANUAL), ids) for tool, value in content.items()
        }
    except ConfigError as error:
        error.service = service
        raise


def _tool(tool: str, table: toml.Table, ids: Collection[str]) -> ToolAliases:
    _check_types(table, TOOL_FIELDS)
    for key, tools in _ONLY_OF.items():
        if table.get(key, "") and tool not in tools:
            raise ConfigError(f"{table.where}: {key} means nothing for {tool}", hint=f"it is for {', '.join(tools)}")
    extension = table.get("extension", "")
    if extension and not extension.startswith("."):
        raise ConfigError(f"{table.where}: extension has to begin with a dot", hint='for example ".mjs"')
    aliases = {}
    for id_, value in table.get("migrations", {}).items():
        if id_ not in ids:
            raise ConfigError(f"{table.where}: there is no migration {redact(id_)}", hint=near(id_, ids))
        aliases[id_] = _alias(toml.table(value, f"{table.where} {id_}", _MANUAL))
    _refuse_ambiguous(table, aliases)
    said = {key: table.get(key, "") for key in ("record", "lock", "app", "file")}
    if tool == "knex" and said["record"] and not said["lock"]:
        said["lock"] = f"{said['record']}_lock"  # as knex calls it then
    return ToolAliases(tool, extension, tuple(table.get("retired", ())), migrations=aliases, **said)


def _alias(table: toml.Table) -> Alias:
    _check_types(table, _ALIAS_FIELDS)
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.values.items()}
    return Alias(**values)


def _refuse_ambiguous(table: toml.Table, aliases: Mapping[str, Alias]) -> None:
    owners: dict[str, str] = {}
    for id_, alias in aliases.items():
        for name in (alias.name, *alias.also):
            if name and owners.setdefault(name, id_) != id_:
                raise ConfigError(
                    f"{table.where}: {redact(name)} is said of {owners[name]} and of {id_}",
                    hint="a name can mean one migration only",
                )


def _check_types(table: toml.Table, fields: Mapping[str, type]) -> None:
    table.only(fields)
    for key, value in table.values.items():
        items: list[Any] = value if isinstance(value, list) else []
        if not isinstance(value, fields[key]) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{table.where}: {key} has to be a {_TYPES[fields[key]]}")


__all__ = ["ADOPT_FILE", "load"]
