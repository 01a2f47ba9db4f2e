"""Makes the text of a command for the reader of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import json_util

Document = dict[str, Any]

SESSION_KEYS = {
    "lsid", "$db", "$clusterTime", "$readPreference", "txnNumber", "startTransaction", "autocommit", "readConcern",
    "writeConcern", "apiVersion", "apiStrict", "apiDeprecationErrors", "maxTimeMS", "commitQuorum",
}  # fmt: skip
"""Fields of a command that say how it is sent, not what it does."""

IN_BATCHES = "backfill, in batches"
"""How the comment of a command begins that stands for a backfill."""

_SEQUENCES = {"insert": "documents", "update": "updates", "delete": "deletes", "bulkWrite": "ops"}


def command_text(name: str, command: Document) -> str:
    """A command as text: its name, its collection, its fields; of many operations the first and how many more.

    Indexes are shown each: few are built by one command, and each is worth a look.
    """
    shown = {key: value for key, value in command.items() if key not in SESSION_KEYS and key != "ordered"}
    where = shown.pop(name)
    if is_backfill(command):
        said = command["comment"]
        return f"{said}: {command_text(name, {key: one for key, one in command.items() if key != 'comment'})}"
    many = shown.get(_SEQUENCES.get(name, ""), [])
    more = f" and {len(many) - 1} more {_SEQUENCES[name]}" if len(many) > 1 else ""
    if name == "aggregate":
        shown.pop("cursor", None)
    for key in ("documents", "updates", "deletes", "ops", "indexes", "pipeline"):
        if key in shown:
            first = shown.pop(key)
            if key == "indexes":
                return f"{name} {where} {', '.join(map(_json, first))}{_options(shown)}"
            one = first if key == "pipeline" else first[0] if first else {}
            return f"{name} {where} {_json(one)}{_options(shown)}{more}"
    return f"{name} {where}{_options(shown)}"


def is_backfill(command: Mapping[str, Any]) -> bool:
    """Whether a command stands for many of its kind, in batches."""
    return str(command.get("comment", "")).startswith(IN_BATCHES)


def _options(rest: Document) -> str:
    return f" {_json(rest)}" if rest else ""


def _json(value: Any) -> str:
    return json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS)


def target_of(stage: Document) -> str:
    """The collection into which the last stage of a pipeline writes, "" if it writes into none."""
    into = stage.get("$merge", stage.get("$out", ""))
    into = into.get("into", into.get("coll", "")) if isinstance(into, dict) else into
    return str(into.get("coll", "") if isinstance(into, dict) else into)
