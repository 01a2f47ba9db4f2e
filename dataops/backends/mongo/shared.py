"""Clients that the databases of a fleet have in common: a client has threads and connections, which take time to make.

A client is for all databases on the same servers that are asked as the same user. It is closed when nobody uses it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from pymongo import MongoClient, ReadPreference
from pymongo.database import Database

from dataops import urls
from dataops.backends.mongo.connection import Document, Server


@dataclass
class _Use:
    client: MongoClient[Document]
    users: int = 0


_lock = threading.Lock()
_uses: dict[str, _Use] = {}


def take(server: Server) -> tuple[Database[Document], Callable[[], None]]:
    """The database of a server's service, to ask it, and what has to be called when it is not needed any more."""
    url = server.service.url
    key = f"{urls.beside(url, '')} {server.service.timeouts.connect}"
    with _lock:
        use = _uses.get(key) or _uses.setdefault(key, _Use(server.client_to_ask()))
        use.users += 1
    name = unquote(urls.database(url))
    return use.client.get_database(name, read_preference=ReadPreference.PRIMARY), lambda: _give_back(key, use)


def _give_back(key: str, use: _Use) -> None:
    with _lock:
        use.users -= 1
        if use.users:
            return
        del _uses[key]
    use.client.close()


__all__ = ["take"]
