"""Copies, for a scratch database, what an application makes by itself and a migration expects to find."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import replace
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure

from dataops.backends import Lent
from dataops.backends.mongo import catalogue
from dataops.errors import NotBuilt
from dataops.model import Service

Document = dict[str, Any]

_STRICT = ("valid", "capped", "size", "max")
_NAMESPACE_NOT_FOUND, _INDEX_NOT_FOUND = 26, 27
_THERE_ALREADY = frozenset({48, 68, 85, 86, 11000})  # a collection, an index by its name or its keys, a document
_COLLECTION = re.compile(r"[\w$-]+\.([^\s'\"\]]+)")
"""How the server names a collection in a message: `Source collection shop.users does not exist`."""
_ON_A_VIEW = re.compile(r"on a view|is a view|on view")
_NO_INDEX = re.compile(r"index not found with name \[(.+)\]|find index with key: (\{.+\})")
_INDEX = re.compile(r'name: "([^"]+)"|different name: (\S+)|with name:? (\S+)|index: (\S+) dup key')
"""How it names an index: `existing index: { v: 2, key: { mail: 1 }, name: "mail_1" }`."""
_KEY = re.compile(r"([^\s,{}]+): (\"\w+\"|-?[\d.]+)")
"""One key of an index, as the server writes it: `{ mail: 1, about: "text" }`."""
_EXISTS = re.compile(r"collection (.+) already exists")
"""What pymongo says of a collection."""


def more_to_lend(error: NotBuilt, before: Lent) -> Lent:
    """First what the server has missed by name, then all collections, at last their indexes."""
    for cause in (one for one in _causes(error) if isinstance(one, OperationFailure)):
        if _ON_A_VIEW.search(_message(cause)) and error.place and error.place not in before.plain:
            return replace(before, names=before.names | {error.place}, plain=before.plain | {error.place})
        if cause.code == _NAMESPACE_NOT_FOUND:
            found = _COLLECTION.search(_message(cause))
            name = found[1] if found else error.place
            if name and name not in before.names:
                return replace(before, names=before.names | {name})
        if cause.code == _INDEX_NOT_FOUND and error.place and (missed := _NO_INDEX.search(_message(cause))):
            index = (error.place, missed[1] or missed[2])
            if index not in before.dropped:
                return replace(before, dropped=before.dropped | {index})
    return replace(before, collections=True, indexes=before.collections)


def in_the_way(error: BaseException) -> frozenset[str]:
    """The names of collections and indexes that could not be made because they were there already.

    Also that of a unique index which has refused a document of the history.
    """
    names: set[str | None] = set()
    for cause in _causes(error):
        if isinstance(cause, CollectionInvalid) and (found := _EXISTS.fullmatch(str(cause))):
            names.add(found[1])
        elif isinstance(cause, OperationFailure) and cause.code in _THERE_ALREADY:
            pattern = _COLLECTION if cause.code == 48 else _INDEX
            names |= {group for found in pattern.finditer(_message(cause)) for group in found.groups()}
    return frozenset(name for name in names if name)


def _message(error: OperationFailure) -> str:
    return str((error.details or {}).get("errmsg", error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "cause", None) or seen.__cause__ or seen.__context__


def borrow(source: Database[Document] | None, target: Database[Document], service: Service, lent: Lent) -> None:
    """Create collections, views and indexes of `source` in `target`, without any document, unless they are there.

    What is lent by name is made whether `source` has it (still) or not. Options of collections that may refuse
    a write, such as validators and limits of size, are left out, for migrations of years ago wrote documents that
    today's options would refuse.
    """
    there = set(target.list_collection_names())
    found = catalogue.collections(source, service.record) if source is not None else []
    live = {str(info["name"]): info for info in sorted(found, key=lambda info: bool(info["type"] == "view"))}
    wanted = {*lent.names, *(service.application if lent.collections else ())}
    for name in [name for name in (*live, *sorted(wanted - live.keys())) if lent.collections or name in wanted]:
        if name not in there | lent.but:
            there.add(name)
            options = live[name].get("options", {}) if name in live and name not in lent.plain else {}
            target.command({"create": name, **{k: v for k, v in options.items() if not k.startswith(_STRICT)}})
    for collection, index in sorted(lent.dropped):
        _lend_index(target[collection], index)
    if source is not None and lent.indexes:
        for name in [name for name, info in live.items() if info["type"] == "collection" and name not in lent.but]:
            _borrow_indexes(source[name], target[name], lent.but)


def _lend_index(target: Collection[Document], index: str) -> None:
    """An index that the history wants to drop, by its name or by its keys. What else it was like, nobody knows."""
    keys = [(key, _direction(of)) for key, of in _KEY.findall(index)] if index.startswith("{") else []
    if keys:
        target.create_index(keys)
    else:
        target.create_index([(f"lent_{index.encode().hex()}", 1)], name=index)


def _direction(written: str) -> int | str:
    return written.strip('"') if written.startswith('"') else int(float(written))


def _borrow_indexes(source: Collection[Document], target: Collection[Document], but: Container[str]) -> None:
    there = list(target.list_indexes())
    names, keys = {index["name"] for index in there}, [list(index["key"].items()) for index in there]
    indexes = [  # "simple" means none; otherwise an index would inherit the collation of its collection
        {"collation": {"locale": "simple"}} | {key: index[key] for key in index if key not in ("v", "ns")}
        for index in source.list_indexes()
        if not index.get("clustered")  # which the options of its collection make
        and index["name"] not in names
        and index["name"] not in but
        and list(index["key"].items()) not in keys
    ]
    if indexes:
        target.database.command({"createIndexes": target.name, "indexes": indexes})


__all__ = ["borrow", "in_the_way", "more_to_lend"]
