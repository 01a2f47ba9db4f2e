"""What a database is made of, as values that can be compared, and how two databases differ. Pure.

A catalogue has tables, columns, indexes and so on, each with its definition, but no data. `contents` is for the data.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile

from dataops.redaction import redact

Key = tuple[str, str]
"""A kind of object and its name. The name of a column begins with that of its table: `messages.id`."""

_WHOLE = ("table", "collection", "view")
_PART = ("column", "constraint", "index", "trigger", "rule", "policy", "validator")
_FURTHER = {
    "contents of view": ("view",),
    "sequence of column": ("column",),
    "settings of column": ("column",),
    "settings of database": (),
    "settings of foreign data wrapper": ("foreign data wrapper",),
    "settings of foreign server": ("foreign server",),
    "settings of function": ("function",),
    "settings of index": ("index", "constraint"),
    "settings of role": (),
    "settings of statistics": ("statistics",),
    "settings of table": ("table", "view"),
    "version of extension": ("extension",),
}
"""Kinds that say more about an object of the same name, and of which kind that is, if the catalogue has it."""
_OPEN = ("settings of ", "version of ")
OF_APPLICATIONS = frozenset({"collection", "index", "validator", "view"})
"""What applications make by themselves, where the kind of database lets them."""
_OF_THE_PLACE = ("version of ", "settings of foreign ")
"""What another server, or a file, says nothing about: which extensions it has, and which servers it reaches."""
_BODIES = ("body of ", "comment on")
_SHOWN = 160  # characters of a definition, around the place where two differ


class Differs(enum.Enum):
    """In which way an object differs from what was expected."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """One object that is not as expected. `expected` and `found` are its definitions, empty where it has none."""

    how: Differs
    kind: str
    name: str
    expected: str = ""
    found: str = ""

    @property
    def open(self) -> bool:
        """Whether it is only told, and refuses nothing: it changes how fast a database is, and not what it does."""
        return self.kind.startswith(_OPEN)

    def __str__(self) -> str:
        name = redact(self.name)
        expected, found = _around_the_difference(redact(self.expected), redact(self.found))
        if self.how is Differs.MISSING:
            return f"{self.kind} {name}: missing here" + (f", expected {expected}" if expected else "")
        if self.how is Differs.UNEXPECTED:
            return f"{self.kind} {name}: here, but not expected" + (f" ({found})" if found else "")
        return f"{self.kind} {name}: here {found or 'plain'}, expected {expected or 'plain'}"


@dataclass(frozen=True)
class Catalogue:
    """Every object of a database, with its definition in one line of text. It has no data, owners or physical order.

    `open` are the kinds of which a database may have more than our history makes: a person may add an extension.
    `details` are the kinds that may well differ between databases of one history, such as comments and grants.
    `marks` are the ids of collections by name; a collection keeps its id when it is renamed. `server` is the kind of
    server and its major version, "" where the catalogue does not come from a server. The versions of extensions are
    compared only where both catalogues are from the same, because the server brings them along. `gone` is what the
    history has dropped, and the migration that did it. An index of these is not expected, even if that kind is in
    `open`. A collection may be: applications make them again by writing to them. `lent` is what the history found and
    left as it was: it has to be there, and may be of any kind.
    """

    objects: Mapping[Key, str]
    open: frozenset[str] = frozenset()
    details: frozenset[str] = frozenset()
    marks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    server: str = field(default="", compare=False)
    gone: Mapping[Key, str] = field(default_factory=dict, compare=False, repr=False)
    lent: frozenset[Key] = field(default=frozenset(), compare=False, repr=False)

    def with_bodies(self) -> Catalogue:
        """The same, where comments and bodies of functions are no details: they are compared."""
        return replace(self, details=frozenset(one for one in self.details if not one.startswith(_BODIES)))

    def other_server(self, found: Catalogue) -> str:
        """The server that this was read from, where that is of another major version than that of `found`, else "".

        Then a difference between the two may be one between the servers.
        """
        return self.server if self.server != found.server else ""


def compare(
    expected: Catalogue,
    found: Catalogue,
    *,
    ignoring: Collection[str] = (),
    details: bool = False,
) -> tuple[Difference, ...]:
    """How `found` differs from what was expected, in the order of names.

    Where a whole table is missing or unexpected, its parts are not listed. `ignoring` are the names of objects that do
    not count, and neither do their parts, nor a schema that has nothing else. Details count only where `details` says
    so.
    """
    differences = []
    left_out = set() if details else set(expected.details)
    if not expected.server or expected.server != found.server:
        left_out.update(kind for kind in _FURTHER if kind.startswith(_OF_THE_PLACE))
    for key in sorted(expected.objects.keys() | found.objects.keys(), key=lambda key: (key[1], key[0])):
        kind, name = key
        if kind in left_out or name in ignoring or any(owner in ignoring for owner in _owners(name)):
            continue
        if kind.startswith(_OPEN):
            texts = expected.objects.get(key, ""), found.objects.get(key, "")
            if texts[0] != texts[1] and _has_its_object(key, expected) and _has_its_object(key, found):
                differences.append(Difference(Differs.DIFFERENT, kind, name, *texts))
        elif key not in found.objects:
            if not _without_its_whole(key, expected, found):
                differences.append(Difference(Differs.MISSING, kind, name, expected=expected.objects[key]))
        elif key not in expected.objects:
            if kind == "schema" and _is_left_to_ignored(name, found, ignoring):
                continue
            counts = kind not in expected.open or (kind == "index" and key in expected.gone)
            if counts and not _without_its_whole(key, found, expected):
                differences.append(Difference(Differs.UNEXPECTED, kind, name, found=found.objects[key]))
        elif expected.objects[key] != found.objects[key] and key not in expected.lent:
            differences.append(Difference(Differs.DIFFERENT, kind, name, expected.objects[key], found.objects[key]))
    return tuple(differences)


def as_lent(before: Catalogue, after: Catalogue, built: Catalogue, dropped: Collection[Key] = ()) -> Catalogue:
    """What a database should be like, by one in which the history was run and that was lent copies.

    `before` and `after` are the database without and with the copies, and `built` is its end. A copy is not in all as
    its original, so one that the history did not change is expected in any shape. One that the history renamed
    takes the indexes of today along under a name that they never had, and those are not expected. Neither are those
    that the history had `dropped` before. One that it drops later is the application's own, which makes it again.
    """
    copies = {key: text for key, text in after.objects.items() if before.objects.get(key) != text}
    stale = {key for key in dropped if key[0] == "index" and key in copies}
    names = {mark: name for name, mark in after.marks.items()}
    objects, lent = dict[Key, str](), set(built.lent)
    for key, text in built.objects.items():
        kind, name = key
        if copies.get(key) == text:
            if key not in stale:
                objects[key] = text
                lent.add(key)
            continue
        whole = next((one for one in (name, *_owners(name)) if one in built.marks), "")
        once = names.get(built.marks.get(whole, ""), whole)
        if once == whole or copies.get((kind, once + name.removeprefix(whole))) != text:
            objects[key] = text
        elif kind != "index":
            objects[key] = text
            lent.add(key)
    gone = {key: by for key, by in built.gone.items() if key not in copies or key in stale}
    return replace(built, objects=objects, gone=gone, lent=frozenset(lent))


def _is_left_to_ignored(schema: str, found: Catalogue, ignoring: Collection[str]) -> bool:
    """Whether a schema has something that is ignored, and nothing else."""
    inside = [name for _, name in found.objects if name.startswith(f"{schema}.")]
    ignored = [name for name in ignoring if name.startswith(f"{schema}.")]
    return bool(ignored) and all(name in ignored or any(of in ignored for of in _owners(name)) for name in inside)


def _without_its_whole(key: Key, here: Catalogue, there: Catalogue) -> bool:
    """Whether it is part of something, such as a table, that the other side does not have at all."""
    kind, name = key
    if kind in _FURTHER and any(
        (of, name) in here.objects and (of, name) not in there.objects for of in _FURTHER[kind]
    ):
        return True
    if kind not in _PART and kind not in _FURTHER:
        return False
    wholes = [(of, owner) for of in _WHOLE for owner in _owners(name)]
    return any(whole in here.objects and whole not in there.objects for whole in wholes)


def _has_its_object(key: Key, catalogue: Catalogue) -> bool:
    kind, name = key
    return not _FURTHER[kind] or any((of, name) in catalogue.objects for of in _FURTHER[kind])


def _owners(name: str) -> list[str]:
    """The names of what it may belong to: for `a.b.c` that is `a` or `a.b`, because names may hold dots."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _around_the_difference(one: str, other: str) -> tuple[str, str]:
    """Both texts, cut to a length that people read. Long ones begin shortly before the first difference."""
    longest = max(len(one), len(other))
    if longest <= _SHOWN:
        return one, other
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    start = max(0, min(same - 40, longest - _SHOWN))
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start and text else "") + text[start:end] + ("..." if len(text) > end else "")


__all__ = ["OF_APPLICATIONS", "Catalogue", "Difference", "Differs", "Key", "as_lent", "compare"]
