"""What is put aside in a database: for `dataops stash`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataops.redaction import redact
from dataops.stash.entry import StashEntry
from dataops.stash.mongo.notebook import PREFIX, Document, Notebook

if TYPE_CHECKING:
    from pymongo.database import Database


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
    notebook = Notebook(db, migration)
    if not notebook._present:
        return
    if not notebook.noted("pruned"):
        notebook.note("pruned", db.command("hello")["localTime"])
    for collection in sorted(notebook._present - {notebook.notebook}):
        db.drop_collection(collection)
