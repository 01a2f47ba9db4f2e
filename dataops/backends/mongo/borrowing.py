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

Document = dict[str, Any]

_STRICT = ("valid", "capped", "size", "max")
_NAMESPACE_NOT_FOUND = 26
_THERE_ALREADY = frozenset({48, 68, 85, 86, 11000})  # a collection, an index by its name or its keys, a document
_COLLECTION = re.compile(r"[\w$-]+\.([^\s'\"\]]+)")
"""How the server names a collection in a message: `Source collection shop.users does not exist`."""
_INDEX = re.compile(r'name: "([^"]+)"|different name: (\S+)|with name:? (\S+)|index: (\S+) dup key')
"""How it names an index: `existing index: { v: 2, key: { mail: 1 }, name: "mail_1" }`."""
_EXISTS = re.compile(r"collection (.+) already exists")
"""What pymongo says of a collection."""


def more_to_lend(error: BaseException, before: Lent) -> Lent:
    """First the collection that the server has missed by name, then all collections, at last their indexes."""
    for cause in _causes(error):
        if isinstance(cause, OperationFailure) and cause.code == _NAMESPACE_NOT_FOUND:
            found = _COLLECTION.search(_message(cause))
            if found and found[1] not in before.names:
                return replace(before, names=before.names | {found[1]})
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


def borrow(source: Database[Document], target: Database[Document], record: str, lent: Lent) -> None:
    """Create collections, views and indexes of `source` in `target`, without any document, unless they are there.

    Collections that are lent by name are made whether `source` has them (still) or not. Their options that may refuse
    a write, such as validators and limits of size, are left out, for migrations of years ago wrote documents that
    today's options would refuse.
    """
    there = set(target.list_collection_names())
    found = catalogue.collections(source, record)
    live = {str(info["name"]): info for info in sorted(found, key=lambda info: bool(info["type"] == "view"))}
    for name in [name for name in (*live, *sorted(lent.names)) if lent.collections or name in lent.names]:
        if name not in there | lent.but:
            there.add(name)
            options = live[name].get("options", {}) if name in live else {}
            target.command({"create": name, **{k: v for k, v in options.items() if not k.startswith(_STRICT)}})
    for name, info in live.items() if lent.indexes else ():
        if info["type"] == "collection" and name not in lent.but:
            _borrow_indexes(source[name], target[name], lent.but)


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
