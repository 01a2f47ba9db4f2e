"""Reads the state of a MongoDB database: the record, the journal, who holds the lock. Nothing here writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pymongo.database import Database

from dataops.backends.journal import ENDED_WELL, Journal, NativeRecord, from_fields, link_of, state_of
from dataops.backends.mongo import lease, othertools, pausing
from dataops.backends.mongo.backfilling import checkpoint
from dataops.backends.mongo.connection import Document, Server
from dataops.errors import ConfigError
from dataops.model import Doing, Entry, Holder, Identity, JournalEvent, Service, State
from dataops.planning.evidence import Link
from dataops.redaction import redact
from dataops.toolrecords import ToolRecord

JOURNAL = "dataops_journal"
MINIMUM_VERSION = (6, 0)
_LOOKS = 20


def read(db: Database[Document], server: Server) -> State:
    """The state. MongoDB has no snapshot over several reads, so we read again until the journal does not change."""
    service = server.service
    hello = db.client.admin.command("hello")
    number = version(db, service)
    collections = list(db.list_collections())
    journal, record, holder = _consistent(db, service)
    names = {str(collection["name"]) for collection in collections}
    state = state_of(
        service,
        _identity(server.address, db.name, hello, collections, service.record),
        f"MongoDB {redact(number)}, {_topology(hello)}",
        record,
        journal,
        holder=holder,
        tool_records=othertools.read(db, names, service.aliases),
        notes=server.overridden,
        look_around=partial(_names, db, service.record, collections),
        look_alike=partial(othertools.lookalikes, db, names - service.ours, service.aliases),
    )
    is_open = journal.last is not None and journal.last.is_open
    return replace(
        state,
        tool_records=tuple(one for one in state.tool_records if _is_record(one, state)),
        backfills=checkpoint.read(db, journal.last.migration) if journal.last is not None and is_open else (),
        pause=pausing.read(db),
    )


def _is_record(record: ToolRecord, state: State) -> bool:
    """An empty collection is only known as a record where it once had something that is applied."""
    known = {tool for applied in state.applied for tool in (applied.adopted, applied.mirrored)}
    return bool(record.rows) or not record.readable or record.tool in known


def _names(db: Database[Document], record: str, collections: Sequence[Mapping[str, Any]]) -> list[str]:
    """The collections of the application. None count if the record says of some migration that it is not applied."""
    from dataops.backends.mongo import catalogue  # not needed once something is applied

    if db[record].find_one({}, {"_id": 1}):
        return []
    names = [str(info["name"]) for info in collections]
    return sorted(redact(name) for name in names if catalogue.is_counted(name, record))


def history(db: Database[Document], limit: int | None) -> tuple[Entry, ...]:
    """The journal, newest entry first."""
    return tuple(_entry(stored) for stored in db[JOURNAL].find().sort("seq", -1).limit(limit or 0))


def links(db: Database[Document]) -> tuple[Link, ...]:
    """How the entries of the journal are bound to each other, oldest first."""
    return tuple(link_of(stored) for stored in db[JOURNAL].find({}, {"_id": 0}).sort("seq", 1))


def told(db: Database[Document]) -> Doing | None:
    """What the holder of the lock has told of the step that runs. A heartbeat may still tell of the step before it."""
    said, last = lease.told(db), _last(db)
    if not said or last is None or last.event is not JournalEvent.STARTED or last.migration != said["migration"]:
        return None
    return Doing("", said["done"], said["total"], redact(str(said["unit"])), said["rate"])


def _consistent(db: Database[Document], service: Service) -> tuple[Journal, NativeRecord, Holder | None]:
    for _ in range(_LOOKS):
        last = _last(db)
        journal = Journal(last, _ended_well(db))
        record = _native_record(db, service)
        holder = lease.holder(db)
        if _last(db) == last:
            return journal, record, holder
    # Somebody writes all the time. Then what the journal claims may be out of date, and only the record is used.
    return replace(journal, ended_well={}), record, holder


def _last(db: Database[Document]) -> Entry | None:
    # What is about no step must not hide that one is half done
    others = [event.value for event in JournalEvent if not event.is_about_a_step]
    found = db[JOURNAL].find_one({"event": {"$nin": others}}, sort=[("seq", -1)])
    return _entry(found) if found else None


def _ended_well(db: Database[Document]) -> dict[str, Entry]:
    pipeline: list[Document] = [
        {"$match": {"event": {"$in": [event.value for event in ENDED_WELL]}}},
        {"$sort": {"seq": 1}},
        {"$group": {"_id": "$migration", "entry": {"$last": "$$ROOT"}}},
    ]
    return {found["_id"]: _entry(found["entry"]) for found in db[JOURNAL].aggregate(pipeline, allowDiskUse=True)}


def _entry(stored: Mapping[str, Any]) -> Entry:
    return from_fields({key: value for key, value in stored.items() if key != "_id"})


def _native_record(db: Database[Document], service: Service) -> NativeRecord:
    documents = db[service.record].find({"applied": {"$ne": None}}, {"name": 1, "applied": 1})
    times = {str(document["name"]): document["applied"] for document in documents}
    replaced = tuple(id_ for id_ in service.replaced_by if id_ in times)
    strange = (id_ for id_ in times if id_ not in service.by_id and id_ not in replaced)
    unknown = sorted(strange, key=lambda id_: (str(times[id_]), id_))
    return NativeRecord(tuple(m.id for m in service.migrations if m.id in times), tuple(unknown), times, replaced)


def version(db: Database[Document], service: Service) -> str:
    """The server's version. Raises ConfigError where it is too old for us."""
    number = str(db.client.admin.command("buildInfo").get("version", ""))
    found = re.match(r"(\d+)\.(\d+)", number)
    if found is None or (int(found[1]), int(found[2])) < MINIMUM_VERSION:
        what = f"MongoDB {redact(number)} is too old" if found else "the server does not say which MongoDB it is"
        raise ConfigError(what, service=service.name, hint="dataops needs 6.0 or newer")
    return number


def _topology(hello: Mapping[str, Any]) -> str:
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    return f"replica set {hello['setName']}" if "setName" in hello else "standalone"


def _identity(
    address: str, name: str, hello: Mapping[str, Any], collections: Sequence[Mapping[str, Any]], record: str
) -> Identity:
    server = f"standalone at {address.rpartition('/')[0]}"
    if "setName" in hello:
        # A replica set is identified by its name and the names of its members: they do not depend on the address that
        # we used, nor on our rights. It has an id too, but not every user may read it, and a plan that one user made
        # has to fit the database that another user sees.
        members = ",".join(sorted(hello.get("hosts", [])))
        server, address = f"replica set {hello['setName']} of {members}", f"{members}/{name}"
    # Our own collections do not count, because they may be created between a plan and its apply.
    marks = {
        collection["info"]["uuid"].hex()
        for collection in collections
        if collection.get("info", {}).get("uuid")
        and collection["name"] != record
        and not collection["name"].startswith("dataops_")
    }
    return Identity(server=server, database=name, address=address, marks=frozenset(marks))


__all__ = ["JOURNAL", "history", "links", "read", "told"]
