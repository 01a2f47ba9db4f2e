"""The databases of a server, how big they are, and what a control database answers: for fleets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bson import json_util
from bson.errors import BSONError

from dataops.backends.mongo.connection import Document, Server, database_of
from dataops.errors import ConfigError
from dataops.model import Service

_OWN = ("admin", "config", "local")
_MILLISECONDS = 30_000
_EXAMPLE = """for example '{"find": "tenants", "filter": {"active": true}, "projection": {"_id": 1, "region": 1}}'"""


def names(service: Service, like: str) -> list[str]:
    """The names of the server's databases that fit a pattern of SQL's LIKE, in their order; not the server's own."""
    pattern = re.compile(_regex(like), re.DOTALL)
    return sorted(name for name in _sizes(service, nameOnly=True) if pattern.fullmatch(name) and name not in _OWN)


def sizes(service: Service, databases: Sequence[str]) -> dict[str, int]:
    """The sizes in bytes of those of these databases that exist."""
    wanted = set(databases)
    return {name: size for name, size in _sizes(service).items() if name in wanted}


def _sizes(service: Service, **options: Any) -> dict[str, int]:
    server = Server(service)
    with server.explaining(), server.client_to_ask() as client:
        found = client.admin.command("listDatabases", **options)["databases"]
    return {one["name"]: int(one.get("sizeOnDisk", 0)) for one in found}


def rows(service: Service, query: str) -> list[Mapping[str, Any]]:
    """What a command answers: find or aggregate, as JSON. Raises ConfigError for any other.

    The fields of each document are in the order of the projection, where `find` has one, and not in their own.
    """
    try:
        command = json_util.loads(query)
    except (ValueError, TypeError, BSONError) as error:
        raise ConfigError("the query is not a command of MongoDB as JSON", hint=_EXAMPLE) from error
    name = next(iter(command), "") if isinstance(command, dict) else ""
    if name not in ("find", "aggregate"):
        raise ConfigError("the query has to be one of the commands find, aggregate", hint=_EXAMPLE)
    if any(stage in json_util.dumps(command.get("pipeline", [])) for stage in ('"$out"', '"$merge"')):
        raise ConfigError("the query must not write: it has $out or $merge in it", hint=_EXAMPLE)
    more: Document = {"cursor": {}} if name == "aggregate" else {}
    server = Server(service)
    with server.explaining(), server.client_to_ask() as client:
        found = list(database_of(client).cursor_command({**command, **more, "maxTimeMS": _MILLISECONDS}))
    order = _order(command.get("projection"))
    return [{**{key: one.get(key) for key in order}, **one} for one in found]


def _order(projection: Any) -> list[str]:
    """The fields that a projection takes, in its order; the server puts `_id` first where nothing is said of it."""
    if not isinstance(projection, dict):
        return []
    taken = [key.partition(".")[0] for key, how in projection.items() if how]
    return taken if "_id" in projection or not taken else ["_id", *taken]


def _regex(like: str) -> str:
    """A pattern of LIKE as a regular expression: % is any text, _ one character, and a backslash takes the next."""
    parts = re.findall(r"\\(.)|(%)|(_)|(.)", like, re.DOTALL)
    return "".join(
        ".*" if any_text else "." if one else re.escape(escaped or plain) for escaped, any_text, one, plain in parts
    )


__all__ = ["names", "rows", "sizes"]
