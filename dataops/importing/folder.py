"""Reads the files of another tool."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from dataops.errors import BrokenFile, UsageError
from dataops.importing.originals import File
from dataops.redaction import redact
from dataops.text import on_one_line

_NOT_LOOKED_INTO = {"node_modules", "__pycache__"}
_NOTHING = "nothing was written"


def read(folder: Path, endings: tuple[str, ...], encoding: str, *, deep: bool) -> tuple[File, ...]:
    """The files with these endings, sorted by name. `deep` looks into the folders in it too.

    Raises UsageError if there is no such folder or encoding, and BrokenFile for a file that cannot be read.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError) as error:
        raise UsageError(f"there is no encoding {redact(encoding)}", hint="for example --encoding latin-1") from error
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="name the folder in which the other tool's files are")
    paths = ((name, folder / name) for name in _names(folder, deep) if name.endswith(endings))
    return tuple(_file(name, path, encoding) for name, path in sorted(paths))


def _names(folder: Path, deep: bool) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise BrokenFile(f"{error.filename}: {error.strerror}", hint=f"make the folder readable; {_NOTHING}") from error

    for place, inside, names in os.walk(folder, onerror=refuse):
        inside[:] = [one for one in inside if deep and one not in _NOT_LOOKED_INTO and not one.startswith(".")]
        below = Path(place).relative_to(folder)
        yield from ((below / name).as_posix() for name in names if not name.startswith("."))


def _file(name: str, path: Path, encoding: str) -> File:
    if on_one_line(name) != name:
        raise BrokenFile(f"{on_one_line(str(path))}: its name is not readable text", hint=f"rename it; {_NOTHING}")
    try:
        if not path.is_file():  # to read a pipe would never end
            raise BrokenFile(f"{path}: not a regular file", hint=f"take it out of the folder; {_NOTHING}")
        content = path.read_bytes()
    except OSError as error:
        raise BrokenFile(f"{path}: {error.strerror}", hint=f"make the file readable; {_NOTHING}") from error
    try:
        marked = content.startswith(codecs.BOM_UTF8)  # one such file may be among others
        text = content.decode("utf-8-sig" if marked else encoding)
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise BrokenFile(
            f"{path}:{line}: not {encoding} at byte {error.start}",
            hint=f"say what it is written in, for example --encoding latin-1; {_NOTHING}",
        ) from error
    if "\0" in text:
        line = 1 + text.count("\n", 0, text.index("\0"))
        raise BrokenFile(
            f"{path}:{line}: it has a null character, which no SQL has",
            hint=f"is it UTF-16? then: --encoding utf-16; {_NOTHING}",
        )
    return File(name, str(path), content, text)


__all__ = ["read"]
