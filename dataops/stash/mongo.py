"""The stash of a MongoDB migration: for migration files, and for `dataops stash`.

    name = "20220118183759-remove-wallet-id-index"

    def upgrade(db):
        with applying(db, name) as stash:
            stash.drop_index("users", "walletId_1")
            stash.keep("users", {"walletId": {"$exists": True}}, ["walletId"])
            db["users"].update_many({"walletId": {"$exists": True}}, {"$unset": {"walletId": ""}})

    def downgrade(db):
        with undoing(db, name) as stash:
            stash.restore("users", {"walletId": ABSENT})
            stash.restore_indexes()

What each call is for (everything happens on the server, except where it says *batches*):

    apply                                undo                          for
    keep(coll, match, fields)            restore(coll, {field: left})  former values (fields None: documents)
    plan(coll, pipeline, source), write  the same                      values computed out of other documents
    add(coll, documents), write          the same                      values made in Python (*batches*)
    plan or add, then insert(coll)       remove(coll)                  new documents, known again by `_id`
    update(coll, match, update)          the same                      `update_many`, on big collections faster
    merge(source, pipeline, coll, ...)   the same                      changes that carry their own way back
    copy(source, pipeline, coll)         delete_many, by `_id`         new documents that can be told by their `_id`
    created(coll)                        drop_created(coll)            a collection that we bring into being
    take(coll)                           give_back(coll)               a dropped collection, whole: a rename
    drop_index, create_index             restore_indexes()             index definitions, all options
    note(key, value)                     noted(key)                    any small fact
    lookup_index(coll, field)            the same                      an index for `$lookup`, for the while
    batches(db, coll, match, fields)                                   reading for Python, constant memory

Where it is kept. One collection for each source collection, `dataops_stash_<version>.<source>`
(`.<source>.<label>` when one migration keeps two things of one collection), with documents

    {_id: <_id of the source document>, was: {field: former value}, set: {field: value that we write}}

An absent field is absent in `was`, a null is null, types are kept. And one *notebook*,
`dataops_stash_<version>`: the migration's name, when it began (the server's clock), which stash collections
there are, indexes and noted facts.

The promises:

1. *First seen wins.* A document, an index or a fact that was kept once stays as first kept; a second run
   after a stop adds what is new and changes nothing. With `latest=True`, for a `match` that no migrated
   document meets, what is still there to be kept is kept as it is now, writes after the stop included. With
   `once=True` the first run decides and a second adds nothing: for putting aside the *exceptions*, documents
   that look migrated before we begin.
2. *All or nothing.* The first `keep` or `plan` fills its collection with `$out`, which appears complete or
   not at all. So whatever is found in a stash was complete before the first document was changed.
3. *Stop anywhere.* Stopped in `upgrade`: run `upgrade` again, or `downgrade`. Stopped in `downgrade`: run it
   again, or `upgrade`. Each call here may be repeated, and an undo call does nothing where nothing was kept.
4. *The stash goes last.* When the body of `undoing` has ended, the notebook is marked, then the collections
   go, then the notebook. A stop in between is finished by the next `applying` or `undoing`, before anything
   else: an old value is never taken for a new one.
5. *Only what is still ours.* `restore` gives a field back only while the document holds what the migration
   left there (`ABSENT`, `WRITTEN`, or any expression); with `ANY` always. Documents that are gone stay gone;
   `remove` deletes only what the migration inserted.
6. *Pruned is not empty.* After `prune` the notebook stays as a tombstone and `undoing` refuses, until the
   next apply.

No transactions: it works on a standalone server. The order of fields in restored documents may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from dataops.errors import Blocked
from dataops.model import StashEntry
from dataops.progress import track
from dataops.redaction import redact

if TYPE_CHECKING:
    from pymongo.database import Database

Document = dict[str, Any]
Expression = Any

PREFIX = "dataops_stash_"

HALVED = 1000
"""How many documents make it worth while to work on a collection in two halves."""

_whole: ContextVar[bool] = ContextVar("whole", default=False)


@contextmanager
def undivided() -> Iterator[None]:
    """In here nothing is worked on in halves: for a plan, which is read by people."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


# stages that make of every document what they make of it alone
_ONE_BY_ONE = {"$match", "$project", "$set", "$unset", "$replaceWith", "$lookup", "$unwind"}

ABSENT: Expression = "$$REMOVE"
"""For `restore`: the migration removed the field; give it back only while it is still absent."""

ANY: Expression = object()
"""For `restore`: give the field back whatever is there now."""

WRITTEN: Expression = object()
"""For `restore`: the migration wrote what the stash has under `set`; give the former value back while that is
still there (equal as MongoDB compares: 1 and 1.0 are equal)."""


class StashPruned(Blocked):
    """What this migration had put aside was pruned: it cannot be rolled back."""

    default_hint = "restore a backup, or leave the migration applied"


@contextmanager
def applying(db: Database[Document], migration: str) -> Iterator[Stash]:
    """The scope of an `upgrade`. First finishes an undo that was stopped at its very end."""
    stash = Stash(db, migration)
    stash._finish_drop(tombstone_too=True)
    yield stash
    stash._drop_lookup_indexes()


@contextmanager
def undoing(db: Database[Document], migration: str) -> Iterator[Stash]:
    """The scope of a `downgrade`: the stash is dropped when the body has ended, and kept when it has raised.

    Raises StashPruned before anything is changed.
    """
    stash = Stash(db, migration)
    stash._finish_drop()
    if pruned := stash.noted("pruned"):
        raise StashPruned(f"{migration}: what it had put aside was pruned on {pruned}")
    stash._drop_lookup_indexes()
    yield stash
    stash._drop_lookup_indexes()
    stash.drop()


class Stash:
    """What one migration has put aside in one database. Made by `applying` and `undoing`."""

    def __init__(self, db: Database[Document], migration: str) -> None:
        self.db = db
        self.migration = migration
        self.notebook = PREFIX + migration.split("-", 1)[0]
        mine = (self.notebook, self.notebook + ".")
        self._present = {found for found in self._names() if found == mine[0] or found.startswith(mine[1])}
        self._found = frozenset(self._present)  # by an earlier run

    # ---- former values

    def keep(
        self,
        collection: str,
        match: Mapping[str, Any],
        fields: Sequence[str] | None = None,
        *,
        label: str = "",
        latest: bool = False,
        once: bool = False,
    ) -> None:
        """Put aside top-level `fields` (None: the whole document) of every document that matches.

        `latest` only if `match` is never met by a document that the migration has already changed.
        """
        was: Expression = "$$ROOT" if fields is None else {field: f"${field}" for field in fields}
        stages: list[Document] = [{"$match": match}, {"$project": {"was": was}}]
        self.plan(collection, stages, label=label, latest=latest, once=once)

    def restore(self, collection: str, left: Mapping[str, Expression], *, label: str = "") -> None:
        """Give fields back, to documents that still exist, each only while it holds what the migration left.

        `left`: field -> ABSENT, WRITTEN, ANY or an expression (`$field` is the document now, `$$new.was` and
        `$$new.set` are the stash). A field that was absent is removed, a null becomes null.
        """
        kept = self.name(collection, label)
        if kept not in self._present:
            return
        back: Document = {}
        for field, value in left.items():
            now = f"$$new.set.{field}" if value is WRITTEN else value
            was = f"$$new.was.{field}"  # a missing value makes $set remove the field
            back[field] = was if value is ANY else {"$cond": [{"$eq": [f"${field}", now]}, was, f"${field}"]}
        self.merge(kept, [], collection, [{"$set": back}])

    def restore_documents(self, collection: str, *, label: str = "") -> None:
        """Insert whole kept documents again, except where a document with that `_id` exists."""
        kept = self.name(collection, label)
        if kept in self._present:
            self.copy(kept, [{"$replaceWith": "$was"}], collection)

    # ---- values that the migration computes

    def plan(
        self,
        collection: str,
        pipeline: Sequence[Mapping[str, Any]],
        source: str | None = None,
        *,
        label: str = "",
        latest: bool = False,
        once: bool = False,
        whole: bool = False,
    ) -> None:
        """Fill the stash of `collection` with what `pipeline`, run on `source` (or `collection`), yields.

        It has to yield `{_id, was: {...}, set: {...}}`, `_id` being that of a document of `collection`, once
        each. Nothing else is changed: call `write` or `insert` then. See promises 1 and 2 for a second run.
        Nothing is kept, not even that, where there is no source. `whole` where the pipeline needs most of the
        source: it is read as it lies, not by way of an index.
        """
        source = source or collection
        if source not in self._names():
            return
        kept = self._open(collection, label)
        if kept in self._present:
            if once:
                return
            end = _merge(kept, "replace" if latest else "keepExisting", "insert")
        else:
            end = {"$out": kept}
        self._aggregate(source, [*pipeline, end], {"$natural": 1} if whole else None)
        self._present.add(kept)

    def add(self, collection: str, documents: Sequence[Document], *, label: str = "") -> None:
        """The same for one batch of documents made in Python, each `_id` once in a run.

        What an earlier run added stays as it is, so that values made at random are made once.
        """
        if not documents:
            return
        kept = self.db[self._open(collection, label)]
        known: set[Any] = set()
        if kept.name in self._found:
            wanted = [document["_id"] for document in documents]
            known = {found["_id"] for found in kept.find({"_id": {"$in": wanted}}, {"_id": 1})}
        if fresh := [document for document in documents if document["_id"] not in known]:
            kept.insert_many(fresh, ordered=False)
        self._present.add(kept.name)

    def write(self, collection: str, *, label: str = "") -> None:
        """Set the fields under `set` in the documents that they were planned for, where those still exist."""
        kept = self.name(collection, label)
        if kept in self._present:
            flat = {"$replaceWith": {"$mergeObjects": ["$set", {"_id": "$_id"}]}}
            self.merge(kept, [flat], collection, "merge")

    def insert(self, collection: str, *, label: str = "") -> None:
        """Insert `set` with the planned `_id`, except where a document with that `_id` exists.

        A unique index may still refuse: plan no document that is there under another `_id`.
        """
        kept = self.name(collection, label)
        if kept in self._present:
            whole = {"$replaceWith": {"$mergeObjects": [{"_id": "$_id"}, "$set", {"_id": "$_id"}]}}
            self.copy(kept, [whole], collection)

    def remove(self, collection: str, only: Mapping[str, Any] | None = None, *, label: str = "") -> None:
        """Delete what `insert` inserted; with `only`, where it now matches that (*batches* of `_id`s)."""
        kept = self.name(collection, label)
        if kept not in self._present:
            return
        for batch in track(batches(self.db, kept, {}, [])):
            mine = {"_id": {"$in": [document["_id"] for document in batch]}}
            self.db[collection].delete_many({"$and": [mine, only]} if only else mine)

    # ---- in two halves

    def update(self, collection: str, match: Document, update: Document | list[Document]) -> None:
        """`update_many`. Big collections are worked on in two halves, see `_halves`."""
        change = self.db[collection].update_many
        halves = self._halves(collection)
        if not halves:
            change(match, update)
            return
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(change, {"$and": [half, match]}, update, hint=order) for half, order in halves]
        for run in runs:
            run.result()

    def merge(self, source: str, pipeline: Sequence[Document], into: str, matched: str | list[Document]) -> None:
        """Change documents of `into`: those whose `_id` `pipeline`, run on `source`, yields, where they exist.

        `matched` is the `whenMatched` of $merge. "merge" costs a fifth to two fifths less than a pipeline there, so
        what can be computed before should be. Big sources are worked on in two halves, see `_halves`.
        """
        self._in_halves(source, pipeline, _merge(into, matched, "discard"))

    def copy(self, source: str, pipeline: Sequence[Document], into: str) -> None:
        """Insert what `pipeline`, run on `source`, yields, except where a document with that `_id` exists.

        Big sources are worked on in two halves, see `_halves`.
        """
        try:
            self._in_halves(source, pipeline, _merge(into, "fail", "insert"))
        except DuplicateKeyError:  # some are there, as after a stop: look at each, at twice the price
            self._in_halves(source, pipeline, _merge(into, "keepExisting", "insert"))

    # ---- collections

    def created(self, collection: str) -> bool:
        """Note whether `collection` is there, before the migration brings it into being; True if it was not."""
        return bool(self.note(f"created:{collection}", collection not in self._names()))

    def drop_created(self, collection: str) -> None:
        """Drop `collection` if the migration made it and nothing is left in it."""
        if self.noted(f"created:{collection}") and self.db[collection].find_one({}, {"_id": 1}) is None:
            self.db.drop_collection(collection)

    def take(self, collection: str) -> None:
        """Drop `collection`, by moving it into the stash with all its documents, indexes and options."""
        if collection not in self._names():
            return
        kept = self._open(collection, "")
        if kept in self._present:  # a second run, and the application has made it anew
            self.copy(collection, [], kept)
            self.db.drop_collection(collection)
        else:
            self.db[collection].rename(kept)
            self._present.add(kept)

    def give_back(self, collection: str) -> None:
        """Move a taken collection back; if the application has made a new one, add what is not in that."""
        kept = self.name(collection)
        if kept not in self._present:
            return
        if collection in self._names():
            self.copy(kept, [], collection)
        else:
            self.db[kept].rename(collection)
            self._present.discard(kept)

    # ---- indexes

    def drop_index(self, collection: str, index: str) -> None:
        """Drop the index, if it is there, and keep its definition with all options."""
        found = self._indexes(collection)
        self._keep_index(collection, index, found)
        if index in found:
            self.db[collection].drop_index(index)

    def create_index(self, collection: str, index: str, key: Mapping[str, Any], **options: Any) -> None:
        """Create the index and wait for it; one of that name with another definition gives way, and is kept.

        The collection is noted as by `created`: creating an index creates the collection.
        """
        self.created(collection)
        found = self._indexes(collection)
        self._keep_index(collection, index, found)
        wanted = {"key": dict(key), "name": index, **options}
        if index in found:
            if _same(found[index], wanted):
                return
            self.db[collection].drop_index(index)
        self.db.command("createIndexes", collection, indexes=[wanted])

    def restore_indexes(self) -> None:
        """Make each index that `drop_index` or `create_index` touched what it was: absent, or as defined.

        Indexes of a collection that is no longer there are left alone. First the drops, then the builds.
        """
        names = self._names()
        build: list[tuple[str, Document]] = []
        for note in self.notes("index:"):
            collection, index, was = note["value"]["collection"], note["value"]["name"], note["value"]["was"]
            if collection not in names:
                continue
            found = self._indexes(collection).get(index)
            if found is not None and (was is None or not _same(found, was)):
                self.db[collection].drop_index(index)
                found = None
            if found is None and was is not None:
                build.append((collection, was))
        for collection, was in build:
            self.db.command("createIndexes", collection, indexes=[was])

    def lookup_index(self, collection: str, field: str) -> None:
        """See to it that `$lookup` finds documents of `collection` by `field` through an index, for now.

        An index that begins with the field and holds every document serves; else one is built, dropped
        at the end of the scope (after a stop: of the next scope). Nothing for a missing collection.
        """
        found = self._indexes(collection)
        plain = {"v", "key", "name", "ns", "unique", "background"}
        if not found or any(next(iter(i["key"])) == field and not set(i) - plain for i in found.values()):
            return
        name = f"dataops_lookup_{field}"
        self.note(f"lookup:{collection}:{field}", {"collection": collection, "name": name})
        # two keys: an index of the application's with the same key and other options is no conflict
        self.db.command("createIndexes", collection, indexes=[{"key": {field: 1, "_id": 1}, "name": name}])

    # ---- notes

    def note(self, key: str, value: Any) -> Any:
        """Write a fact down once; returns what is written down: the first value, on a second run too."""
        if (known := self._find(key)) is not None:
            return known["value"]
        book = self.db[self.notebook]
        if self.notebook not in self._present:
            first = {"at": "$$NOW", "migration": {"$literal": self.migration}}
            book.update_one({"_id": "migration"}, [{"$replaceWith": {"$mergeObjects": [first, "$$ROOT"]}}], upsert=True)
            self._present.add(self.notebook)
        book.insert_one({"_id": key, "value": value})
        return value

    def noted(self, key: str) -> Any:
        """What was written down under `key`, or None."""
        found = self._find(key)
        return None if found is None else found["value"]

    def notes(self, prefix: str) -> list[Document]:
        """Every `{_id: key, value}` whose key begins with `prefix`, in order of the keys."""
        found = self.db[self.notebook].find(sort=[("_id", 1)]) if self.notebook in self._present else ()
        return [note for note in found if str(note["_id"]).startswith(prefix)]

    # ---- names and the end

    def name(self, collection: str, label: str = "") -> str:
        """The stash collection of a source collection: for pipelines that read it."""
        return f"{self.notebook}.{collection}" + (f".{label}" if label else "")

    def has(self, collection: str, *, label: str = "") -> bool:
        """Whether there is something to restore."""
        return self.name(collection, label) in self._present

    def drop(self) -> None:
        """Mark the notebook, drop the collections, drop the notebook; `undoing` calls it."""
        if not self._present:
            return
        self.note("dropping", True)
        self._finish_drop()

    def _finish_drop(self, tombstone_too: bool = False) -> None:
        if self.notebook not in self._present:
            return
        if self.noted("dropping") or (tombstone_too and self.noted("pruned")):
            for collection in sorted(self._present - {self.notebook}):
                self.db.drop_collection(collection)
            self.db.drop_collection(self.notebook)
            self._present.clear()

    def _drop_lookup_indexes(self) -> None:
        for note in self.notes("lookup:"):
            collection, index = note["value"]["collection"], note["value"]["name"]
            if index in self._indexes(collection):
                self.db[collection].drop_index(index)
            self.db[self.notebook].delete_one({"_id": note["_id"]})

    def _open(self, collection: str, label: str) -> str:
        kept = self.name(collection, label)
        self.note(f"kept:{kept}", {"source": collection})
        return kept

    def _keep_index(self, collection: str, index: str, found: Mapping[str, Document]) -> None:
        self.note(f"index:{collection}:{index}", {"collection": collection, "name": index, "was": found.get(index)})

    def _indexes(self, collection: str) -> dict[str, Document]:
        return {str(index["name"]): dict(index) for index in self.db[collection].list_indexes()}

    def _names(self) -> list[str]:
        return self.db.list_collection_names()

    def _find(self, key: str) -> Document | None:
        if self.notebook not in self._present:
            return None
        return self.db[self.notebook].find_one({"_id": key})

    def _in_halves(self, source: str, pipeline: Sequence[Document], end: Document) -> None:
        """Run `pipeline` and `end` on both halves; as a whole where the pipeline joins documents."""
        whole = [*pipeline, end]
        halves = self._halves(source) if {next(iter(stage)) for stage in pipeline} <= _ONE_BY_ONE else ()
        if not halves:
            self._aggregate(source, whole)
            return
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(self._aggregate, source, [{"$match": half}, *whole], order) for half, order in halves]
        for run in runs:
            run.result()

    def _halves(self, source: str) -> tuple[tuple[Document, Document], ...]:
        """The lower and the upper half by `_id`, each with a hint, to be worked on side by side.

        That takes little more than half the time: one connection keeps one core of the server busy with small
        updates. Two, never more, because live applications need the others. None where halves are not worth it,
        and while a plan is made, which shows one command.
        """
        count = 0 if _whole.get() else self.db[source].estimated_document_count()
        if count < HALVED:
            return ()
        middle = self.db[source].find_one({}, {"_id": 1}, sort=[("_id", 1)], skip=count // 2)
        if middle is None:
            return ()
        # in the order in which documents lie, here and where they are written: ObjectIds grow with time, others do not
        order = {"_id": 1} if isinstance(middle["_id"], ObjectId) else {"$natural": 1}
        lower = {"_id": {"$lt": middle["_id"]}}
        upper = {"_id": {"$not": {"$lt": middle["_id"]}}}  # not $gte: that finds its own type only
        return ((lower, order), (upper, order))

    def _aggregate(self, source: str, pipeline: Sequence[Mapping[str, Any]], hint: Document | None = None) -> None:
        options: dict[str, Any] = {"hint": hint} if hint else {}
        for _ in self.db[source].aggregate(pipeline, allowDiskUse=True, **options):
            pass


def batches(
    db: Database[Document],
    collection: str,
    match: Mapping[str, Any],
    fields: Iterable[str],
    size: int = 1000,
) -> Iterator[list[Document]]:
    """The matching documents, `_id` and `fields` only, in order of `_id`, `size` at a time: constant memory.

    For what no server-side command can do. Documents that the loop changes do not come again. Use with
    `dataops.progress.track`.
    """
    wanted = {"_id": 1, **dict.fromkeys(fields, 1)}
    cursor = db[collection].find(match, wanted, sort=[("_id", 1)], hint="_id_", batch_size=size)
    batch: list[Document] = []
    with cursor:
        for document in cursor:
            batch.append(document)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


# ---- for `dataops stash`


def list_kept(db: Database[Document]) -> tuple[StashEntry, ...]:
    """What is put aside in this database, oldest migration first. Writes nothing."""
    names = sorted(name for name in db.list_collection_names() if name.startswith(PREFIX))
    found: list[StashEntry] = []
    for notebook in (name for name in names if "." not in name):
        about = db[notebook].find_one({"_id": "migration"}) or {}
        sources = {
            str(note["_id"]).removeprefix("kept:"): str(note["value"]["source"])
            for note in db[notebook].find({"value.source": {"$exists": True}})
        }
        for name in (name for name in names if name.startswith(notebook + ".")):
            [stats] = db[name].aggregate([{"$collStats": {"storageStats": {}}}])
            size = stats["storageStats"]
            source = sources.get(name, name.removeprefix(notebook + "."))
            migration = about.get("migration", notebook.removeprefix(PREFIX))
            place = f"{notebook}.{redact(name.removeprefix(notebook + '.'))}"
            found.append(StashEntry(migration, place, redact(source), size["count"], size["size"], about.get("at")))
    return tuple(found)


def prune(db: Database[Document], migration: str) -> None:
    """Drop what the migration has put aside and leave a tombstone: from now on `undoing` refuses.

    The tombstone is written first, so that a stop in between never makes a half stash look whole.
    """
    stash = Stash(db, migration)
    if not stash._present:
        return
    if not stash.noted("pruned"):
        stash.note("pruned", db.command("hello")["localTime"])
    for collection in sorted(stash._present - {stash.notebook}):
        db.drop_collection(collection)


def _merge(into: str, matched: Any, not_matched: str) -> Document:
    return {"$merge": {"into": into, "on": "_id", "whenMatched": matched, "whenNotMatched": not_matched}}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two index definitions mean the same; version numbers and `background` are no difference."""

    def plain(index: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], Document]:
        ignored = {"v", "ns", "key", "background", "2dsphereIndexVersion"}
        options = {k: v for k, v in index.items() if k not in ignored and v is not False}
        return list(index["key"].items()), options

    return plain(one) == plain(other)
