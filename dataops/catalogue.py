"""What a database is made of, as values that can be compared, and how two of them differ. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
        expected, found = _around_the_difference(self.expected, self.found)
        if self.how is Differs.MISSING:
            return f"{self.kind} {self.name}: missing here" + (f", expected {expected}" if expected else "")
        if self.how is Differs.UNEXPECTED:
            return f"{self.kind} {self.name}: here, but not expected" + (f" ({found})" if found else "")
        return f"{self.kind} {self.name}: here {found or 'plain'}, expected {expected or 'plain'}"

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

    Of the kinds in `open`, others may make more than our history does: an application its own indexes, a person an
    extension. `gone` is what our history takes away, so that even there it is unexpected. `loose` came along when its
    collection got another name: whose it was may have removed it since, and whether it is there says nothing.

    `marks` tell a collection by an id that it keeps under another name; `touched` are objects of which a migration
    noted that it changed them. Both are for `left_by`.
    """

    objects: Mapping[Key, str]
    open: frozenset[str] = frozenset()
    gone: frozenset[Key] = frozenset()
    loose: frozenset[Key] = frozenset()
    marks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    touched: frozenset[Key] = field(default=frozenset(), compare=False, repr=False)


def compare(
    expected: Catalogue, found: Catalogue, *, exact: bool = False, ignoring: Collection[str] = ()
) -> tuple[Difference, ...]:
    """How `found` differs, in the order of names. The parts of a table that is not there are not told one by one.

    `exact`: nothing is open or loose; two looks at one database, say. `ignoring` are names of objects that do not
    count, and neither do their parts.
    """
    differences = []
    for key in sorted(expected.objects.keys() | found.objects.keys(), key=lambda key: (key[1], key[0])):
        kind, name = key
        if name in ignoring or any(owner in ignoring for owner in _owners(name)):
            continue
        if not exact and key in expected.loose:
            continue
        if key not in found.objects:
            if not _without_its_whole(key, expected, found):
                differences.append(Difference(Differs.MISSING, kind, name, expected=expected.objects[key]))
        elif key not in expected.objects:
            fine = not exact and kind in expected.open and key not in expected.gone
            if not fine and not _without_its_whole(key, found, expected):
                differences.append(Difference(Differs.UNEXPECTED, kind, name, found=found.objects[key]))
        elif expected.objects[key] != found.objects[key]:
            differences.append(Difference(Differs.DIFFERENT, kind, name, expected.objects[key], found.objects[key]))
    return tuple(differences)


def left_by(looks: Sequence[Catalogue]) -> Catalogue:
    """What a history leaves behind in an empty database, from a look after each of its steps.

    The last look, which then also knows what is `gone` and what is `loose`.
    """
    gone: set[Key] = set()
    loose: set[Key] = set()
    before = Catalogue({})
    for now in looks:
        names = {mark: name for name, mark in now.marks.items()}
        became = {name: names.get(mark, "") for name, mark in before.marks.items()}
        was_there = _moved(before.objects, became)
        gone = {*_moved(gone, became).values(), *was_there.values(), *(now.touched - before.touched)}
        gone = {key for key in gone if key[0] in _PART} - now.objects.keys()
        loose = {*_moved(loose, became).values(), *(new for old, new in was_there.items() if new != old)}
        before = now
    return replace(before, gone=frozenset(gone), loose=frozenset(loose & before.objects.keys()))


def _moved(keys: Iterable[Key], became: Mapping[str, str]) -> dict[Key, Key]:
    """Parts of collections by what they are called now. `became` maps a collection to its new name, "" if it is gone:
    its parts went with it, and nobody took them away."""
    moved = {}
    for kind, name in keys:
        owner = next((owner for owner in reversed(_owners(name)) if owner in became), None)
        if kind in _PART and owner is None:
            moved[kind, name] = (kind, name)
        elif kind in _PART and owner is not None and became[owner]:
            moved[kind, name] = (kind, became[owner] + name[len(owner) :])
    return moved


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
    same = 0
    if one and other:
        same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, min(same - 40, longest - _SHOWN))
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start and text else "") + text[start:end] + ("..." if len(text) > end else "")


__all__ = ["Catalogue", "Difference", "Differs", "Key", "compare", "left_by"]
