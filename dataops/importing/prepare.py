"""What an import would write, and what a person has to look at then. Writes nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataops.errors import BrokenFile, HistoryError, UsageError
from dataops.files import chain
from dataops.files.aliases import ADOPT_FILE
from dataops.importing import folder as folders
from dataops.importing import naming, writer
from dataops.importing.naming import Named
from dataops.importing.originals import Found, Original
from dataops.importing.readers import TOOLS
from dataops.model import Service
from dataops.othertools.match import aliases_of, identities_of
from dataops.text import counted
from dataops.toolrecords import ToolRow

_OF_DJANGO = ("admin.*", "auth.*", "contenttypes.*", "sessions.*")


@dataclass(frozen=True)
class ToDo:
    """Something that a person has to look at. With `stops`, the file fails until somebody has finished it."""

    path: Path
    what: str
    stops: bool


@dataclass(frozen=True)
class Import:
    """What would be written: `files` by their paths, in the order of the history, and adopt.toml among them.

    `replaced` is the adopt.toml that gets more tables, None where there is none yet. `here` is how many of the
    originals are in the service already, and `left_out` are the other tool's files that make no migration.
    """

    files: Mapping[Path, str]
    replaced: Path | None
    here: int
    to_do: tuple[ToDo, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def prepare(service: Service, tool: str, folder: Path, encoding: str = "utf-8") -> Import:
    """Read the other tool's files, and say what files of ours they make.

    Raises UsageError for a service of the wrong kind or a folder that is not there, BrokenFile for a file that cannot
    be read, and HistoryError where the files make no history that continues the one of the service.
    """
    known = TOOLS[tool]
    if service.kind is not known.kind:
        raise UsageError(
            f"what is imported from {tool} is for {known.kind.title}, and this service is a {service.kind.title}",
            service=service.name,
            hint="name a service of that kind",
        )
    found = known.read(folders.read(folder, known.endings, encoding, deep=known.deep), folder)
    if not found.originals:
        told = f"; {found.left_out[0]}" if found.left_out else ""
        raise HistoryError(
            f"{folder} has no migrations of {tool}{told}", service=service.name, hint="name the folder of the files"
        )
    return _prepared(service, tool, folder, found)


def _prepared(service: Service, tool: str, folder: Path, found: Found) -> Import:
    known = TOOLS[tool]
    here = {one.name: id_ for one in found.originals if (id_ := _here(service, known.record or tool, one))}
    if service.migrations and not here:
        raise HistoryError(
            f"it has {counted(len(service.migrations), 'migration')} already, and none of them is of {folder}",
            service=service.name,
            hint="import into a service that has no files yet; nothing was written",
        )
    others = service.by_id.keys() - set(here.values())
    names = naming.named(found.originals, service.kind.format, others)
    new = [one for one in names if one.original.name not in here]
    place = chain.places_of(service.kind, service.folder, service.alembic)[0]
    files: dict[Path, str] = {}
    to_do: list[ToDo] = []
    parent = service.migrations[-1].id if service.migrations else None
    for one in new:
        path = place / f"{one.stem}.py"
        files[path] = writer.migration(one, parent, tool, service.kind.format)
        to_do += _to_do(path, one)
        parent = one.id
    adopt = service.folder / ADOPT_FILE
    more = _adopt_toml(service, known.record, [replace(one, id=here.get(one.original.name, one.id)) for one in names])
    if more:
        files[adopt] = _with_more(service, adopt, more)
    replaced = adopt if more and adopt.exists() else None
    return Import(files, replaced, len(here), tuple(to_do), found.left_out, found.notes)


def _here(service: Service, record: str, original: Original) -> str | None:
    """The id of the migration of ours that an earlier import has made of it."""
    return identities_of(service, record).migration_of(ToolRow(original.recorded)) if service.migrations else None


def _adopt_toml(service: Service, record: str, names: Sequence[Named]) -> str:
    """The tables that adopt.toml does not have yet."""
    if not record:
        return ""
    retired: tuple[str, ...] = ()
    if record == "django" and record not in service.aliases:
        applications = {f"{name.partition('.')[0]}.*" for one in names for name in one.original.recorded}
        retired = tuple(one for one in _OF_DJANGO if one not in applications)
    known = aliases_of(service, record).migrations
    return writer.adopt_toml(record, [one for one in names if one.id not in known], retired)


def _with_more(service: Service, path: Path, more: str) -> str:
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        text = f"{old.rstrip()}\n\n{more}" if old.strip() else more
        tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenFile(
            f"{path}: these tables cannot be added at its end: {error}",
            service=service.name,
            hint="write its tables as dataops docs adopting shows, with [TOOL.migrations.ID]; nothing was written",
        ) from error
    return text


def _to_do(path: Path, named: Named) -> list[ToDo]:
    original = named.original
    found = []
    if original.up is None:
        found.append(ToDo(path, f"a draft: write what {original.name} does", stops=True))
    for part in filter(None, (original.up, original.down)):
        found += [ToDo(path, what, stops=True) for what in part.unfinished]
        found += [ToDo(path, what, stops=False) for what in part.notes]
    return found + [ToDo(path, what, stops=False) for what in original.notes]


__all__ = ["Import", "ToDo", "prepare"]
