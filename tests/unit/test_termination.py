"""The last words of a container, in a file that Kubernetes made."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dataops import cli
from dataops.cli import termination
from dataops.errors import ExitCode
from dataops.redaction import redact

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    path.write_text("what an earlier container said, which is longer than all that we say")
    monkeypatch.setenv("DATAOPS_TERMINATION_LOG", str(path))
    termination.forget()
    return path


def test_the_exit_code_and_its_meaning_come_first(log: Path) -> None:
    termination.note("error: api: no", "", "hint: mend it")
    termination.write(ExitCode.FAILED)
    assert log.read_text() == (
        "exit 1: a migration failed; what was done before it stands and is recorded\nerror: api: no\nhint: mend it"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "exit 0: done, or nothing to do"),
        (
            ["plan", "--too"],
            "exit 64: the command line asks for something that does not exist\nerror: there is no option --too",
        ),
        (
            ["plan", "--config", "none.toml"],
            "exit 4: the history or the configuration is not valid\nerror: none.toml: ",
        ),
    ],
)
def test_every_command_leaves_them(log: Path, arguments: list[str], expected: str) -> None:
    cli.run(arguments)
    assert log.read_text().startswith(expected)


def test_what_an_earlier_command_of_this_process_said_is_forgotten(log: Path) -> None:
    cli.run(["plan", "--too"])
    cli.run(["--version"])
    assert log.read_text() == "exit 0: done, or nothing to do"


@pytest.mark.parametrize("letter", ["x", "ä", "😀"])
def test_they_are_cut_at_what_kubernetes_reads(log: Path, letter: str) -> None:
    termination.note(letter * 10_000)
    termination.write(1)
    assert 4080 < len(log.read_bytes()) <= 4096
    assert re.search(letter + r"…\n[\d,]+ bytes more\n$", log.read_text())


def test_our_words_stay_whatever_the_password(log: Path) -> None:
    redact.learn("postgres://someone:error@db/x")
    termination.note("error: no")
    termination.write(1)
    assert log.read_text().endswith("\nerror: no")


def test_where_nobody_made_the_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (tmp_path / "none", tmp_path, tmp_path / "fifo", tmp_path / "link", Path("/proc/version")):
        monkeypatch.setenv("DATAOPS_TERMINATION_LOG", str(path))
        termination.write(1)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "link"]


def test_every_exit_code_means_something() -> None:
    meanings = [code.meaning for code in ExitCode]
    assert len(set(meanings)) == len(ExitCode)
    readme = (ROOT / "docs" / "commands.md").read_text()
    for code in ExitCode:
        row = re.search(rf"^\| {code.value} \| (.*) \|$", readme, re.MULTILINE)
        assert row
        assert set(re.findall(r"[a-z]{5,}", code.meaning)) & set(re.findall(r"[a-z]{5,}", row[1])), code
