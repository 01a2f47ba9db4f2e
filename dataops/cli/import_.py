"""import: makes migration files of ours from those of other tools."""

from __future__ import annotations

from pathlib import Path

import click

from dataops.cli import completing
from dataops.cli.session import Session, command
from dataops.errors import ExitCode
from dataops.files import chain
from dataops.importing import prepare, saving
from dataops.importing.readers import TOOLS
from dataops.text import counted, on_one_line


@command("import", services=False)
@click.argument("service_name", metavar="SERVICE", shell_complete=completing.services)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from", "tool", type=click.Choice(list(TOOLS)), required=True, help="The tool whose files are in FOLDER."
)
@click.option("--encoding", default="utf-8", metavar="NAME", help="What the files are written in. Default: utf-8.")
def import_command(session: Session, service_name: str, folder: Path, tool: str, encoding: str) -> None:
    """Make migration files from those of another tool in FOLDER. Needs no database.

    SQL is taken over as it is. A migration in another language becomes a draft, which lint names until somebody has
    written it. Nothing is overwritten, and where a file cannot be read, nothing is written.

    \b
    Example:
      dataops import shop --from sqlx ../shop/migrations
      dataops import docs --from migrate-mongo ../docs/migrations
    """
    service = session.config(with_urls=False, with_files=False, selected=[service_name]).services[0]
    if all(place.is_dir() for place in chain.places_of(service.kind, service.folder, service.alembic)):
        service = session.config(with_urls=False, selected=[service_name]).services[0]
    found = prepare.prepare(service, tool, folder, encoding)
    saving.save(found.files, replaced=found.replaced)
    following = _following(service_name, tool, found)
    if session.as_json:
        session.answer(
            {
                "files": [str(path) for path in found.files],
                "here_already": found.here,
                "to_do": [{"file": str(one.path), "what": one.what, "stops": one.stops} for one in found.to_do],
                "left_out": [*found.left_out],
                "notes": [*found.notes],
                "next": following,
            },
            ExitCode.OK,
        )
        return
    session.console.data([(str(path), "") for path in found.files])
    _tell(session, found, following)


def _following(service: str, tool: str, found: prepare.Import) -> str:
    """The next command, for a database that the other tool has migrated."""
    if any(one.stops for one in found.to_do):
        return f"dataops lint --service {service}"
    return f"dataops adopt --service {service}" if TOOLS[tool].record else f"dataops baseline {service} --to ID"


def _tell(session: Session, found: prepare.Import, following: str) -> None:
    say = session.console.say
    if found.here:
        say(f"{counted(found.here, 'migration')} of it {'is' if found.here == 1 else 'are'} here already")
    for one in found.to_do:
        say(f"{'to do' if one.stops else 'look at'}: {one.path}: {on_one_line(one.what)}")
    for note in found.notes:
        say(f"look at: {on_one_line(note)}")
    for left in found.left_out:
        say(f"left out: {on_one_line(left)}")
    if not found.files:
        say("Nothing was written.")
    elif any(one.stops for one in found.to_do):
        say(f"Next: write what is missing, which this names: {following}")
    else:
        say(f"Next: {following}; for a new database: dataops plan")


__all__ = ["import_command"]
