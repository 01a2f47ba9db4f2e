"""Index definitions that a migration drops or replaces, and indexes that it needs only while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataops.stash.mongo.notebook import Document, Notebook


class Indexes(Notebook):
    """The indexes of a migration: each can be made again as it was."""

    def drop_index(self, collection: str, index: str) -> None:
        """Drop the index, if it is there, and keep its definition with all options."""
        found = self._indexes(collection)
        self._keep_index(collection, index, found)
        if index in found:
            self.db[collection].drop_index(index)

    def create_index(self, collection: str, index: str, key: Mapping[str, Any], **options: Any) -> None:
        """Create the index and wait for it. An index of that name with another definition is kept and dropped first.

        If there is one with this definition under another name, nothing is done. The collection is noted as by
        `created`: creating an index creates the collection.
        """
        self.create_indexes(collection, {index: {"key": dict(key), **options}})

    def create_indexes(self, collection: str, indexes: Mapping[str, Mapping[str, Any]]) -> None:
        """Like `create_index`, for several: the server reads the collection once.

        `indexes`: name -> {"key": {field: 1, ...}, ...} with its options.
        """
        self.created(collection)
        found = self._indexes(collection)
        build: list[Document] = []
        for index, definition in indexes.items():
            self._keep_index(collection, index, found)
            wanted = {"name": index, **self._inherited(collection), **definition}
            if any(_same({**one, "name": index}, wanted) for one in found.values()):
                continue
            if index in found:
                self.db[collection].drop_index(index)
            build.append(wanted)
        if build:
            self._build(collection, build)

    def kept_index(self, collection: str, index: str) -> Document | None:
        """The definition that an index had before `drop_index` or `create_index`; None if it was not there."""
        kept = self.noted(_note_of(collection, index))
        return None if kept is None else kept["was"]

    def restore_indexes(self) -> None:
        """Make each index that `drop_index` or `create_index` changed what it was: absent, or as it was defined.

        Indexes of a collection that is no longer there are left alone. First the drops, then the builds, for each
        collection in one command: the server reads it once.
        """
        names = self._names()
        build: dict[str, list[Document]] = {}
        for note in self.notes("index:"):
            collection, index, was = note["value"]["collection"], note["value"]["name"], note["value"]["was"]
            if collection not in names:
                continue
            found = self._indexes(collection).get(index)
            if found is not None and (was is None or not _same(found, was)):
                self.db[collection].drop_index(index)
                found = None
            if found is None and was is not None:
                build.setdefault(collection, []).append(was)
        for collection, indexes in build.items():
            self._build(collection, indexes)

    def lookup_index(self, collection: str, field: str) -> None:
        """Make sure that `$lookup` finds documents of `collection` by `field` through an index in this scope.

        An index that begins with the field and holds every document is enough. Otherwise one is built, and dropped at
        the end of the scope (after a stop, at the end of the next one). Does nothing if there is no such collection.
        """
        found = self._indexes(collection)
        plain = {"v", "key", "name", "ns", "unique", "background", "clustered"}
        inherited = self._inherited(collection)

        def is_enough(index: Document) -> bool:
            options = {key: value for key, value in index.items() if key not in plain}
            return next(iter(index["key"])) == field and options == inherited

        if not found or any(map(is_enough, found.values())):
            return
        name = f"dataops_lookup_{field}"
        self.note(f"lookup:{collection}:{field}", {"collection": collection, "name": name})
        # two keys: an index of the application's with the same key and other options is no conflict
        self._build(collection, [{"key": {field: 1, "_id": 1}, "name": name}])

    def _build(self, collection: str, indexes: list[Document]) -> None:
        """Build them in one pass over the collection, and wait until the majority of a replica set has built them.

        By default the server would wait for every member that votes, even if it is down, and never less than 0.1 s.
        """
        command: Document = {"createIndexes": collection, "indexes": indexes}
        if "setName" in self.db.command("hello"):  # a standalone refuses the option
            command["commitQuorum"] = "majority"
        self.db.command(command)

    def _drop_lookup_indexes(self) -> None:
        for note in self.notes("lookup:"):
            collection, index = note["value"]["collection"], note["value"]["name"]
            if index in self._indexes(collection):
                self.db[collection].drop_index(index)
            self.db[self.notebook].delete_one({"_id": note["_id"]})

    def _keep_index(self, collection: str, index: str, found: Mapping[str, Document]) -> None:
        self.note(_note_of(collection, index), {"collection": collection, "name": index, "was": found.get(index)})

    def _indexes(self, collection: str) -> dict[str, Document]:
        # "simple" means no collation, and has to be said: an index would inherit the collation of its collection
        simple: Document = {"collation": {"locale": "simple"}} if self._inherited(collection) else {}
        return {str(index["name"]): {**simple, **index} for index in self.db[collection].list_indexes()}

    def _inherited(self, collection: str) -> Document:
        """The options that an index of `collection` gets if its definition does not say otherwise."""
        collation = self.collation(collection)
        return {"collation": collation} if collation else {}


def _note_of(collection: str, index: str) -> str:
    return f"index:{collection}:{index}"


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two index definitions mean the same; version numbers and `background` are no difference."""

    def plain(index: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], Document]:
        ignored = {"v", "ns", "key", "background", "2dsphereIndexVersion"}
        options = {k: v for k, v in index.items() if k not in ignored and v is not False}
        return list(index["key"].items()), options

    return plain(one) == plain(other)
