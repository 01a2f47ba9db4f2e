"""The URL of a database: what makes one valid, and how one is put together. Pure: text in, text out.

A URL has the form `scheme://user:password@hosts/database?options`. It may hold several hosts, so that the functions
of `urllib.parse` for a single host do not fit. It may hold a password, so no message shows any part of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, unquote, urlencode

from dataops import kinds
from dataops.errors import ConfigError
from dataops.kinds import Kind
from dataops.text import shortened

_SHOWN = 200


@dataclass(frozen=True)
class _Parts:
    scheme: str
    credentials: str  # "" or "user:password", as they are written
    hosts: str
    database: str
    options: str

    @classmethod
    def of(cls, url: str) -> _Parts:
        scheme, _, rest = url.partition("://")
        address, _, options = rest.partition("?")
        credentials, _, hosts_and_path = address.rpartition("@")  # the last @ ends the credentials
        hosts, _, database = hosts_and_path.partition("/")
        return cls(scheme, credentials, hosts, database, options)

    def __str__(self) -> str:
        at = f"{self.credentials}@" if self.credentials else ""
        options = f"?{self.options}" if self.options else ""
        return f"{self.scheme}://{at}{self.hosts}/{self.database}{options}"


def check(kind: Kind, url: str, source: str) -> None:
    """Refuse what is not the URL of such a database. `source` is the variable or the key that the URL comes from.

    Raises ConfigError. A password that is not escaped is refused here, because a driver would take part of it for the
    host and show it in its errors.
    """
    if not url.startswith(kinds.schemes([kind])):
        raise ConfigError(
            f"{source} is not a {kind.name} URL: it has to begin with {' or '.join(kinds.schemes([kind]))}",
            hint="the value itself is not shown, it may hold a password",
        )
    rest = url.partition("://")[2]
    if not re.fullmatch(r"([^@/?#]*@)?[^@?]*(\?([^@]*|[^@=]*=.*))?", rest):
        raise ConfigError(
            f"{source}: the user or the password holds characters that have to be escaped",
            hint="write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, %25 for %",
        )
    parts = _Parts.of(url)
    for host in parts.hosts.split(","):
        if not _is_host(host):
            raise ConfigError(
                f"{source}: {host.rpartition(':')[0] or host} cannot be the name of a host",
                hint="a label of a host name has 1 to 63 characters, and labels are separated by one dot",
            )
    _check_database(kind, parts.database, source)


def _is_host(host: str) -> bool:
    name = re.sub(r":\d*$", "", host)
    if not name or name.startswith("[") or "%" in name:  # nothing, an IPv6 address, a Unix socket
        return True
    try:
        name.removesuffix(".").encode("idna")
    except UnicodeError:
        return False
    return True


def _check_database(kind: Kind, written: str, source: str) -> None:
    """Refuse a name that no database can have. It is not shown if it might hold a part of a password."""
    try:
        name = unquote(written, errors="strict")
    except UnicodeError:
        raise ConfigError(f"{source}: the name of the database is not UTF-8", hint="%41 is an A") from None
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ConfigError(
            f"{source}: the name of the database has a control character: {name!a}",
            hint="was the secret made with echo, which adds a new line? printf adds none",
        )
    if len(name.encode()) > kind.longest_database_name or set(name) & set(kind.not_in_database_names):
        raise ConfigError(
            f"{source}: {kind.title} cannot have a database {shortened(ascii(name), _SHOWN)}",
            hint=f"at most {kind.longest_database_name} bytes"
            + (f", and none of {kind.not_in_database_names}" if kind.not_in_database_names else ""),
        )


def without_driver(kind: Kind, url: str) -> str:
    """The URL without the driver that SQLAlchemy's URLs may name: `postgresql+asyncpg://...`."""
    scheme, separator, rest = url.partition("://")
    base = scheme.partition("+")[0]
    return f"{base}://{rest}" if separator and scheme not in kind.schemes and base in kind.schemes else url


def database(url: str) -> str:
    """The database that the URL names, as it is written there."""
    return _Parts.of(url).database


def names_database(url: str) -> bool:
    """Whether the URL says which database of the server is meant."""
    return bool(_Parts.of(url).database)


def with_database(url: str, database: str) -> str:
    """The URL, with this database where it names none. The user is looked for where it was looked for before."""
    parts = _Parts.of(url)
    return url if parts.database else str(replace(_with_auth_source(parts), database=_quoted(database)))


def hosts(url: str) -> str:
    """The hosts of a URL, as they are written there."""
    return _Parts.of(url).hosts


def around_hosts(url: str) -> tuple[str, str, str]:
    """What is before the hosts of a URL, the hosts, and what is behind them: as it is written, it may be a template."""
    address = url.partition("?")[0]
    begin = max(address.find("://") + 3, address.rfind("@") + 1)
    hosts = address[begin:].partition("/")[0]
    return url[:begin], hosts, url[begin + len(hosts) :]


def options_of(url: str) -> dict[str, str]:
    """The options of a URL, with their names in small letters."""
    return {key.lower(): value for key, value in parse_qsl(_Parts.of(url).options, keep_blank_values=True)}


def without_options(url: str, names: Collection[str]) -> str:
    """The URL without these options, which are given in small letters."""
    parts = _Parts.of(url)
    kept = [one for one in parts.options.split("&") if unquote(one.partition("=")[0]).lower() not in names]
    return str(replace(parts, options="&".join(kept)))


def beside(url: str, database: str) -> str:
    """The URL of another database on the same server, for the same user."""
    return str(replace(_with_auth_source(_Parts.of(url)), database=database))


def with_password(url: str, password: str) -> str:
    """The URL with this password, in any characters, for the user that it names."""
    parts = _Parts.of(url)
    user = parts.credentials.partition(":")[0]
    return str(replace(parts, credentials=f"{user}:{_quoted(password)}"))


def _quoted(text: str) -> str:
    """The text as a part of a URL. A blank is %20: the library of PostgreSQL takes a + for a plus."""
    return quote(text, safe="")


def _with_auth_source(parts: _Parts) -> _Parts:
    """The same parts for a URL whose database is about to change.

    Without authSource, MongoDB looks for the user in the database of the URL, or in admin if there is none. Only for
    passwords: the other mechanisms do not look there.
    """
    kind = kinds.of_url(str(parts))
    if kind is None or not kind.url_in_parts or not parts.credentials:
        return parts
    given = options_of(str(parts))
    if "authsource" in given or not given.get("authmechanism", "SCRAM").upper().startswith("SCRAM"):
        return parts
    source = urlencode({"authSource": unquote(parts.database) or "admin"})
    return replace(parts, options="&".join(filter(None, [parts.options, source])))


def from_parts(scheme: str, address: str, user: str, password: str, database: str) -> str:
    """A URL from an address, which may be a URL itself, and from a user and a password in any characters.

    Credentials in the address count more than the user and the password. These belong to `database`, unless the address
    names another one.
    """
    url = address if "://" in address else f"{scheme}://{address}"
    parts = _Parts.of(url)
    if not user or parts.credentials:
        return url
    credentials = f"{_quoted(user)}:{_quoted(password)}"
    return str(replace(parts, credentials=credentials, database=parts.database or _quoted(database)))


__all__ = [
    "around_hosts",
    "beside",
    "check",
    "database",
    "from_parts",
    "hosts",
    "names_database",
    "options_of",
    "with_database",
    "with_password",
    "without_options",
]
