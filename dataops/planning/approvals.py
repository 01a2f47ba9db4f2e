"""Who has approved a saved plan, as the journals of its databases say it. Pure.

An approval is for the bytes of one file: their SHA-256 is in the journal entry. When a byte changes, it is void. It is
void too when it is too old, and when somebody has gone the other way in its database since: whoever has rolled a plan
back has to ask again before it is applied once more.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dataops.model import Entry, JournalEvent
from dataops.text import listed


@dataclass(frozen=True)
class Approvals:
    """The approvals of one plan file, and how many different people have to have approved it.

    `sha256` is that of the file's bytes, "" for a plan that is in no file. `by` has for each service in which the plan
    has steps who has approved it there, in the order in which they did. `void` says of whom it counts no more, and why.
    """

    sha256: str
    wanted: int
    by: Mapping[str, tuple[str, ...]]
    void: Mapping[str, str] = field(default_factory=dict)

    @property
    def people(self) -> tuple[str, ...]:
        """Who has approved it in every database."""
        of = list(self.by.values())
        return tuple(person for person in of[0] if all(is_among(person, others) for others in of)) if of else ()

    @property
    def enough(self) -> bool:
        """Whether as many people as are wanted have approved it in every database."""
        return bool(self.sha256) and len(self.people) >= self.wanted

    @property
    def words(self) -> str:
        """Who has approved it, and how many are wanted; one line."""
        if not self.sha256:
            return f"it has to be saved, and approved by {self.wanted} {'person' if self.wanted == 1 else 'people'}"
        who = listed(self.people, 6) if self.people else "nobody"
        partly = [
            f"{person} only in {listed([name for name, people in self.by.items() if is_among(person, people)])}"
            for person in dict.fromkeys(one for people in self.by.values() for one in people)
            if not is_among(person, self.people)
        ]
        wanted = f" of {self.wanted}" if self.wanted else ""
        told = f"approved by {who} ({len(self.people)}{wanted})"
        void = [f"no longer by {person}: {why}" for person, why in self.void.items() if person not in self.people]
        return ", ".join([told, *partly, *void])


def given(
    sha256: str, wanted: int, journals: Mapping[str, Iterable[Entry]], *, since: datetime | None = None
) -> Approvals:
    """The approvals of these bytes in these journals, whose entries are in any order. Before `since` they are void."""
    by: dict[str, tuple[str, ...]] = {}
    void: dict[str, str] = {}
    for name, entries in journals.items():
        by[name], of_one = _people(sha256, entries, since)
        void.update(of_one)
    return Approvals(sha256, wanted, by, void)


def _people(sha256: str, entries: Iterable[Entry], since: datetime | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """Whose approvals count, and of whom they do not any more. A name counts once, however it is written."""
    people: dict[str, str] = {}
    void: dict[str, str] = {}
    ordered = sorted(entries, key=lambda one: one.seq)
    for entry in ordered:
        if entry.event is not JournalEvent.APPROVED or entry.checksum != sha256:
            continue
        why = ""
        if since is not None and entry.at is not None and entry.at < since:
            why = "it was too long ago"
        elif any(one.seq > entry.seq and _goes_back(one, entry) for one in ordered):
            why = "what it was for was taken back since"
        same = _same(entry.actor)
        if why:
            void[entry.actor] = why
        else:
            people.setdefault(same, entry.actor)
    return tuple(people.values()), {one: why for one, why in void.items() if _same(one) not in people}


def _goes_back(entry: Entry, approval: Entry) -> bool:
    return entry.event is JournalEvent.SUCCEEDED and entry.direction is not approval.direction


def is_among(person: str, people: Iterable[str]) -> bool:
    """Whether a person is one of these, however the name is written."""
    return _same(person) in {_same(one) for one in people}


def _same(name: str) -> str:
    """The name without what does not make another person: case, width, accents in two pieces, spaces."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


__all__ = ["Approvals", "given", "is_among"]
