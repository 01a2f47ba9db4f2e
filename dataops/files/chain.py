"""Migration files on disk: they are read, without being run, and put into one chain for each service.

The order comes from the parents that files name, never from the numbers in their names: ids may mix 14 and 16 digits,
and pymongo-migrate itself orders a diamond wrongly. So each service has one first migration, and each migration but the
newest one has exactly one child. Anything else is an error that names the files.
"""

from __future__ import annotations

import os
from pathlib import Path

from dataops import source
from dataops.errors import BrokenFile, ConfigError, HistoryError
from dataops.kinds import ALEMBIC, PYMONGO_MIGRATE, FileFormat, Kind
from dataops.model import Migration, broken
from dataops.redaction import redact
from dataops.text import near, on_one_line


def load(service: str, kind: Kind, folder: Path) -> tuple[Migration, ...]:
    """The migrations of a service, oldest first. Raises HistoryError, BrokenFile and ConfigError."""
    found: dict[str, Migration] = {}
    for path in paths(service, kind, folder):
        migration = read(service, kind, path)
        other = found.setdefault(migration.id, migration)
        if other is not migration:
            raise HistoryError(
                f"two files have the id {migration.id}: {other.path.name} and {path.name}",
                service=service,
                hint="give one of them an id of its own",
            )
    return _chain(service, found)


def place_of(kind: Kind, folder: Path) -> Path:
    """The folder in which the files themselves are, inside a service's folder."""
    return folder / kind.format.folder


def paths(service: str, kind: Kind, folder: Path) -> list[Path]:
    """The migration files, sorted by name and not read yet. Raises ConfigError when there is no such folder."""
    place = place_of(kind, folder)
    if not place.is_dir():
        raise ConfigError(
            f"the folder {place} does not exist",
            service=service,
            hint="correct `folder` in dataops.toml, or create the folder",
        )
    try:
        with os.scandir(place) as entries:
            names = sorted(entry.name for entry in entries if is_migration(entry.name))
    except OSError as error:
        raise ConfigError(f"{place}: {error.strerror}", service=service, hint="make the folder readable") from error
    return [place / name for name in names]


def is_migration(name: str) -> bool:
    """Whether a file of this name is a migration."""
    return name.endswith(".py") and not name.startswith(("__", "."))


def read(service: str, kind: Kind, path: Path) -> Migration:
    """Read one file, and none of the others. Raises BrokenFile, and HistoryError for a file with several parents."""
    migration = _READERS[kind.format](service, kind, path)
    if on_one_line(migration.id) != migration.id:
        raise BrokenFile(
            f"{path}: its id has a character that cannot be seen or stored: {on_one_line(migration.id)}",
            service=service,
            hint="use letters, digits, - and _",
        )
    return migration


def _identity(service: str, path: Path, text: bytes, written: FileFormat) -> tuple[str | None, object]:
    try:
        return source.identity(text, (written.id_variable, written.parent_variable))
    except source.Unreadable as error:
        raise broken(path, error, service) from error


def _read_bytes(service: str, path: Path) -> bytes:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # to read a pipe would never end
            raise BrokenFile(f"{path}: not a regular file", service=service, hint="take it out of the folder")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BrokenFile(f"{path}: {error.strerror}", service=service, hint="make the file readable") from error


def _read_alembic(service: str, kind: Kind, path: Path) -> Migration:
    text = _read_bytes(service, path)
    revision, parent = _identity(service, path, text, kind.format)
    if revision is None:
        raise BrokenFile(f"{path}: it does not say revision = ...", service=service, hint="see `dataops new --help`")
    if not (parent is None or isinstance(parent, str)):
        raise HistoryError(
            f"{path}: down_revision names {len(parent) if isinstance(parent, tuple) else 'no'} parents",
            service=service,
            hint="dataops keeps one chain per service: give each file exactly one parent",
        )
    return Migration(id=revision, parent=parent, path=path, kind=kind, text=text)


def _read_mongo(service: str, kind: Kind, path: Path) -> Migration:
    text = _read_bytes(service, path)
    name, parents = _identity(service, path, text, kind.format)
    if name not in (None, path.stem):
        raise BrokenFile(
            f"{path}: name is {redact(repr(name))}, but pymongo-migrate wants the file's own name, {path.stem!r}",
            service=service,
            hint="rename the file or change `name`",
        )
    if not isinstance(parents, list | tuple) or not all(isinstance(parent, str) for parent in parents):
        raise BrokenFile(
            f"{path}: dependencies has to be a list of names", service=service, hint="see the file before it"
        )
    if len(parents) > 1:
        raise HistoryError(
            f"{path}: dependencies names {len(parents)} parents",
            service=service,
            hint="dataops keeps one chain per service: give each file exactly one parent",
        )
    return Migration(id=path.stem, parent=parents[0] if parents else None, path=path, kind=kind, text=text)


_READERS = {ALEMBIC: _read_alembic, PYMONGO_MIGRATE: _read_mongo}


def _chain(service: str, found: dict[str, Migration]) -> tuple[Migration, ...]:
    children: dict[str | None, list[Migration]] = {}
    for migration in found.values():
        if migration.parent is not None and migration.parent not in found:
            raise HistoryError(
                f"{migration.path.name}: its parent {migration.parent} does not exist",
                service=service,
                hint=near(migration.parent, [m for m in found if m != migration.id]),
            )
        children.setdefault(migration.parent, []).append(migration)
    for parent, born in children.items():
        if len(born) > 1:
            names = " and ".join(sorted(m.path.name for m in born))
            raise HistoryError(
                f"two heads: {names} both come after {parent}" if parent else f"two first migrations: {names}",
                service=service,
                hint="let the newer one name the other as its parent",
            )
    chain: list[Migration] = []
    here: str | None = None
    while here in children:
        chain.append(children[here][0])
        here = chain[-1].id
    if len(chain) < len(found):
        reached = {migration.id for migration in chain}
        left = sorted(m.path.name for m in found.values() if m.id not in reached)
        raise HistoryError(
            f"a cycle: {', '.join(left[:5])} never reach a first migration",
            service=service,
            hint="one of them has to name a parent that is not among them",
        )
    return tuple(chain)


__all__ = ["is_migration", "load", "paths", "place_of", "read"]
