"""No change without a new backup, where that is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataops.cli.backup import Backup
from dataops.errors import Blocked, ExitCode

NOW = 1_800_000_000.0


def marker(folder: Path, *, age: float = 60, content: str = "backup-1") -> Path:
    path = folder / "done"
    path.write_text(content)
    os.utime(path, (NOW - age, NOW - age))
    return path


def refuse(path: Path, max_age: float = 3600) -> None:
    Backup(path, max_age).refuse_unless_new(now=lambda: NOW)


@pytest.mark.parametrize("age", [0, 60, 3600, -30])
def test_a_new_backup_is_enough(tmp_path: Path, age: float) -> None:
    """Half a minute in the future is the difference between two clocks."""
    refuse(marker(tmp_path, age=age))


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (3601, "it is 3601 s old, and 3600 s is the most (--backup-max-age)"),
        (3.5 * 3600, "it is 3.5 h old, and 60 min is the most (--backup-max-age)"),
        (3 * 86400, "it is 3.0 days old, and 60 min is the most (--backup-max-age)"),
        (-7300, "it is from the future, by 2.0 h: is a clock wrong?"),
        (-61, "it is from the future, by 61 s: is a clock wrong?"),
    ],
)
def test_an_old_one_and_one_from_the_future_are_not(tmp_path: Path, age: float, told: str) -> None:
    path = marker(tmp_path, age=age)
    with pytest.raises(Blocked) as caught:
        refuse(path)
    assert caught.value.message == f"no backup, nothing was done: {path}: {told}"
    assert caught.value.exit_code is ExitCode.BLOCKED
    assert caught.value.hint


def test_the_age_is_the_callers_to_choose(tmp_path: Path) -> None:
    refuse(marker(tmp_path, age=7200), max_age=7200)
    with pytest.raises(Blocked, match="119 s old, and 60 s is the most"):
        refuse(marker(tmp_path, age=119), max_age=60)


def test_what_is_not_a_file_with_something_in_it_is_no_backup(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, told in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "it is not a file"),
        (tmp_path / "fifo", "it is not a file"),
        (marker(tmp_path, content=""), "it is empty"),
    ):
        with pytest.raises(Blocked, match=told):
            refuse(path)


def test_a_link_to_one_is_enough(tmp_path: Path) -> None:
    """As Kubernetes mounts a volume."""
    (tmp_path / "link").symlink_to(marker(tmp_path))
    refuse(tmp_path / "link")
