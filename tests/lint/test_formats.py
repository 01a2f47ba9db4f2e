"""What other programs read: held to the schemas of those who read it, with texts that are hard to write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import pytest
import xmlschema

from dataops.kinds import POSTGRESQL
from dataops.lint import RULES, Finding, Ignore, Report, Rule, Severity
from dataops.show import github, junit, paragraphs, sarif
from dataops.show import json as answers
from dataops.show.github import Annotation
from dataops.show.junit import Case, Failure
from dataops.show.reports import LintReport
from tests.lint.samples import linted, mongo_file, postgres_file, project

DATA = Path(__file__).with_name("data")
HARD = "50%, a:b,c\r\nd <&\"'> \x00\x1b[31m \ud800 \U0001fae8 ]]> é"
ROOT = Path("/somewhere/a checkout")
MONGO = ROOT / "mongo migrations" / "é 1.py"
FINDINGS = (
    Finding(RULES["M001"], MONGO, 3, HARD, "api", HARD),
    Finding(RULES["I003"], MONGO, 4, "M002 finds nothing here", "api"),
    Finding(Rule("squawk/ban-drop-column", HARD, "see"), ROOT / "pg" / "a.py", 7, "drops", "voucher", sql="DROP"),
    Finding(RULES["H013"], Path("/elsewhere/gone.py"), 1, "gone", "voucher"),
)
IGNORED = ((Finding(RULES["M003"], MONGO, 9, "unique", "api"), Ignore(("M003",), HARD, 8, None)),)
FULL = Report((("api", MONGO), ("voucher", ROOT / "pg" / "a.py"), ("voucher", ROOT / "pg" / "b.py")), FINDINGS, IGNORED)
EMPTY = Report((), ())
REPORTS = [FULL, EMPTY, Report(FULL.files, ())]

SEEN = HARD.replace("\r", "\\r").replace("\x00", "\\x00").replace("\x1b", "\\x1b").replace("\ud800", "\\ud800")


@pytest.fixture(scope="module")
def sarif_schema() -> Any:
    schema = json.loads((DATA / "sarif-schema-2.1.0.json").read_text())
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    return validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.fixture(scope="module")
def junit_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(DATA / "junit-10.xsd")


# --- SARIF


@pytest.mark.parametrize("report", REPORTS)
def test_sarif_is_what_the_schema_of_oasis_wants(sarif_schema: Any, report: Report) -> None:
    sarif_schema.validate(json.loads(sarif.lint(LintReport(report, ROOT))))


def test_the_schema_would_find_a_mistake(sarif_schema: Any) -> None:
    document = json.loads(sarif.lint(LintReport(FULL, ROOT)))
    document["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        sarif_schema.validate(document)


def test_sarif_has_every_finding_with_its_place_and_what_is_ignored_as_suppressed() -> None:
    (run,) = json.loads(sarif.lint(LintReport(FULL, ROOT)))["runs"]
    told = [
        (
            result["ruleId"],
            result["level"],
            result["locations"][0]["physicalLocation"]["artifactLocation"],
            result["locations"][0]["physicalLocation"]["region"]["startLine"],
            [suppression["justification"] for suppression in result["suppressions"]],
        )
        for result in run["results"]
    ]
    here = {"uri": "mongo%20migrations/%C3%A9%201.py", "uriBaseId": "%SRCROOT%"}
    assert told == [
        ("M001", "error", here, 3, []),
        ("I003", "warning", here, 4, []),
        ("squawk/ban-drop-column", "error", {"uri": "pg/a.py", "uriBaseId": "%SRCROOT%"}, 7, []),
        ("H013", "error", {"uri": "file:///elsewhere/gone.py"}, 1, []),
        ("M003", "warning", here, 9, [SEEN]),
    ]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [one[0] for one in told]


# --- JUnit


@pytest.mark.parametrize("report", REPORTS)
def test_junit_is_what_the_schema_of_jenkins_wants(junit_schema: xmlschema.XMLSchema, report: Report) -> None:
    junit_schema.validate(junit.lint(LintReport(report, ROOT)).encode())


def test_junit_has_a_case_for_each_file_and_one_for_what_is_gone() -> None:
    root = ElementTree.fromstring(junit.lint(LintReport(FULL, ROOT)).encode())
    cases = [(case.get("classname"), case.get("name"), len(case.findall("failure"))) for case in root.iter("testcase")]
    assert cases == [("api", "é 1.py", 1), ("voucher", "a.py", 1), ("voucher", "b.py", 0), ("voucher", "gone.py", 1)]
    counts = [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root.iter("testsuite")]
    assert counts == [("api", "1", "1"), ("voucher", "3", "2")]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "3", "0")
    failure = next(root.iter("failure"))
    assert failure.get("type") == "M001"
    assert failure.get("message") == SEEN
    assert "mongo migrations/é 1.py:3" in (failure.text or "")
    assert "warning I003" in (next(root.iter("system-out")).text or "")


def test_junit_of_anything(junit_schema: xmlschema.XMLSchema) -> None:
    """The writer knows nothing of lint."""
    cases = [
        Case("api", "up to date", output=HARD),
        Case("voucher", HARD, (Failure("pending", "3 are pending", HARD), Failure("lock", "held"))),
    ]
    text = junit.document("status", cases)
    junit_schema.validate(text.encode())


def test_the_schema_of_jenkins_would_find_a_mistake(junit_schema: xmlschema.XMLSchema) -> None:
    wrong = junit.lint(LintReport(FULL, ROOT)).replace("<testcase ", "<case ", 1).replace("</testcase>", "</case>", 1)
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        junit_schema.validate(wrong.encode())


# --- GitHub

GRAMMAR = re.compile(r"::(?P<level>error|warning|notice)(?: (?P<about>[^:]*))?::(?P<message>.*)")


def understood(line: str) -> tuple[str, dict[str, str], str]:
    """As GitHub's runner takes a line apart (ActionCommand.TryParseV2): properties, then all after the next `::`."""
    match = GRAMMAR.fullmatch(line)
    assert match, line
    pairs = [pair.split("=", 1) for pair in (match["about"] or "").split(",") if pair]
    for _, value in pairs:
        assert re.fullmatch(r"(?:[^%\r\n:,]|%25|%0D|%0A|%3A|%2C)+", value), value
    assert re.fullmatch(r"(?:[^%\r\n]|%25|%0D|%0A)*", match["message"])
    return match["level"], {key: unescaped(value) for key, value in pairs}, unescaped(match["message"])


def unescaped(text: str) -> str:
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


def test_github_reads_of_each_annotation_what_was_meant() -> None:
    lines = github.lint(LintReport(FULL, ROOT)).removesuffix("\n").split("\n")
    first = ("error", {"file": "mongo migrations/é 1.py", "line": "3", "title": "M001"}, f"{SEEN}\nhint: {SEEN}")
    told = [understood(line) for line in lines]
    assert told[0] == first
    assert [(level, about["file"], about["line"]) for level, about, _ in told[1:]] == [
        ("warning", "mongo migrations/é 1.py", "4"),
        ("error", "pg/a.py", "7"),
        ("error", "/elsewhere/gone.py", "1"),
    ]
    assert github.lint(LintReport(EMPTY, ROOT)) == ""


def test_annotations_of_anything() -> None:
    written = github.lines([Annotation("notice", "all is well"), Annotation("error", HARD, HARD, HARD, 5)])
    assert written.startswith("::notice::all is well\n::error file=")
    _, about, message = understood(written.removesuffix("\n").split("\n")[1])
    assert (about, message) == ({"file": SEEN, "line": "5", "title": SEEN}, SEEN)


# --- words and JSON


def test_the_text_says_where_what_and_what_to_do() -> None:
    report = Report(FULL.files, FINDINGS[1:3], IGNORED)
    assert [line for line, _ in paragraphs.lint_lines(report, ROOT)] == [
        "mongo migrations/é 1.py:4: warning I003 M002 finds nothing here",
        "  hint: remove it",
        "pg/a.py:7: error squawk/ban-drop-column drops",
        "  DROP",
        "  hint: see",
        "3 files, 1 error, 1 warning, 1 ignored for a reason",
    ]
    assert [line for line, _ in paragraphs.lint_lines(Report(FULL.files, ()), ROOT)] == ["3 files, no errors"]


def test_the_json_has_the_same_fields_for_what_is_wrong_and_what_is_ignored() -> None:
    content = json.loads(answers.lint(LintReport(FULL, ROOT)))
    assert (content["files"], content["errors"], content["warnings"]) == (3, 3, 1)
    assert {frozenset(one) for one in content["findings"]} == {
        frozenset({"service", "file", "line", "code", "severity", "message", "hint", "sql"})
    }
    assert set(content["ignored"][0]) - set(content["findings"][0]) == {"reason"}


def test_real_findings_are_valid_in_every_form(
    tmp_path: Path, sarif_schema: Any, junit_schema: xmlschema.XMLSchema
) -> None:
    services = [
        project(tmp_path / "m", {"20240101000000-a.py": mongo_file("db.users.drop()"), "b.py": "def ("}),
        project(tmp_path / "p", {"a.py": postgres_file("op.execute('selec 1')")}, POSTGRESQL),
    ]
    found = linted(services)
    report = LintReport(found, tmp_path)
    assert {finding.rule.severity for finding in found.findings} == {Severity.ERROR}
    sarif_schema.validate(json.loads(sarif.lint(report)))
    junit_schema.validate(junit.lint(report).encode())
    for line in github.lint(report).splitlines():
        understood(line)
