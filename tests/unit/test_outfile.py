"""Files that were asked for are written whole, and nothing but a regular file is ever replaced."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataops import outfile
from dataops.errors import CannotWrite


@pytest.fixture
def terminal() -> Iterator[tuple[Path, int]]:
    """A character device of our own, and where what is written to it can be read."""
    reading, device = os.openpty()
    yield Path(os.ttyname(device)), reading
    os.close(reading)
    os.close(device)


def test_a_file_is_replaced_by_a_whole_one_and_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text("old")
    path.chmod(0o640)
    before = path.stat().st_ino
    outfile.write(path, "new", hint="")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_may_be_read_by_everyone_and_a_private_one_by_its_owner(tmp_path: Path) -> None:
    outfile.write(tmp_path / "a", "x", hint="")
    outfile.write_private(tmp_path / "b", "x", hint="")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"] == [0o644, 0o600]


def test_a_link_stays_a_link_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    link = tmp_path / "link"
    link.symlink_to("real")
    outfile.write(link, "new", hint="")
    assert link.is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_device_is_written_to_and_stays_a_device(terminal: tuple[Path, int]) -> None:
    path, reading = terminal
    outfile.refuse_unwritable(path, hint="")
    outfile.write(path, "hello", hint="")
    assert os.read(reading, 100) == b"hello"
    assert stat.S_ISCHR(path.stat().st_mode)


def test_a_pipe_is_written_to_where_somebody_reads_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CannotWrite):
        outfile.write(pipe, "lost", hint="h")
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    outfile.write(pipe, "heard", hint="")
    assert os.read(reading, 100) == b"heard"
    os.close(reading)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_standard_output_is_written_to_where_it_is_a_pipe() -> None:
    """/dev/stdout leads to a pipe then, which has no name of its own."""
    writes = (
        "from pathlib import Path; from dataops import outfile; out = Path('/dev/stdout'); "
        "outfile.refuse_unwritable(out, hint=''); outfile.write(out, 'hello', hint='')"
    )
    done = subprocess.run([sys.executable, "-c", writes], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello", "")


def special(folder: Path, kind: str, terminal: Path) -> Path:
    path = folder / kind
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        (folder / "real").write_text("old")
        path.symlink_to("real")
    else:
        path = terminal
    return path


@pytest.mark.parametrize("kind", ["socket", "folder", "pipe", "link", "device"])
def test_a_private_file_takes_the_place_of_nothing_else(tmp_path: Path, kind: str, terminal: tuple[Path, int]) -> None:
    path = special(tmp_path, kind, terminal[0])
    before = path.lstat()
    with pytest.raises(CannotWrite, match="not a regular file") as caught:
        outfile.write_private(path, "secret", hint="name another")
    assert caught.value.hint == "name another"
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert not (tmp_path / "real").exists() or (tmp_path / "real").read_text() == "old"


@pytest.mark.parametrize("kind", ["socket", "folder"])
def test_what_can_hold_no_text_is_refused_before_and_after(tmp_path: Path, kind: str) -> None:
    path = special(tmp_path, kind, tmp_path)
    with pytest.raises(CannotWrite):
        outfile.refuse_unwritable(path, hint="")
    with pytest.raises(CannotWrite):
        outfile.write(path, "x", hint="")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_told_with_what_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="the metrics cannot be written: No such file or directory"):
        outfile.write(tmp_path / "none" / "file", "x", hint="", what="the metrics")
