"""Lets Alembic write a migration file, as the project's own script.py.mako, env.py and alembic.ini say. See ADR 16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dataops import alembicini
from dataops.backends.postgres import PostgresDatabase, envprocess
from dataops.errors import BrokenFile, CannotWrite, ConfigError, NotUpToDate
from dataops.files import chain, ids
from dataops.model import Service
from dataops.planning import checks
from dataops.redaction import redact
from dataops.text import counted


@dataclass(frozen=True)
class Written:
    """The files that Alembic has written.

    `seen` are the differences that it has found, and `printed` is what env.py and the post-write hooks have printed.
    """

    files: tuple[Path, ...]
    seen: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()


def write(service: Service, message: str, *, autogenerate: bool, with_database: bool) -> Written:
    """Write a file after the newest one; with `autogenerate`, of what the metadata has and the database has not.

    Where there is nothing to write, no file is written. Raises NotUpToDate where something is pending, ConfigError
    where there is no metadata, BrokenFile for what is wrong with the project's files, CannotWrite, and what `read`
    raises where the database is needed.
    """
    if not (service.folder / alembicini.TEMPLATE).is_file():
        raise ConfigError(
            f"there is no {service.folder / alembicini.TEMPLATE}, which Alembic makes a new file of",
            service=service.name,
            hint="copy Alembic's: cp \"$(python -c 'import alembic; print(alembic.__path__[0])')/templates/generic/"
            f'{alembicini.TEMPLATE}" {service.folder}',
        )
    record = ("", "")
    if with_database:
        database = PostgresDatabase(service)
        state = database.read()
        checks.check(state)
        if autogenerate and state.pending:
            raise NotUpToDate(
                f"the database is not up to date: {counted(len(state.pending), 'migration')} pending, which a "
                "comparison would find once more",
                service=service.name,
                hint=f"dataops apply --service {service.name}",
            )
        ours = database.our_tables()
        record = (ours.record.name, ours.record.schema)
    places = chain.places_of(service.kind, service.folder, service.alembic)
    newest = service.migrations[-1].id if service.migrations else ""
    answered = envprocess.ask(
        service,
        "dataops.backends.postgres.revising",
        {
            "service": service.name,
            "url": service.url if with_database else "",
            "record": record,
            "message": message,
            "autogenerate": autogenerate,
            "stamped": bool(ids.time_of(newest)) or (not newest and alembicini.is_ours(service.folder / "env.py")),
            "versions": [str(place) for place in places],
            "version_path": None if newest else str(places[0]),
        },
        seconds=None,
        hint="it has to work as for Alembic's own `revision`; nothing was written",
    )
    values = answered.values
    if values.get("no_metadata"):
        raise ConfigError(
            f"{service.folder / 'env.py'} gives Alembic no target_metadata to compare the database with",
            service=service.name,
            hint="say there which it is: target_metadata = Base.metadata, with the Base of your models, and give it to "
            "context.configure() or run_migrations()",
        )
    if "unwritable" in values:
        raise CannotWrite(f"{values['unwritable']}: {values['why']}", service=service.name, hint="nothing was written")
    if "error" in values:
        raise BrokenFile(
            f"Alembic cannot write the file: {redact(values['error'])}",
            service=service.name,
            hint="correct what it names in alembic.ini, env.py or script.py.mako; nothing was written",
        )
    return Written(tuple(map(Path, values["files"])), tuple(map(redact, values["seen"])), answered.printed)


__all__ = ["Written", "write"]
