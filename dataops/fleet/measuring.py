"""How big the databases of fleets are: which is the smallest, and for which a plan says how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from dataops import backends, urls
from dataops.errors import DataopsError
from dataops.model import Service


def sizes_of(services: Sequence[Service]) -> dict[str, int]:
    """The sizes in bytes of the databases of fleets among these services, by the names of the services.

    One database of each server is asked about all of them. What a server does not tell this user is not there.
    """
    servers: dict[tuple[str, str], list[Service]] = {}
    for service in services:
        if service.member is not None and service.kind.listing_database:
            servers.setdefault((service.kind.name, urls.hosts(service.url)), []).append(service)
    found: dict[str, int] = {}
    for there in servers.values():
        by_database = {unquote(urls.database(one.url)): one.name for one in there}  # which may be another than its name
        sizes = _ask(there, list(by_database))
        found |= {by_database[database]: size for database, size in sizes.items()}
    return found


def _ask(there: Sequence[Service], databases: Sequence[str]) -> dict[str, int]:
    for service in there[:_TRIES]:
        try:
            return backends.sizes(service, databases)
        except DataopsError:  # this one is down or gone; and without a size there is an order by name
            continue
    return {}


_TRIES = 3


__all__ = ["sizes_of"]
