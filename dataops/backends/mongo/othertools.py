"""The records of other migration tools in MongoDB: migrate-mongo 11 to 14, which we can mirror, and golang-migrate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection as MongoCollection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from dataops.errors import ConfigError
from dataops.model import Service
from dataops.othertools import match
from dataops.redaction import redact
from dataops.toolrecords import Lookalike, Outcome, ToolAliases, ToolRecord, ToolRow, is_called_like_a_record

CHANGELOG = "changelog"
_CHANGELOG_LOCK = "changelog_lock"
_SCHEMA_MIGRATIONS = "schema_migrations"
COLLECTIONS = (CHANGELOG, _CHANGELOG_LOCK, _SCHEMA_MIGRATIONS)
_UNAUTHORIZED, _TOOK_TOO_LONG = 13, 50
_FIELDS = {match.MIGRATE_MONGO: {"fileName", "appliedAt"}, match.GOLANG_MIGRATE: {"version", "dirty"}}
_LONG_MS = 500

Document = dict[str, Any]


Said = Mapping[str, ToolAliases]
"""What adopt.toml says, by tool."""


def changelog_of(said: Said) -> str:
    """The collection in which migrate-mongo has its record."""
    return said.get(match.MIGRATE_MONGO, ToolAliases(match.MIGRATE_MONGO)).record or CHANGELOG


def read(db: Database[Document], collections: Collection[str], said: Said | None = None) -> tuple[ToolRecord, ...]:
    """The records of other tools that are among `collections`, the names of all collections of the database.

    A record that this user may not read comes with `readable=False`. One without rows may be a collection that an
    application has for its own purposes. Raises ConfigError where a collection that adopt.toml calls a record is none.
    """
    said = said or {}
    aliases = said.get(match.MIGRATE_MONGO, ToolAliases(match.MIGRATE_MONGO))
    lock = aliases.lock or _CHANGELOG_LOCK
    numbers = said.get(match.GOLANG_MIGRATE, ToolAliases(match.GOLANG_MIGRATE)).record
    records = []
    for tool, named, place, look in (
        (match.MIGRATE_MONGO, aliases.record, aliases.record or CHANGELOG, _migrate_mongo),
        (match.GOLANG_MIGRATE, numbers, numbers or _SCHEMA_MIGRATIONS, _golang_migrate),
    ):
        if place not in collections:
            continue
        try:
            rows = tuple(look(db[place]))
            locked = _locked(db, lock) if tool == match.MIGRATE_MONGO and lock in collections else ""
            foreign = not rows and db[place].find_one({}, {"_id": 1}) is not None
            if foreign and named:
                raise ConfigError(
                    f"adopt.toml says that {redact(place)} is the record of {tool}, and its documents are none of that",
                    hint=f"correct record under [{tool}] in adopt.toml, or take the line out",
                )
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED:
                raise
            records.append(ToolRecord(tool, place, readable=False))
            continue
        if not foreign:
            records.append(ToolRecord(tool, place, rows, locked))
    return tuple(records)


def lookalikes(db: Database[Document], collections: Iterable[str], said: Said) -> Iterator[Lookalike]:
    """The collections that look like the record of a tool, by a document or by their names, and not called as usual."""
    named = {name for aliases in said.values() for name in (aliases.record, aliases.lock)}
    for name in sorted(collections):
        if name in COLLECTIONS or name in named or name.startswith("system.") or name.endswith("_lock"):
            continue
        tool = _tool_of(db[name])
        if tool or is_called_like_a_record(name):
            yield Lookalike(redact(name), tool, bool(tool))


def _tool_of(collection: MongoCollection[Document]) -> str:
    """Whose record this is by the fields of its first document, "" where nobody knows."""
    try:
        # The time is for a view, of which the first document may be the last that its pipeline makes.
        first = collection.find_one({}, [name for names in _FIELDS.values() for name in names], max_time_ms=_LONG_MS)
    except OperationFailure as error:
        if error.code not in (_UNAUTHORIZED, _TOOK_TOO_LONG):
            raise
        return ""
    return next((tool for tool, names in _FIELDS.items() if names <= (first or {}).keys()), "")


def _migrate_mongo(changelog: MongoCollection[Document]) -> Iterable[ToolRow]:
    for document in changelog.find({"fileName": {"$type": "string"}}).sort([("appliedAt", 1), ("_id", 1)]):
        at = document.get("appliedAt")
        yield ToolRow(
            (document["fileName"],),
            at.replace(tzinfo=at.tzinfo or UTC) if isinstance(at, datetime) else None,
            checksum=str(document.get("fileHash") or ""),
        )


def _golang_migrate(versions: MongoCollection[Document]) -> Iterable[ToolRow]:
    # -1 means that nothing is applied. If it is dirty, undoing the first migration failed half-way.
    has_version = {"$or": [{"version": {"$gte": 0}}, {"version": -1, "dirty": True}]}
    for document in versions.find({"dirty": {"$type": "bool"}, **has_version}):
        outcome = Outcome.HALF_DONE if document["dirty"] else Outcome.APPLIED
        yield ToolRow((str(int(document["version"])),), outcome=outcome)


def _locked(db: Database[Document], name: str) -> str:
    """Who holds migrate-mongo's lock: it is any document in that collection. By default migrate-mongo takes no lock."""
    lock = db[name].find_one({"createdAt": {"$exists": True}})
    return f"a document in {redact(name)} since {redact(str(lock['createdAt']))}" if lock else ""


def names_there(db: Database[Document], service: Service) -> dict[str, list[str]]:
    """The file names in migrate-mongo's record that are our migrations, by migration id."""
    rows = _migrate_mongo(db[changelog_of(service.aliases)])
    return match.names_by_migration(service, match.MIGRATE_MONGO, (row.name for row in rows))


__all__ = ["CHANGELOG", "COLLECTIONS", "changelog_of", "lookalikes", "names_there", "read"]
