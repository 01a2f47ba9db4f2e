"""The MongoDB history as the tests see it: its files, what a database holds, and the way back to that."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bson import json_util
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from tests.seed import HISTORY

Document = dict[str, Any]
Collection = dict[str, Any]
State = dict[str, Collection]

FOLDER = Path(__file__).resolve().parents[3] / "mongo_migrations"
STASH = "dataops_stash_"
_JSON = json_util.CANONICAL_JSON_OPTIONS


@dataclass(frozen=True)
class File:
    """One migration, and its place in the history, counted from 1."""

    number: int
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def module(self) -> ModuleType:
        return _module(self.path)

    def upgrade(self, db: Database[Document]) -> None:
        self.module.upgrade(db)

    def downgrade(self, db: Database[Document]) -> None:
        self.module.downgrade(db)


@lru_cache
def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("migration_" + path.stem.replace("-", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "BATCH"):
        vars(module)["BATCH"] = 40  # so that the test data makes several batches
    return module


def files() -> tuple[File, ...]:
    """All of them. The order of the names as text is the order of the history; a test compares it with the chain."""
    paths = sorted(FOLDER.glob("[0-9]*.py"), key=lambda path: path.stem)
    return tuple(File(HISTORY.index(path.stem) + 1, path) for path in paths)


def file(number: int) -> File:
    return next(file for file in files() if file.number == number)


# what a database holds ----------------------------------------------------------------------------


def state(db: Database[Document], *, stash: bool = True) -> State:
    """All documents and indexes, such that two states are equal only if every value and every type is.

    A document is its canonical extended JSON with sorted fields: their order is no difference. Without `stash`,
    what migrations have put aside is left out.
    """
    hashes = db.command("dbHash")["collections"]
    found: State = {}
    for info in db.list_collections():
        name = info["name"]
        if not stash and name.startswith(STASH):
            continue
        key = (db.client.address, db.name, name, hashes.get(name))
        found[name] = {"documents": _documents(db, name, key), "indexes": _indexes(db, name)}
        found[name] |= {"options": info["options"]} if info["options"] else {}
    return found


def assert_same(now: State, wanted: State, when: str = "") -> None:
    """Says what is there and should not be (+), and what is not there and should be (-)."""
    found: list[str] = []
    for name in sorted(now.keys() | wanted.keys()):
        if name not in now or name not in wanted:
            found.append(f"{'+' if name in now else '-'} {name}")
            continue
        have: Counter[str] = Counter(now[name]["documents"])
        want: Counter[str] = Counter(wanted[name]["documents"])
        found += [f"+ {name} {document}" for document in have - want]
        found += [f"- {name} {document}" for document in want - have]
        for part in ("indexes", "options"):
            if now[name].get(part) != wanted[name].get(part):
                found.append(f"~ {name} {part}: {now[name].get(part)} instead of {wanted[name].get(part)}")
    shown = [line if len(line) < 1_000 else line[:1_000] + "..." for line in found[:20]]
    more = [f"... and {len(found) - 20} more"] if len(found) > 20 else []
    assert not found, "\n  ".join([when, *shown, *more])


_known: dict[tuple[Any, ...], tuple[str, ...]] = {}


def _documents(db: Database[Document], name: str, key: tuple[Any, ...]) -> tuple[str, ...]:
    """Reading all of it once for every hash: most collections stay as they are most of the time."""
    if key[-1] is None or key not in _known:
        if len(_known) > 2_000:
            _known.clear()
        _known[key] = tuple(sorted(json_util.dumps(d, json_options=_JSON, sort_keys=True) for d in db[name].find()))
    return _known[key]


def _indexes(db: Database[Document], name: str) -> dict[str, str]:
    return {
        index["name"]: json_util.dumps(
            {k: list(v.items()) if k == "key" else v for k, v in index.items()}, sort_keys=True
        )
        for index in db[name].list_indexes()
    }


_NEW = re.compile(
    r'\{"\$date": \{"\$numberLong": "-?\d+"\}\}|"\+abc\d+"|\b[0-9a-f]{24}\b'
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
)


def made_up(document: str) -> set[str]:
    """The ids, UUIDs, dates and invented phone numbers in it: what differs from one run to the next."""
    return set(_NEW.findall(document))


@lru_cache(200)
def _made_up(documents: tuple[str, ...]) -> frozenset[str]:
    return frozenset(value for document in documents for value in made_up(document))


def like(state: State, before: State) -> State:
    """`state`, with a placeholder for each such value that is not in `before`."""
    old = frozenset[str]().union(*(_made_up(collection["documents"]) for collection in before.values()))

    def blank(documents: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(_NEW.sub(lambda m: m[0] if m[0] in old else "a new one", d) for d in documents))

    return {
        name: collection | {"documents": blank(collection["documents"])}
        if name not in before or collection["documents"] is not before[name]["documents"]
        else collection
        for name, collection in state.items()
    }


def data(state: State) -> State:
    """Without what was put aside."""
    return {name: collection for name, collection in state.items() if not name.startswith(STASH)}


def lost(earlier: State, later: State) -> set[tuple[str, str, str]]:
    """Collection, _id, and value, of what was made up in a document of `earlier` that `later` has without it."""
    found: set[tuple[str, str, str]] = set()
    for name, collection in data(earlier).items():
        now = set(later.get(name, {"documents": ()})["documents"])
        values = {_id(document): made_up(document) for document in now.difference(collection["documents"])}
        for document in set(collection["documents"]) - now:
            key = _id(document)
            found |= {(name, key, value) for value in made_up(document) - values.get(key, set())}
    return found


def _id(document: str) -> str:
    return json.dumps(json.loads(document)["_id"])


# the way back -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """A whole database, to be made again and again; without what earlier migrations have put aside, if so wanted."""

    collections: dict[str, tuple[list[RawBSONDocument], list[Document], Document]]
    hashes: dict[str, str]

    @classmethod
    def of(cls, db: Database[Document], *, stash: bool = True) -> Snapshot:
        raw = db.with_options(codec_options=db.codec_options.with_options(document_class=RawBSONDocument))
        collections = {
            info["name"]: (
                [cast(RawBSONDocument, document) for document in raw[info["name"]].find()],
                [dict(index) for index in db[info["name"]].list_indexes()],
                info["options"],
            )
            for info in db.list_collections()
            if stash or not info["name"].startswith(STASH)
        }
        return cls(collections, db.command("dbHash")["collections"])

    def restore(self, db: Database[Document], *, without: str | None = None) -> None:
        """Make `db` what it was; collections that are so already are not touched."""
        hashes = db.command("dbHash")["collections"]
        there = set(db.list_collection_names())
        wanted = {name: parts for name, parts in self.collections.items() if name != without}
        for name in sorted(there - wanted.keys()):
            db.drop_collection(name)
        for name, (documents, indexes, options) in wanted.items():
            if name in there and [dict(index) for index in db[name].list_indexes()] != indexes:
                db.drop_collection(name)
                there.discard(name)
            if name not in there:
                db.create_collection(name, **options)
                if more := [index for index in indexes if index["name"] != "_id_"]:
                    db.command("createIndexes", name, indexes=more)
            elif hashes.get(name) == self.hashes[name]:
                continue
            else:
                db[name].delete_many({})
            if documents:
                db[name].insert_many(cast(Any, documents), ordered=False)


def insert(db: Database[Document], shapes: dict[str, list[Document]]) -> None:
    for name, documents in shapes.items():
        if documents:
            db[name].insert_many(documents)
