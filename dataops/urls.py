"""What the URL of a database says, and how one is put together."""

from __future__ import annotations

import re
from urllib.parse import quote_plus

from dataops.errors import ConfigError
from dataops.kinds import Kind, schemes

DEFAULT_MONGO_DATABASE = "galoy"


def _with_database(url: str, database: str) -> str:
    """Put the database into a mongodb URL that names none. The last @ ends the credentials."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    address, question, options = rest.partition("?")
    credentials, at, hosts = address.rpartition("@")
    host, _, path = hosts.partition("/")
    return f"{scheme}://{credentials}{at}{host}/{path or quote_plus(database)}{question}{options}"


def _checked(kind: Kind, url: str, source: str, database: str) -> str:
    allowed = schemes([kind])
    if not url.startswith(allowed):
        raise ConfigError(
            f"{source} is not a {kind.name} URL: it has to begin with {' or '.join(allowed)}",
            hint="the value itself is not shown, it may hold a password",
        )
    rest = url.partition("://")[2]
    if not re.fullmatch(r"([^@/?#]*@)?[^@?]*(\?([^@]*|[^@=]*=.*))?", rest):
        raise ConfigError(
            f"{source}: the user or the password holds characters that have to be escaped",
            hint="write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, %25 for %",
        )
    return url if not kind.url_in_parts else _with_database(url, database or DEFAULT_MONGO_DATABASE)
