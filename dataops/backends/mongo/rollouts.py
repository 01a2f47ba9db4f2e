"""What processes that share a rollout keep in a control database: two small collections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.results import UpdateResult

from dataops.backends.mongo.connection import Document, Server, database_of
from dataops.model import Mark, Service

_ROLLOUTS, _SHARDS = "dataops_rollouts", "dataops_rollout_shards"


def prepare(service: Service) -> None:
    """Make sure that the database answers. The collections are made by the first document."""
    with _opened(service) as database:
        database.command("ping")


def newest(service: Service, rollout: str) -> tuple[int, str] | None:
    """The newest attempt of a rollout: its number, and what was written down of it when it began."""
    with _opened(service) as database:
        found = database[_ROLLOUTS].find_one({"_id.rollout": rollout}, sort=[("_id.attempt", -1)])
    return (found["_id"]["attempt"], found["content"]) if found else None


def begin(service: Service, rollout: str, attempt: int, content: str) -> None:
    """Begin an attempt, unless another process has begun it."""
    with _opened(service) as database:
        _insert(database, _ROLLOUTS, {"rollout": rollout, "attempt": attempt}, {"content": content})


def mark(service: Service, rollout: str, attempt: int, made: Mark) -> None:
    """Write down a mark, unless it is there."""
    key = {"rollout": rollout, "attempt": attempt, "shard": made.shard, "mark": made.name}
    with _opened(service) as database:
        _insert(database, _SHARDS, key, {"done": made.done})


def marks(service: Service, rollout: str, attempt: int) -> list[Mark]:
    """All marks of an attempt, oldest first."""
    pipeline: list[Document] = [
        {"$match": {"_id.rollout": rollout, "_id.attempt": attempt}},
        {"$sort": {"at": 1}},
        {"$set": {"seconds": {"$divide": [{"$subtract": ["$$NOW", "$at"]}, 1000]}}},
    ]
    with _opened(service) as database:
        found = list(database[_SHARDS].with_options(read_concern=ReadConcern("majority")).aggregate(pipeline))
    return [Mark(one["_id"]["shard"], one["_id"]["mark"], one["done"], one["seconds"]) for one in found]


def _insert(database: Database[Document], name: str, key: Document, content: Document) -> UpdateResult:
    """Insert a document, with the time of the server, unless it is there. Two at once may both try: one gets it."""
    # A pipeline, because only there the server's own time can be written; it leaves what is there as it is.
    kept = {field: {"$ifNull": [f"${field}", {"$literal": value}]} for field, value in content.items()}
    update = [{"$set": {**kept, "at": {"$ifNull": ["$at", "$$NOW"]}}}]
    return database[name].update_one({"_id": {"$eq": key}}, update, upsert=True)


@contextmanager
def _opened(service: Service) -> Iterator[Database[Document]]:
    server = Server(service)
    with server.explaining(), server.client_to_ask() as client:
        yield database_of(client)


__all__ = ["begin", "mark", "marks", "newest", "prepare"]
