"""Migration files on disk, read without being run and put into one chain per service.

Order is by parents, never by comparing the numbers in names: Blink's names mix 14- and 16-digit prefixes, and
pymongo-migrate's own order is wrong for a diamond. So there is one base, one head and one child each, or an error
that names the files. Beside them may lie an adopt.toml: what other tools call the same migrations.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dataops import source
from dataops.errors import BrokenFile, ConfigError, HistoryError, UsageError
from dataops.model import Kind, Known, Migration, Namesakes, broken

ADOPT_FILE = "adopt.toml"


def load(service: str, kind: Kind, folder: Path) -> tuple[Migration, ...]:
    """The chain of a service, oldest first. Raises HistoryError or ConfigError."""
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
    """Where the files of a service's folder are."""
    return folder / "versions" if kind is Kind.POSTGRESQL else folder


def paths(service: str, kind: Kind, folder: Path) -> list[Path]:
    """The migration files, by name, unread. Raises ConfigError when there is no such folder."""
    place = place_of(kind, folder)
    if not place.is_dir():
        raise ConfigError(
            f"the folder {place} does not exist",
            service=service,
            hint="correct `folder` in dataops.toml, or create the folder",
        )
    with os.scandir(place) as entries:
        names = sorted(entry.name for entry in entries if is_migration(entry.name))
    return [place / name for name in names]


def is_migration(name: str) -> bool:
    return name.endswith(".py") and not name.startswith(("__", "."))


def read(service: str, kind: Kind, path: Path) -> Migration:
    """One file, on its own. Raises BrokenFile, or HistoryError for one with several parents."""
    return (_read_alembic if kind is Kind.POSTGRESQL else _read_mongo)(service, path)


def find(service: str, migrations: Iterable[Migration], wanted: str) -> Migration:
    """The migration with this id, or the only one whose id begins with it. Raises UsageError with near names."""
    migrations = tuple(migrations)
    exact = [m for m in migrations if m.id == wanted]
    matches = exact or [m for m in migrations if m.id.startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"{wanted} could be any of {', '.join(m.id for m in matches[:5])}",
            service=service,
            hint="write more of the id",
        )
    raise UsageError(f"there is no migration {wanted}", service=service, hint=near(wanted, [m.id for m in migrations]))


def namesakes(service: str, folder: Path, migrations: Iterable[Migration]) -> dict[str, Namesakes]:
    """What the adopt.toml in `folder` says, by tool; nothing where there is none. Raises ConfigError."""
    path = folder / ADOPT_FILE
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", service=service) from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{path}:{line[1] if line else '?'}: {error}", service=service) from error
    ids = {migration.id for migration in migrations}
    found = {}
    for tool, about in table.items():
        where = f"{path}: [{tool}]"
        _fields(about, {"extension": str, "retired": list, "migrations": dict}, where)
        if not about.get("extension", ".").startswith("."):
            raise ConfigError(f"{where}: extension has to begin with a dot", service=service, hint='for example ".mjs"')
        names: dict[str, str] = {}
        known = {}
        for id_, said in about.get("migrations", {}).items():
            if id_ not in ids:
                raise ConfigError(f"{where}: there is no migration {id_}", service=service, hint=near(id_, ids))
            _fields(said, _KNOWN_FIELDS, f"{where} {id_}")
            values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in said.items()}
            known[id_] = Known(**values)
            for name in (known[id_].name, *known[id_].also):
                if name and names.setdefault(name, id_) != id_:
                    raise ConfigError(
                        f"{where}: {name} is said of {names[name]} and of {id_}",
                        service=service,
                        hint="a name can mean one migration only",
                    )
        found[tool] = Namesakes(tool, about.get("extension", ""), tuple(about.get("retired", ())), known)
    return found


_KNOWN_FIELDS = {"name": str, "also": list, "description": str, "checksum": str, "earlier": list}


def _fields(table: object, known: Mapping[str, type], where: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} has to be a table", hint="see docs/adopting.md#adopttoml")
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}", hint=near(key, known))
        items: list[Any] = value if isinstance(value, list) else []
        if not isinstance(value, known[key]) or not all(isinstance(item, str) for item in items):
            kind = {"str": "text", "list": "list of texts"}.get(known[key].__name__, "table")
            raise ConfigError(f"{where}: {key} has to be a {kind}")


def near(wanted: str, names: Iterable[str]) -> str:
    """A hint with the names that look like `wanted`, or the last ones there are."""
    import difflib  # only needed when something is wrong

    names = list(names)
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are: {', '.join(names[-5:])}" if names else "there are none yet"


def _identity(service: str, path: Path, text: bytes, names: tuple[str, str]) -> tuple[str | None, object]:
    try:
        return source.identity(text, names)
    except source.Unreadable as error:
        raise broken(path, error, service) from error


def _read_bytes(service: str, path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BrokenFile(f"{path}: {error.strerror}", service=service, hint="make the file readable") from error


def _read_alembic(service: str, path: Path) -> Migration:
    text = _read_bytes(service, path)
    revision, parent = _identity(service, path, text, source.ALEMBIC_NAMES)
    if revision is None:
        raise BrokenFile(f"{path}: it does not say revision = ...", service=service, hint="see `dataops new --help`")
    if not (parent is None or isinstance(parent, str)):
        raise HistoryError(
            f"{path}: down_revision names {len(parent) if isinstance(parent, tuple) else 'no'} parents",
            service=service,
            hint="dataops keeps one chain per service: give each file exactly one parent",
        )
    return Migration(id=revision, parent=parent, path=path, kind=Kind.POSTGRESQL, text=text)


def _read_mongo(service: str, path: Path) -> Migration:
    text = _read_bytes(service, path)
    name, parents = _identity(service, path, text, source.MONGO_NAMES)
    if name not in (None, path.stem):
        raise BrokenFile(
            f"{path}: name is {name!r}, but pymongo-migrate wants the file's own name, {path.stem!r}",
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
    return Migration(id=path.stem, parent=parents[0] if parents else None, path=path, kind=Kind.MONGODB, text=text)


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
            where = f"after {parent}" if parent else "that say they are the first"
            raise HistoryError(
                f"two heads: {names} both come {where}" if parent else f"two first migrations: {names}",
                service=service,
                hint="let the newer one name the other as its parent",
            )
    chain: list[Migration] = []
    here: str | None = None
    while here in children:
        chain.append(children[here][0])
        here = chain[-1].id
    if len(chain) < len(found):
        left = sorted(m.path.name for m in found.values() if m not in chain)
        raise HistoryError(
            f"a cycle: {', '.join(left[:5])} never reach a first migration",
            service=service,
            hint="one of them has to name a parent that is not among them",
        )
    return tuple(chain)
