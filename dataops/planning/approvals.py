"""Who has approved a saved plan, as the journals of its databases say it. Pure.

An approval is for the bytes of one file: their SHA-256 is in the journal entry. When a byte changes, it is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataops.model import Entry, JournalEvent
from dataops.text import listed


@dataclass(frozen=True)
class Approvals:
    """The approvals of one plan file, and how many different people have to have approved it.

    `sha256` is that of the file's bytes, "" for a plan that is in no file. `by` has for each service in which the plan
    has steps who has approved it there, in the order in which they did.
    """

    sha256: str
    wanted: int
    by: Mapping[str, tuple[str, ...]]

    @property
    def people(self) -> tuple[str, ...]:
        """Who has approved it in every database."""
        of = list(self.by.values())
        return tuple(person for person in of[0] if all(person in others for others in of)) if of else ()

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
            f"{person} only in {listed([name for name, people in self.by.items() if person in people])}"
            for person in dict.fromkeys(one for people in self.by.values() for one in people)
            if person not in self.people
        ]
        wanted = f" of {self.wanted}" if self.wanted else ""
        told = f"approved by {who} ({len(self.people)}{wanted})"
        return ", ".join([told, *partly])


def given(sha256: str, wanted: int, journals: Mapping[str, Iterable[Entry]]) -> Approvals:
    """The approvals of these bytes in these journals, whose entries are in any order."""
    return Approvals(sha256, wanted, {name: _people(sha256, entries) for name, entries in journals.items()})


def _people(sha256: str, entries: Iterable[Entry]) -> tuple[str, ...]:
    found = [one for one in entries if one.event is JournalEvent.APPROVED and one.checksum == sha256]
    return tuple(dict.fromkeys(one.actor for one in sorted(found, key=lambda one: one.seq)))


__all__ = ["Approvals", "given"]
