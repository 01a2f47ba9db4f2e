"""How long something may take, as people write it: 500ms, 60s, 2m, 1h."""

from __future__ import annotations

import re
import time

from dataops.errors import ConfigError
from dataops.redaction import redact

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: object, where: str = "duration") -> float:
    """The seconds of `500ms`, `60s`, `2m`, `1h`, or of a plain number of seconds.

    `where` names the place in the error. Raises ConfigError.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)\s*", str(text))
    if not match or isinstance(text, bool):
        raise ConfigError(f"{where}: {redact(repr(text))} is not a duration", hint="write 500ms, 60s, 2m or 1h")
    return float(match[1]) * _UNITS[match[2]]


class Stopwatch:
    """Runs from the moment it is made, on a clock that never goes back."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds until now, to the millisecond."""
        return round(time.monotonic() - self._began, 3)
