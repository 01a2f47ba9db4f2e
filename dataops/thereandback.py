"""What is in a scratch database at one moment, and whether a movement has led back to that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dataops import catalogue, contents
from dataops.backends import Counts, opened
from dataops.catalogue import Catalogue, Difference, Differs
from dataops.contents import EACH, Contents
from dataops.model import Service

ROLLED_BACK, APPLIED_AGAIN = "rolled back", "applied again"


@dataclass(frozen=True)
class Look:
    """The catalogue, the digests of the data, and the number that each counter gave last."""

    catalogue: Catalogue
    contents: Contents
    counters: Mapping[str, int | None]


def look(service: Service, *, each: int = EACH) -> Look:
    """What is in the database of a service now; with a digest of each row where a table has at most `each`."""
    with opened(service) as database:
        counters = database.counters() if isinstance(database, Counts) else {}
        return Look(database.catalogue(), database.contents(each=each), counters)


def count_again_from(service: Service, before: Look) -> None:
    """Let rows get the same numbers again. Otherwise, everything that an apply inserts would seem to be another."""
    with opened(service) as database:
        if isinstance(database, Counts):
            database.turn_back(before.counters)


def differences(
    service: Service, wanted: Look, found: Look, *, contents_too: bool = True, twin: Service | None = None
) -> list[str]:
    """How `found` differs from what was `wanted`.

    `twin` has a database that was migrated in the same way. What is different there too is made anew each time, such as
    generated ids, and does not count.
    """
    told = [
        str(difference)
        for difference in catalogue.compare(wanted.catalogue, found.catalogue, details=True)
        if not _is_as_good_as_nothing(service, difference, found)
    ]
    if contents_too:
        changes = contents.compare(wanted.contents, found.contents)
        if changes and twin is not None:
            with opened(twin) as database:
                changes = contents.without_made_anew(changes, contents.compare(wanted.contents, database.contents()))
        told += map(str, changes)
    return told


def _is_as_good_as_nothing(service: Service, difference: Difference, found: Look) -> bool:
    """Whether it is an empty collection without options and indexes.

    A server makes one by itself for the first document or index, and keeps it when these are taken away again.
    """
    if not service.kind.application_creates or difference.how is not Differs.UNEXPECTED:
        return False
    name, digest = difference.name, found.contents.get(difference.name)
    return (
        (difference.kind, difference.found) == ("collection", "")
        and (digest is None or digest.count == 0)
        and not any(kind == "index" and of.startswith(f"{name}.") for kind, of in found.catalogue.objects)
    )


__all__ = ["APPLIED_AGAIN", "ROLLED_BACK", "Look", "count_again_from", "differences", "look"]
