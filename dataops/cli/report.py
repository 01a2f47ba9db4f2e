"""report: writes one page about everything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from dataops import outfile
from dataops.cli import completing
from dataops.cli.history import stories_of
from dataops.cli.plan_from_options import plan_apply, render, to_look
from dataops.cli.session import Session, command
from dataops.cli.status import looks_at
from dataops.errors import DataopsError, ExitCode
from dataops.model import Plan, Rendering, State
from dataops.planning import story
from dataops.run.reading import look


@command("report")
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("dataops-report.html"),
    show_default=True,
    help="The file to write.",
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show the newest runs only.")
def report_command(session: Session, run: str | None, out: Path, limit: int) -> ExitCode:
    """Write one HTML page: services, their histories, runs, the pending plan, and RUN step by step.

    The page needs no network and no JavaScript, and can be printed. Nothing is written to a database.

    \b
    Example:
      dataops report
      dataops report 1f2e3d --out ticket-1234.html
    """
    from dataops.show.html import page

    config = session.config(observed=True)
    states = look(config.services, emit=session.sink())
    ours = [s for s, found in zip(config.services, states, strict=True) if isinstance(found, State) and not s.observe]
    stories, _ = stories_of(ours)  # which services do not answer is on the page
    chosen = None
    if run is not None:
        named = story.meant(run, [one.id for one in stories])
        chosen = next(one for one in stories if one.id == named)
    looks = looks_at(states, config.services)
    planned: Plan | DataopsError
    renderings: Mapping[str, Rendering] = {}
    try:
        planned = plan_apply(
            session.config().services, read=to_look(session), to=None, steps=None, onto_existing=False, background=True
        )
        renderings = render(planned, session, everything=False)
    except DataopsError as error:
        planned = error
    shown = stories[:limit]
    text = page.report(
        looks, shown, planned, renderings, chosen, datetime.now(UTC), older=len(stories) - len(shown)
    )  # fmt: skip
    outfile.write(out, text, hint="name a file that can be written")
    if session.as_json:
        session.answer({"file": str(out)}, ExitCode.OK)
    else:
        session.console.data([(str(out), "")])
    return ExitCode.OK
