"""Durations as people write them: 500ms, 60s, 2m, 1h."""

from __future__ import annotations

import re

from dataops.errors import ConfigError
from dataops.redaction import redact

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: object, where: str = "duration") -> float:
    """`500ms`, `60s`, `2m`, `1h`, or a plain number of seconds. Raises ConfigError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)\s*", str(text))
    if not match or isinstance(text, bool):
        raise ConfigError(f"{where}: {redact(repr(text))} is not a duration", hint="write 500ms, 60s, 2m or 1h")
    return float(match[1]) * _UNITS[match[2]]
