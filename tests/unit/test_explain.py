"""`dataops docs` prints docs/, and `dataops explain` what it says of a rule or an exit code, also from a wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dataops import cli, manual
from dataops.errors import ExitCode
from dataops.hazards import HAZARDS
from dataops.lint import RULES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no dataops.toml here."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("code", RULES)
def test_every_rule_is_explained_by_the_text_of_its_page(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", code.lower()]) == ExitCode.OK
    first, blank, *text = capsys.readouterr().out.splitlines()
    assert (first, blank) == (f"{code} ({RULES[code].severity.value}): {RULES[code].title}", "")
    assert text == manual.plain(manual.section("rules.md", code)).splitlines()
    assert any(line.startswith("Fix: ") for line in text)
    assert not any(re.search(r"\]\(|\*\*", line) for line in text)


@pytest.mark.parametrize("name", HAZARDS)
def test_every_hazard_is_explained_by_the_text_of_its_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", name]) == ExitCode.OK
    first, blank, *text = capsys.readouterr().out.splitlines()
    assert (first, blank) == (f"{name} (a hazard): {HAZARDS[name].title}", "")
    assert text == manual.plain(manual.section("hazards.md", name)).splitlines() != []


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_explained(code: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", "exit", str(code.value)]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert shown.startswith(f"exit {code.value}: {code.meaning}\n\nfor example: ")


def test_the_example_of_six_says_what_a_job_should_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", "exit", "6", "--json"]) == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    assert (answer["code"], answer["severity"]) == ("exit 6", None)
    assert "a Job should: fail at once: the message names the command, or a person has to decide" in answer["text"]


def test_a_rule_of_squawk_has_its_page_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", "squawk/prefer-text-field"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert shown.startswith("squawk/prefer-text-field (warning): a rule of squawk: https://squawkhq.com/docs/prefer-")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["M0100"], "M010"),
        (["nothing"], "dataops docs rules"),
        (["squawk/no-such-rule"], ""),
        (["exit"], "0, 1, 2"),
        (["exit", "5000"], "0, 1, 2"),
        (["M010", "M011"], "explain exit 6"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert cli.run(["explain", *arguments]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "hint: " in shown
    assert hint in shown


def test_a_page_and_a_part_of_it_are_printed_without_marks(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["docs", "tutorial"]) == ExitCode.OK
    whole = capsys.readouterr().out
    assert whole.startswith("# Ten minutes: an Alembic project and a MongoDB\n")
    assert "(configuration.md)" not in whole
    for arguments in (["operations", "a-held-lock"], ["docs/operations.md#a-held-lock"], ["operations", "A held lock"]):
        assert cli.run(["docs", *arguments]) == ExitCode.OK
        shown = capsys.readouterr().out
        assert shown.startswith("## A held lock\n")
        assert "## An interrupted step" not in shown


@pytest.mark.parametrize(
    ("arguments", "hint"), [(["operation"], "operations"), (["operations", "a-hold-lock"], "a-held-lock")]
)
def test_a_page_or_a_part_that_does_not_exist_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert cli.run(["docs", *arguments]) == ExitCode.USAGE
    assert hint in capsys.readouterr().err


def test_a_wheel_explains_without_the_checkout(tmp_path: Path) -> None:
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        wheel.extractall(tmp_path / "installed")
        (manpage,) = [name for name in wheel.namelist() if name.endswith(".data/data/share/man/man1/dataops.1")]
        assert wheel.read(manpage) == (ROOT / "docs" / "dataops.1").read_bytes()
    program = "import dataops, sys; from dataops import cli; print(dataops.__file__); sys.exit(cli.run(sys.argv[1:]))"
    for arguments in (["explain", "M010"], ["explain", "exit", "6"], ["docs"], ["docs", "operations", "rights"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path / "installed", capture_output=True, text=True, check=True,
        )  # fmt: skip
        file, _, text = done.stdout.partition("\n")
        assert Path(file).is_relative_to(tmp_path)
        assert re.match(r"M010 \(warning\): |exit 6: |page +about\npicture +what talks|## Rights\n", text)
