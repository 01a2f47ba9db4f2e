"""The stash of a MongoDB migration: for migration files, and for `dataops stash`.

    name = "20240118183759-remove-basket-id"

    def upgrade(db):
        with applying(db, name) as stash:
            stash.drop_index("users", "basketId_1")
            stash.keep("users", {"basketId": {"$exists": True}}, ["basketId"])
            db["users"].update_many({"basketId": {"$exists": True}}, {"$unset": {"basketId": ""}})

    def downgrade(db):
        with undoing(db, name) as stash:
            stash.restore("users", {"basketId": ABSENT})
            stash.restore_indexes()

What each call is for (the server does all the work, unless the table says *batches*):

    apply                                undo                          for
    keep(coll, match, fields)            restore(coll, {field: left})  former values (fields None: documents)
    plan(coll, pipeline, source), write  the same                      values computed out of other documents
    add(coll, documents), write          the same                      values made in Python (*batches*)
    plan or add, then insert(coll)       remove(coll)                  new documents, found again by `_id`
    update(coll, match, update)          the same                      `update_many`, on big collections faster
    merge(source, pipeline, coll, ...)   the same                      changes that carry their own way back
    copy(source, pipeline, coll)         delete_many, by `_id`         new documents that can be told by their `_id`
    created(coll)                        drop_created(coll)            a collection that we bring into being
    take(coll)                           give_back(coll)               a dropped collection, whole: a rename
    drop_index, create_index(es)         restore_indexes()             index definitions, all options
    note(key, value)                     noted(key)                    any small fact
    lookup_index(coll, field)            the same                      an index for `$lookup`, until the end
    batches(db, coll, match, fields)                                   reading for Python, constant memory

Where it is stored: in one collection for each source collection, `dataops_stash_<version>.<source>`
(`.<source>.<label>` when one migration keeps two things of one collection), with documents

    {_id: <_id of the source document>, was: {field: former value}, set: {field: value that we write}}

A field that was absent is absent in `was`, a null is null, and types stay as they are. One more collection,
the *notebook* `dataops_stash_<version>`, has the name of the migration, when it began (by the server's clock),
which stash collections there are, the definitions of indexes, and the facts that `note` wrote down.

The promises:

1. *First seen wins.* A document, an index or a fact that was kept once stays as first kept; a second run
   after a stop adds what is new and changes nothing. With `latest=True`, a second run replaces what it finds
   again, so that writes of the application after the stop are kept too; only for a `match` that no migrated
   document meets. With `once=True` a second run adds nothing; this is for the *exceptions*, documents that look
   migrated before we begin.
2. *All or nothing.* The first `keep` or `plan` fills its collection with `$out`, which appears complete or
   not at all. So a stash that exists was complete before the first document was changed.
3. *Stop anywhere.* Stopped in `upgrade`: run `upgrade` again, or `downgrade`. Stopped in `downgrade`: run it
   again, or `upgrade`. Each call here may be repeated, and an undo call does nothing where nothing was kept.
4. *The stash goes last.* When the body of `undoing` has ended, the notebook is marked, then the collections
   are dropped, then the notebook. After a stop in between, the next `applying` or `undoing` first drops the rest,
   so that an old value is never taken for a new one.
5. *Only what is still ours.* `restore` gives a field back only while the document holds what the migration
   left there (`ABSENT`, `WRITTEN`, or any expression); with `ANY` always. Documents that are gone stay gone;
   `remove` deletes only what the migration inserted.
6. *Pruned is not empty.* After `prune` the notebook stays as a tombstone and `undoing` refuses, until the
   next apply.

7. *Refused before.* What could not be given back raises StashRefused before the collection is changed, and in the
   plan: views, time series, documents with the `_id` null, and others that `refusals` knows. Collections may have a
   default collation or be clustered, and `_id`s any type; what was kept is compared exactly, whatever the collation.

No transactions: it works on a standalone server. The order of fields in restored documents may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dataops.stash.mongo.entries import list_kept, prune
from dataops.stash.mongo.halves import undivided
from dataops.stash.mongo.notebook import StashPruned
from dataops.stash.mongo.refusals import StashRefused
from dataops.stash.mongo.stash import ABSENT, ANY, WRITTEN, Stash, batches

if TYPE_CHECKING:
    from pymongo.database import Database

Document = dict[str, Any]


@contextmanager
def applying(db: Database[Document], migration: str) -> Iterator[Stash]:
    """The scope of an `upgrade`. It first drops the rest of a stash, if a rollback was stopped while dropping it."""
    stash = Stash(db, migration)
    stash._finish_drop(tombstone_too=True)
    yield stash
    stash._drop_lookup_indexes()


@contextmanager
def undoing(db: Database[Document], migration: str) -> Iterator[Stash]:
    """The scope of a `downgrade`. At its end the stash is dropped, unless the body has raised an error.

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


__all__ = [
    "ABSENT",
    "ANY",
    "WRITTEN",
    "Stash",
    "StashPruned",
    "StashRefused",
    "applying",
    "batches",
    "list_kept",
    "prune",
    "undivided",
    "undoing",
]
