"""`dataops new`: a migration file with the right name, parent and shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dataops.errors import CannotWrite, UsageError
from dataops.files import chain
from dataops.kinds import ALEMBIC, PYMONGO_MIGRATE
from dataops.model import Service

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
class _Template:
    text: str
    separator: str
    no_parent: str


_TEMPLATES = {ALEMBIC: _Template(_ALEMBIC, "_", "None"), PYMONGO_MIGRATE: _Template(_MONGO, "-", "")}


def new(service: Service, message: str, now: datetime) -> Path:
    """Write a migration file that comes after the newest one, and return its path.

    `message` becomes its title and part of its name. Raises UsageError for an empty message or a file that exists, and
    CannotWrite.
    """
    title = " ".join(message.split())
    if not title.isprintable():  # bytes of the command line that are not UTF-8 are not printable either
        raise UsageError("the message has characters that are not text", hint="write it in UTF-8, on one line")
    template = _TEMPLATES[service.kind.format]
    slug = re.sub(r"[^a-z0-9]+", template.separator, title.lower()).strip("_-")[:60]
    if not slug:
        raise UsageError("the message is empty", hint='say what it does: dataops new SERVICE "add last_used_by"')
    stamp = now.strftime("%Y%m%d%H%M%S")
    name = f"{stamp}{template.separator}{slug}"
    id_ = name if service.kind.format.id_is_file_name else stamp
    place = chain.places_of(service.kind, service.folder, service.alembic)[0]
    if service.migrations and service.alembic is not None:  # there may be several folders
        place = service.migrations[-1].path.parent
    path = place / f"{name}.py"
    parent = f'"{service.migrations[-1].id}"' if service.migrations else template.no_parent
    if id_ in service.by_id or path.exists():
        raise UsageError(f"{path} exists already", service=service.name, hint="wait a second and try again")
    text = template.text.format(title=_quoted(title), id=id_, parent=parent)
    try:
        path.write_text(text)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}", service=service.name, hint="nothing was written") from error
    return path


def _quoted(title: str) -> str:
    return title.replace("\\", "\\\\").replace('"', "'")
