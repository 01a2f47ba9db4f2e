"""The paragraph `[policy]` of dataops.toml, and `[policy.environments.NAME]`, which says more about one environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dataops.config.sizes import size
from dataops.durations import parse_duration
from dataops.errors import ConfigError, UsageError
from dataops.files import toml
from dataops.hazards import HAZARDS
from dataops.model import Policy, Window
from dataops.redaction import redact
from dataops.text import near

KEYS = {
    "refuse",
    "ask",
    "rows",
    "bytes",
    "blocked",
    "windows",
    "backup",
    "backup_max_age",
    "approvals",
    "approvals_valid",
}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<from>[a-z]{3})(?:-(?P<to>[a-z]{3}))?\s+)?(?P<begins>\d{1,2}:\d\d)-(?P<ends>\d{1,2}:\d\d)(?:\s+(?P<zone>\S+))?",
    re.IGNORECASE,
)
_WINDOW_HINT = 'write for example "Mon-Fri 09:00-16:00 Europe/Zurich", or "22:00-04:00 UTC"'


@dataclass(frozen=True)
class Policies:
    """The policy for every environment, and those of single ones, by name."""

    general: Policy = field(default_factory=Policy)
    environments: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, environment: str | None) -> Policy:
        """The policy of an environment; the general one where it has none of its own."""
        return self.environments.get(environment or "", self.general)

    def named(self, name: str) -> Policy:
        """The policy of an environment that has one. Raises UsageError."""
        if name not in self.environments:
            raise UsageError(f"there is no [policy.environments.{redact(name)}]", hint=near(name, self.environments))
        return self.environments[name]


def read(table: toml.Table, top: Path) -> Policies:
    """All policies of a file. `top` is its folder. Raises ConfigError."""
    table.only(KEYS | {"environments"})
    environments = table.table("environments", f"{table.where[:-1]}.environments]")
    general = {key: value for key, value in table.values.items() if key != "environments"}
    return Policies(
        _policy(toml.Table(general, table.where, table.manual), top),
        {name: _policy(_of(environments, name, general), top) for name in environments.values},
    )


def _of(environments: toml.Table, name: str, general: Mapping[str, Any]) -> toml.Table:
    where = f"{environments.where[:-1]}.{name}]"
    own = environments.table(name, where)
    own.only(KEYS)
    return toml.Table({**general, **own.values}, where, environments.manual)


def _policy(table: toml.Table, top: Path) -> Policy:
    backup = table.optional_text("backup")
    return Policy(
        where=table.where,
        refuse=_hazards(table, "refuse"),
        ask=_hazards(table, "ask"),
        rows=_number(table, "rows"),
        bytes=size(table, "bytes"),
        blocked=_duration(table, "blocked"),
        windows=tuple(_window(text, table.where) for text in table.texts("windows", "list of windows", _WINDOW_HINT)),
        backup=top / backup if backup else None,
        backup_max_age=_duration(table, "backup_max_age"),
        approvals=_number(table, "approvals") or 0,
        approvals_valid=Policy.approvals_valid if (valid := _duration(table, "approvals_valid")) is None else valid,
    )


def _hazards(table: toml.Table, key: str) -> tuple[str, ...]:
    names = table.texts(key, "list of hazards", 'for example ["will-fail", "destroys-data"]')
    for name in names:
        if name not in HAZARDS:
            what = f"{table.where}: {key}: there is no hazard {redact(repr(name))}"
            raise ConfigError(what, hint=near(name, HAZARDS))
    return names


def _number(table: toml.Table, key: str) -> int | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ConfigError(f"{table.where}: {key} has to be a number", hint=f"write {key} = 1_000_000")
    return value


def _duration(table: toml.Table, key: str) -> float | None:
    value = table.get(key)
    return None if value is None else parse_duration(value, f"{table.where}: {key}")


def _window(text: str, where: str) -> Window:
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{where}: windows: {redact(repr(text))} is not a time of the week", hint=_WINDOW_HINT)
    try:
        zone = ZoneInfo(found["zone"] or "UTC")
        begins, ends = time.fromisoformat(found["begins"].zfill(5)), time.fromisoformat(found["ends"].zfill(5))
        first = _DAYS.index((found["from"] or "mon").lower())
        last = _DAYS.index((found["to"] or found["from"] or "sun").lower())
    except (ValueError, KeyError, OSError) as error:  # a zone that is not known is any of these
        what = f"{where}: windows: {redact(repr(text))}: no such day, time or zone"
        raise ConfigError(what, hint=_WINDOW_HINT) from error
    days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
    return Window(days, begins, ends, zone, text.strip())


__all__ = ["KEYS", "Policies", "read"]
