"""init: looks at a folder, and writes a dataops.toml for what is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from dataops import config, outfile
from dataops.cli.errors import code_of
from dataops.cli.session import Session, command, consent
from dataops.errors import ConfigError, DataopsError, ExitCode, UsageError
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import Service
from dataops.projects import proposing, skeleton, writing
from dataops.projects.finding import DEPTH, Search, find
from dataops.projects.proposing import Proposal
from dataops.projects.standing import Standing, standing


@command("init", services=False)
@click.option("--postgresql", multiple=True, metavar="NAME", help="Also begin a new PostgreSQL service of this name.")
@click.option("--mongodb", multiple=True, metavar="NAME", help="Also begin a new MongoDB service of this name.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def init_command(session: Session, postgresql: tuple[str, ...], mongodb: tuple[str, ...], yes: bool) -> ExitCode:
    """Look for migrations in this folder and below it, and write a dataops.toml for them. Overwrites nothing.

    Finds those of Alembic and pymongo-migrate, which need no more than that, and those of sqlx, dbmate, goose,
    golang-migrate, Flyway, Prisma, Django, drizzle, knex and migrate-mongo. Where the variables with the URLs are set
    already, it also says where each database stands; it only looks.

    \b
    Example:
      dataops init
      dataops init --postgresql shop --mongodb docs
    """
    new: list[tuple[str, Kind]] = [(name, POSTGRESQL) for name in postgresql] + [(name, MONGODB) for name in mongodb]
    proposing.check_names(new)
    target = (session.config_path or Path(config.FILE_NAME)).absolute()
    top = target.parent
    _refuse_existing(target)
    search = find(top)
    proposals = proposing.propose(search.found, new, top, os.environ)
    files = _files(proposals, target, search)
    if not session.as_json:
        _show(session, search, proposals, files, target)
    _refuse_nothing(search, proposals, top)
    if not yes:
        consent(
            f"Write {', '.join(proposing.shown(path, top) for path in files)}?",
            hint="look at what it would write, and then: dataops init --yes",
        )
    writing.write_all(files)
    standings = _look(session, proposals)
    return _end(session, search, proposals, files, standings, top)


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise ConfigError(
            f"{target} exists already; nothing was written",
            hint="add a paragraph to it by hand, or move it away; dataops status shows what it names",
        )
    outfile.refuse_unwritable(target, hint="nothing was written; may this user write into this folder?")


def _refuse_nothing(search: Search, proposals: Sequence[Proposal], top: Path) -> None:
    if not proposals:
        what = "no migrations that dataops can work with" if search.found else "no migrations"
        raise UsageError(
            f"{what} in {top}, or in folders at most {DEPTH} levels below it; nothing was written",
            hint="begin with new ones: dataops init --postgresql NAME, or --mongodb NAME, or both",
        )


def _files(proposals: Sequence[Proposal], target: Path, search: Search) -> dict[Path, str]:
    """What to write, dataops.toml last: only with it is there a project."""
    from dataops import scaffold

    files: dict[Path, str] = {}
    top, now = target.parent, datetime.now(UTC)
    new = [one for one in proposals if one.found is None]
    for one in new:
        if one.folder.exists() and (not one.folder.is_dir() or any(one.folder.iterdir())):
            raise ConfigError(
                f"{one.folder} exists already, and is not empty; nothing was written",
                service=one.name,
                hint="choose another name, or move the folder away",
            )
        path, text = scaffold.draft(Service(one.name, one.engine, "", one.folder), "first migration", now)
        files[path] = text
        if one.engine is POSTGRESQL:
            files |= skeleton.alembic_files(one.name, one.folder)
    places = [(one.name, proposing.shown(one.folder, top)) for one in new if one.engine is POSTGRESQL]
    if places and not (top / "alembic.ini").exists():
        files[top / "alembic.ini"] = skeleton.alembic_ini(places)
    return {**files, target: proposing.text_of(proposals, top)}


def _show(
    session: Session, search: Search, proposals: Sequence[Proposal], files: dict[Path, str], target: Path
) -> None:
    top = target.parent
    session.console.data([(f"found: {proposing.seen(one, top)}", "") for one in search.found])
    if not search.whole:
        session.console.say("There are too many folders: not all of them were looked into.", "yellow")
    above = next((one for one in top.parents if (one / config.FILE_NAME).is_file()), None)
    if above is not None:
        session.console.say(f"{above / config.FILE_NAME} exists too; in this folder, the new one will count.", "yellow")
    if proposals:
        session.console.data([("", ""), *((f"  {line}".rstrip(), "") for line in files[target].splitlines()), ("", "")])
    beside = target.parent / "alembic.ini"
    places = [(one.name, proposing.shown(one.folder, top)) for one in proposals if one.found is None]
    if beside not in files and any(one.found is None and one.engine is POSTGRESQL for one in proposals):
        session.console.say(f"For Alembic's own command line, add to alembic.ini:{skeleton.sections(places)}")


def _look(session: Session, proposals: Sequence[Proposal]) -> dict[str, Standing | DataopsError]:
    """Where the databases stand whose variables are set. Only asks."""
    from dataops.run.reading import look

    found: dict[str, Standing | DataopsError] = {}
    for one in proposals:
        if one.to_import or not (os.environ.get(one.variable) or os.environ.get(f"{one.variable}_FILE")):
            continue
        try:
            services = session.config(selected=[one.name], observed=True).services
            (state,) = look(services, emit=session.sink())
            found[one.name] = state if isinstance(state, DataopsError) else standing(state)
        except DataopsError as error:
            error.service = error.service or one.name
            found[one.name] = error
    return found


def _end(
    session: Session,
    search: Search,
    proposals: Sequence[Proposal],
    files: dict[Path, str],
    standings: dict[str, Standing | DataopsError],
    top: Path,
) -> ExitCode:
    errors = [one for one in standings.values() if isinstance(one, DataopsError)]
    code = code_of(errors)
    known = {name: one for name, one in standings.items() if isinstance(one, Standing)}
    to_set = [one for one in proposals if one.name not in standings]
    commands = [one.command for one in known.values() if one.command]
    following = proposing.first_commands(proposals, top) if to_set or not known else commands
    if session.as_json:
        session.answer(
            {
                "files": [str(path) for path in files],
                "found": [
                    {
                        "tool": one.tool,
                        "folder": str(one.folder),
                        "migrations": one.files,
                        "problem": one.problem or None,
                    }
                    for one in search.found
                ],
                "services": [
                    {
                        "name": one.name,
                        "engine": one.engine.name,
                        "folder": str(one.folder),
                        "observe": one.found.tool if one.observed and one.found else None,
                        "variable": one.variable,
                        "standing": known[one.name].text if one.name in known else None,
                        "error": str(standings[one.name]) if one.name in standings and one.name not in known else None,
                    }
                    for one in proposals
                ],
                "next": following,
            },
            code,
        )
        return code
    session.console.data([(f"written: {proposing.shown(path, top)}", "green") for path in files])
    for name, one in standings.items():
        if isinstance(one, DataopsError):
            session.console.error(one)
        else:
            then = f"; next: {one.command}" if one.command and to_set else ""
            session.console.data([(f"{name}: {one.text}{then}", "")])
    for each in to_set:
        session.console.say(
            f"Set {each.variable} to {proposing.url_shape(each)}, or {each.variable}_FILE to a file with it."
        )
    session.console.say(
        f"Next: {', then '.join(following)}" if following else "Next: nothing is pending; dataops status"
    )
    return code
