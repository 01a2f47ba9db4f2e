"""Writes files of ours: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dataops import outfile
from dataops.errors import CannotWrite, HistoryError

_NOTHING = "make the folder writable; nothing was written"


def save(files: Mapping[Path, str], *, replaced: Path | None = None) -> None:
    """Write new files, in this order, and at the end `replaced`, which may be there already.

    Raises HistoryError for another file that exists, and CannotWrite. Then everything is as it was before.
    """
    for path in files:
        if path != replaced and path.exists():
            raise HistoryError(f"{path} exists already", hint="move it away; nothing was written")
    made: list[Path] = []
    try:
        for path, text in files.items():
            if path == replaced:
                continue
            for folder in reversed([one for one in path.parents if not one.exists()]):
                folder.mkdir()
                made.append(folder)
            with open(path, "x", encoding="utf-8", newline="") as file:
                made.append(path)
                file.write(text)
        if replaced is not None:
            outfile.write(replaced, files[replaced], hint=_NOTHING)
    except BaseException as error:
        for one in reversed(made):
            with suppress(OSError):
                one.rmdir() if one.is_dir() else one.unlink()
        if isinstance(error, OSError):
            raise CannotWrite(f"{error.filename}: {error.strerror}", hint=_NOTHING) from error
        raise


__all__ = ["save"]
