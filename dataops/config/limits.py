"""The paragraphs `[backfill]` and `[services.NAME.backfill]` of dataops.toml: when a backfill gives way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataops.config.sizes import size
from dataops.durations import parse_duration
from dataops.errors import ConfigError
from dataops.files import toml
from dataops.model import Limits
from dataops.redaction import redact

KEYS = {"batch", "max_lag", "min_oplog", "max_unarchived", "max_slowdown", "pause_while", "pause_file"}
_LEAST_BATCH, _MOST_BATCH = 0.01, 60.0


def read(general: toml.Table, own: toml.Table, top: Path) -> Limits:
    """The limits of one service: what `own` does not say, `general` says. `top` is the folder of the file.

    Raises ConfigError.
    """
    limits: dict[str, Any] = {}
    for table in (general, own):
        table.only(KEYS)
        limits |= _said(table, top)
    return Limits(**limits)


def _said(table: toml.Table, top: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, name in (("batch", "batch"), ("max_lag", "lag"), ("min_oplog", "oplog")):
        if key in table:
            found[name] = parse_duration(table.get(key), f"{table.where}: {key}")
    if not _LEAST_BATCH <= found.get("batch", _LEAST_BATCH) <= _MOST_BATCH:
        raise ConfigError(f"{table.where}: batch has to be from 10ms to 60s", hint='write batch = "500ms"')
    if "max_unarchived" in table:
        found["unarchived"] = float(size(table, "max_unarchived") or 0)
    if "max_slowdown" in table:
        value = table.get("max_slowdown")
        if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or value > 1):
            what = f"{table.where}: max_slowdown: {redact(repr(value))} is not a factor above 1"
            raise ConfigError(what, hint="write max_slowdown = 2.0; 0 means that it does not matter")
        found["slowdown"] = float(value)
    if "pause_while" in table:
        found["pause_while"] = table.optional_text("pause_while")
    if "pause_file" in table:
        named = table.optional_text("pause_file")
        found["pause_file"] = top / named if named else None
    return found


__all__ = ["KEYS", "read"]
