"""SARIF 2.1.0, which GitHub and others read as the findings of a linter."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dataops import __version__
from dataops.catalogue import Difference, Differs
from dataops.redaction import redact
from dataops.show.reports import DriftReport, LintReport, below
from dataops.text import json_text, shortened, visible

if TYPE_CHECKING:
    from dataops.drift import Drift
    from dataops.lint.rules import Finding, Rule

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def lint(report: LintReport) -> str:
    """Every finding. What a comment ignores is there too, with its reason, as suppressed."""
    from dataops.lint.rules import RULES

    found = [(finding, "") for finding in report.found.findings]
    found += [(finding, ignore.reason) for finding, ignore in report.found.ignored]
    rules = dict(RULES) | {finding.rule.code: finding.rule for finding, _ in found if finding.rule.code not in RULES}
    numbers = {code: number for number, code in enumerate(rules)}
    results = [_result(finding, reason, numbers[finding.rule.code], report.root) for finding, reason in found]
    driver = {"name": "dataops lint", "version": __version__, "rules": [_rule(rule) for rule in rules.values()]}
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def drifted(report: DriftReport) -> str:
    """A result for each object that differs, at the newest migration that is applied; what failed is a notification."""
    rules = [
        {"id": f"drift/{how.value}", "shortDescription": {"text": f"An object of the database is {how.value}"}}
        for how in Differs
    ]
    results = [_differs(one, of, report.root) for one in report.found for of in one.differences]
    failed = [
        {"level": "error", "message": _message(f"{one.service.name}: {one.error.message}")}
        for one in report.found
        if one.error is not None
    ]
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "dataops drift", "version": __version__, "rules": rules}},
        "invocations": [{"executionSuccessful": not failed, "toolExecutionNotifications": failed}],
        "results": results,
        "columnKind": "unicodeCodePoints",
    }
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _differs(found: Drift, of: Difference, root: Path) -> dict[str, Any]:
    name = visible(f"{found.service.name}.{redact(of.name)}")
    expected = shortened(visible(redact(of.expected)), 80)
    path = found.service.by_id[found.head].path if found.head in found.service.by_id else found.service.folder
    return {
        "ruleId": f"drift/{of.how.value}",
        "ruleIndex": list(Differs).index(of.how),
        "level": "error",
        "message": _message(f"{found.service.name}: {of}"),
        "locations": [
            {
                "physicalLocation": {"artifactLocation": _location(path, root), "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": name, "kind": of.kind}],
            }
        ],
        "partialFingerprints": {"object/v1": f"{of.how.value} {of.kind} {name}: {expected}"},
    }


def _result(finding: Finding, reason: str, number: int, root: Path) -> dict[str, Any]:
    place = {"artifactLocation": _location(finding.path, root), "region": {"startLine": finding.line}}
    return {
        "ruleId": finding.rule.code,
        "ruleIndex": number,
        "level": finding.rule.severity.value,
        "message": _message(f"{finding.message}. {finding.fix[:1].upper()}{finding.fix[1:]}."),
        "locations": [{"physicalLocation": place}],
        "suppressions": [{"kind": "inSource", "justification": visible(reason)}] if reason else [],
    }


def _message(text: str) -> dict[str, str]:
    """The text as a message, in which SARIF finds neither a placeholder such as `{0}` nor a link such as `[a](b)`."""
    return {"text": re.sub(r"\{(\d+)\}", r"{{\1}}", re.sub(r"\[(?=[^\]]*\]\()", r"\\[", visible(text)))}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _location(path: Path, root: Path) -> dict[str, str]:
    shown = below(path, root)
    if shown.startswith("/"):
        return {"uri": Path(shown).as_uri()}
    return {"uri": quote(os.fsencode(shown)), "uriBaseId": "%SRCROOT%"}


__all__ = ["SCHEMA", "drifted", "lint"]
