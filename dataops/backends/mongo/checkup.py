"""What `dataops doctor` asks a MongoDB server. It only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from pymongo.database import Database

from dataops import checkup
from dataops.backends.mongo import lease, state
from dataops.backends.mongo.connection import Document, Server
from dataops.checkup import Check, Level
from dataops.redaction import redact

NEWEST_MAJOR = 8
"""The newest version of MongoDB that has been tried."""
_TO_LOOK = {"find", "listCollections", "listIndexes"}
_TO_MIGRATE = {
    "insert", "update", "remove", "createCollection", "createIndex", "dropIndex", "dropCollection",
    "renameCollectionSameDB",
}  # fmt: skip
_LITTLE = 0.1  # of a disk


def checks(db: Database[Document], server: Server) -> Iterator[Check]:
    """Everything that is looked at, as far as it can be: what is refused is told too. Raises Unreachable."""
    asked = checkup.now()
    hello = db.client.admin.command("hello")
    answered = checkup.now()
    yield _version(state.version(db, server.service))
    users = db.client.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
    who = ", ".join(user["user"] for user in users["authenticatedUsers"])
    yield Check("connection", f"{server.address} {f'as {redact(who)}' if who else 'without a user'}")
    for told in server.overridden:
        yield Check("connection", told, Level.NOTE, "nothing: it is as it has to be for a migration")
    yield checkup.clock(hello["localTime"].replace(tzinfo=UTC), asked, answered)
    yield from _topology(hello)
    if users["authenticatedUsers"]:
        yield from _rights(users["authenticatedUserPrivileges"], db.name)
    else:
        db[state.JOURNAL].find_one()  # a server that knows users refuses this
        yield Check("rights to migrate", "apply and rollback work: this server asks for no user")
    holder = lease.holder(db)
    if holder is None:
        yield Check("lock", "free")
    else:
        yield Check("lock", f"held by {holder}", Level.NOTE, "dataops docs operations a-held-lock")
    yield _disk(db.command("dbStats"))


def _version(version: str) -> Check:
    text = f"MongoDB {redact(version)}"
    if int(version.split(".")[0]) > NEWEST_MAJOR:
        remedy = f"newer than {NEWEST_MAJOR}, with which dataops has been tried: try it on a copy first"
        return Check("version", text, Level.NOTE, remedy)
    return Check("version", text)


def _topology(hello: Mapping[str, Any]) -> Iterator[Check]:
    if hello.get("msg") == "isdbgrid":
        yield Check(
            "replica set",
            "a sharded cluster",
            Level.NOTE,
            "dataops is not tested on sharded collections: try each migration on a copy first",
        )
        return
    if "setName" not in hello:
        yield Check(
            "replica set",
            "none: a standalone server has no transactions",
            Level.NOTE,
            "for anything but development, start it with --replSet",
        )
        return
    members, arbiters = len(hello.get("hosts", [])), len(hello.get("arbiters", []))
    text = f"{redact(str(hello['setName']))} of {members}" + (f" and {arbiters} arbiter" if arbiters else "")
    if not hello.get("isWritablePrimary"):
        yield Check(
            "replica set",
            f"{text}, and it has no primary that we reach",
            Level.FAILED,
            "start its other members, or use an address from which all of them are reached",
        )
    elif arbiters and members < 3:
        yield Check(
            "replica set",
            f"{text}: when one of the {members} is down, no majority confirms a write, and apply waits",
            Level.NOTE,
            "have three members with data, or wait until both are up before you migrate",
        )
    else:
        yield Check("replica set", text)


def _rights(privileges: Sequence[Mapping[str, Any]], name: str) -> Iterator[Check]:
    allowed: set[str] = set()
    for privilege in privileges:
        resource = privilege["resource"]
        if resource.get("anyResource") or (resource.get("db") in ("", name) and resource.get("collection") == ""):
            allowed.update(privilege["actions"])
    if missing := sorted(_TO_LOOK - allowed):
        yield Check(
            "rights to look", f"missing: {', '.join(missing)}", Level.FAILED, f"give this user the role read on {name}"
        )
        return
    yield Check("rights to look", "plan, status, history and wait work")
    if missing := sorted(_TO_MIGRATE - allowed):
        yield Check(
            "rights to migrate",
            f"missing: {', '.join(missing)}",
            Level.NOTE,
            f"this user can only look; one that migrates has the role readWrite on {name}",
        )
    else:
        less = "" if "collMod" in allowed else ", but not collMod (validators): the role dbAdmin may"
        yield Check("rights to migrate", f"apply and rollback work{less}")


def _disk(stats: Mapping[str, Any]) -> Check:
    total, used = stats.get("fsTotalSize", 0), stats.get("fsUsedSize", 0)
    size = f"{(stats['storageSize'] + stats['indexSize']) / 1024**2:,.0f} MB"
    if not total:
        return Check("size", f"{size}; the server does not say how much of the disk is left")
    free = f"{size}, {(total - used) / 1024**3:,.1f} GB of the disk free"
    if (total - used) / total < _LITTLE:
        return Check(
            "size", free, Level.NOTE, "a migration that puts aside what it changes needs room for it: free some first"
        )
    return Check("size", free)


__all__ = ["NEWEST_MAJOR", "checks"]
