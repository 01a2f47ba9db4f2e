"""Migration files on disk: they are read, without being run, and put into one chain for each service.

The order comes from the parents that files name, never from the numbers in their names: ids may mix 14 and 16 digits.
A history may have had branches, as long as they were joined again: it has one newest migration. Branches come in
Alembic's own order, one whole branch after the other. Anything else is an error that names the files.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dataops import source
from dataops.alembicini import AlembicIni
from dataops.errors import BrokenFile, ConfigError, HistoryError
from dataops.kinds import ALEMBIC, PYMONGO_MIGRATE, FileFormat, Kind
from dataops.model import Migration, Pinned, broken
from dataops.redaction import redact
from dataops.text import near, on_one_line


def load(
    service: str, kind: Kind, folder: Path, ini: AlembicIni | None = None, top: Path = Path()
) -> tuple[Migration, ...]:
    """The migrations of a service, oldest first. What they name in `depends` is looked for in `top`.

    Raises HistoryError, BrokenFile and ConfigError.
    """
    return joined(service, found_in(service, kind, folder, ini, top))


def found_in(
    service: str, kind: Kind, folder: Path, ini: AlembicIni | None = None, top: Path = Path()
) -> dict[str, Migration]:
    """The migrations of a service by id, which need not make one history. Raises like `load`."""
    return resolved(service, as_written(service, kind, folder, ini, top))


def as_written(
    service: str, kind: Kind, folder: Path, ini: AlembicIni | None = None, top: Path = Path()
) -> dict[str, Migration]:
    """The migrations of a service by id; what they name need not exist. Raises like `load`."""
    found: dict[str, Migration] = {}
    for path in paths(service, kind, folder, ini):
        migration = read(service, kind, path, top)
        other = found.setdefault(migration.id, migration)
        if other is not migration and (migration.replaces or other.replaces):
            raise _left_behind(service, *((migration, other) if migration.replaces else (other, migration)))
        if other is not migration:
            raise HistoryError(
                f"two files have the id {migration.id}: {other.path.name} and {path.name}",
                service=service,
                hint="give one of them an id of its own",
            )
    for migration in found.values():
        for id_ in migration.replaces:
            if id_ != migration.id and id_ in found:
                raise _left_behind(service, migration, found[id_])
    return found


def resolved(service: str, found: Mapping[str, Migration]) -> dict[str, Migration]:
    """The migrations with whole ids in what they name. Raises HistoryError where that does not exist."""
    return {id_: _resolved(service, migration, found) for id_, migration in found.items()}


def past_squash(found: Mapping[str, Migration]) -> dict[str, Migration]:
    """The migrations, each of which comes after the squashed file where its parent is one that this file replaces."""
    return {
        id_: replace(one, parents=tuple(dict.fromkeys(squashed_into(name, found) or name for name in one.parents)))
        for id_, one in found.items()
    }


def squashed_into(name: str, found: Mapping[str, Migration]) -> str | None:
    """The id of the squashed file that replaces the migration of this id, if there is one."""
    return next((one.id for one in found.values() if name != one.id and name in one.replaces), None)


def _left_behind(service: str, squashed: Migration, old: Migration) -> HistoryError:
    """The error for a squashed file beside a file that it replaces, as `dataops squash` leaves it when it is killed."""
    return HistoryError(
        f"{squashed.path.name} replaces {old.id}, whose file is still here: {old.path.name}",
        service=service,
        hint=f"remove the files that it names in `replaces`, beginning with {old.path}; or take them all back: "
        f"git checkout HEAD -- {shlex.quote(str(squashed.path.parent))}",
    )


def places_of(kind: Kind, folder: Path, ini: AlembicIni | None = None) -> tuple[Path, ...]:
    """The folders in which the files themselves are: as alembic.ini says, or else inside of a service's folder."""
    return (ini.versions if ini is not None else ()) or (folder / kind.format.folder,)


def paths(service: str, kind: Kind, folder: Path, ini: AlembicIni | None = None) -> list[Path]:
    """The migration files, sorted by name in each folder and not read yet.

    Raises ConfigError when there is no such folder, and when there are files of Alembic in folders into which Alembic
    itself would not look. Of several version_locations some may be missing: git keeps no folder that has become empty.
    """
    found: dict[Path, None] = {}
    places = places_of(kind, folder, ini)
    there = [place for place in places if place.is_dir()]
    for place in there or places[:1]:
        if not place.is_dir():
            raise ConfigError(
                f"the folder {place} does not exist",
                service=service,
                hint="correct `folder` in dataops.toml, or create the folder",
            )
        found.update(dict.fromkeys(_in_folder(service, kind, place, recursive=ini is not None and ini.recursive)))
    return list(found)


def _in_folder(service: str, kind: Kind, place: Path, *, recursive: bool) -> Iterator[Path]:
    try:
        with os.scandir(place) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigError(f"{place}: {error.strerror}", service=service, hint="make the folder readable") from error
    yield from (place / entry.name for entry in listed if is_migration(entry.name))
    if kind.format is not ALEMBIC:
        return
    for entry in listed:
        if entry.name.startswith(("__", ".")) or not entry.is_dir():
            continue
        below = list(_in_folder(service, kind, place / entry.name, recursive=True))
        if recursive:
            yield from below
        elif any(b"down_revision" in _read_bytes(service, path) for path in below):
            raise ConfigError(
                f"{place / entry.name} has migrations, and Alembic does not look into folders in {place}",
                service=service,
                hint="say recursive_version_locations = true in alembic.ini, or move the files",
            )


def is_migration(name: str) -> bool:
    """Whether a file of this name is a migration."""
    return name.endswith(".py") and not name.startswith(("__", "."))


def read(service: str, kind: Kind, path: Path, top: Path = Path()) -> Migration:
    """Read one file, and what it names in `depends`, but none of the others. Raises BrokenFile."""
    return made(service, kind, path, _read_bytes(service, path), top)


def made(service: str, kind: Kind, path: Path, text: bytes, top: Path = Path()) -> Migration:
    """The migration that a file of this text is. Raises BrokenFile."""
    migration = _READERS[kind.format](service, kind, path, text)
    try:
        named = source.depends(text)
    except source.Unreadable as error:
        raise broken(path, error, service) from error
    if named:
        migration = replace(migration, pinned=tuple(_pinned(top, name) for name in named))
    if on_one_line(migration.id) != migration.id:
        raise BrokenFile(
            f"{path}: its id has a character that cannot be seen or stored: {on_one_line(migration.id)}",
            service=service,
            hint="use letters, digits, - and _",
        )
    return migration


def _pinned(top: Path, name: str) -> Pinned:
    path = top / name
    try:
        return Pinned(name, path, source.digest(name, path.read_bytes()) if path.is_file() else None)
    except OSError:  # nobody may read it
        return Pinned(name, path, None)


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


def _read_alembic(service: str, kind: Kind, path: Path, text: bytes) -> Migration:
    revision, parent = _identity(service, path, text, kind.format)
    if revision is None:
        raise BrokenFile(f"{path}: it does not say revision = ...", service=service, hint="see `dataops new --help`")
    parents = (parent,) if isinstance(parent, str) else () if parent is None else parent
    if not isinstance(parents, list | tuple) or not all(isinstance(one, str) for one in parents):
        raise BrokenFile(
            f"{path}: down_revision has to name a migration, or several, or None",
            service=service,
            hint="see the file before it",
        )
    try:
        needs = source.needs(text)
    except source.Unreadable as error:
        raise broken(path, error, service) from error
    replaces = _replaces(service, path, text)
    return Migration(revision, tuple(parents), path, kind, text, needs, replaces=replaces)


def _read_mongo(service: str, kind: Kind, path: Path, text: bytes) -> Migration:
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
    return Migration(path.stem, tuple(parents), path, kind, text, replaces=_replaces(service, path, text))


def _replaces(service: str, path: Path, text: bytes) -> dict[str, tuple[str, ...]]:
    try:
        return source.replaces(text)
    except source.Unreadable as error:
        raise broken(path, error, service) from error


_READERS = {ALEMBIC: _read_alembic, PYMONGO_MIGRATE: _read_mongo}


def ordered(service: str, migrations: Iterable[Migration]) -> tuple[Migration, ...]:
    """`joined`, for migrations that name each other as their files do."""
    by_id = {migration.id: migration for migration in migrations}
    return joined(service, resolved(service, by_id))


def joined(service: str, found: Mapping[str, Migration]) -> tuple[Migration, ...]:
    """One order for all of them, in which each comes after its parents and after what it needs.

    Raises HistoryError where there is none.
    """
    heads = heads_of(found)
    if len(heads) > 1:
        parent, born = list(partings(found))[-1]  # the newest one, where files are named by time
        names = " and ".join(sorted(m.path.name for m in born))
        many, each = ("two", "both") if len(born) == 2 else (str(len(born)), "all")
        raise HistoryError(
            f"{many} heads: {names} {each} come after {parent}" if parent else f"{many} first migrations: {names}",
            service=service,
            hint=f"put one after the other: dataops rebase {service}",
        )
    order = _ordered(found, heads[0]) if heads else []
    if len(order) < len(found):
        reached = {migration.id for migration in order}
        left = sorted(m.path.name for m in found.values() if m.id not in reached)
        raise HistoryError(
            f"a cycle: {', '.join(left[:5])} never reach a first migration",
            service=service,
            hint="one of them has to name a parent that is not among them",
        )
    return tuple(_branch_by_branch(order))


def _resolved(service: str, migration: Migration, found: Mapping[str, Migration]) -> Migration:
    """The migration with whole ids in `needs`. Raises HistoryError when a parent, or what it needs, does not exist."""
    others = [id_ for id_ in found if id_ != migration.id]
    for parent in migration.parents:
        if into := squashed_into(parent, found):
            raise HistoryError(
                f"{migration.path.name}: its parent {parent} is squashed into {found[into].path.name}",
                service=service,
                hint=f"put it after that one: dataops rebase {service}",
            )
        if parent not in found:
            raise HistoryError(
                f"{migration.path.name}: its parent {parent} does not exist",
                service=service,
                hint=near(parent, others),
            )
    needs = []
    for name in migration.needs:
        meant, into = named(name, found), squashed_into(name, found)
        if len(meant) != 1:
            why = f"is squashed into {into}" if into else "does not exist"
            raise HistoryError(
                f"{migration.path.name}: depends_on names {name}, which "
                + (f"may be any of {', '.join(meant[:5])}" if meant else why),
                service=service,
                hint=f"name {into} there" if into and not meant else near(name, others),
            )
        needs += meant
    return replace(migration, needs=tuple(needs)) if needs else migration


def named(name: str, found: Mapping[str, Migration]) -> list[str]:
    """The ids that Alembic's `depends_on` may mean by a name: an id, the beginning of one, or the label of a branch."""
    if name in found:
        return [name]
    beginning = [id_ for id_ in found if id_.startswith(name)]
    return beginning or [m.id for m in found.values() if name in source.labels(m.text)]


def partings(found: Mapping[str, Migration]) -> Iterator[tuple[str | None, list[Migration]]]:
    """Where branches part that are never joined again: a migration, None for the beginning, and what comes after it."""
    heads = {head: up_to(found, head) for head in heads_of(found)}
    children: dict[str | None, list[Migration]] = {}
    if len(heads) < 2:
        return
    for migration in found.values():
        for parent in migration.parents or (None,):
            children.setdefault(parent, []).append(migration)
    for parent, born in children.items():
        if len({head for head, before in heads.items() for child in born if child.id in before}) > 1 and len(born) > 1:
            yield parent, born


def heads_of(found: Mapping[str, Migration]) -> list[str]:
    """The ids after which none of these migrations comes."""
    before = {id_ for migration in found.values() for id_ in (*migration.parents, *migration.needs)}
    return [id_ for id_ in found if id_ not in before]


def up_to(found: Mapping[str, Migration], head: str) -> set[str]:
    """A migration and all that come before it."""
    reached, left = set[str](), [head]
    while left:
        id_ = left.pop()
        if id_ in found and id_ not in reached:
            reached.add(id_)
            left += [*found[id_].parents, *found[id_].needs]
    return reached


def _ordered(found: Mapping[str, Migration], head: str) -> list[Migration]:
    """All that lead to `head`, each after its parents. What is in a cycle is left out."""
    order: list[Migration] = []
    entered, done = set[str](), set[str]()
    left = [head]
    while left:
        id_ = left[-1]
        if id_ not in entered:
            entered.add(id_)
            waiting = [one for one in (*found[id_].parents, *found[id_].needs) if one not in entered]
            left += waiting  # the last one is visited first
            if waiting:
                continue
        left.pop()
        if id_ not in done and done.issuperset((*found[id_].parents, *found[id_].needs)):
            done.add(id_)
            order.append(found[id_])
    return order


def _branch_by_branch(order: Sequence[Migration]) -> list[Migration]:
    """The same migrations in the order in which Alembic applies them: one branch as far as it goes, then the next.

    Alembic walks from the newest one to the first ones. Where branches were joined, it walks down one of them for as
    long as nothing that is left comes after the migration that it has reached.
    """
    if not any(len(migration.parents) > 1 or migration.needs for migration in order):
        return list(order)
    bit = {migration.id: 1 << at for at, migration in enumerate(order)}
    before: dict[str, int] = {}  # a migration and all before it, as bits
    for migration in order:
        before[migration.id] = bit[migration.id]
        for id_ in (*migration.parents, *migration.needs):
            before[migration.id] |= before[id_]
    by_id = {migration.id: migration for migration in order}
    walked: list[Migration] = []
    places, at = [order[-1].id] if order else [], 0
    while places:
        here = places[at]
        after = next((i for i, other in enumerate(places) if i != at and before[other] & bit[here]), None)
        if after is not None:
            at = after
            continue
        walked.append(by_id[here])
        before_it = dict.fromkeys((*by_id[here].parents, *by_id[here].needs))  # a parent may be needed, too
        next_ = [id_ for id_ in before_it if id_ not in places]
        if next_:
            places[at : at + 1] = next_[:1]
            places += next_[1:]
        else:
            del places[at]
            at = max(at - 1, 0)
    return walked[::-1]


__all__ = [
    "as_written",
    "found_in",
    "heads_of",
    "is_migration",
    "joined",
    "load",
    "made",
    "named",
    "ordered",
    "partings",
    "past_squash",
    "paths",
    "places_of",
    "read",
    "resolved",
    "squashed_into",
    "up_to",
]
