"""Which environment variables a file sees while it is looked at: all but those that lead to databases."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from dataops.redaction import redact

# What libpq reads, and what people and platforms call the addresses of their databases.
_NAMES = re.compile(
    r"PG[A-Z]+|(MONGO|MONGODB|POSTGRES|POSTGRESQL|MYSQL|REDIS)_\w+|(\w+_)?(DATABASE|DB)_(URL|URI|DSN|PASSWORD)"
)
_ADDRESS = re.compile(r"\b(postgres|postgresql|mongodb|mysql|mariadb|redis|rediss|amqp|amqps)(\+\w+)?://")


def visible(environ: Mapping[str, str], configured: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The variables that a file may see, and the names of those that are hidden.

    Hidden is what the configuration reads, what has a name that database clients or platforms use, and what holds the
    URL of a database or a password that we know.
    """
    hidden = [
        name
        for name, value in environ.items()
        if name in configured or _NAMES.fullmatch(name) or _ADDRESS.search(value) or redact(value) != value
    ]
    return {name: value for name, value in environ.items() if name not in hidden}, hidden


__all__ = ["visible"]
