"""Writes several new files: all of them or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dataops import outfile
from dataops.errors import CannotWrite

_HINT = "nothing was written; may this user write here?"


def refuse_existing(path: Path) -> None:
    """Raise CannotWrite where the file is there already, or could not be written."""
    if os.path.lexists(path):
        raise CannotWrite(f"{path} exists already; nothing was written", hint="move it away, or add to it by hand")
    outfile.refuse_unwritable(path, hint=_HINT)


def write_all(files: Mapping[Path, str]) -> None:
    """Write the files in this order, with their folders. What was made is taken away again when one fails.

    Raises CannotWrite, also for a file that exists.
    """
    made: list[Path] = []
    try:
        for path, text in files.items():
            for folder in reversed([path.parent, *path.parent.parents]):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            outfile.write_new(path, text, hint=_HINT)
            made.append(path)
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):  # somebody has put a file of his own into the new folder
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise outfile.unwritable(Path(error.filename or ""), error, _HINT) from error
        raise


__all__ = ["refuse_existing", "write_all"]
