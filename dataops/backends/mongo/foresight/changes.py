"""Which fields of a collection the commands of a plan have changed, and which fields a question is about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ALL = "*"
"""Any field may be changed, or be asked for."""
_LOGICAL = ("$and", "$or", "$nor")
_KEEPING = ("$set", "$addFields", "$unset")


class Changes:
    """What has become of each collection: fields with other values, and documents that are gone."""

    def __init__(self) -> None:
        self._fields: dict[str, set[str]] = {}
        self._removed: set[str] = set()
        self._added: set[str] = set()

    def set_fields(self, collection: str, fields: Iterable[str]) -> None:
        """These fields have other values from now on."""
        self._fields.setdefault(collection, set()).update(fields)

    def add(self, collection: str) -> None:
        """Documents are added."""
        self._added.add(collection)

    def has_any(self, collection: str) -> bool:
        """Whether the plan has done anything to its documents."""
        return collection in self._added | self._removed or bool(self._fields.get(collection))

    def remove(self, collection: str) -> None:
        """Some documents are gone."""
        self._removed.add(collection)

    def leave(self, collection: str, fields: Iterable[str]) -> bool:
        """Whether the live documents still answer a question about these fields. New documents do not matter."""
        changed = self._fields.get(collection, set())
        asked = set(fields)
        if collection in self._removed or ALL in changed or (ALL in asked and changed):
            return False
        return not changed & asked


def of_update(update: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> set[str]:
    """The fields that an update sets, each by its first name."""
    found = set[str]()
    if isinstance(update, Mapping):
        for operator, parts in update.items():
            if not operator.startswith("$"):
                return {ALL}
            found |= {_first(name) for name in parts}
            found |= {_first(str(name)) for name in parts.values()} if operator == "$rename" else set()
        return found
    for stage in update:
        [(operator, parts)] = stage.items()
        if operator not in _KEEPING:
            return {ALL}
        found |= {_first(name) for name in ([parts] if isinstance(parts, str) else parts)}
    return found


def of_query(query: Mapping[str, Any]) -> set[str]:
    """The fields that a query is about, each by its first name."""
    found = set[str]()
    for name, value in query.items():
        if name in _LOGICAL:
            for part in value:
                found |= of_query(part)
        elif name.startswith("$"):
            found.add(ALL)
        else:
            found.add(_first(name))
    return found


def _first(name: str) -> str:
    return name.partition(".")[0]


__all__ = ["ALL", "Changes", "of_query", "of_update"]
