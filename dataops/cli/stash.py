"""stash list, stash prune: what migrations have put aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from dataops.backends import opened
from dataops.cli.errors import code_of
from dataops.cli.options import duration, tabled
from dataops.cli.session import Session, command, consent, main_group
from dataops.cli.signals import signals
from dataops.errors import DataopsError, ExitCode
from dataops.model import Service
from dataops.run.reading import of_the_reachable
from dataops.run.under_lock import prune
from dataops.show import json, tables
from dataops.stash.entry import StashEntry


@main_group.group("stash")
def stash_group() -> None:
    """What migrations have put aside, so that a rollback loses nothing.

    \b
    Example:
      dataops stash list
      dataops stash prune --older-than 30d
    """


@command("list", group=stash_group)
@tabled
def stash_list_command(session: Session, form: str) -> ExitCode:
    """Show what is put aside, by which migration, how much it is and since when. Writes nothing.

    \b
    Example:
      dataops stash list --service docs
    """
    form = session.form(form)
    found, errors = _kept(session.config().services)
    code = code_of(errors)
    if session.as_json:
        kept = [json.stash_entries(service.name, one) for service, one in found]
        session.answer({"kept": kept, "troubles": json.troubles(errors)}, code)
    elif found:
        session.console.table(tables.stash(((service.name, kept) for service, kept in found), datetime.now(UTC)), form)
    elif not errors:
        session.console.say("nothing is put aside")
    session.console.errors(errors)
    return code


def _age(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """A duration with its unit: `3` would mean seconds, and what is pruned cannot be brought back."""
    if value.strip().isdigit():
        raise click.BadParameter(f"{value!r} has no unit: write {value.strip()}d for days")
    seconds = duration(context, parameter, value)
    assert seconds is not None
    return seconds


@command("prune", group=stash_group)
@click.option(
    "--older-than",
    callback=_age,
    required=True,
    metavar="30d",
    help="Drop what was put aside longer ago than this.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def stash_prune_command(session: Session, older_than: float, yes: bool) -> ExitCode:
    """Drop what was put aside long ago. The migrations that put it aside cannot be rolled back any more.

    \b
    Example:
      dataops stash prune --older-than 30d
    """
    limit = datetime.now(UTC).timestamp() - older_than
    every, errors = _kept(session.config().services)
    found = [(service, kept) for service, kept in every if kept.at is not None and kept.at.timestamp() < limit]
    if not session.as_json:
        rows = tables.stash(((service.name, kept) for service, kept in found), datetime.now(UTC)).texts()
        session.console.messages([("  ".join(row), "") for row in rows] or [("nothing is that old", "")])
    if found and not yes:
        consent(f"Drop these {len(found)}? They cannot be brought back.")
    code = code_of(errors)
    with signals(session) as stop:
        for service in dict.fromkeys(service for service, _ in found):
            migrations = list(dict.fromkeys(kept.migration for owner, kept in found if owner is service))
            with opened(service) as backend:
                prune(backend, session.author, migrations, emit=session.sink(), stop=stop)
    if session.as_json:
        pruned = [json.stash_entries(service.name, one) for service, one in found]
        session.answer({"pruned": pruned, "troubles": json.troubles(errors)}, code)
    elif found:
        session.console.data([(f"{len(found)} dropped", "")])
    session.console.errors(errors)
    return code


def _kept(services: Sequence[Service]) -> tuple[list[tuple[Service, StashEntry]], list[DataopsError]]:
    """What each service keeps, and why some of them cannot be asked."""

    def ask(service: Service) -> list[tuple[Service, StashEntry]]:
        with opened(service) as backend:
            return [(service, kept) for kept in backend.stash_entries()]

    found, errors = of_the_reachable(ask, services)
    return [pair for pairs in found for pair in pairs], errors
