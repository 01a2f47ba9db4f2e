"""Where answers go: terminals, pipes, closed streams, narrow encodings."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.projects import Project
from tests.servers import COMMAND, clean_environment
from tests.terminal import Terminal

ESCAPE = "\x1b["
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10\d)(?:;\d+)*m")


def _shell(project: Project, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `dataops` is the command; pipefail, so that its own code counts."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=project.folder,
        env={**clean_environment(), **project.env, "PATH": f"{COMMAND.parent}{os.pathsep}{os.defpath}", **env},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def _applied(project: Project) -> dict[str, Any]:
    return {row["service"]: row["applied"] for row in project("status", "--json").json["services"]}


def test_a_pipe_gets_plain_lines_and_a_terminal_gets_colours(two: Project) -> None:
    for command in (["plan"], ["apply", "--yes"], ["history"]):
        with Terminal(two, *command) as terminal:
            assert terminal.ended() == 0
        assert ESCAPE in terminal.raw
        assert ("2 services" if command == ["history"] else "shop") in terminal.text
    for command in (["rollback", "--yes", "--steps", "4"], ["plan"], ["status"]):
        answer = two(*command)
        assert ESCAPE not in answer.stdout + answer.stderr
        assert answer.code == 0


@pytest.mark.parametrize("command", [["status"], ["apply", "--yes"], ["plan", "--service", "nothing"]])
def test_no_color_is_honoured(two: Project, command: list[str]) -> None:
    with Terminal(two, *command) as terminal:
        terminal.ended()
    assert COLOUR.search(terminal.raw)
    if command[0] == "apply":
        assert two("rollback", "--yes", "--steps", "4").code == 0
    with Terminal(two, *command, env={"NO_COLOR": "1"}) as terminal:
        terminal.ended()
    assert COLOUR.search(terminal.raw) is None


def test_a_question_on_a_terminal_is_answered_by_typing(two: Project) -> None:
    for answer, code in (("n\n", 75), ("\n", 75), ("\x04", 75), ("y\n", 0)):
        assert _applied(two) == {"shop": 0, "bank": 0}
        with Terminal(two, "apply") as terminal:
            terminal.read_until("Apply 4 migrations?")
            terminal.press(answer)
            assert terminal.ended() == code
    assert _applied(two) == {"shop": 2, "bank": 2}


def test_a_terminal_shows_how_far_a_long_step_is(two: Project) -> None:
    up = "for batch in track([[0] * 250] * 4, total=1000):\n    if sum(batch) == 0:\n        time.sleep(0.4)\nhere('x')"
    two.file("shop", "003", up, head="from dataops.progress import track")
    two.go("x")
    with Terminal(two, "apply", "--yes", "--service", "shop") as terminal:
        terminal.read_until("500 of 1,000 documents")
        assert terminal.ended() == 0


@pytest.mark.parametrize("command", ["plan -v", "status", "plan --json"])
def test_a_reader_that_has_seen_enough_is_no_error(two: Project, command: str) -> None:
    for reader in ("head -1", "true"):
        done = _shell(two, f"dataops {command} | {reader}")
        assert (reader, done.returncode, done.stderr) == (reader, 0, "")


@pytest.mark.parametrize("lost", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full", "2>&1 | true", "| true"])
def test_no_lost_stream_stops_a_migration(two: Project, lost: str) -> None:
    """Closed, full or without a reader. Only an answer that could not be given is told, by the exit code."""
    done = _shell(two, f"dataops apply --yes {lost}")
    assert done.returncode == (10 if ">&-" in lost.split("2>&-")[0] else 0)
    assert "Traceback" not in done.stderr
    assert _applied(two) == {"shop": 2, "bank": 2}


@pytest.mark.parametrize("lost", [">&-", "2>&-", "2>&1 | true", "| true", ">/dev/full", "2>/dev/full"])
def test_no_lost_stream_hides_a_failure(two: Project, lost: str) -> None:
    two.file("shop", "003", "op.execute('SELECT 1 / 0')")
    for options in ("", "--json --log-format json"):
        assert _shell(two, f"dataops apply --yes --service shop {options} {lost}").returncode == 1
        assert _shell(two, f"dataops plan --bogus {options} {lost}").returncode == 64


@pytest.mark.parametrize("command", ["status", "plan", "history --json"])
def test_a_full_disk_or_a_closed_stdout_is_10_with_a_hint(two: Project, command: str) -> None:
    for lost, reason in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
        done = _shell(two, f"dataops {command} {lost}")
        assert done.returncode == 10
        assert f"error: output: {reason}" in done.stderr
        assert "hint: " in done.stderr


def test_without_a_stdin_nobody_consents(two: Project) -> None:
    done = _shell(two, "dataops apply <&-")
    assert done.returncode == 64
    assert "--yes" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_narrow_encoding_is_no_error(two: Project, encoding: str) -> None:
    two.file("shop", "003", "op.execute('SELECT 1')")
    path = two.path("shop", "003")
    path.write_text(path.read_text().replace("The one called 003.", "Prüfung ✓"))
    for command in ("plan -v", "plan --json", "apply --yes", "history"):
        done = _shell(two, f"dataops {command}", PYTHONIOENCODING=encoding)
        assert done.returncode == 0
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["status", "plan", "lint --no-squawk"])
def test_a_working_directory_that_is_gone_is_told(two: Project, command: str) -> None:
    (two.folder / "gone").mkdir()
    done = _shell(two, f'cd gone; rmdir "$PWD"; dataops {command} --config {two.folder}/dataops.toml')
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
    assert "error: the working directory does not exist any more" in done.stderr


def test_a_bug_of_ours_is_told_as_one_in_every_format(two: Project, tmp_path: Path) -> None:
    """Planted by a sitecustomize that breaks planner.plan_apply; the secret is in its message."""
    secret = two.env["SHOP_URL"].partition("://")[2].partition("@")[0].partition(":")[2]
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'dataops.run.reading':\n"
        "            return None\n"
        "        sys.meta_path.remove(self)\n"
        "        from dataops.planning import planner\n"
        "        def broken(*args, **more):\n"
        f"            raise AttributeError('of ' + {secret!r})\n"
        "        planner.plan_apply = broken\n"
        "        return None\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    text = two("plan", env=env)
    assert text.code == 1
    assert "Traceback" in text.stderr
    assert "this is a bug in dataops: AttributeError: of ***" in text.stderr
    answer = two("plan", "--json", "--log-format", "json", env=env)
    assert (answer.code, answer.json["exit_code"], answer.json["error"]["kind"]) == (1, 1, "Bug")
    assert all(json.loads(line) for line in answer.stderr.splitlines())
    for said in (text, answer):
        assert secret not in said.stdout + said.stderr


REFUSED = (
    ["plan", "--bogus"], ["apply", "--wait", "soon"], ["nothing"], ["stash"], ["resolve"], ["new", "shop"],
    ["resolve", "shop/001", "--reason", "r"], ["new", "shop", "!!"], ["history", "--run", "nothing"],
    ["stash", "prune"], ["dev", "url", "--folder", "/nothing"], ["status", "--config", "/nothing"],
)  # fmt: skip


def test_every_refusal_with_json_is_one_object(two: Project) -> None:
    for arguments in REFUSED:
        answer = two(*arguments, "--json")
        assert answer.code in (4, 10, 64)
        assert answer.json["exit_code"] == answer.code
        assert answer.json["error"]["message"]
        assert "Traceback" not in answer.stderr


def test_two_forms_of_one_answer_exclude_each_other(two: Project) -> None:
    for command in (["plan"], ["status"]):
        assert two(*command, "--json", "--format", "junit").code == 64
        assert two(*command, "--json", "--format", "json").code == 0


def test_a_page_of_the_documentation_is_drawn_on_a_terminal_of_80_columns(project: Project) -> None:
    """The picture stays whole, and tables have no marks of Markdown."""
    with Terminal(project, "docs", "picture", env={"COLUMNS": "80"}) as terminal:
        assert terminal.ended() == 0
    lines = [line.rstrip() for line in terminal.text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(line.endswith("│ PostgreSQL: shop              │") for line in lines)
    assert not [line for line in lines if "|---" in line or "**" in line or "](" in line]


def test_a_report_is_one_page_about_everything(two: Project) -> None:
    assert two("apply", "--yes", "--service", "shop").code == 0
    [run] = two("history", "--json").json["runs"]
    answer = two("report", run["run"].rpartition("-")[2], "--out", "page.html", "--json")
    assert (answer.code, answer.json["file"]) == (0, "page.html")
    page = (two.folder / "page.html").read_text()
    for words in (f"Run {run['run']}", "Plan: 2 to apply in 1 service", "2 applied in shop", "up to date"):
        assert words in page
    down = two("report", env={"SHOP_URL": "postgres://u:secret-of-nobody@127.0.0.1:1/x"})
    assert down.code == 0
    page = (two.folder / "dataops-report.html").read_text()
    assert "Plan: refused" in page
    assert "Connection refused" in page
    assert "secret-of-nobody" not in page
    assert two("report", "nothing").code == 64
    assert two("report", "--out", "/nowhere/page.html").code == 10
    assert "<!DOCTYPE html>" in two("plan", "--format", "html").stdout
