"""The records of other migration tools in MongoDB: migrate-mongo 11 to 14, which we can mirror, and golang-migrate."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from dataops.model import Service
from dataops.othertools import match
from dataops.redaction import redact
from dataops.toolrecords import Outcome, ToolRecord, ToolRow

CHANGELOG = "changelog"
_CHANGELOG_LOCK = "changelog_lock"
_SCHEMA_MIGRATIONS = "schema_migrations"
COLLECTIONS = (CHANGELOG, _CHANGELOG_LOCK, _SCHEMA_MIGRATIONS)
_UNAUTHORIZED = 13

Document = dict[str, Any]


def read(db: Database[Document], collections: Collection[str]) -> tuple[ToolRecord, ...]:
    """The records of other tools that are among `collections`, the names of all collections of the database.

    A record that this user may not read comes with `readable=False`. One without rows may be a collection that an
    application has for its own purposes.
    """
    records = []
    for tool, place, look in (
        (match.MIGRATE_MONGO, CHANGELOG, _migrate_mongo),
        (match.GOLANG_MIGRATE, _SCHEMA_MIGRATIONS, _golang_migrate),
    ):
        if place not in collections:
            continue
        try:
            rows = tuple(look(db))
            locked = _locked(db) if tool == match.MIGRATE_MONGO and _CHANGELOG_LOCK in collections else ""
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED:
                raise
            records.append(ToolRecord(tool, place, readable=False))
            continue
        records.append(ToolRecord(tool, place, rows, locked))
    return tuple(records)


def _migrate_mongo(db: Database[Document]) -> Iterable[ToolRow]:
    for document in db[CHANGELOG].find({"fileName": {"$type": "string"}}).sort([("appliedAt", 1), ("_id", 1)]):
        at = document.get("appliedAt")
        yield ToolRow(
            (document["fileName"],),
            at.replace(tzinfo=at.tzinfo or UTC) if isinstance(at, datetime) else None,
            checksum=str(document.get("fileHash") or ""),
        )


def _golang_migrate(db: Database[Document]) -> Iterable[ToolRow]:
    # -1 means that nothing is applied. If it is dirty, undoing the first migration failed half-way.
    has_version = {"$or": [{"version": {"$gte": 0}}, {"version": -1, "dirty": True}]}
    for document in db[_SCHEMA_MIGRATIONS].find({"dirty": {"$type": "bool"}, **has_version}):
        outcome = Outcome.HALF_DONE if document["dirty"] else Outcome.APPLIED
        yield ToolRow((str(int(document["version"])),), outcome=outcome)


def _locked(db: Database[Document]) -> str:
    """Who holds migrate-mongo's lock: it is any document in that collection. By default migrate-mongo takes no lock."""
    lock = db[_CHANGELOG_LOCK].find_one({"createdAt": {"$exists": True}})
    return f"a document in {_CHANGELOG_LOCK} since {redact(str(lock['createdAt']))}" if lock else ""


def names_there(db: Database[Document], service: Service) -> dict[str, list[str]]:
    """The file names in migrate-mongo's record that are our migrations, by migration id."""
    return match.names_by_migration(service, match.MIGRATE_MONGO, (row.name for row in _migrate_mongo(db)))


__all__ = ["CHANGELOG", "COLLECTIONS", "names_there", "read"]
