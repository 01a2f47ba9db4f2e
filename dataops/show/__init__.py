"""What people, programs and pipelines see: one module a format.

FORMATS are the formats of `--format`. A new one is one module here and one entry in FORMATS. The module has a function
for each answer that it can write, and nothing else has to be changed:

    status(report: reports.StatusReport) -> str
    plan(report: reports.PlanReport) -> str
    proof(report: reports.ProofReport) -> str
    rehearsal(report: reports.RehearsalReport) -> str
    lint(report: reports.LintReport) -> str
    drifted(report: reports.DriftReport) -> str
    refusal(command: str, error: DataopsError) -> str    why there is no plan

A command offers the formats that have its function (`writers`). What only such a function needs (an XML library, the
rules of lint) it imports itself, because every command imports this package.

Beside them: `terminal`, `paragraphs`, `tables` and `progress` for people, `log` for log collectors, `prometheus` and
`otel` for monitoring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from dataops.show import github, html, json, junit, markdown, sarif

FORMATS: Mapping[str, ModuleType] = {
    "json": json,
    "github": github,
    "html": html,
    "junit": junit,
    "markdown": markdown,
    "sarif": sarif,
}


def writers(answer: str) -> dict[str, Callable[..., Any]]:
    """The functions that write this answer, by format: `writers("plan")["junit"](report)`."""
    return {name: vars(module)[answer] for name, module in FORMATS.items() if answer in vars(module)}


__all__ = ["FORMATS", "writers"]
