"""The rules are documented, each has its test, and Blink's whole history keeps them."""

from __future__ import annotations

import re
import resource
from collections import Counter
from pathlib import Path

import pytest

from dataops import config
from dataops.lint import RULES, Severity, squawk
from tests.lint.samples import linted

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "rules.md").read_text()
SECTIONS = dict(re.findall(r"^### ([A-Z]\d{3})\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))


def test_every_rule_is_in_the_document_and_the_other_way_round() -> None:
    assert set(SECTIONS) == set(RULES)
    assert all(rule.code == code for code, rule in RULES.items())


@pytest.mark.parametrize("code", RULES)
def test_each_is_explained_and_has_a_fix(code: str) -> None:
    explained = re.sub(r"[*`]", "", SECTIONS[code])
    assert explained.strip().lower().startswith(RULES[code].title[:12].lower())
    assert "**Fix**: " in SECTIONS[code]
    assert ("a warning" in explained) is (RULES[code].severity is Severity.WARNING)


@pytest.mark.parametrize("code", RULES)
def test_each_has_a_test_that_breaks_it(code: str) -> None:
    tests = [path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_rules.py"]
    assert any(f'"{code}' in text or f"{code}:" in text or f" {code}" in text for text in tests)


def test_what_is_left_out_of_squawk_is_in_the_document() -> None:
    section = DOCUMENT.partition("\n## squawk\n")[2]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", " ".join(rows))) == set(squawk.LEFT_OUT)
    for rule in squawk.ON_THE_WAY_BACK | squawk.STYLE:
        assert f"`{rule}`" in section


def test_blinks_history_keeps_every_rule_and_each_exception_has_a_reason() -> None:
    services = config.load(ROOT / "dataops.toml", with_urls=False, with_files=False).services
    report = linted(services)
    assert Counter(service for service, _ in report.files) == {
        "api": 38, "api-keys": 5, "notifications": 15, "voucher": 4
    }  # fmt: skip
    assert [f"{finding.path.name}:{finding.line} {finding.rule.code}" for finding in report.findings] == []
    assert report.ignored
    assert all(len(ignore.reason.split()) > 3 for _, ignore in report.ignored)


def _computed() -> float:
    """Seconds of this process and of those that it has ended. They do not grow when the machine is busy."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def test_blinks_history_is_read_in_a_small_multiple_of_the_time_of_a_compiler() -> None:
    """Beyond the time of squawk itself. It is 15 times what it takes to compile all files five times."""
    services = config.load(ROOT / "dataops.toml", with_urls=False, with_files=False).services
    texts = [
        path.read_bytes() for folder in ("mongo_migrations", "pg_migrations") for path in (ROOT / folder).rglob("*.py")
    ]
    began = _computed()
    for text in texts * 5:
        compile(text, "it.py", "exec")
    floor = _computed() - began
    linted(services, ask_squawk=False)
    assert _computed() - began - floor < 30 * floor
