"""What the live MongoDB says about the collections that a plan touches, asked within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pymongo.database import Database
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from dataops.backends.mongo.backfilling.refusals import WRONG_FILTER
from dataops.backends.mongo.connection import error_text

Document = dict[str, Any]

_MILLISECONDS = 500
_SECONDS = 2.0
"""For all questions about one database together."""
MOST_BYTES = 256 * 1024 * 1024
"""Collections up to this size may be read whole."""
MOST_COUNTED = 1_000_000


class Count(NamedTuple):
    """How many documents; `exact` says that they were counted. None where nobody knows."""

    documents: int | None
    exact: bool


class Collection(NamedTuple):
    """A collection as it is now. `size` is that of its documents in bytes, `average` that of one."""

    name: str
    documents: int
    size: int
    average: int
    indexes: Sequence[Document]
    options: Mapping[str, Any]


class Facts:
    """Answers about one database, each asked once. A question that takes too long or is not allowed has no answer."""

    def __init__(self, db: Database[Document]) -> None:
        self.db = db
        self.problems: list[str] = []
        self._left = _SECONDS
        self._infos: dict[str, Document] | None = None
        self._known: dict[str, Collection] = {}

    def collection(self, name: str) -> Collection | None:
        """The collection of this name; None if there is none, or if it is a view."""
        if self._infos is None:
            self._infos = {str(info["name"]): dict(info) for info in self.db.list_collections()}
        info = self._infos.get(name)
        if info is None or info["type"] == "view":
            return None
        if name not in self._known:
            stats = self._try(f"the size of {name}", lambda ms: self._stats(name, ms)) or {}
            indexes = self._try(f"the indexes of {name}", lambda ms: list(self.db[name].list_indexes())) or []
            documents = int(stats.get("count", 0))
            if info["type"] == "timeseries":  # whose statistics count buckets
                about = f"how many documents {name} has"
                counted = self._try(about, lambda ms: self.db[name].count_documents({}, maxTimeMS=ms))
                documents = counted or int(stats.get("timeseries", {}).get("bucketCount", 0))
            size = int(stats.get("size", 0))
            average = size // documents if documents else 0
            self._known[name] = Collection(name, documents, size, average, indexes, info.get("options", {}))
        return self._known[name]

    def is_there(self, name: str) -> bool:
        """Whether a collection or a view has this name."""
        self.collection(name)
        return name in (self._infos or {})

    def is_view(self, name: str) -> bool:
        """Whether a view has this name."""
        return self.is_there(name) and (self._infos or {})[name]["type"] == "view"

    def options(self, name: str) -> Mapping[str, Any]:
        """The options of a collection or view that is there."""
        self.collection(name)
        options: Mapping[str, Any] = (self._infos or {})[name].get("options", {})
        return options

    @cached_property
    def major(self) -> int:
        """The major version of the server; 0 if it does not say."""
        answer = self._try("", lambda ms: self.db.command("buildInfo")) or {}
        return int(str(answer.get("version", "0")).partition(".")[0])

    def _stats(self, name: str, milliseconds: int) -> Document:
        stages: list[Document] = [{"$collStats": {"storageStats": {}}}]
        for found in self.db[name].aggregate(stages, maxTimeMS=milliseconds):
            return dict(found["storageStats"])
        return {}

    def matched(
        self, collection: Collection, query: Mapping[str, Any], collation: Mapping[str, Any] | None = None
    ) -> Count:
        """How many documents match: counted, if that does not take long."""
        if not query:
            return Count(collection.documents, exact=False)
        if collection.size > MOST_BYTES and self.scans(collection, query):
            return Count(None, exact=False)
        options: dict[str, Any] = {"limit": MOST_COUNTED, **({"collation": dict(collation)} if collation else {})}
        found = self._try("", lambda ms: self.db[collection.name].count_documents(query, None, maxTimeMS=ms, **options))
        if found is None:
            return Count(None, exact=False)
        return Count(found, exact=found < MOST_COUNTED)

    def refused(self, name: str, query: Mapping[str, Any]) -> str:
        """Why the server takes no such filter; "" where it takes it, or where that is not known."""

        def asked(ms: int) -> str:
            explained = {"explain": {"find": name, "filter": query}, "verbosity": "queryPlanner", "maxTimeMS": ms}
            try:
                self.db.command(explained)
            except OperationFailure as error:
                if error.code in WRONG_FILTER:
                    return error_text(error)
                raise
            return ""

        return str(self._try("", asked) or "") if query else ""

    def scans(self, collection: Collection, query: Mapping[str, Any]) -> bool:
        """Whether the server would read every document to find those that match."""
        if not query:
            return True
        explained = self._try(
            "",
            lambda ms: self.db.command(
                {"explain": {"find": collection.name, "filter": query}, "verbosity": "queryPlanner", "maxTimeMS": ms}
            ),
        )
        return explained is not None and "COLLSCAN" in str(explained.get("queryPlanner", {}).get("winningPlan", ""))

    def first(self, collection: str, pipeline: Sequence[Mapping[str, Any]], about: str) -> Document | None:
        """The first document that a pipeline yields; None if it yields none, or if that is not known, which is told."""
        found: Document | None = self._try(
            about, lambda ms: next(iter(self.db[collection].aggregate(pipeline, maxTimeMS=ms)), None)
        )
        return found

    def on_server(self, pipeline: Sequence[Mapping[str, Any]], about: str) -> Document | None:
        """The same for a pipeline that begins with documents of its own."""
        found: Document | None = self._try(
            about, lambda ms: next(iter(self.db.aggregate(pipeline, maxTimeMS=ms)), None)
        )
        return found

    def ask(self, about: str, command: Document, database: str = "") -> Document | None:
        """The answer to a command; None if there is none."""
        db = self.db.client[database] if database else self.db
        answer: Document | None = self._try(about, lambda ms: db.command({**command, "maxTimeMS": ms}))
        return answer

    def _try(self, about: str, question: Any) -> Any:
        """Ask within the budget. `about` is what is not known without an answer, for the reader; "" for no word."""
        if self._left <= 0:
            self.note(about, "the time for questions is over")
            return None
        began = time.monotonic()
        try:
            return question(min(_MILLISECONDS, max(1, int(self._left * 1000))))
        except ExecutionTimeout:
            self.note(about, "it takes too long to look")
        except OperationFailure as error:
            self.note(about, "this user may not look" if error.code == 13 else type(error).__name__)
        except PyMongoError as error:
            self.note(about, type(error).__name__)
        finally:
            self._left -= time.monotonic() - began
        return None

    def note(self, about: str, why: str) -> None:
        """Say what is not known, and why."""
        if about and f"{about}: {why}" not in self.problems:
            self.problems.append(f"{about}: {why}")


__all__ = ["Collection", "Count", "Facts"]
