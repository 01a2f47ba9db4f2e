"""What a database is made of, as values that can be compared, and how two of them differ. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

Key = tuple[str, str]
"""A kind of object and its name; what belongs to a table or a collection is named after it: `messages.id`."""


class Differs(enum.Enum):
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """One object that is not as expected."""

    how: Differs
    kind: str
    name: str
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        if self.how is Differs.MISSING:
            return f"{self.kind} {self.name} is missing" + (f" ({self.expected})" if self.expected else "")
        if self.how is Differs.UNEXPECTED:
            return f"{self.kind} {self.name} is not of our history" + (f" ({self.found})" if self.found else "")
        return f"{self.kind} {self.name} is {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class Catalogue:
    """Every object with its definition, in one line of text. Data, owners, grants and physical order do not count."""

    objects: Mapping[Key, str]


_WHOLE = ("table", "collection", "view")
_PART = ("column", "constraint", "index", "trigger", "rule", "policy", "validator")


def compare(expected: Catalogue, found: Catalogue) -> tuple[Difference, ...]:
    """How `found` differs, in the order of names. The parts of a table that is not there are not told one by one."""
    differences = []
    for key in sorted(expected.objects.keys() | found.objects.keys(), key=lambda key: (key[1], key[0])):
        kind, name = key
        if key not in found.objects:
            if not _without_its_whole(key, expected, found):
                differences.append(Difference(Differs.MISSING, kind, name, expected=expected.objects[key]))
        elif key not in expected.objects:
            if not _without_its_whole(key, found, expected):
                differences.append(Difference(Differs.UNEXPECTED, kind, name, found=found.objects[key]))
        elif expected.objects[key] != found.objects[key]:
            differences.append(Difference(Differs.DIFFERENT, kind, name, expected.objects[key], found.objects[key]))
    return tuple(differences)


def _without_its_whole(key: Key, here: Catalogue, there: Catalogue) -> bool:
    """Whether it is a part of something that the other side lacks altogether."""
    kind, name = key
    if kind not in _PART:
        return False
    wholes = [(of, owner) for of in _WHOLE for owner in _owners(name)]
    return any(whole in here.objects and whole not in there.objects for whole in wholes)


def _owners(name: str) -> list[str]:
    """`a.b.c` may belong to `a` or to `a.b`: names may hold dots."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


__all__ = ["Catalogue", "Difference", "Differs", "compare"]
