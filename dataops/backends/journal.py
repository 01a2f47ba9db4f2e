"""The journal, the same for every kind of database: entries as they are stored, and what a state takes from them.

A kind of database stores an entry as a row or as a document whose columns or fields are those of `to_fields`, and adds
`seq` and, by the server's clock, `at`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dataops.model import AppliedMigration, Direction, Entry, Holder, Identity, JournalEvent, Service, State
from dataops.othertools.examine import adopted_from
from dataops.redaction import redact
from dataops.toolrecords import ToolRecord

ENDED_WELL = (JournalEvent.SUCCEEDED, JournalEvent.RESOLVED, JournalEvent.ADOPTED)
"""After these events the journal claims that the migration is applied, or that it is not, by the entry's direction."""


def to_fields(entry: Entry) -> dict[str, Any]:
    """What is stored of an entry, without `seq` and `at`, which the database fills in."""
    return {
        "run": entry.run,
        "migration": entry.migration,
        "direction": entry.direction.value,
        "event": entry.event.value,
        "seconds": entry.seconds,
        "actor": entry.actor,
        "host": entry.host,
        "version": entry.version,
        "checksum": entry.checksum,
        "raw_checksum": entry.raw_checksum,
        "error": entry.error,
        "reason": entry.reason,
    }


def from_fields(stored: Mapping[str, Any]) -> Entry:
    """The entry of a stored row or document with the fields of `Entry`."""
    # A run that did not know our secrets may have written them.
    told = {key: redact(stored[key]) for key in ("error", "reason")}
    return Entry(
        **{**stored, **told, "direction": Direction(stored["direction"]), "event": JournalEvent(stored["event"])}
    )


@dataclass(frozen=True)
class Journal:
    """What a state needs of a journal: its newest entry, and of each migration the newest one that ended well."""

    last: Entry | None = None
    ended_well: Mapping[str, Entry] = field(default_factory=dict)

    def claims(self) -> dict[str, bool]:
        """What the journal believes of migrations: True for applied. It has no opinion while a step is under way."""
        claims = {id_: entry.direction is Direction.APPLY for id_, entry in self.ended_well.items()}
        if self.last is not None and self.last.event is JournalEvent.STARTED:
            claims.pop(self.last.migration, None)
        return claims

    def applied(self, id_: str, at: datetime | None) -> AppliedMigration:
        """A migration that the native record has since `at` (None: it does not say), with what the journal knows."""
        entry = self.ended_well.get(id_)
        if entry is None or entry.direction is not Direction.APPLY:
            return AppliedMigration(id_, at)
        tool = adopted_from(entry.reason) if entry.event is JournalEvent.ADOPTED else ""
        return AppliedMigration(id_, entry.at, entry.checksum or None, entry.raw_checksum or None, entry.run, tool)


@dataclass(frozen=True)
class NativeRecord:
    """What the native record says is applied.

    `applied` are ids that have a file, in the order of the history, `unknown` those that have none. `times` are when
    each was applied, where the record says it.
    """

    applied: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    times: Mapping[str, datetime] = field(default_factory=dict)


def state_of(
    service: Service,
    identity: Identity,
    server: str,
    record: NativeRecord,
    journal: Journal,
    *,
    holder: Holder | None,
    tool_records: Iterable[ToolRecord] = (),
) -> State:
    """One state from the native record, which is the truth, and the journal beside it."""
    return State(
        service=service,
        identity=identity,
        server=server,
        applied=tuple(journal.applied(id_, record.times.get(id_)) for id_ in record.applied),
        unknown=record.unknown,
        last=journal.last,
        holder=holder,
        claims=journal.claims(),
        tool_records=tuple(tool_records),
    )


def settled(look: Callable[[], State]) -> State:
    """A state in which a step that is *started* and has no lock holder is really dead, and not just ending.

    The holder is looked up after the journal. If the journal still says the same at a second look, then the step's run
    had no lock in between: it is gone.
    """
    state = look()
    while state.last is not None and state.last.event is JournalEvent.STARTED and state.holder is None:
        again = look()
        if again.last == state.last and again.holder is None:
            return again
        state = again
    return state


__all__ = ["ENDED_WELL", "Journal", "NativeRecord", "from_fields", "settled", "state_of", "to_fields"]
