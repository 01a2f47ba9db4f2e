"""`dataops new`: a migration file with the right name, parent and shape."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from dataops.errors import CannotWrite, UsageError
from dataops.model import Kind, Service

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


def new(service: Service, message: str, now: datetime) -> Path:
    """Write the file and return its path. Its parent is the newest migration. Raises UsageError, CannotWrite."""
    title = " ".join(message.split())
    slug = re.sub(r"[^a-z0-9]+", "_" if service.kind is Kind.POSTGRESQL else "-", title.lower()).strip("_-")[:60]
    if not slug:
        raise UsageError("the message is empty", hint='say what it does: dataops new api-keys "add last_used_by"')
    stamp = now.strftime("%Y%m%d%H%M%S")
    parent = service.migrations[-1].id if service.migrations else None
    if service.kind is Kind.POSTGRESQL:
        path = service.folder / "versions" / f"{stamp}_{slug}.py"
        text = _ALEMBIC.format(title=_quoted(title), id=stamp, parent=f'"{parent}"' if parent else None)
        taken = stamp in service.by_id
    else:
        path = service.folder / f"{stamp}-{slug}.py"
        text = _MONGO.format(title=_quoted(title), id=path.stem, parent=f'"{parent}"' if parent else "")
        taken = path.stem in service.by_id
    if taken or path.exists():
        raise UsageError(f"{path} exists already", service=service.name, hint="wait a second and try again")
    try:
        path.write_text(text)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}", service=service.name, hint="nothing was written") from error
    return path


def _quoted(title: str) -> str:
    return title.replace("\\", "\\\\").replace('"', "'")
