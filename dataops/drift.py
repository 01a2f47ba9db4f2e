"""How a database differs from what its record says that it is made of: `dataops drift`.

The history is run on a scratch database, up to what the record has, by the code that migrates for real. Both catalogues
are then compared. The database itself is only read. What a MongoDB has beside that is the application's own, and no
difference: its applications create collections and indexes by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataops.backends import opened
from dataops.catalogue import Difference, compare
from dataops.errors import DataopsError
from dataops.model import Service, State
from dataops.planning import checks, recovery
from dataops.scratch import Scratch


@dataclass(frozen=True)
class Drift:
    """What was found of one service: differences from its history up to `head`, or why nothing could be compared.

    `head` is the newest migration that is applied, None where none is.
    """

    service: Service
    head: str | None = None
    differences: tuple[Difference, ...] = ()
    error: DataopsError | None = None


def find(service: Service, scratch: Scratch, *, details: bool = False) -> Drift:
    """Compare one database with its history. With `details`, comments, grants and function bodies count too."""
    try:
        with opened(service) as database:
            state = database.read()
            _refuse_unclear(state)
            head = service.by_id[state.applied[-1].id] if state.applied else None
            expected = scratch.catalogue(service, head, database)
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


__all__ = ["Drift", "find"]
