"""`[lint]` in dataops.toml: which rules count, where, and how severe they are, in every format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dataops import cli
from dataops.errors import ConfigError, ExitCode
from dataops.kinds import POSTGRESQL
from dataops.lint import squawk
from tests.lint.samples import mongo_file, postgres_file, project

SERVICES = """
[services.api]
engine = "mongodb"
folder = "api"

[services.voucher]
engine = "postgresql"
folder = "voucher"
"""
EVERYTHING = ["H009", "M001", "M010", "squawk/prefer-text-field"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two services with two findings each: M001 is an error, and the others are warnings."""
    mongo = mongo_file("a = list(db.users.find())").replace("repeatable = True\n", "\n")
    project(tmp_path / "api", {"20240101000000-a.py": mongo})
    postgres = postgres_file("op.execute('CREATE TABLE t (a varchar(20))')", "op.execute('DROP TABLE t')")
    project(tmp_path / "voucher", {"a.py": postgres.partition("\n")[2]}, POSTGRESQL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(place: Path, lint: str) -> None:
    (place / "dataops.toml").write_text(SERVICES + lint)


def codes(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return sorted(re.findall(r"^\S+:\d+: \w+ (\S+)", capsys.readouterr().out, re.MULTILINE))


@pytest.mark.parametrize(
    ("lint", "left", "code"),
    [
        ("", EVERYTHING, ExitCode.BLOCKED),
        ("[lint]", EVERYTHING, ExitCode.BLOCKED),
        ("[lint]\nselect = ['M']", ["M001", "M010"], ExitCode.BLOCKED),
        ("[lint]\nselect = ['M', 'squawk']\nignore = ['M001']", ["M010", "squawk/prefer-text-field"], ExitCode.OK),
        ("[lint]\nignore = ['M']", ["H009", "squawk/prefer-text-field"], ExitCode.OK),
        ("[lint]\nignore = ['squawk']", ["H009", "M001", "M010"], ExitCode.BLOCKED),
        ("[lint]\nignore = ['squawk/*']", ["H009", "M001", "M010"], ExitCode.BLOCKED),
        ("[lint]\nignore = ['squawk/prefer-text-field', 'M001', 'M010', 'H009']", [], ExitCode.OK),
        ("[lint.severity]\nM001 = 'warning'", EVERYTHING, ExitCode.OK),
        ("[lint.severity]\nM = 'warning'\nM001 = 'error'", EVERYTHING, ExitCode.BLOCKED),
        ("[lint.severity]\nM = 'warning'\nsquawk = 'error'", EVERYTHING, ExitCode.BLOCKED),
        ("[lint.severity]\nM001 = 'warning'\nH009 = 'error'", EVERYTHING, ExitCode.BLOCKED),
        ("[lint.per_path_ignores]\n'api' = ['M001']\n'voucher/*.py' = ['squawk']", ["H009", "M010"], ExitCode.OK),
        ("[lint.per_path_ignores]\n'api/' = ['M']\n'*/versions/b.py' = ['H']", ["H009", EVERYTHING[3]], ExitCode.OK),
    ],
)
def test_the_configuration_chooses_rules_paths_and_severities(
    place: Path, capsys: pytest.CaptureFixture[str], lint: str, left: list[str], code: ExitCode
) -> None:
    configured(place, lint)
    assert cli.run(["lint"]) == code
    assert codes(capsys) == left


@pytest.mark.parametrize(
    ("lint", "complaint"),
    [
        ("[lint]\nselekt = []", "unknown key 'selekt'"),
        ("[lint]\nselect = 'M'", "select has to be a list of rules"),
        ("[lint]\nselect = ['M999']", "there is no rule 'M999'"),
        ("[lint]\nignore = ['squawk/no-such-rule']", "there is no rule 'squawk/no-such-rule'"),
        ("[lint]\nignore = ['H006']", "H006 (two migrations have the same parent) cannot be ignored"),
        ("[lint.severity]\nH006 = 'warning'", "H006 (two migrations have the same parent) cannot be ignored"),
        ("[lint.severity]\nM010 = 'fatal'", "'fatal' is not one of 'error', 'warning'"),
        ("[lint.per_path_ignores]\n'api' = 'M'", "api has to be a list of rules"),
        ("[lint.per_path_ignores]\n'api' = ['x']", "there is no rule 'x'"),
        ("lint = 1", "lint] has to be a table"),
    ],
)
def test_what_makes_no_sense_is_an_error_of_the_configuration(
    place: Path, capsys: pytest.CaptureFixture[str], lint: str, complaint: str
) -> None:
    (place / "dataops.toml").write_text(f"{lint}\n{SERVICES}")
    assert cli.run(["lint"]) == ExitCode.INVALID
    assert complaint in capsys.readouterr().err


def test_what_cannot_be_ignored_counts_whatever_is_chosen(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(place / "api", {"broken.py": "def ("})
    configured(place, "[lint]\nselect = ['P']\nignore = ['H', 'M']\n[lint.severity]\nH = 'warning'")
    assert cli.run(["lint"]) == ExitCode.BLOCKED
    assert codes(capsys) == ["H001"]


def test_an_ignore_of_a_rule_that_does_not_count_here_is_not_called_unused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = mongo_file("a = list(db.users.find())  # dataops: ignore[M001] there are three users")
    project(place / "api", {"20240101000000-a.py": text})
    configured(place, "[lint]\nignore = ['M']")
    assert cli.run(["lint", "--service", "api"]) == ExitCode.OK
    assert codes(capsys) == []


def test_a_file_that_cannot_run_is_0_where_the_team_calls_that_a_warning(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(place / "api", {"20240101000000-a.py": mongo_file("raise KeyError('x')")})
    configured(place, "")
    assert cli.run(["lint", "--service", "api"]) == ExitCode.INVALID
    configured(place, "[lint.severity]\nF001 = 'warning'")
    assert cli.run(["lint", "--service", "api"]) == ExitCode.OK
    assert set(codes(capsys)) == {"F001"}


def test_squawk_need_not_be_installed_where_none_of_its_rules_count(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def program() -> str:
        raise ConfigError("squawk is not installed")

    monkeypatch.setattr(squawk, "program", program)
    configured(place, "")
    assert cli.run(["lint", "--service", "voucher"]) == ExitCode.INVALID
    configured(place, "[lint]\nignore = ['squawk']")
    assert cli.run(["lint", "--service", "voucher"]) == ExitCode.OK


def test_every_format_shows_the_chosen_severity_in_its_own_way(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """M001 is made a warning, and M010 an error."""
    configured(place, "[lint]\nselect = ['M']\n[lint.severity]\nM001 = 'warning'\nM010 = 'error'")

    def shown(form: str) -> str:
        assert cli.run(["lint", "--format", form]) == ExitCode.BLOCKED
        return capsys.readouterr().out

    assert set(re.findall(r"(\w+) (M\d+)", shown("text"))) >= {("warning", "M001"), ("error", "M010")}
    answer = json.loads(shown("json"))
    assert {(each["severity"], each["code"]) for each in answer["findings"]} == {("warning", "M001"), ("error", "M010")}
    assert (answer["errors"], answer["warnings"]) == (1, 1)
    results = json.loads(shown("sarif"))["runs"][0]["results"]
    assert {(each["level"], each["ruleId"]) for each in results} == {("warning", "M001"), ("error", "M010")}
    github = re.findall(r"^::(\w+) .*title=(M\d+)::", shown("github"), re.MULTILINE)
    assert set(github) == {("warning", "M001"), ("error", "M010")}
    junit = ElementTree.fromstring(shown("junit"))
    assert [failure.get("type") for failure in junit.iter("failure")] == ["M010"]
    assert ["warning M001" in (each.text or "") for each in junit.iter("system-out")] == [True]
