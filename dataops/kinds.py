"""The kinds of database that dataops knows, each with the facts by which the rest of the program treats it.

No other module asks *which* kind a database is of: it asks for a fact. So a third kind is a package with the classes
that `dataops.backends` describes, and one call of `register` (docs/architecture.md#a-third-kind-of-database).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class FileFormat:
    """How a migration file says what it is.

    `tool` is the tool whose files these are. `folder` is where in a service's folder the files are, "" for the folder
    itself. A file assigns its id to `id_variable` and the id of the migration before it to `parent_variable`. With
    `id_is_file_name` a file need not say its id; if it does, the id has to be the name of the file.
    """

    tool: str
    folder: str
    id_variable: str
    parent_variable: str
    id_is_file_name: bool


ALEMBIC = FileFormat("alembic", "versions", "revision", "down_revision", id_is_file_name=False)
PYMONGO_MIGRATE = FileFormat("pymongo-migrate", "", "name", "dependencies", id_is_file_name=True)


@dataclass(frozen=True)
class Kind:
    """A kind of database, and the facts by which the rest of the program treats it.

    `name` is what `engine = "..."` says, and `title` is what a person reads. A URL begins with one of the `schemes`.
    `transactional` says that a step and its record are one transaction, unless the migration file leaves it.
    `application_creates` says that applications create objects by themselves, such as collections, so that not
    everything comes from a migration. `url_in_parts` says that a URL may be given as address, user and password, each
    in a variable of its own, and that it has to name a database. `language` is how Markdown calls its commands.
    `module` is the package with `connect` and `driver` (see dataops.backends).
    """

    name: str
    title: str
    schemes: tuple[str, ...]
    format: FileFormat
    transactional: bool
    application_creates: bool
    url_in_parts: bool
    language: str
    module: str


POSTGRESQL = Kind(
    name="postgresql",
    title="PostgreSQL",
    schemes=("postgres", "postgresql"),
    format=ALEMBIC,
    transactional=True,
    application_creates=False,
    url_in_parts=False,
    language="sql",
    module="dataops.backends.postgres",
)
MONGODB = Kind(
    name="mongodb",
    title="MongoDB",
    schemes=("mongodb", "mongodb+srv"),
    format=PYMONGO_MIGRATE,
    transactional=False,
    application_creates=True,
    url_in_parts=True,
    language="js",
    module="dataops.backends.mongo",
)

_kinds = {kind.name: kind for kind in (MONGODB, POSTGRESQL)}


def register(kind: Kind) -> None:
    """Make a further kind known in this process, under its name."""
    _kinds[kind.name] = kind


def known() -> tuple[Kind, ...]:
    """Every kind, in the order in which messages name them."""
    return tuple(_kinds.values())


def named(name: str) -> Kind:
    """The kind of that name. Raises KeyError."""
    return _kinds[name]


def of_url(url: str) -> Kind | None:
    """The kind of database to which a URL leads, by its scheme alone; None when it is no known one."""
    scheme, separator, _ = url.partition("://")
    return next((kind for kind in known() if separator and scheme.lower() in kind.schemes), None)


def schemes(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """The beginnings that a URL of these kinds may have, such as `postgres://`."""
    return tuple(f"{scheme}://" for kind in kinds for scheme in kind.schemes)


__all__ = [
    "ALEMBIC",
    "MONGODB",
    "POSTGRESQL",
    "PYMONGO_MIGRATE",
    "FileFormat",
    "Kind",
    "known",
    "named",
    "of_url",
    "register",
    "schemes",
]
