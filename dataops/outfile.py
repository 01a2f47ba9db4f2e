"""Files that were asked for on the command line: written whole or not at all, and never in the place of a device."""

from __future__ import annotations

import fcntl
import glob
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from dataops.errors import CannotWrite

_PART = ".part"


def write(path: Path, text: str, *, hint: str, what: str = "") -> None:
    """Write the text into a new file beside the target, and move that into its place, so that nobody reads half of it.

    A link is followed. A device, such as /dev/stdout or /dev/null, and a pipe that somebody reads are written to as
    they are; anything else that is no regular file is refused. Raises CannotWrite, with the `hint`, and with `what` the
    text is, where the name of the file does not say it.
    """
    try:
        if _is_stream(path):
            _write_into(path, text)
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise unwritable(path, error, hint, what) from error


def write_new(path: Path, text: str, *, hint: str) -> None:
    """Like `write`, for a file that does not exist yet, not even as a link that leads nowhere.

    Raises CannotWrite where it exists, also where somebody else has made it just now.
    """
    try:
        descriptor, beside = _new_beside(path)
        try:
            _fill(descriptor, text)
            os.chmod(beside, 0o644)
            _move_new(beside, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(beside)
    except OSError as error:
        raise unwritable(path, error, hint) from error


def write_private(path: Path, text: str, *, hint: str) -> None:
    """Like `write`, for a regular file that only its owner may read; a link, a device or a pipe is refused."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OSError(None, "not a regular file")
        _replace(path, text, 0o600)
    except OSError as error:
        raise unwritable(path, error, hint) from error


def remove_left_over(path: Path) -> None:
    """Remove what a process that was killed has written of this file, and nobody is writing now."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*{_PART}"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def refuse_unwritable(path: Path, *, hint: str, what: str = "") -> None:
    """Before anything is done: raise CannotWrite where `write` would."""
    try:
        if not _is_stream(path):
            descriptor, beside = _new_beside(path.resolve())
            os.close(descriptor)
            os.unlink(beside)
    except OSError as error:
        raise unwritable(path, error, hint, what) from error


def unwritable(path: Path, error: OSError, hint: str, what: str = "") -> CannotWrite:
    """The error for a file that cannot be written."""
    told = f"{what} cannot be written: " if what else ""
    return CannotWrite(f"{path}: {told}{error.strerror or error}", hint=hint)


def _is_stream(path: Path) -> bool:
    """Whether it is a character device or a pipe. Raises OSError for what is neither of them nor a regular file.

    The path must not be resolved before: /dev/stdout leads to a pipe that has no name.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return True
    if not stat.S_ISREG(mode):
        raise OSError(None, "not a regular file")
    return False


def _write_into(path: Path, text: str) -> None:
    # Not blocking: opening a pipe that nobody reads is an error then, and does not wait for ever.
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def _replace(target: Path, text: str, mode: int | None = None) -> None:
    """`mode` are the rights of the file; None keeps those that it has, and lets everyone read a new one."""
    if mode is None:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    descriptor, beside = _new_beside(target)
    try:
        _fill(descriptor, text)
        os.chmod(beside, mode)
        os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _move_new(beside: str, path: Path) -> None:
    """Unlike a rename, a link never takes the place of another file."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system that has no links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.replace(beside, path)


def _fill(descriptor: int, text: str) -> None:
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _new_beside(target: Path) -> tuple[int, str]:
    """A new file in the same folder, with a name that nobody has: moving it into place never crosses a file system.

    It is locked for as long as somebody writes it: see `remove_left_over`.
    """
    made = tempfile.mkstemp(prefix=f".{target.name}.", suffix=_PART, dir=target.parent)
    fcntl.flock(made[0], fcntl.LOCK_EX)
    return made


__all__ = ["refuse_unwritable", "remove_left_over", "unwritable", "write", "write_new", "write_private"]
