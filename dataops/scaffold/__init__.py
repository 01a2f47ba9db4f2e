"""`dataops new`: a migration file with the right name, parent and shape."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dataops import alembicini, outfile
from dataops.errors import UsageError
from dataops.files import chain
from dataops.kinds import ALEMBIC, PYMONGO_MIGRATE
from dataops.model import Service
from dataops.scaffold import templates

_ALEMBIC = '''"""{title}

What it does, how it is undone, and what is put aside so that nothing is lost.
"""

from alembic import op

revision = "{id}"
down_revision = {parent}


def upgrade() -> None:
    op.execute("")


def downgrade() -> None:
    op.execute("")
'''

_MONGO = '''"""{title}

What it does, on documents of which shapes, how it is undone, and what is put aside so that nothing is lost.
"""

from typing import Any

from pymongo.database import Database

name = "{id}"
dependencies = [{parent}]
repeatable = False  # True promises: stopped at any command and run again, it ends in the same documents


def upgrade(db: Database[dict[str, Any]]) -> None:
    pass


def downgrade(db: Database[dict[str, Any]]) -> None:
    pass
'''


@dataclass(frozen=True)
class New:
    """The files that were written: none where a comparison has found nothing.

    `found` are the differences that it has found, `printed` is what programs of the project have said, and `warnings`
    name what of the project's configuration is not honoured.
    """

    files: tuple[Path, ...]
    found: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Template:
    """How files of a kind look: the whole text of an empty one, and the parts of one from a template."""

    text: str
    separator: str
    no_parent: str
    head: str
    identity: str
    parameters: str = ""


_TEMPLATES = {
    ALEMBIC: _Template(_ALEMBIC, "_", "None", "from alembic import op", 'revision = "{id}"\ndown_revision = {parent}'),
    PYMONGO_MIGRATE: _Template(
        _MONGO,
        "-",
        "",
        "from typing import Any\n\nfrom pymongo.database import Database\n",
        'name = "{id}"\ndependencies = [{parent}]',
        "db: Database[dict[str, Any]]",
    ),
}


_OURS = {"file_template": "%(year)d%(month).2d%(day).2d%(hour).2d%(minute).2d%(second).2d_%(slug)s", "timezone": "UTC"}
"""What the files of ours are named by, whatever alembic.ini says."""


def needs_database(service: Service, *, autogenerate: bool) -> bool:
    """Whether a new file needs the database. Raises UsageError where nothing can be compared."""
    if service.kind.format is not ALEMBIC:
        if autogenerate:
            raise UsageError(
                "--autogenerate is Alembic's, and this service is none of its projects",
                service=service.name,
                hint="leave it out, and write the file",
            )
        return False
    asked = service.alembic.new_files.get("revision_environment", "") if service.alembic is not None else ""
    return autogenerate or (_alembic_writes(service) and asked.lower() in ("true", "1", "yes", "on"))


def _alembic_writes(service: Service) -> bool:
    """Whether it is a project of Alembic: it has Alembic's template, and an env.py of its own."""
    if service.kind.format is not ALEMBIC or not (service.folder / alembicini.TEMPLATE).is_file():
        return False
    return not alembicini.is_ours(service.folder / "env.py")


def new(service: Service, message: str, now: datetime, *, autogenerate: bool = False) -> New:
    """Write a migration file that comes after the newest one: Alembic writes it in a project of its own.

    `message` becomes its title and part of its name. Raises UsageError for an empty message or a file that exists,
    CannotWrite, and what `revision.write` raises.
    """
    path, text = draft(service, message, now)
    if autogenerate or _alembic_writes(service):
        from dataops.backends.postgres import revision

        with_database = needs_database(service, autogenerate=autogenerate)
        title = " ".join(message.split())
        made = revision.write(service, title, autogenerate=autogenerate, with_database=with_database)
        return New(made.files, made.seen, made.printed)
    outfile.write_new(path, text, hint="nothing was written")
    return New((path,), warnings=tuple(_not_honoured(service)))


def _not_honoured(service: Service) -> Iterator[str]:
    ini = service.alembic
    if ini is not None:
        names = [name for name, value in ini.new_files.items() if value != _OURS.get(name)]
        why = "because env.py is ours or there is no script.py.mako"
        yield from (f"{name} of {ini.path.name} is not honoured, {why}" for name in names)


def new_from_template(service: Service, message: str, now: datetime, wanted: templates.Wanted) -> New:
    """Write the files of a template, one after the other. Raises UsageError, and CannotWrite."""
    made: list[tuple[Path, str]] = []
    template = _TEMPLATES[service.kind.format]
    parent = service.migrations[-1].id if service.migrations else ""
    ids: set[str] = set()
    for part in templates.parts(service.kind, wanted):
        title = _title(f"{message}: {part.title}" if part.title else message)
        id_, path = _name(service, title, now, ids)
        before = f'"{parent}"' if parent else template.no_parent
        identity = template.identity.format(id=id_, parent=before)
        made.append((path, part.text(template.head, identity, template.parameters, _quoted(title))))
        ids.add(id_)
        parent, now = id_, now + timedelta(seconds=1)
    for path, text in made:
        outfile.write_new(path, text, hint="nothing more was written")
    return New(tuple(path for path, _ in made), warnings=tuple(_not_honoured(service)))


def draft(service: Service, message: str, now: datetime) -> tuple[Path, str]:
    """The path and the text of such a file, which is not written. Raises UsageError."""
    title = _title(message)
    template = _TEMPLATES[service.kind.format]
    id_, path = _name(service, title, now)
    parent = f'"{service.migrations[-1].id}"' if service.migrations else template.no_parent
    return path, template.text.format(title=_quoted(title), id=id_, parent=parent)


def _title(message: str) -> str:
    title = " ".join(message.split())
    if not title.isprintable():  # bytes of the command line that are not UTF-8 are not printable either
        raise UsageError("the message has characters that are not text", hint="write it in UTF-8, on one line")
    return title


def _name(service: Service, title: str, now: datetime, made: Collection[str] = ()) -> tuple[str, Path]:
    """The id and the path of a file with this title, which has none of the ids in `made`."""
    template = _TEMPLATES[service.kind.format]
    # NFKD writes é as e with an accent after it, which is left out.
    plain = "".join(one for one in unicodedata.normalize("NFKD", title.lower()) if not unicodedata.combining(one))
    slug = re.sub(r"[^a-z0-9]+", template.separator, plain).strip("_-")[:60]
    if not slug:
        raise UsageError(
            "the message has no letter from a to z and no digit, and the name of the file is made of these"
            if title
            else "the message is empty",
            hint='say what it does: dataops new SERVICE "add last_used_by"',
        )
    place = chain.places_of(service.kind, service.folder, service.alembic)[0]
    if service.migrations and service.alembic is not None:  # there may be several folders
        place = service.migrations[-1].path.parent
    taken = True
    while taken:  # somebody was as fast as that in this second
        stamp = now.strftime("%Y%m%d%H%M%S")
        name = f"{stamp}{template.separator}{slug}"
        id_, path = name if service.kind.format.id_is_file_name else stamp, place / f"{name}.py"
        taken, now = id_ in service.by_id or id_ in made or path.exists(), now + timedelta(seconds=1)
    return id_, path


def _quoted(title: str) -> str:
    return title.replace("\\", "\\\\").replace('"', "'")
