"""What other programs read of a result: JUnit's XML, and the annotations of GitHub. They know nothing of what is told.

JUnit as the schema of Jenkins has it (`junit-10.xsd`), which GitLab and the others read too. GitHub's grammar:
`::error file=...,line=...,title=...::message`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree


@dataclass(frozen=True)
class Failed:
    """Why a case failed: a kind, one sentence, and as much text as helps."""

    kind: str
    message: str
    text: str = ""


@dataclass(frozen=True)
class Case:
    """One thing that was looked at. Without a failure it passed; `said` is shown with it either way."""

    group: str
    name: str
    failures: tuple[Failed, ...] = ()
    said: str = ""
    seconds: float | None = None


def junit(name: str, cases: Sequence[Case]) -> str:
    """A document with one suite a group, in the order in which the groups first come."""
    root = ElementTree.Element("testsuites", _counts(name, cases))
    for group in dict.fromkeys(case.group for case in cases):
        mine = [case for case in cases if case.group == group]
        suite = ElementTree.SubElement(root, "testsuite", _counts(group, mine))
        for case in mine:
            about = {"classname": printable(case.group), "name": printable(case.name)}
            if case.seconds is not None:
                about["time"] = f"{case.seconds:.3f}"
            test = ElementTree.SubElement(suite, "testcase", about)
            for failure in case.failures:
                what = {"type": printable(failure.kind), "message": printable(failure.message)}
                ElementTree.SubElement(test, "failure", what).text = printable(failure.text)
            if case.said:
                ElementTree.SubElement(test, "system-out").text = printable(case.said)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


@dataclass(frozen=True)
class Annotation:
    """A remark that GitHub shows beside a line. `level` is error, warning or notice; no line: about the whole file."""

    level: str
    message: str
    title: str = ""
    file: str = ""
    line: int = 0


def github(annotations: Iterable[Annotation]) -> str:
    """One line each. GitHub shows ten of a level for each step of a job, and the rest in its log."""
    return "".join(_annotation(one) + "\n" for one in annotations)


def printable(text: str) -> str:
    """Without the characters that XML 1.0 does not allow, not even escaped."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _counts(name: str, cases: Sequence[Case]) -> dict[str, str]:
    failed = sum(1 for case in cases if case.failures)
    return {"name": printable(name), "tests": str(len(cases)), "failures": str(failed), "errors": "0"}


def _annotation(one: Annotation) -> str:
    about = {"file": one.file, "line": str(one.line) if one.file and one.line else "", "title": one.title}
    properties = ",".join(f"{key}={_property(value)}" for key, value in about.items() if value)
    return f"::{one.level}{' ' if properties else ''}{properties}::{_data(one.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


__all__ = ["Annotation", "Case", "Failed", "github", "junit", "printable"]
