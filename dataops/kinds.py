"""The kinds of database that dataops knows, with the facts that the rest of the program asks about them.

Other modules do not ask *which* kind a database is. They ask for a fact, such as `transactional`. So a third kind is a
package with the classes that `dataops.backends` describes, and one call of `register` (see
docs/architecture.md#a-third-kind-of-database). `of_url` says which URL belongs to which kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class FileFormat:
    """How a migration file gives its id and its parent.

    `go_to` is the tool's own command that applies everything up to an id. `variables` is how the environment variables
    of the tool's own command line begin, "" where it reads none.

    `tool` is the tool that defined the format. `folder` is where the files are in a service's folder, "" for the folder
    itself. A file assigns its id to `id_variable`, and the id of the migration before it to `parent_variable`. With
    `id_is_file_name`, the id is the name of the file, and the file may leave out `id_variable`.
    """

    tool: str
    folder: str
    id_variable: str
    parent_variable: str
    id_is_file_name: bool
    go_to: str
    variables: str = ""


ALEMBIC = FileFormat(
    "alembic", "versions", "revision", "down_revision", id_is_file_name=False, go_to="alembic upgrade {id}"
)
PYMONGO_MIGRATE = FileFormat(
    "pymongo-migrate",
    "",
    "name",
    "dependencies",
    id_is_file_name=True,
    go_to="pymongo-migrate migrate -m {id}",
    variables="PYMONGO_MIGRATE",
)


@dataclass(frozen=True)
class Kind:
    """A kind of database, with the facts that the rest of the program asks about it.

    `name` is the value of `engine` in dataops.toml, and `title` is the name for people. A URL begins with one of the
    `schemes`. `format` is the format of its migration files.

    `transactional`: a step and its record are one transaction, unless the migration file ends that transaction.
    `application_creates`: applications create objects by themselves, such as collections, so that not every object
    comes from a migration.
    `url_in_parts`: address, user and password of a URL may each be in a variable of its own, and the URL has to name a
    database. `url_variable`: otherwise, how the variable of a service ends by default; alone, it is the variable of the
    only service of this kind.

    `longest_database_name` is in bytes, and `not_in_database_names` are the characters that no name may have.

    `ours` are the names of the tables or collections that hold the record, the journal and the lock. No migration may
    change them. `record` is the one of them that a service may give another name in dataops.toml, "" where it may not.

    `listing_database` is one that every server has, where its databases are listed.

    `language` is the language of a code block in Markdown that shows its commands. `module` is the package that has the
    functions `connect` and `driver` (see dataops.backends).
    """

    name: str
    title: str
    schemes: tuple[str, ...]
    format: FileFormat
    transactional: bool
    application_creates: bool
    url_in_parts: bool
    url_variable: str
    language: str
    module: str
    longest_database_name: int = 63
    not_in_database_names: str = ""
    ours: frozenset[str] = frozenset()
    record: str = ""
    listing_database: str = ""

    @property
    def url_shape(self) -> str:
        """How a URL looks, for a person who has to write one."""
        scheme = self.name if self.name in self.schemes else self.schemes[0]
        return f"{scheme}://USER:PASSWORD@HOST/DATABASE"


POSTGRESQL = Kind(
    name="postgresql",
    title="PostgreSQL",
    schemes=("postgres", "postgresql"),
    format=ALEMBIC,
    transactional=True,
    application_creates=False,
    url_in_parts=False,
    url_variable="PG_CON",
    language="sql",
    module="dataops.backends.postgres",
    ours=frozenset({"alembic_version", "dataops_journal", "dataops_backfill", "dataops_pause"}),
    listing_database="postgres",
)
MONGODB = Kind(
    name="mongodb",
    title="MongoDB",
    schemes=("mongodb", "mongodb+srv"),
    format=PYMONGO_MIGRATE,
    transactional=False,
    application_creates=True,
    url_in_parts=True,
    url_variable="CON",
    language="js",
    module="dataops.backends.mongo",
    not_in_database_names='/\\. "$*<>:|?',
    ours=frozenset({"pymongo_migrate", "dataops_journal", "dataops_lock"}),
    record="pymongo_migrate",
    listing_database="admin",
)

_kinds = {kind.name: kind for kind in (MONGODB, POSTGRESQL)}


def register(kind: Kind) -> None:
    """Add a kind, under its name, for this process."""
    _kinds[kind.name] = kind


def known() -> tuple[Kind, ...]:
    """Every kind, in the order in which messages name them."""
    return tuple(_kinds.values())


def named(name: str) -> Kind:
    """The kind with this name. Raises KeyError."""
    return _kinds[name]


def of_url(url: str) -> Kind | None:
    """The kind of database that a URL belongs to, by its scheme alone, or None if no kind has that scheme."""
    scheme, separator, _ = url.partition("://")
    return next((kind for kind in known() if separator and scheme.lower() in kind.schemes), None)


def schemes(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """How a URL of these kinds may begin, for example `postgres://`."""
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
