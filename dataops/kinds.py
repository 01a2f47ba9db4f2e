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

    `folder` is where in a service's folder the files are, "" for the folder itself. `id_variable` and `parent_variable`
    are the two names that a file assigns. Where the id `is_file_name`, a file need not say it, and must not differ.
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
    """A kind of database.

    `name` is what `engine = "..."` says, `title` what a person reads. A URL begins with one of the `schemes`. A
    `transactional` database makes a step and its record in one transaction, unless the file leaves it. Where an
    `application_creates` objects by itself, such as collections, not everything comes from a migration. A
    `url_in_parts` may be given as address, user and password, each in a variable of its own. `language` is how Markdown
    calls its commands. `module` is the package with `connect` and `driver` (dataops.backends).
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
    """The kind that a URL is for, by its scheme alone; None when it is for none of them."""
    scheme, separator, _ = url.partition("://")
    return next((kind for kind in known() if separator and scheme.lower() in kind.schemes), None)


def schemes(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """How URLs of these kinds begin: `postgres://`, ..."""
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
