"""How a database differs from what its record says that it is made of: `dataops drift`.

The history is run on a scratch database, up to what the record has, by the code that migrates for real. Both catalogues
are then compared. Where the schema is in git (see dataops.schemafile), its files may take the place of the scratch
database. The database itself is only read. What a MongoDB has beside that is the application's own, and no difference:
its applications create collections and indexes by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataops import schemafile
from dataops.backends import Database, opened
from dataops.catalogue import OF_APPLICATIONS, Catalogue, Difference, compare
from dataops.errors import ConfigError, DataopsError, HistoryError, MigrationFailed, StalePlan
from dataops.model import Migration, Service, State
from dataops.planning import checks, recovery

if TYPE_CHECKING:
    from dataops.scratch import Scratch


@dataclass(frozen=True)
class Drift:
    """What was found of one service: differences from its history up to `head`, or why nothing could be compared.

    `head` is the newest migration that is applied, None where none is. `other_server` is what the history was run on,
    where that is another major version than the database has, else "".
    """

    service: Service
    head: str | None = None
    differences: tuple[Difference, ...] = ()
    error: DataopsError | None = None
    other_server: str = ""

    @property
    def refusing(self) -> tuple[Difference, ...]:
        """The differences that are not open: those for which the command fails."""
        return tuple(one for one in self.differences if not one.open)


def find(service: Service, expectation: Scratch | Path, *, details: bool = False, bodies: bool = False) -> Drift:
    """Compare one database with its history, which is run on a scratch database, or with schema files in a folder.

    With `bodies`, comments and bodies of functions count too, and with `details` also grants.
    """
    try:
        with opened(service) as database:
            state = database.read()
            _refuse_unclear(state)
            head = service.by_id[state.applied[-1].id] if state.applied else None
            found = database.catalogue()
            if isinstance(expectation, Path):
                expected = schemafile.load_for(expectation, service, head.id if head else None).expected(found)
            else:
                expected = _expected(service, head, database, expectation)
            if bodies:
                expected = expected.with_bodies()
            differences = compare(expected, found, ignoring=service.ignore, details=details)
            if differences:
                _refuse_moved(state, database.read())
    except DataopsError as error:
        error.service = error.service or service.name
        return Drift(service, error=error)
    other = expected.server if expected.server != found.server else ""
    return Drift(service, head.id if head else None, differences, other_server=other)


def verify(service: Service, folder: Path, scratch: Scratch) -> Drift:
    """Compare one database after a run: with its schema file, if there is one that can be used, else with its history.

    A file that was not made again after the newest migration says nothing about what the run has done.
    """
    if schemafile.is_there(folder, service):
        found = find(service, folder)
        if not isinstance(found.error, HistoryError | ConfigError):
            return found
    return find(service, scratch)


def _refuse_unclear(state: State) -> None:
    """Raise the error for a record of which no history can be made here."""
    recovery.refuse_half_done(state)
    checks.refuse_unknown(state)
    checks.refuse_gap(state)


def _refuse_moved(before: State, after: State) -> None:
    """Raise StalePlan where a migration was applied or rolled back while the database was looked at."""
    if [one.id for one in before.applied] != [one.id for one in after.applied]:
        raise StalePlan("its record changed while the database was compared", hint="look again: dataops drift")


def _expected(service: Service, head: Migration | None, database: Database, scratch: Scratch) -> Catalogue:
    try:
        with scratch.database(service) as empty, opened(empty) as built:
            scratch.migrate(empty, head)
            expected = built.catalogue()
    except MigrationFailed:
        if not service.kind.application_creates:
            raise
        expected = scratch.catalogue(service, head, database)  # it needs collections that the application makes
    if service.kind.application_creates:
        expected = replace(expected, open=expected.open | OF_APPLICATIONS)
    return expected


__all__ = ["Drift", "find"]
