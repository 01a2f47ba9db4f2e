"""history: shows what runs did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from dataops.backends import opened
from dataops.cli import completing
from dataops.cli.errors import code_of
from dataops.cli.options import tabled
from dataops.cli.session import Session, command
from dataops.cli.verifying import verify_journals
from dataops.durations import clock, parse_duration
from dataops.errors import ConfigError, DataopsError, ExitCode, UsageError
from dataops.model import Entry, Service, State
from dataops.planning import story
from dataops.planning.evidence import Link
from dataops.planning.story import Story
from dataops.run.reading import look, of_the_reachable, side_by_side
from dataops.show import json, tables
from dataops.text import counted


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """A Click callback: a moment, or how long ago it was. What names no time zone is UTC, as all times here."""
    if value is None:
        return None
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(value))
    except ConfigError:
        pass
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no time: write 2h, 7d, 2026-11-24 or 2026-11-24T09:30") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@command("history")
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option(
    "--run",
    "run_option",
    metavar="ID",
    shell_complete=completing.runs,
    help="The same as RUN: show this run, step by step.",
)
@click.option("--since", callback=_moment, metavar="2h", help="Only runs that began since then: 2h, 7d, 2026-11-24.")
@click.option("--until", callback=_moment, metavar="1h", help="Only runs that began before then.")
@click.option("--actor", metavar="NAME", help="Only runs that this person, or this person@machine, started.")
@click.option(
    "--migration", metavar="REV", shell_complete=completing.migrations, help="Only runs that touched this migration."
)
@click.option("--failed", is_flag=True, help="Only runs of which a step failed, or has no end.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show the newest runs only.")
@click.option(
    "--export",
    type=click.Choice(["jsonl", "csv"]),
    help="Write the entries of the journals instead, for programs, oldest first; --limit does not count.",
)
@click.option("--verify", is_flag=True, help="Tell instead whether the journals are as they were written; else exit 8.")
@click.option(
    "--hash",
    "hashes",
    multiple=True,
    metavar="HASH",
    help="With --verify: an entry with this hash, which --verify has told before, has to be there still.",
)
@tabled
def history_command(
    session: Session,
    run: str | None,
    run_option: str | None,
    since: datetime | None,
    until: datetime | None,
    actor: str | None,
    migration: str | None,
    failed: bool,
    limit: int,
    export: str | None,
    verify: bool,
    hashes: tuple[str, ...],
    form: str,
) -> ExitCode:
    """Show what runs did, over all services, newest first; with RUN, what that one did, step by step. Writes nothing.

    RUN is an id, its beginning, or the part behind its time, as the tables show it.

    \b
    Example:
      dataops history --since 24h --failed
      dataops history 1f2e3d
      dataops history --service docs --export jsonl
      dataops history --verify
    """
    form = session.form(form)
    if hashes and not verify:
        raise UsageError("--hash goes only with --verify", hint="dataops history --verify --hash HASH")
    if verify:
        return verify_journals(session, session.config().services, hashes)
    services = session.config().services
    every, errors = stories_of(services)
    code = code_of(errors)
    wanted = run or run_option
    found = [
        one
        for one in every
        if _began(one, since, until)
        and (actor is None or actor in (one.who, one.entries[0][1].actor))
        and (migration is None or any(entry.migration.startswith(migration) for _, entry in one.entries))
        and not (failed and one.well)
    ]
    if wanted is not None:
        named = story.meant(wanted, [one.id for one in every])
        found = [one for one in every if one.id == named]
    if export is not None:
        lost = {error.service for error in errors}
        links = _links_of([service for service in services if service.name not in lost])
        rows = [(name, entry, links.get((name, entry.seq))) for one in reversed(found) for name, entry in one.entries]
        session.console.answer(json.entry_lines(rows) if export == "jsonl" else tables.entries_as_csv(rows))
        session.console.errors(errors)
        return code
    shown = found if wanted is not None else found[:limit]
    if session.as_json:
        session.answer({**json.history(shown), "troubles": json.troubles(errors)}, code)
    elif not every:
        if not errors:  # otherwise, what was not asked may have some
            session.console.say("nothing yet")
    elif not shown:
        session.console.say("no run is as you want it: leave out an option")
    elif wanted is not None:
        _show_run(session, shown[0], form)
    else:
        session.console.table(tables.runs(shown, datetime.now(UTC)), form)
    if len(found) > len(shown):
        left = len(found) - len(shown)
        session.console.say(f"{counted(left, 'older run')} not shown: --limit {len(found)}")
    session.console.errors(errors)
    return code


def stories_of(services: Sequence[Service]) -> tuple[tuple[Story, ...], list[DataopsError]]:
    """What runs did in these services, newest first, and the errors of those that cannot be asked.

    Who has the locks is asked only where a step has no end. The journals are then read again, because the step may have
    got its end meanwhile.
    """
    journals, errors = _journals_of(services)
    found = story.stories(journals)
    if not any(one.open for one in found):
        return found, errors
    states = [state for state in look(services, emit=lambda event: None) if isinstance(state, State)]
    journals, errors = _journals_of(services)
    return story.stories(journals, {one.service.name: one.holder.run for one in states if one.holder}), errors


def _journals_of(services: Sequence[Service]) -> tuple[dict[str, Sequence[Entry]], list[DataopsError]]:
    """The journals of these services, newest entry first, and the errors of those that cannot be asked."""

    def ask(service: Service) -> tuple[str, Sequence[Entry]]:
        with opened(service) as backend:
            return service.name, backend.history(None)

    found, errors = of_the_reachable(ask, services)
    return dict(found), errors


def _links_of(services: Sequence[Service]) -> dict[tuple[str, int], Link]:
    """What binds the entries of the journals to each other, by service and `seq`. Raises the first error."""

    def ask(service: Service) -> list[tuple[tuple[str, int], Link]]:
        with opened(service) as database:
            return [((service.name, link.seq), link) for link in database.links()]

    return {key: link for found in side_by_side(ask, services) for key, link in found}


def _began(run: Story, since: datetime | None, until: datetime | None) -> bool:
    if run.began is None:
        return since is None and until is None
    return (since is None or run.began >= since) and (until is None or run.began < until)


def _show_run(session: Session, run: Story, form: str) -> None:
    now = datetime.now(UTC)
    if form in ("table", "wide"):
        began = f"{run.began:%Y-%m-%d %H:%M:%S} UTC" if run.began else "at a time that nothing says"
        took = "" if run.seconds is None else f", {clock(run.seconds)}"
        version = run.entries[0][1].version
        session.console.data(
            [
                (f"Run {run.id} of {run.who}, with dataops {version}", "bold"),
                (f"{began}{took}: {run.what}, {run.outcome}", "" if run.well else "bold red"),
                ("", ""),
            ]
        )
    session.console.table(tables.steps(run, now), form)
    if session.verbose and form in ("table", "wide"):
        session.console.data(tables.statement_lines(run))
