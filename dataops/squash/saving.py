"""Puts a squashed file in the place of the old ones: all of it, or nothing. What git does not have is not removed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dataops import outfile
from dataops.errors import Blocked, CannotWrite
from dataops.model import Migration, Service

_HINT = "nothing was changed; may this user write here?"
_SHOWN = 3


def refuse_uncommitted(service: Service, files: Sequence[Path]) -> None:
    """Raise Blocked where git does not have one of these files as it is.

    Removing it would lose it; and the checksums of what is squashed would be of files that nobody else has.
    """
    lost = _uncommitted(files)
    if lost:
        names = ", ".join(path.name for path in lost[:_SHOWN])
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise Blocked(
            f"git does not have {names}{more} as the file is here, and squash would remove it or note its checksum",
            service=service.name,
            hint="commit the files first; or let squash remove nothing: --out FILE writes only the new file",
        )


def _uncommitted(files: Sequence[Path]) -> list[Path]:
    git = shutil.which("git")
    found: list[Path] = []
    for folder in dict.fromkeys(path.parent for path in files):
        names = [path.name for path in files if path.parent == folder]
        if git is None:
            found += [folder / name for name in names]
            continue
        tracked = _ask(git, folder, "ls-files", "-z", "--", *names)
        changed = _ask(git, folder, "diff", "--name-only", "--relative", "-z", "HEAD", "--", *names)
        found += [folder / name for name in names if name not in (tracked or ()) or changed is None or name in changed]
    return found


def _ask(git: str, folder: Path, *arguments: str) -> set[str] | None:
    """The file names that git answers, None if it does not know: no repository, or nothing committed yet."""
    done = subprocess.run([git, "-C", str(folder), *arguments], capture_output=True, check=False)
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name} if done.returncode == 0 else None


def save(path: Path, text: str, replaced: Sequence[Migration]) -> None:
    """Write the new file in the place of the newest old one, and remove the others.

    Raises CannotWrite, and then everything is as it was before.
    A process that is killed in between leaves old files beside the new one, which every command then names.
    """
    changed: list[Migration] = []
    try:
        outfile.write(path, text, hint=_HINT)
        changed += [one for one in replaced if one.path == path]
        for migration in replaced:
            if migration.path != path:
                migration.path.unlink()
                changed.append(migration)
    except BaseException as error:
        for migration in changed:
            migration.path.write_bytes(migration.text)
        if isinstance(error, OSError):
            raise CannotWrite(f"{error.filename}: {error.strerror}", hint=_HINT) from error
        raise


__all__ = ["refuse_uncommitted", "save"]
