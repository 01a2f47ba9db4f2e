"""Durations: parses them as people write them (500ms, 60s, 2m, 1h), writes them for people, and measures them."""

from __future__ import annotations

import re
import time

from dataops.errors import ConfigError
from dataops.redaction import redact

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: object, where: str = "duration") -> float:
    """The number of seconds in `500ms`, `60s`, `2m`, `1h`, or in a plain number.

    `where` says in the error where the text came from. Raises ConfigError.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)\s*", str(text))
    if not match or isinstance(text, bool):
        raise ConfigError(f"{where}: {redact(repr(text))} is not a duration", hint="write 500ms, 60s, 2m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def clock(seconds: float) -> str:
    """How long something took, for a person: `0.4 s`, `40 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Stopwatch:
    """Measures the seconds since it was made, on a clock that never goes back."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds until now, to the millisecond."""
        return round(time.monotonic() - self._began, 3)
