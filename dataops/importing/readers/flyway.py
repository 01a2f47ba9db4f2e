"""Flyway's folders: versioned, undo, baseline and repeatable files. Pure. The rules are those of Flyway 9 to 11."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataops.importing.originals import File, Found, Original, Part
from dataops.importing.parts import part, refuse_twice, words
from dataops.toolrecords import Alias

_NAME = re.compile(r"([VUB])(\d+(?:[._]\d+)*)__(.*)\.(sql|java)|(R)__(.*)\.(sql|java)")
_PLACEHOLDER = re.compile(r"\$\{[^}\r\n]*\}")
_Version = tuple[int, ...]


def flyway(files: Sequence[File], folder: Path) -> Found:
    """`V1__x.sql`, with `U1__x.sql` as its way back; `B1__x.sql`; and `R__x.sql`, which come last."""
    settings = {file.name.removesuffix(".conf"): file.text for file in files if file.name.endswith(".conf")}
    kinds: dict[str, dict[_Version, File]] = {"V": {}, "U": {}, "B": {}}
    repeatable: dict[str, File] = {}
    left_out = []
    for file in files:
        name = _NAME.fullmatch(file.base)
        if name is None:
            if not file.name.endswith(".conf"):
                left_out.append(f"{file.name}: its name is not one that flyway reads")
        elif name[5]:
            refuse_twice(repeatable.get(name[6]), name[6], file)
            repeatable[name[6]] = file
        else:
            version = _version(name[2])
            refuse_twice(kinds[name[1]].get(version), name[2], file)
            kinds[name[1]][version] = file
    base = _baseline(kinds, left_out)
    left_out += [f"{file.name}: nothing of its version goes up" for at, file in kinds["U"].items() if at not in base]
    found = [_original(base[at], settings, kinds["U"].get(at), at) for at in sorted(base)]
    for _, file in sorted(repeatable.items()):
        note = "repeatable: from now on, a change of it is a new migration"
        original = _original(file, settings, None, None)
        found.append(dataclasses.replace(original, notes=(*original.notes, note)))
    return Found(tuple(found), tuple(left_out))


def _baseline(kinds: Mapping[str, dict[_Version, File]], left_out: list[str]) -> dict[_Version, File]:
    """The files that go up, by version: a baseline file only counts where the files that led to it are gone."""
    files = dict(kinds["V"])
    for version, file in sorted(kinds["B"].items()):
        if any(other <= version for other in files):
            left_out.append(f"{file.name}: a short cut for what the files up to its version make")
        else:
            files[version] = file
    return files


def _original(file: File, settings: Mapping[str, str], undo: File | None, version: _Version | None) -> Original:
    name = _NAME.fullmatch(file.base)
    assert name is not None
    up = _part(file, settings) if file.base.endswith(".sql") else None
    return Original(
        name=file.name,
        number="_".join(map(str, version)) if version is not None else "",
        words=words(name[3] or name[6] or ""),
        up=up,
        down=_part(undo, settings) if undo is not None and undo.base.endswith(".sql") else None,
        text="" if up else file.text,
        recorded=(file.name,),
        alias=Alias(name=file.name),
    )


def _part(file: File, settings: Mapping[str, str]) -> Part:
    outside = re.search(r"(?m)^\s*executeInTransaction\s*=\s*false\s*$", settings.get(file.name, ""))
    unfinished = [
        f"flyway puts a value in the place of {found}" for found in dict.fromkeys(_PLACEHOLDER.findall(file.text))
    ]
    return part(file, file.text, transaction=outside is None, unfinished=unfinished)


def _version(text: str) -> _Version:
    """Comparable: 1.0 is 1, and 1.10 comes after 1.9."""
    numbers = [int(one) for one in re.split(r"[._]", text)]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


__all__ = ["flyway"]
