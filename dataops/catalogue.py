"""What a database is made of, as values that can be compared, and how two of them differ. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from dataops.redaction import redact

Key = tuple[str, str]
"""A kind of object and its name; what belongs to a table or a collection is named after it: `messages.id`."""

_WHOLE = ("table", "collection", "view")
_PART = ("column", "constraint", "index", "trigger", "rule", "policy", "validator")
_SHOWN = 160  # characters of a definition, around the place where two differ


class Differs(enum.Enum):
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """One object that is not as expected. `expected` and `found` are definitions; empty where there is none to tell."""

    how: Differs
    kind: str
    name: str
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        name = redact(self.name)
        expected, found = _around_the_difference(redact(self.expected), redact(self.found))
        if self.how is Differs.MISSING:
            return f"{self.kind} {name}: missing here" + (f", expected {expected}" if expected else "")
        if self.how is Differs.UNEXPECTED:
            return f"{self.kind} {name}: here, but not expected" + (f" ({found})" if found else "")
        return f"{self.kind} {name}: here {found or 'plain'}, expected {expected or 'plain'}"

    def to_json(self) -> dict[str, str]:
        """The same as words: `how` is missing, unexpected or different."""
        return {
            "how": self.how.value,
            "kind": self.kind,
            "name": self.name,
            "expected": self.expected,
            "found": self.found,
        }


@dataclass(frozen=True)
class Catalogue:
    """Every object with its definition, in one line of text. Data, owners and physical order do not count.

    Of the kinds in `open` a database may have more than our history makes: a person adds an extension. What is in
    `loose`, by name and with all its parts, is not compared. `marks` tell a collection by an id that it keeps when it
    gets another name.
    """

    objects: Mapping[Key, str]
    open: frozenset[str] = frozenset()
    loose: frozenset[str] = frozenset()
    marks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


def compare(expected: Catalogue, found: Catalogue, *, ignoring: Collection[str] = ()) -> tuple[Difference, ...]:
    """How `found` differs, in the order of names. The parts of a table that is not there are not told one by one.

    `ignoring` are names of objects that do not count, and neither do their parts.
    """
    differences = []
    ignoring = {*ignoring, *expected.loose}
    for key in sorted(expected.objects.keys() | found.objects.keys(), key=lambda key: (key[1], key[0])):
        kind, name = key
        if name in ignoring or any(owner in ignoring for owner in _owners(name)):
            continue
        if key not in found.objects:
            if not _without_its_whole(key, expected, found):
                differences.append(Difference(Differs.MISSING, kind, name, expected=expected.objects[key]))
        elif key not in expected.objects:
            if kind not in expected.open and not _without_its_whole(key, found, expected):
                differences.append(Difference(Differs.UNEXPECTED, kind, name, found=found.objects[key]))
        elif expected.objects[key] != found.objects[key]:
            differences.append(Difference(Differs.DIFFERENT, kind, name, expected.objects[key], found.objects[key]))
    return tuple(differences)


def imitation(live: Catalogue, before: Catalogue, after: Catalogue) -> Catalogue:
    """What `live` should be like, when an imitation of it was like `before` and our history has made it like `after`.

    What the history left as it was is right as it is in `live`: the imitation need not copy every option, and copies no
    validator. But the history may also have moved indexes of today from a collection to another, by giving it that
    one's name. Which of them `live` should have under which name cannot be told: such collections are loose.
    """
    objects = {
        key: live.objects.get(key, text) if before.objects.get(key) == text else text
        for key, text in after.objects.items()
    }
    moved = {name for name, mark in before.marks.items() if after.marks.get(name, mark) != mark}
    renamed = {name for name, mark in before.marks.items() if name not in after.marks and mark in after.marks.values()}
    return Catalogue(objects, after.open | {"validator"}, frozenset(moved | renamed), after.marks)


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


def _around_the_difference(one: str, other: str) -> tuple[str, str]:
    """Both texts, cut to what can be read: long ones begin shortly before the place where they part."""
    longest = max(len(one), len(other))
    if longest <= _SHOWN:
        return one, other
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    start = max(0, min(same - 40, longest - _SHOWN))
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start and text else "") + text[start:end] + ("..." if len(text) > end else "")


__all__ = ["Catalogue", "Difference", "Differs", "Key", "compare", "imitation"]
