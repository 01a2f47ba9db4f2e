"""How a database differs from what its record says that it is made of: `dataops drift`.

The history is run on a scratch database, up to what the record has, by the code that migrates for real. Both catalogues
are then compared. The database itself is only read. What a MongoDB has beside that is the application's own, and no
difference: its applications create collections and indexes by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dataops.backends import Database, opened
from dataops.catalogue import Catalogue, Difference, compare
from dataops.errors import DataopsError, DifferencesFound, MigrationFailed
from dataops.model import Migration, Service, State
from dataops.planning import checks, recovery
from dataops.scratch import Scratch
from dataops.text import counted

_OF_APPLICATIONS = frozenset({"collection", "index", "validator", "view"})


@dataclass(frozen=True)
class Drift:
    """What was found of one service: differences from its history up to `head`, or why nothing could be compared.

    `head` is the newest migration that is applied, None where none is.
    """

    service: Service
    head: str | None = None
    differences: tuple[Difference, ...] = ()
    error: DataopsError | None = None

    @property
    def problem(self) -> DataopsError | None:
        """The differences, or what kept us from comparing, as one error; None where the database is as its history."""
        if self.error is not None or not self.differences:
            return self.error
        return DifferencesFound(
            f"{counted(len(self.differences), 'difference')} from its history",
            service=self.service.name,
            hint=f"which: dataops drift --service {self.service.name}",
        )


def find(service: Service, scratch: Scratch, *, details: bool = False) -> Drift:
    """Compare one database with its history. With `details`, comments, grants and function bodies count too."""
    try:
        with opened(service) as database:
            state = database.read()
            _refuse_unclear(state)
            head = service.by_id[state.applied[-1].id] if state.applied else None
            expected = _expected(service, head, database, scratch)
            found = compare(expected, database.catalogue(), ignoring=service.ignore, details=details)
    except DataopsError as error:
        error.service = error.service or service.name
        return Drift(service, error=error)
    return Drift(service, head.id if head else None, found)


def _refuse_unclear(state: State) -> None:
    """Raise the error for a record of which no history can be made here."""
    recovery.refuse_half_done(state)
    checks.refuse_unknown(state)
    checks.refuse_gap(state)


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
        expected = replace(expected, open=expected.open | _OF_APPLICATIONS)
    return expected


__all__ = ["Drift", "find"]
