"""history: shows what runs did."""

from __future__ import annotations

from typing import Any

import click

from dataops.backends import opened
from dataops.cli.session import Session, command
from dataops.errors import ExitCode, UsageError
from dataops.model import Service
from dataops.run.reading import side_by_side
from dataops.show import json, tables


@command("history")
@click.option("--run", "run_id", metavar="ID", help="Show only this run.")
@click.option(
    "--limit",
    type=click.IntRange(1, 2**31 - 1),
    default=50,
    show_default=True,
    help="Show at most this number of entries.",
)
def history_command(session: Session, run_id: str | None, limit: int) -> None:
    """Show what runs did, over all services, newest first.

    \b
    Example:
      dataops history --service docs --limit 10
      dataops history --run 20261124T093000-1f2e3d
    """
    services = session.config().services

    def ask(service: Service) -> list[tuple[str, Any]]:
        with opened(service) as backend:
            entries = backend.history(None if run_id else limit)
        return [(service.name, entry) for entry in entries if run_id in (None, entry.run)]

    found = [pair for pairs in side_by_side(ask, services) for pair in pairs]
    found.sort(key=lambda pair: (pair[1].at.timestamp() if pair[1].at else 0.0, pair[1].seq), reverse=True)
    shown = found if run_id else found[:limit]
    if run_id and not shown:
        raise UsageError(f"no entry of run {run_id}", hint="see dataops history")
    if session.as_json:
        session.answer(json.history(shown), ExitCode.OK)
    elif shown:
        session.console.table(tables.HISTORY_HEADERS, tables.history_rows(shown))
    else:
        session.console.say("nothing yet")
