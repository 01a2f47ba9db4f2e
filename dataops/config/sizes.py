"""A number of bytes in dataops.toml."""

from __future__ import annotations

import re

from dataops.errors import ConfigError
from dataops.files import toml
from dataops.redaction import redact

_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}


def size(table: toml.Table, key: str) -> int | None:
    """The value as bytes, None where it is missing. Raises ConfigError."""
    value = table.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    found = re.fullmatch(r"\s*(\d+)\s*([kmgt]?b?)\s*", str(value), re.IGNORECASE)
    if not found or found[2].lower() not in _UNITS:
        raise ConfigError(f"{table.where}: {key}: {redact(repr(value))} is not a size", hint=f'write {key} = "10 GB"')
    return int(found[1]) * _UNITS[found[2].lower()]


__all__ = ["size"]
