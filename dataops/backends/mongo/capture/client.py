"""The part of the sandbox for MongoDB: runs a migration with a real client, against the server that only records."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

from pymongo import MongoClient

from dataops.backends.mongo.backfilling.planned import PlannedBackfills
from dataops.backends.sandbox.child import Task
from dataops.backfill import served_by
from dataops.stash.mongo import undivided


def perform(task: Task) -> None:
    """Run the function of the file. Its commands go to `socket`, for the database `database`."""
    socket = quote_plus(task.arguments["socket"])
    client: MongoClient[dict[str, Any]] = MongoClient(
        f"mongodb://{socket}/?directConnection=true&retryWrites=false&retryReads=false",
        serverSelectionTimeoutMS=3000,
        heartbeatFrequencyMS=60_000,
        tz_aware=False,
    )
    with client, undivided(), served_by(PlannedBackfills(task.arguments["migration"])):
        task.function(client.get_database(task.arguments["database"]))


__all__ = ["perform"]
