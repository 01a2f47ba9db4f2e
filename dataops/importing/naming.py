"""The id and the file name of each migration that is imported. Pure.

For PostgreSQL, an id begins with the other tool's number, with zeros before it so that ids sort as numbers do. Alembic
takes at most 32 characters in an id, and none of `-`, `@` and `+`. For MongoDB, it is the name of the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataops.importing.originals import Original
from dataops.kinds import FileFormat

_LONGEST_ID = 32
_LONGEST_NAME = 60
_MEAN_SOMETHING = {"base", "head", "heads", "current"}
"""What Alembic and dataops understand as something else than an id."""


@dataclass(frozen=True)
class Named:
    """A migration with its id, and the name of its file without the extension."""

    original: Original
    id: str
    stem: str


def named(originals: Sequence[Original], written: FileFormat, taken: Iterable[str]) -> tuple[Named, ...]:
    """A name for each, in the same order. No id is among those that are `taken`."""
    used = set(taken) | _MEAN_SOMETHING
    if written.id_is_file_name:
        names = [re.sub(r"[^A-Za-z0-9._-]+", "-", one.name.rpartition("/")[2].rpartition(".")[0]) for one in originals]
        ids = [_unique(name.strip("-._") or "migration", used, 200) for name in names]
        return tuple(Named(one, id_, id_) for one, id_ in zip(originals, ids, strict=True))
    width = max((len(re.split(r"\D", one.number)[0]) for one in originals), default=0)
    numbers = [re.sub(r"^\d+", lambda digits: digits[0].zfill(width), one.number) for one in originals]
    times = Counter(numbers)
    found = []
    for one, number in zip(originals, numbers, strict=True):
        slug = _slug(one.words)
        alone = number and times[number] == 1 and len(number) <= _LONGEST_ID
        id_ = _unique(number if alone else "_".join(filter(None, (number, slug))) or "migration", used, _LONGEST_ID)
        # An id that is made of the words has them already.
        stem = f"{id_}_{slug}" if slug and (alone or slug[:8] not in id_) else id_
        found.append(Named(one, id_, stem[: _LONGEST_ID + 1 + _LONGEST_NAME].rstrip("_")))
    return tuple(found)


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_LONGEST_NAME].rstrip("_")


def _unique(wanted: str, used: set[str], longest: int) -> str:
    found, number = wanted[:longest].rstrip("_"), 1
    while found in used:
        number += 1
        end = f"_{number}"
        found = wanted[: longest - len(end)] + end
    used.add(found)
    return found


__all__ = ["Named", "named"]
