"""What other tools call our migrations: the adopt.toml that lies beside the files of a service."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dataops.errors import ConfigError
from dataops.model import Alias, Migration, ToolAliases
from dataops.redaction import message_of, redact
from dataops.text import near

ADOPT_FILE = "adopt.toml"


def load(service: str, folder: Path, migrations: Iterable[Migration]) -> dict[str, ToolAliases]:
    """What the adopt.toml in `folder` says, by tool; nothing where there is none. Raises ConfigError."""
    path = folder / ADOPT_FILE
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {message_of(error)}", service=service) from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{path}:{line[1] if line else '?'}: {message_of(error)}", service=service) from error
    ids = {migration.id for migration in migrations}
    found = {}
    for tool, about in table.items():
        where = f"{path}: [{tool}]"
        _fields(about, {"extension": str, "retired": list, "migrations": dict}, where)
        if not about.get("extension", ".").startswith("."):
            raise ConfigError(f"{where}: extension has to begin with a dot", service=service, hint='for example ".mjs"')
        names: dict[str, str] = {}
        known = {}
        for id_, said in about.get("migrations", {}).items():
            if id_ not in ids:
                raise ConfigError(f"{where}: there is no migration {redact(id_)}", service=service, hint=near(id_, ids))
            _fields(said, _KNOWN_FIELDS, f"{where} {id_}")
            values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in said.items()}
            known[id_] = Alias(**values)
            for name in (known[id_].name, *known[id_].also):
                if name and names.setdefault(name, id_) != id_:
                    raise ConfigError(
                        f"{where}: {redact(name)} is said of {names[name]} and of {id_}",
                        service=service,
                        hint="a name can mean one migration only",
                    )
        found[tool] = ToolAliases(tool, about.get("extension", ""), tuple(about.get("retired", ())), known)
    return found


_KNOWN_FIELDS = {"name": str, "also": list, "description": str, "checksum": str, "earlier": list}


def _fields(table: object, known: Mapping[str, type], where: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} has to be a table", hint="see docs/adopting.md#adopttoml")
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {redact(repr(key))}", hint=near(key, known))
        items: list[Any] = value if isinstance(value, list) else []
        if not isinstance(value, known[key]) or not all(isinstance(item, str) for item in items):
            kind = {"str": "text", "list": "list of texts"}.get(known[key].__name__, "table")
            raise ConfigError(f"{where}: {key} has to be a {kind}")
