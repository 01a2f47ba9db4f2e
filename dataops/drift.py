"""How a database differs from what its record says that it is made of: `dataops drift`.

The history is run on a scratch database, up to what the record has, by the code that migrates for real. Both catalogues
are then compared. Where the schema is in git (see dataops.schemafile), its files may take the place of the scratch
database. The database itself is only read. What a MongoDB has beside that is the application's own, and no difference:
its applications create collections and indexes by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataops import documents, schemafile
from dataops.backends import Database, HoldsDocuments, opened
from dataops.catalogue import Catalogue, Difference, Differs
from dataops.errors import (
    ConfigError,
    DataopsError,
    DifferencesFound,
    HistoryError,
    LockNotObtained,
    StalePlan,
)
from dataops.model import Service, State
from dataops.planning import checks, recovery
from dataops.run import comparing
from dataops.text import counted

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

    @property
    def other_schema(self) -> str:
        """The schema in which something is that is expected without one: this user has another search_path; else ""."""
        missing = {(of.kind, of.name) for of in self.differences if of.how is Differs.MISSING}
        for of in self.differences:
            schema, _, name = of.name.partition(".")
            if of.how is Differs.UNEXPECTED and (of.kind, name) in missing:
                return schema
        return ""

    @property
    def problem(self) -> DataopsError | None:
        """What refuses, or what kept us from comparing, as one error; None where the database is as its history."""
        if self.error is not None or not self.refusing:
            return self.error
        return DifferencesFound(
            f"{counted(len(self.refusing), 'difference')} from its history",
            service=self.service.name,
            hint=f"which: dataops drift --service {self.service.name}",
        )


def find(
    service: Service,
    expectation: Scratch | Path,
    *,
    details: bool = False,
    bodies: bool = False,
    looking: documents.Looking | None = None,
) -> Drift:
    """Compare one database with its history, which is run on a scratch database, or with schema files in a folder.

    With `bodies`, comments and bodies of functions count too, and with `details` also grants. `looking` says how
    documents are held against validators, where the database has such.
    """
    try:
        with opened(service) as database:
            state = database.read()
            _refuse_running(state)
            _refuse_unclear(state)
            head = service.by_id[state.applied[-1].id] if state.applied else None
            found = database.catalogue()
            if isinstance(expectation, Path):
                expected = schemafile.load_for(expectation, service, head.id if head else None).expected(found)
            else:
                expected = expectation.catalogue(service, head, database)
            if bodies:
                expected = expected.with_bodies()
            differences = comparing.differences(database, expected, found, details=details)
            differences += _documents(database, expected, looking or documents.Looking())
            _refuse_moved(state, database.read())
    except DataopsError as error:
        error.service = error.service or service.name
        return Drift(service, error=error)
    return Drift(service, head.id if head else None, differences, other_server=expected.other_server(found))


def verify(service: Service, folder: Path, scratch: Scratch) -> Drift:
    """Compare one database after a run: with its schema file, if there is one that can be used, else with its history.

    A file that was not made again after the newest migration says nothing about what the run has done.
    """
    if schemafile.is_there(folder, service):
        found = find(service, folder)
        if not isinstance(found.error, HistoryError | ConfigError):
            return found
    return find(service, scratch)


def _documents(database: Database, expected: Catalogue, looking: documents.Looking) -> tuple[Difference, ...]:
    """How the documents differ from what the validators of the history say."""
    if looking.sample == 0 or not isinstance(database, HoldsDocuments):
        return ()
    held = database.hold(expected, looking.sample)
    return tuple(of for one in held for of in documents.differences(one, looking, database.service.ignore))


def _refuse_running(state: State) -> None:
    """Raise LockNotObtained while a run is at work: what it has half done would be called a difference."""
    if state.holder is not None:
        raise LockNotObtained(
            f"a run is at work: {state.holder}; nothing can be compared meanwhile",
            service=state.service.name,
            hint="how far it is: dataops status; compare again when it has ended: dataops drift",
        )


def _refuse_moved(before: State, after: State) -> None:
    """Raise StalePlan where the database was migrated while it was compared."""
    _refuse_running(after)
    if (before.recorded_ids, before.last) != (after.recorded_ids, after.last):
        raise StalePlan(
            "the database was migrated while it was compared",
            service=after.service.name,
            hint="compare again: dataops drift",
        )


def _refuse_unclear(state: State) -> None:
    """Raise the error for a record of which no history can be made here."""
    recovery.refuse_half_done(state)
    checks.refuse_unknown(state)
    checks.refuse_gap(state)


__all__ = ["Drift", "find"]
