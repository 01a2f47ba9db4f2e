"""The journal, for every kind of database: how entries are stored and read, and how a state is made from them.

An entry is stored as a row or as a document with the fields of `to_fields`. The database adds two more fields: `seq`,
which orders the entries, and `at`, the time by the server's clock. Over all of them goes the hash of `seal`, which
binds the entry to the one before. Whoever writes entries holds the lock, so there is one that was written last.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from dataops import __version__
from dataops.errors import DatabaseAhead
from dataops.model import (
    MIRRORED_TO,
    NOT_ONE_TRANSACTION,
    AppliedMigration,
    Direction,
    Entry,
    Holder,
    Identity,
    Imports,
    JournalEvent,
    Service,
    Spent,
    State,
)
from dataops.othertools.examine import adopted_from
from dataops.planning.evidence import Link
from dataops.redaction import describe, redact
from dataops.text import visible
from dataops.toolrecords import Lookalike, ToolRecord

ENDED_WELL = (JournalEvent.SUCCEEDED, JournalEvent.RESOLVED, JournalEvent.ADOPTED)
"""An entry with one of these events says whether its migration is applied: its direction is apply or rollback."""


def to_fields(entry: Entry) -> dict[str, Any]:
    """The fields of an entry to store, without `seq` and `at`, which the database fills in.

    Texts are stored with escapes for what no database takes: NUL and lone surrogates. `imports` is a text as sha256sum
    writes it, with a line for each file, and `statements` is JSON: a list of [text, seconds, count].
    """
    return {
        "run": entry.run,
        "migration": entry.migration,
        "direction": entry.direction.value,
        "event": entry.event.value,
        "seconds": entry.seconds,
        "actor": visible(entry.actor),
        "host": visible(entry.host),
        "version": entry.version,
        "checksum": entry.checksum,
        "raw_checksum": entry.raw_checksum,
        "error": visible(entry.error),
        "reason": visible(entry.reason),
        "imports": "".join(f"{digest}  {visible(name)}\n" for name, digest in entry.imports),
        "statements": _statements_text(entry.statements),
    }


def _statements_text(statements: Sequence[Spent]) -> str:
    """The statements as JSON, at most _STATEMENTS_ROOM bytes: the last ones are left out."""
    rows = [[visible(one.text), round(one.seconds, 3), one.count] for one in statements]
    while len((text := json.dumps(rows, ensure_ascii=False)).encode()) > _STATEMENTS_ROOM:
        rows.pop()
    return text if rows else ""


def _statements_of(text: str) -> tuple[Spent, ...]:
    rows = json.loads(text) if text else []
    return tuple(Spent(visible(redact(str(row[0]))), float(row[1]), int(row[2])) for row in rows)


_STATEMENTS_ROOM = 4000
_FIELDS = frozenset(one.name for one in fields(Entry))


def from_fields(stored: Mapping[str, Any]) -> Entry:
    """The entry that a row or document holds. Fields that `Entry` does not have are left out.

    Raises DatabaseAhead when this version does not understand the entry: a newer one has written it.
    """
    try:
        # The run that wrote these texts may not have known the secrets that we know.
        redacted = {key: visible(redact(stored[key])) for key in ("error", "reason")}
        # The same texts are in the journals of many databases, and in many entries of each.
        known: dict[str, Any] = {
            key: sys.intern(value) if type(value) is str else value for key, value in stored.items() if key in _FIELDS
        }
        direction, event = Direction(stored["direction"]), JournalEvent(stored["event"])
        imports = _imports_of(str(stored.get("imports") or ""))  # a journal of an earlier version has none
        read: dict[str, Any] = {"imports": imports, "statements": _statements_of(str(stored.get("statements") or ""))}
        at = known.get("at")  # PostgreSQL gives it in the time zone of the session, which a database may set
        read["at"] = at.astimezone(UTC) if at and at.tzinfo else at
        return Entry(**{**known, **redacted, **read, "direction": direction, "event": event})
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DatabaseAhead(
            f"entry {stored.get('seq')} of the journal was written by dataops {redact(str(stored.get('version')))}, "
            f"and this is {__version__}, which cannot read it: {describe(error)}",
            hint="use the newer version of dataops",
        ) from error


@lru_cache(maxsize=4096)
def _imports_of(text: str) -> Imports:
    return tuple((name, digest) for digest, _, name in (line.partition("  ") for line in text.splitlines()))


def seal(stored: Mapping[str, Any], previous: str) -> dict[str, str]:
    """The two fields that bind an entry to the one before, whose hash is `previous`; "" for the first with a hash.

    `stored` are all other fields of the entry, also `seq` and `at`.
    """
    return {"previous": previous, "hash": _sha256(_sealed({**stored, "previous": previous}))}


def link_of(stored: Mapping[str, Any]) -> Link:
    """What an entry that is stored says about its own hash. It raises nothing, whatever the fields hold."""
    said = {key: str(stored.get(key) or "") for key in ("run", "migration", "event", "version", "previous", "hash")}
    mark = said["event"] == JournalEvent.STARTED.value and stored.get("reason") == NOT_ONE_TRANSACTION
    sealed = _sealed({key: value for key, value in stored.items() if key != "hash"})
    seq = stored.get("seq")
    for key in ("run", "migration", "event", "version"):
        said[key] = visible(redact(said[key]))
    return Link(seq=seq if isinstance(seq, int) else 0, mark=mark, computed=_sha256(sealed), sealed=sealed, **said)


def _sealed(stored: Mapping[str, Any]) -> str:
    """An entry as JSON with sorted keys. An empty field does not count: a later version may add fields."""
    known = {key: _plain(value) for key, value in stored.items() if value is not None and value != ""}
    return json.dumps(known, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> str | int:
    """A field as every driver gives it back: a time in UTC, and seconds without what a server may round away."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, float):
        return f"{value:.6f}"
    return int(value) if isinstance(value, int) else str(value)


@dataclass(frozen=True)
class Journal:
    """What a state needs of a journal.

    `last` is the newest entry. `ended_well` has for each migration its newest entry with an event of ENDED_WELL.
    """

    last: Entry | None = None
    ended_well: Mapping[str, Entry] = field(default_factory=dict)

    def claims(self) -> dict[str, bool]:
        """What the journal says about each migration: True for applied, False for rolled back.

        It says nothing about a migration whose step has started and has no end yet.
        """
        claims = {id_: entry.direction is Direction.APPLY for id_, entry in self.ended_well.items()}
        if self.last is not None and self.last.is_open:
            claims.pop(self.last.migration, None)
        return claims

    @cached_property
    def _last_mirrored(self) -> tuple[int, str]:
        """The newest step that was mirrored, by its number, and the tool; (-1, "") without one.

        A run that mirrors completes the other record before its first step, so that it has all that came before, too.
        """
        steps = (entry for entry in self.ended_well.values() if entry.reason.startswith(MIRRORED_TO))
        newest = max(steps, key=lambda entry: entry.seq, default=None)
        return (newest.seq, newest.reason.removeprefix(MIRRORED_TO)) if newest else (-1, "")

    def applied(self, id_: str, at: datetime | None) -> AppliedMigration:
        """A migration of the native record, with what the journal knows about it.

        `at` is when it was applied by the native record, None where that does not say it.
        """
        entry = self.ended_well.get(id_)
        if entry is None or entry.direction is not Direction.APPLY:
            return AppliedMigration(id_, at)
        tool = adopted_from(entry.reason) if entry.event is JournalEvent.ADOPTED else ""
        checksums = (entry.checksum or None, entry.raw_checksum or None)
        author = sys.intern(f"{entry.actor}@{entry.host}")
        step, mirror = self._last_mirrored
        mirrored = mirror if entry.seq <= step else ""
        return AppliedMigration(id_, entry.at, *checksums, entry.run, tool, author, entry.imports, mirrored)


@dataclass(frozen=True)
class NativeRecord:
    """What the native record says is applied.

    `applied` are the ids that have a file, in the order of the history, and `unknown` are those that have none.
    `replaced` are those of which a squashed file took the place. `times` says when each was applied, where the record
    says it.
    """

    applied: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    times: Mapping[str, datetime] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()


def state_of(
    service: Service,
    identity: Identity,
    server: str,
    record: NativeRecord,
    journal: Journal,
    *,
    holder: Holder | None,
    tool_records: Iterable[ToolRecord] = (),
    notes: tuple[str, ...] = (),
    look_around: Callable[[], Iterable[str]] = tuple,
    look_alike: Callable[[], Iterable[Lookalike]] = tuple,
    elsewhere: str = "",
    warnings: tuple[str, ...] = (),
    id_room: int | None = None,
) -> State:
    """The state of a database. The native record says what is applied, and the journal adds what it knows.

    `look_around` names everything that is in the database, except what belongs to the server, to an extension, or to a
    migration tool, and `look_alike` what looks like a record that is not called as usual. They are only called before
    the first apply, while record and journal say nothing.
    """
    nothing_said = not (record.applied or record.unknown or record.replaced) and journal.last is None
    ignored = tuple(f"{name}." for name in service.ignore)
    return State(
        service=service,
        identity=identity,
        server=server,
        applied=tuple(journal.applied(id_, record.times.get(id_)) for id_ in record.applied),
        unknown=record.unknown,
        replaced=tuple(journal.applied(id_, record.times.get(id_)) for id_ in record.replaced),
        last=journal.last,
        holder=holder,
        # What the journal says about a replaced migration is about the time before its record became that of another
        claims={id_: on for id_, on in journal.claims().items() if id_ not in service.replaced_by},
        tool_records=tuple(tool_records),
        notes=notes,
        elsewhere=elsewhere,
        warnings=warnings,
        id_room=id_room,
        unexplained=tuple(name for name in look_around() if not f"{name}.".startswith(ignored))
        if nothing_said and service.migrations and not service.onto_existing
        else (),
        lookalikes=tuple(look_alike()) if nothing_said and service.migrations else (),
    )


def settled(look: Callable[[], State]) -> State:
    """Call `look` until its state can be trusted about a step that has started and has no end.

    If nobody holds the lock, its run has died, or it ended after the journal was read and before we looked at the lock.
    A run writes the end of a step before it releases the lock. So if a second look finds no end, the run has died.
    """
    state = look()
    while state.last is not None and state.last.event is JournalEvent.STARTED and state.holder is None:
        again = look()
        if again.last == state.last and again.holder is None:
            return again
        state = again
    return state


__all__ = [
    "ENDED_WELL",
    "Journal",
    "NativeRecord",
    "from_fields",
    "link_of",
    "seal",
    "settled",
    "state_of",
    "to_fields",
]
