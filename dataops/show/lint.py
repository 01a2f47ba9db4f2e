"""A report in words, and in the forms that other programs read. Paths are relative to `root`, if below it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dataops import __version__
from dataops.lint import Report
from dataops.lint.rules import RULES, Finding, Rule, Severity
from dataops.redaction import redact
from dataops.show.formats import Annotation, Case, Failed, github, junit

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def text(report: Report, root: Path) -> list[tuple[str, str]]:
    """A few lines for each finding, each with its style, and one for all of them."""
    lines: list[tuple[str, str]] = []
    for finding in report.findings:
        severity = finding.rule.severity
        where = f"{below(finding.path, root)}:{finding.line}"
        lines.append((f"{where}: {severity.value} {finding.rule.code} {finding.message}", _STYLES[severity]))
        lines += [(f"  {finding.sql}", "")] if finding.sql else []
        lines.append((f"  hint: {finding.fix}", ""))
    return [*lines, (summary(report), "bold")]


def summary(report: Report) -> str:
    parts = [_count(len(report.files), "file")]
    parts += [_count(report.errors, "error")] if report.errors else ["no errors"]
    parts += [_count(report.warnings, "warning")] if report.warnings else []
    parts += [f"{len(report.ignored)} ignored for a reason"] if report.ignored else []
    return ", ".join(parts)


def content(report: Report, root: Path) -> dict[str, Any]:
    """The answer of `--json`."""
    return {
        "files": len(report.files),
        "errors": report.errors,
        "warnings": report.warnings,
        "findings": [_finding(finding, root) for finding in report.findings],
        "ignored": [_finding(finding, root) | {"reason": ignore.reason} for finding, ignore in report.ignored],
    }


def as_junit(report: Report, root: Path) -> str:
    """A suite for each service, a case for each file; what has no case of its own (a file that is gone) gets one."""
    files = dict.fromkeys([*report.files, *((finding.service, finding.path) for finding in report.findings)])
    cases = []
    for service, path in files:
        mine = [finding for finding in report.findings if finding.path == path and finding.service == service]
        failures = [
            Failed(f.rule.code, redact(f.message), f"{below(path, root)}:{f.line}: {redact(f.message)}\nhint: {f.fix}")
            for f in mine
            if f.rule.severity is Severity.ERROR
        ]
        said = "\n".join(
            f"{below(path, root)}:{finding.line}: warning {finding.rule.code} {redact(finding.message)}"
            for finding in mine
            if finding.rule.severity is Severity.WARNING
        )
        cases.append(Case(service, path.name, tuple(failures), said))
    return junit("dataops lint", cases)


def as_github(report: Report, root: Path) -> str:
    return github(
        Annotation(
            finding.rule.severity.value,
            redact(f"{finding.message}\nhint: {finding.fix}"),
            finding.rule.code,
            below(finding.path, root),
            finding.line,
        )
        for finding in report.findings
    )


def as_sarif(report: Report, root: Path) -> str:
    """SARIF 2.1.0. What a comment ignores is there too, with its reason, as suppressed."""
    told = [(finding, "") for finding in report.findings]
    told += [(finding, ignore.reason) for finding, ignore in report.ignored]
    rules = dict(RULES) | {finding.rule.code: finding.rule for finding, _ in told if finding.rule.code not in RULES}
    numbers = {code: at for at, code in enumerate(rules)}
    results = [
        {
            "ruleId": finding.rule.code,
            "ruleIndex": numbers[finding.rule.code],
            "level": finding.rule.severity.value,
            "message": {"text": f"{finding.message}. {finding.fix[:1].upper()}{finding.fix[1:]}."},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": _uri(finding.path, root),
                        "region": {"startLine": finding.line},
                    }
                }
            ],
            "suppressions": [{"kind": "inSource", "justification": reason}] if reason else [],
        }
        for finding, reason in told
    ]
    driver = {"name": "dataops lint", "version": __version__, "rules": [_rule(rule) for rule in rules.values()]}
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    document = redact.within({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def below(path: Path, root: Path) -> str:
    """With slashes; from `root` on, or the whole path where it is elsewhere."""
    absolute = Path(os.path.abspath(path))
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()


def _finding(finding: Finding, root: Path) -> dict[str, Any]:
    return {
        "service": finding.service,
        "file": below(finding.path, root),
        "line": finding.line,
        "code": finding.rule.code,
        "severity": finding.rule.severity.value,
        "message": finding.message,
        "hint": finding.fix,
        "sql": finding.sql or None,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _uri(path: Path, root: Path) -> dict[str, str]:
    shown = below(path, root)
    if shown.startswith("/"):
        return {"uri": Path(shown).as_uri()}
    return {"uri": quote(shown), "uriBaseId": "%SRCROOT%"}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


__all__ = ["as_github", "as_junit", "as_sarif", "below", "content", "summary", "text"]
