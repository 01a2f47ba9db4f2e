"""doctor: looks at everything around the migrations, and says what is not well and how to mend it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from dataops import __version__
from dataops.backends import opened
from dataops.checkup import Check, Level
from dataops.cli.options import tabled
from dataops.cli.session import Session, command
from dataops.errors import DataopsError, ExitCode, ServerUnavailable
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import Service
from dataops.run.reading import side_by_side
from dataops.show import grouped, json, tables

_LIBRARIES = ("alembic", "sqlalchemy", "psycopg", "pymongo", "pymongo-migrate", "click")
_LITTLE_DISK = 2 * 1024**3
HERE = "this machine"


@command("doctor")
@tabled
def doctor_command(session: Session, form: str) -> ExitCode:
    """Look at versions, connections, rights, clocks, locks and disks, and say how to mend what is not well.

    Writes nothing, and shows no secret: its answer can go into an issue report. Exit 10 if something has to be mended.

    \b
    Example:
      dataops doctor
      dataops doctor --service shop --json
    """
    form = session.form(form)
    services = session.config().services
    found = [(HERE, check) for check in _machine(services)]
    looked_at = list(zip(services, side_by_side(_database, services), strict=True))
    if session.as_json or session.verbose:
        found += [(service.name, check) for service, checks in looked_at for check in checks]
    else:
        found += grouped.checks(looked_at)
    code = ExitCode.UNREACHABLE if any(check.level is Level.FAILED for _, check in found) else ExitCode.OK
    if session.as_json:
        session.answer({"checks": [json.check_of(where, check) for where, check in found]}, code)
        return code
    session.console.table(tables.checkup(found), form)
    if form in ("table", "wide"):
        session.console.data(_remedies(found))
    return code


def _database(service: Service) -> list[Check]:
    """What was found of one database, up to the question that was refused."""
    found: list[Check] = []
    try:
        with opened(service) as database:
            found += database.checkup()
    except DataopsError as error:
        found.append(Check("connection", error.message, Level.FAILED, error.hint))
    return found


def _remedies(found: list[tuple[str, Check]]) -> list[tuple[str, str]]:
    lines = [
        (f"{where}, {check.subject}: {check.remedy}", "bold red" if check.level is Level.FAILED else "yellow")
        for where, check in found
        if check.remedy
    ]
    return [("", ""), ("To mend it:" if lines else "Nothing has to be mended.", "bold"), *lines]


def _machine(services: tuple[Service, ...]) -> Iterator[Check]:
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    yield Check("dataops", f"{__version__}, Python {platform.python_version()}, {libraries}")
    yield from _squawk(services)
    for kind in dict.fromkeys(service.kind for service in services):
        yield _scratch(kind)
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1024**3:,.1f} GB free here"
    if free < _LITTLE_DISK:
        yield Check("disk", text, Level.NOTE, "scratch servers need some 0.5 GB: free some")
    else:
        yield Check("disk", text)


def _squawk(services: tuple[Service, ...]) -> Iterator[Check]:
    if not any(service.kind is POSTGRESQL for service in services):
        return
    from dataops.lint import squawk

    try:
        yield Check("squawk", squawk.program())
    except DataopsError as error:
        yield Check("squawk", error.message, Level.NOTE, error.hint)


def _scratch(kind: Kind) -> Check:
    """Whether a server for scratch databases, which `adopt`, `prove` and `squash` need, can be started here."""
    from dataops.dev import programs

    subject = f"scratch {kind.title}"
    find = {POSTGRESQL: programs.find_postgres, MONGODB: programs.find_mongodb}.get(kind)
    if find is None:
        return Check(subject, "there is none for this kind of database")
    try:
        program = find()
    except ServerUnavailable as error:
        return Check(subject, error.message, Level.NOTE, f"{error.hint}; or --scratch URL")
    return Check(subject, f"{program.version}, {program.path}")


__all__ = ["doctor_command"]
