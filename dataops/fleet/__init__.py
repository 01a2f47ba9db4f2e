"""A fleet: one service whose history is that of many databases. It becomes one service for each of them.

Everything that works on one service works on each of these, by the name FLEET@DATABASE. `listing` finds out which
databases there are, `selection` says which of them a command means, and `waves` in which order they are changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from dataops import urls
from dataops.errors import ConfigError
from dataops.fleet.listing import listed
from dataops.fleet.selection import Selection, split
from dataops.model import Member, Service, places_in
from dataops.redaction import redact


def expand(services: Sequence[Service], selection: Selection) -> tuple[Service, ...]:
    """The services, each fleet replaced by those of its databases that are selected, in the order of their names.

    Asks where the names of the databases are. Raises UsageError where a selection means nothing, ConfigError, and what
    a database raises that cannot be asked.
    """
    found: list[Service] = []
    every: list[Member] = []
    for service in services:
        if service.databases is None:
            found += [] if selection.only_fleets else [service]
        else:
            members = [Member(service.name, name, labels) for name, labels in listed(service).items()]
            every += members
            found += [service.at(one, url_of(service, one)) for one in selection.of(members)]
    selection.refuse_unused(found, services, every)
    return tuple(found)


def url_of(service: Service, member: Member) -> str:
    """The URL of one database of a fleet. Raises ConfigError where the template or a file does not give one."""
    fleet, source = service.databases, f"the URL of {member.name}"
    assert fleet is not None
    if fleet.url_file:
        url = _read(member, fleet.url_file, "url_file")
        redact.learn(url)
        url = urls.without_driver(service.kind, url)
        urls.check(service.kind, url, f"url_file of {member.name}")
        return urls.with_database(url, member.database)
    before, hosts, behind = urls.around_hosts(service.url)
    url = "".join(
        _filled(member, part, "its URL", safe=safe) for part, safe in ((before, ""), (hosts, _OF_HOSTS), (behind, ""))
    )
    if "database" not in places_in(service.url) and not places_in(urls.database(service.url)):
        url = urls.beside(url, quote(member.database, safe=""))
    if fleet.password_file:
        url = urls.with_password(url, _read(member, fleet.password_file, "password_file"))
        redact.learn(url)
    urls.check(service.kind, url, source)
    return url


_OF_HOSTS = ":,[]"
"""A label may be an address with its port, or several."""


def _filled(member: Member, template: str, what: str, *, quoted: bool = True, safe: str = "") -> str:
    try:
        return member.filled(template, quoted=quoted, safe=safe)
    except KeyError as error:
        raise ConfigError(
            f"{what} has {{{error.args[0]}}} in it, and {member.name} has no such label",
            service=member.name,
            hint=f"write {error.args[0]}=... behind {member.database}, or leave {{{error.args[0]}}} out",
        ) from None


def _read(member: Member, template: str, key: str) -> str:
    path = Path(_filled(member, template, key, quoted=False))
    try:
        content = path.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(
            f"{key}: {path}: {reason}", service=member.name, hint="is the secret of this database mounted?"
        ) from error
    if not content:
        raise ConfigError(f"{key}: {path} is empty", service=member.name, hint="write the secret into it")
    return content


__all__ = ["Selection", "expand", "split", "url_of"]
