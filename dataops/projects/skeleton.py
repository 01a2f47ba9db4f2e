"""The files of a new PostgreSQL service with which Alembic's own command line works too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_ENV = '''"""Alembic's way into the {name} database: the same lock and journal as `dataops`."""

from dataops.backends.postgres.env import run

run("{name}")
'''

SCRIPT = '''"""${message}

What it does, how it is undone, and what is put aside so that nothing is lost.
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
'''

_INI = """# For Alembic's own command line: alembic -n NAME current
# What it does to a database goes through the lock and the journal of dataops; URLs come from where dataops takes them.

[DEFAULT]
file_template = %%(year)d%%(month).2d%%(day).2d%%(hour).2d%%(minute).2d%%(second).2d_%%(slug)s
timezone = UTC
path_separator = os
prepend_sys_path = .
"""


def alembic_files(name: str, folder: Path) -> dict[Path, str]:
    """env.py and the template of Alembic's `revision`."""
    return {folder / "env.py": _ENV.format(name=name), folder / "script.py.mako": SCRIPT}


def sections(services: Sequence[tuple[str, str]]) -> str:
    """The sections of alembic.ini for services and their folders, relative to that file."""
    return "".join(f"\n[{name}]\nscript_location = %(here)s/{folder}\n" for name, folder in services)


def alembic_ini(services: Sequence[tuple[str, str]]) -> str:
    """A whole alembic.ini."""
    return _INI + sections(services)


__all__ = ["alembic_files", "alembic_ini", "sections"]
