"""squash: one migration file in the place of many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataops import outfile
from dataops.cli.options import scratch_option
from dataops.cli.session import Session, command, consent, has_terminal
from dataops.cli.signals import signals
from dataops.errors import ExitCode, UsageError
from dataops.model import Migration, Service
from dataops.planning.target import find_migration
from dataops.text import counted, on_one_line

if TYPE_CHECKING:
    from dataops.squash.making import Report, Squashed

MOST_ROWS = 1000
_CONSENT = "look at it first with --out FILE, which removes nothing; then say --yes"


@command("squash", services=False)
@click.argument("service_name", metavar="SERVICE")
@click.option("--to", metavar="ID", required=True, help="The newest migration that the new file stands for.")
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=MOST_ROWS,
    metavar="N",
    help=f"How many rows or documents the file may have, at most. Default: {MOST_ROWS}.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there; remove nothing."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@scratch_option
def squash_command(
    session: Session, service_name: str, to: str, rows: int, out: Path | None, yes: bool, server: tuple[str, ...]
) -> None:
    """Replace all files up to ID by one that makes the same (dataops docs migrations squash).

    Needs no database of yours. An empty database runs the new file. A database that has everything up to ID has it
    already.

    \b
    Example:
      dataops squash shop --to 20240301101500 --out look.py
      dataops squash shop --to 20240301101500
    """
    from dataops.scratch import Scratch
    from dataops.squash import choosing, making, saving

    service = session.config(with_urls=False, selected=[service_name]).services[0]
    migration = find_migration([service], to, not_base="nothing comes before base", hint="name a migration")[1]
    chosen = choosing.choose(service, migration)
    if out is None:
        saving.refuse_uncommitted(
            service, [path for one in chosen for path in (one.path, *(pin.path for pin in one.pinned))]
        )
        if not yes and not has_terminal():
            raise UsageError("there is no terminal to ask for consent; nothing was done", hint=_CONSENT)
    else:
        outfile.refuse_unwritable(out, hint="name another file with --out")
    with (
        signals(session) as stop,
        Scratch(session.author, servers=server, stop=stop) as scratch,
        session.running_files(on_scratch=True),
    ):
        squashed = making.make(service, migration, scratch, most_rows=rows, report=_reporter(session, service))
    if out is not None:
        outfile.write(out, squashed.text, hint="name another file with --out")
    else:
        if not session.as_json:
            _tell(session, squashed)
        if not yes:
            others = counted(len(chosen) - 1, "other file")
            consent(f"Replace {squashed.path.name} by the new file and remove {others}?", _CONSENT)
        saving.save(squashed.path, squashed.text, squashed.replaced)
    _answer(session, service, squashed, out)


def _reporter(session: Session, service: Service) -> Report:
    def report(migration: Migration, number: int, total: int) -> None:
        if not session.logs_lines:
            session.console.say(f"{service.name}: {number} of {total}, {migration.id}")

    return report


def _tell(session: Session, squashed: Squashed) -> None:
    """What a person has to look at before agreeing."""
    say, schema = session.console.say, squashed.schema
    say(f"It makes what the {len(squashed.replaced)} files make: both were run, and compared.")
    for one in squashed.carriers:
        say(f"look at: {one.migration.id} changes data: {on_one_line(', '.join(one.does))}")
    for name, count in sorted(schema.data.items()):
        say(f"in the new file: {counted(count, 'row')} of {on_one_line(name)}, as the old files leave them")
    for name in squashed.anew:
        say(f"look at: the old files make {on_one_line(name)} anew each time; the new file has what they made just now")
    for name, count in sorted(schema.left_out.items()):
        say(f"look at: not in the new file: {counted(count, 'row')} of {on_one_line(name)} (--rows)")
    for role in schema.roles:
        say(f"look at: the role {on_one_line(role)} has to be on the server before it runs")


def _answer(session: Session, service: Service, squashed: Squashed, out: Path | None) -> None:
    path = out or squashed.path
    removed = [one.path for one in squashed.replaced if out is None and one.path != path]
    if session.as_json:
        session.answer(
            {
                "file": str(path),
                "removed": [str(one) for one in removed],
                "replaces": [one.id for one in squashed.replaced],
                "carries_data": [{"migration": one.migration.id, "does": [*one.does]} for one in squashed.carriers],
                "rows": dict(squashed.schema.data),
                "left_out": dict(squashed.schema.left_out),
                "made_anew": [*squashed.anew],
                "roles": [*squashed.schema.roles],
            },
            ExitCode.OK,
        )
        return
    session.console.data([(str(path), "")])
    if out is not None:
        _tell(session, squashed)
        session.console.say(f"Nothing was removed. Next: dataops squash {service.name} --to {squashed.replaced[-1].id}")
    else:
        session.console.say(f"{counted(len(removed), 'file')} removed. Next: dataops lint --service {service.name}")


__all__ = ["squash_command"]
