"""What `dataops inspect` finds in a database: names, types, sizes and how often a field has a value. Never a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FIELD, INDEX = "field", "index"


@dataclass(frozen=True)
class Place:
    """A table, a collection or a view. `rows` is an estimate of the server, or None where it has none.

    `size` and `index_size` are in bytes.
    """

    name: str
    kind: str
    rows: int | None = None
    size: int = 0
    indexes: int = 0
    index_size: int = 0


@dataclass(frozen=True)
class Part:
    """One thing that a place is made of: a field, an index, a constraint, ...

    `share` is how many of the sampled rows have a value in this field, from 0 to 1; None where nothing was sampled.
    `size` is in bytes, and None for what has none of its own. `keys` are the fields of an index.
    """

    kind: str
    name: str
    definition: str
    share: float | None = None
    size: int | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """A place and its parts. `sampled` is how many rows or documents were looked at."""

    place: Place
    parts: tuple[Part, ...]
    sampled: int
    notes: tuple[str, ...] = ()


def named_in(part: Part, place: Place, texts: Mapping[str, str]) -> tuple[str, ...]:
    """The ids of the migrations whose text names this part, in their order; `texts` has the text of each.

    Different places have fields of the same name, so a field counts only where its place is named too. For an index
    that no text names, those count that name its place and all of its fields: the server has made its name of these.
    """
    place_name = _last(place.name)
    if part.kind == FIELD:
        return _naming((_last(part.name), place_name), texts)
    named = _naming((_last(part.name),), texts)
    if named or not part.keys:
        return named
    made = {id_: text for id_, text in texts.items() if re.search("index|unique", text, re.IGNORECASE)}
    return _naming((*map(_last, part.keys), place_name), made)


def _naming(words: Iterable[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    wanted = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE) for word in words]
    return tuple(id_ for id_, text in texts.items() if all(one.search(text) for one in wanted))


def _last(name: str) -> str:
    return name.rpartition(".")[2].removesuffix("[]")


def find(wanted: str, places: Iterable[Place]) -> Place | None:
    """The place of that name; without its schema, too, where only one schema has such a table."""
    found = list(places)
    exact = [place for place in found if place.name == wanted]
    loose = [place for place in found if place.name.rpartition(".")[2] == wanted]
    return exact[0] if exact else loose[0] if len(loose) == 1 else None


__all__ = ["FIELD", "INDEX", "Inspection", "Part", "Place", "find", "named_in"]
