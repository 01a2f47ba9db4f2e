"""HTML: one page that needs no network and no JavaScript, for a browser, a change ticket or the printer.

It is made of the same values as `--json`. `page` makes it; that module is imported only for a page, because
every command imports this package.
"""

from __future__ import annotations

from dataops.errors import DataopsError
from dataops.show.reports import PlanReport, StatusReport


def status(report: StatusReport) -> str:
    """Where every service stands."""
    from dataops.show.html import page

    return page.status(report)


def plan(report: PlanReport) -> str:
    """What would be done, step by step, with the commands folded."""
    from dataops.show.html import page

    return page.plan(report)


def refusal(command: str, error: DataopsError) -> str:
    """What was refused, why, and the remedy."""
    from dataops.show.html import page

    return page.refusal(command, error)


__all__ = ["plan", "refusal", "status"]
