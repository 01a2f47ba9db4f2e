"""rebase: puts a branch's migrations after those that the base branch has got meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from dataops.cli.session import Session, command
from dataops.errors import ConfigError, ExitCode, Unreachable, UsageError
from dataops.files import chain
from dataops.files.base import Base
from dataops.model import Service
from dataops.run.reading import read_all
from dataops.text import counted

if TYPE_CHECKING:
    from dataops.rebasing import Rebase


@command("rebase", services=False)
@click.argument("service_name", metavar="SERVICE")
@click.option(
    "--base",
    metavar="BRANCH",
    default="",
    help="The branch whose migrations stay: by default origin's main branch, else main or master.",
)
def rebase_command(session: Session, service_name: str, base: str) -> None:
    """Of two heads, put the one that is not on the base branch after the other.

    Its first file gets another parent, and a newer time or number in its id where it needs one. Nothing is written
    where a database that the configuration leads to has that file applied (exit 7).

    \b
    Example:
      dataops rebase shop
      dataops rebase shop --base origin/develop
    """
    from dataops import rebasing

    service, unasked = _service(session, service_name)
    written = chain.as_written(service.name, service.kind, service.folder, service.alembic, service.top)
    against = Base(base, service.folder, without="name a parent by hand")
    todo = rebasing.prepare(service, written, against, datetime.now(UTC))
    if todo is None:
        missing = rebasing.not_here(service, written, against)
        _nothing_to_do(session, service, len(chain.heads_of(written)), missing, against.revision)
        return
    if not unasked:
        try:
            (state,) = read_all([todo.service], emit=session.sink()).states
            rebasing.refuse_applied(todo, state)
        except Unreachable as error:
            if session.environment is not None:
                raise
            unasked = error.message
    rebasing.carry_out(todo)
    _tell(session, todo, unasked)


def _service(session: Session, name: str) -> tuple[Service, str]:
    """The service without its files, and why its database is not asked; "" where there is one to ask."""
    try:
        return session.service(name, with_files=False), ""
    except (ConfigError, UsageError) as error:  # no variable, or a fleet, of which there is not one to ask
        if session.environment is not None:
            raise
        return session.config(with_files=False, with_urls=False, selected=[name]).services[0], error.message


def _nothing_to_do(session: Session, service: Service, heads: int, missing: list[str], base: str) -> None:
    if session.as_json:
        session.answer({"files": [], "asked": False, "heads_left": heads}, ExitCode.OK)
    session.console.say(f"{service.name} has {counted(heads, 'head')}: there is nothing to do")
    if missing:
        session.console.say(f"{base} has {missing[-1]}, which is not here: git merge {base}, then run this again")


def _tell(session: Session, todo: Rebase, unasked: str) -> None:
    paths = [*(one.after.path for one in todo.moved), *todo.beside.values()]
    if session.as_json:
        session.answer(
            {
                "files": [
                    {
                        "file": str(one.after.path),
                        "was": str(one.before.path),
                        "id": one.after.id,
                        "parents": [*one.after.parents],
                    }
                    for one in todo.moved
                ],
                "asked": not unasked,
                "heads_left": todo.heads_left,
            },
            ExitCode.OK,
        )
    else:
        session.console.data([(str(path), "") for path in paths])
    for one in todo.moved:
        called = f", and is called {one.after.id}" if one.after.id != one.before.id else ""
        if one.parents_change or called:
            session.console.say(f"{one.before.id} comes after {' and '.join(one.after.parents)} now{called}")
    if unasked:
        session.console.say(f"No database was asked whether it is applied there: {unasked}")
    if todo.heads_left > 1:
        session.console.say(f"{todo.service.name} has {todo.heads_left} heads still: run it again")


__all__ = ["rebase_command"]
