"""Writes files of ours: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dataops.errors import CannotWrite, HistoryError


def save(files: Mapping[Path, str], *, replace: Path | None = None) -> None:
    """Write new files, in this order, and put `replace`, if it is among them, in the place of the one that is there.

    Raises HistoryError for another file that exists, and CannotWrite. Then everything is as it was before.
    """
    for path in files:
        if path != replace and path.exists():
            raise HistoryError(f"{path} exists already", hint="move it away; nothing was written")
    made: list[Path] = []
    moved: list[Path] = []
    try:
        for path, text in files.items():
            for folder in reversed([one for one in path.parents if not one.exists()]):
                folder.mkdir()
                made.append(folder)
            target = path.with_name(f".{path.name}.part") if path == replace else path
            with open(target, "x", encoding="utf-8", newline="") as file:
                made.append(target)
                file.write(text)
            if path == replace:
                moved.append(target)
        for target in moved:
            target.replace(target.with_name(target.name.removeprefix(".").removesuffix(".part")))
    except BaseException as error:
        for one in reversed(made):
            with suppress(OSError):
                one.rmdir() if one.is_dir() else one.unlink()
        if isinstance(error, OSError):
            raise CannotWrite(
                f"{error.filename}: {error.strerror}", hint="make the folder writable; nothing was written"
            ) from error
        raise


__all__ = ["save"]
