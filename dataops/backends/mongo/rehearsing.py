"""Copies a live MongoDB into a scratch database: collections as they are, with a sample. See ADR 24."""

from __future__ import annotations

import datetime
import hashlib
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from bson import Binary, Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ExecutionTimeout, OperationFailure

from dataops.backends import Copied, Sampling
from dataops.backends.mongo import catalogue, contents
from dataops.backends.mongo.connection import Document, Server, database_of, error_text
from dataops.errors import Stopped
from dataops.model import Sampled, Service
from dataops.redaction import redact

_MILLISECONDS = 10_000
_BATCH = 500
_UNAUTHORIZED = 13
_EVERY_DATE: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_SALT = secrets.token_bytes(16)
"""Of this process: nobody can find a value again by trying."""
_DAY = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def copy(live: Server, scratch: Service, wanted: Sampling, record: str) -> Copied:
    """See dataops.backends.Rehearses.copy_into. `record` is the name of the native record, which is left out."""
    target = Server(scratch)
    with (
        live.explaining(),
        live.client("dataops") as here,
        target.explaining(),
        target.client("dataops") as there,
    ):
        return _Copy(here, database_of(there), wanted, record).run()


class _Copy:
    def __init__(
        self, client: MongoClient[Document], target: Database[Document], wanted: Sampling, record: str
    ) -> None:
        self._client = client
        self._source = database_of(client)
        self._target = target
        self._wanted = wanted
        self._record = record
        self._told: list[str] = []
        self._masked: set[str] = set()

    def run(self) -> Copied:
        self._tell_versions()
        tables: dict[str, Sampled] = {}
        infos = sorted(catalogue.collections(self._source, self._record), key=lambda info: bool(info["type"] == "view"))
        with ExitStack() as scope:
            session = self._session(scope)
            for info in infos:
                if self._wanted.stop():
                    raise Stopped("stopped while the sample was read; nothing was changed")
                name = str(info["name"])
                self._masked.update(self._masks(name))
                if not self._made(info) or info["type"] == "view":
                    continue
                rows = self._fill(name, info, session) if self._wanted.rows else 0
                live = self._source[name].estimated_document_count(maxTimeMS=_MILLISECONDS)
                tables[name] = Sampled(rows, max(rows, live))
                self._build_indexes(name)
                if rows:
                    self._relax(name, info.get("options", {}))
        return Copied(tables, tuple(self._told), frozenset(self._masked))

    def _tell_versions(self) -> None:
        ours, theirs = (
            str(db.command("buildInfo")["version"]).partition(".")[0] for db in (self._target, self._source)
        )
        if ours != theirs:
            text = f"rehearsed on MongoDB {ours}, but the database is on {theirs}"
            self._told.append(f"{text}: --scratch names another server")

    def _session(self, scope: ExitStack) -> ClientSession | None:
        """All reads see one moment, where the server can do that."""
        if not self._client.admin.command("hello").get("setName"):
            self._told.append("the live server is no replica set: collections are read one after the other")
            return None
        return scope.enter_context(self._client.start_session(snapshot=True))

    def _made(self, info: Mapping[str, Any]) -> bool:
        try:
            self._target.command({"create": info["name"], **info.get("options", {})})
        except OperationFailure as error:
            self._told.append(f"not in the rehearsal: {redact(str(info['name']))} ({error_text(error)})")
            return False
        return True

    def _fill(self, name: str, info: Mapping[str, Any], session: ClientSession | None) -> int:
        """Copy the sample of one collection. Returns how many documents it has."""
        paths = [one.removeprefix(f"{name}.").split(".") for one in self._masks(name)]
        if info.get("options", {}).get("capped"):
            session = None  # the server refuses to read such a collection in a snapshot
        into = self._target.get_collection(name, codec_options=_EVERY_DATE)
        batch: list[Document] = []
        count = 0
        try:
            for document in self._sample(name, session):
                for path in paths:
                    _mask(document, path)
                batch.append(document)
                if len(batch) == _BATCH:
                    count += _insert(into, batch, validated=info["type"] != "collection")
                    batch = []
            count += _insert(into, batch, validated=info["type"] != "collection") if batch else 0
        except ExecutionTimeout:
            self._told.append(f"{redact(name)}: a sample of it takes too long to read, so documents are missing")
        except OperationFailure as error:
            why = "this user may not read it" if error.code == _UNAUTHORIZED else error_text(error)
            self._told.append(f"{redact(name)} is empty in the rehearsal, or has fewer documents: {why}")
        return count

    def _masks(self, name: str) -> list[str]:
        return [one for one in self._wanted.masks if one.startswith(f"{name}.")]

    def _relax(self, name: str, options: Mapping[str, Any]) -> None:
        """A validator that refuses what masks have made looks only at the other documents, or nothing could change."""
        validator = options.get("validator")
        if not validator or not self._masks(name) or options.get("validationLevel", "strict") != "strict":
            return
        if self._target[name].find_one({"$nor": [validator]}, {"_id": 1}) is not None:
            self._target.command({"collMod": name, "validationLevel": "moderate"})
            what = f"the validator of {redact(name)} refuses documents of the sample, maybe because of masks"
            self._told.append(f"{what}: there it looks only at others (validationLevel moderate)")

    def _sample(self, name: str, session: ClientSession | None) -> Iterator[Document]:
        collection = self._source.get_collection(name, codec_options=_EVERY_DATE)
        rows = self._wanted.rows
        if collection.estimated_document_count(maxTimeMS=_MILLISECONDS) <= rows:
            yield from collection.find(limit=rows, session=session, max_time_ms=_MILLISECONDS, batch_size=_BATCH)
            return
        seen = set[str]()
        stages = [{"$sample": {"size": rows}}]
        for document in collection.aggregate(stages, session=session, maxTimeMS=_MILLISECONDS, batchSize=_BATCH):
            if (key := repr(document["_id"])) not in seen:  # the server may choose one twice
                seen.add(key)
                yield document

    def _build_indexes(self, name: str) -> None:
        """One by one: one that the sample does not allow, or that this server does not know, is told and left out."""
        for index in self._source[name].list_indexes():
            if index["name"] == "_id_" or index.get("clustered"):
                continue
            # "simple" means none; otherwise an index would inherit the collation of its collection
            options = {"collation": {"locale": "simple"}} | {k: v for k, v in index.items() if k not in ("v", "ns")}
            try:
                self._target.command({"createIndexes": name, "indexes": [options]})
            except OperationFailure as error:
                what = f"{name}.{index['name']}"
                self._told.append(f"not in the rehearsal: index {redact(what)} ({type(error).__name__})")


def rows(db: Database[Document], name: str, keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """Documents of a small collection by their _ids as `contents` shows them, and their fields as texts."""
    found = {}
    for document in db.get_collection(name, codec_options=_EVERY_DATE).find():
        key = contents.shown(document["_id"])
        if key in keys:
            found[key] = {field: str(value) for field, value in document.items()}
    return found


def _insert(into: Any, documents: list[Document], *, validated: bool) -> int:
    """Documents of a normal collection may be older than its validator."""
    try:
        into.insert_many(documents, ordered=False, bypass_document_validation=None if validated else True)
    except BulkWriteError as error:
        return int(error.details["nInserted"])
    return len(documents)


def _mask(value: Any, path: Sequence[str]) -> None:
    """Put something else in the place of what a path leads to, also within arrays."""
    if isinstance(value, list):
        for one in value:
            _mask(one, path)
    elif isinstance(value, dict) and path[0] in value:
        if len(path) == 1:
            value[path[0]] = _instead(value[path[0]])
        else:
            _mask(value[path[0]], path[1:])


def _instead(value: Any) -> Any:
    """A value of the same type that says nothing; equal texts and ids stay equal. None for what has no such value."""
    match value:
        case None | bool():
            return None if value is None else False
        case list():
            return [_instead(one) for one in value]
        case str():
            return (_hash(value.encode()).hex() * (len(value) // 32 + 1))[: max(32, len(value))]
        case ObjectId():
            return ObjectId(_hash(value.binary)[:12])
        case uuid.UUID():
            return uuid.UUID(bytes=_hash(value.bytes))
        case Binary():
            return Binary(_hash(bytes(value)), value.subtype)
        case bytes():
            return _hash(value)
        case Int64() | Decimal128():
            return type(value)(0)
        case int() | float():
            return type(value)(0)
        case datetime.datetime():
            return _DAY
    return None


def _hash(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16, key=_SALT).digest()


__all__ = ["copy", "rows"]
