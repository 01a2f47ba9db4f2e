"""How a database differs from what it should be, where others may change it meanwhile."""

from __future__ import annotations

from dataops.backends import Database
from dataops.catalogue import Catalogue, Difference, compare
from dataops.errors import StalePlan


def differences(
    database: Database, expected: Catalogue, found: Catalogue, *, details: bool = False
) -> tuple[Difference, ...]:
    """How the live database, which was `found` so, differs from what is expected.

    Differences are looked for a second time. Raises StalePlan where there are others then: the first reading may have
    seen a half of what somebody was changing.
    """
    ignoring = database.service.ignore
    told = compare(expected, found, ignoring=ignoring, details=details)
    if told and compare(expected, database.catalogue(), ignoring=ignoring, details=details) != told:
        raise StalePlan(
            "the database was changed by somebody while it was compared",
            service=database.service.name,
            hint=f"compare again when that is done: dataops drift --service {database.service.name}",
        )
    return told


__all__ = ["differences"]
