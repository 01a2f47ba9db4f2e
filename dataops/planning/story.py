"""What runs did, as their journals tell it: one value for each run. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dataops.errors import UsageError
from dataops.model import Direction, Entry, JournalEvent, fleet
from dataops.redaction import redact
from dataops.text import near

_ENDED = (JournalEvent.SUCCEEDED, JournalEvent.RESOLVED, JournalEvent.ADOPTED)
_DONE = {
    (JournalEvent.SUCCEEDED, Direction.APPLY): "applied",
    (JournalEvent.SUCCEEDED, Direction.ROLLBACK): "rolled back",
    (JournalEvent.ADOPTED, Direction.APPLY): "adopted",
    (JournalEvent.ADOPTED, Direction.ROLLBACK): "struck",
    (JournalEvent.RESOLVED, Direction.APPLY): "resolved",
    (JournalEvent.RESOLVED, Direction.ROLLBACK): "resolved",
    (JournalEvent.PRUNED, Direction.APPLY): "pruned",
    (JournalEvent.PRUNED, Direction.ROLLBACK): "pruned",
    (JournalEvent.APPROVED, Direction.APPLY): "approved",
    (JournalEvent.APPROVED, Direction.ROLLBACK): "approved",
    (JournalEvent.PAUSED, Direction.APPLY): "paused",
    (JournalEvent.PAUSED, Direction.ROLLBACK): "paused",
    (JournalEvent.RESUMED, Direction.APPLY): "resumed",
    (JournalEvent.RESUMED, Direction.ROLLBACK): "resumed",
}


@dataclass(frozen=True)
class Story:
    """One run: its entries in order, each with its service, and what became of it.

    `began` and `ended` are the times of its first and last entry. `done` counts by what was done: `applied`,
    `rolled back`, `adopted`, `resolved`, `pruned`,
    and in how many databases it `approved` a plan. `failed`, `open` and `running` are the steps, as
    `SERVICE/MIGRATION`, that had a bad end, that have none, and that have none yet, because the run holds the lock.
    `stopped` are those that somebody has stopped.
    `standing` is how many of the applied migrations are still there by this run.
    """

    id: str
    entries: tuple[tuple[str, Entry], ...]
    done: Mapping[str, int]
    failed: tuple[str, ...]
    open: tuple[str, ...]
    standing: int
    running: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """Who started it, as `person@machine`."""
        return f"{self.entries[0][1].actor}@{self.entries[0][1].host}"

    @property
    def services(self) -> tuple[str, ...]:
        """The services that it touched, in the order in which it did."""
        return tuple(dict.fromkeys(name for name, _ in self.entries))

    @property
    def began(self) -> datetime | None:
        """When its first entry was written."""
        return min((entry.at for _, entry in self.entries if entry.at), default=None)

    @property
    def ended(self) -> datetime | None:
        """When its last entry was written."""
        return max((entry.at for _, entry in self.entries if entry.at), default=None)

    @property
    def seconds(self) -> float | None:
        """How long it took from its first step to the end of its last one, as far as the entries know."""
        if self.began is None or self.ended is None:
            return None
        spent = [entry.seconds for _, entry in self.entries if entry.seconds is not None]
        return max((self.ended - self.began).total_seconds(), max(spent, default=0.0))

    @property
    def what(self) -> str:
        """What it did: `62 applied in 4 services`."""
        done = ", ".join(f"{number} {verb}" for verb, number in self.done.items())
        if set(self.done) == {"approved"}:
            done = "plan approved"
        return f"{done or 'nothing done'} in {fleet.told(self.services)}"

    @property
    def outcome(self) -> str:
        """How it ended, and what became of what it applied: `ok`, `failed at shop/003`, `half undone`."""
        words = [f"failed at {_listed(self.failed)}"] if self.failed else []
        words += [f"stopped at {_listed(self.stopped)}"] if self.stopped else []
        words += [f"no end at {_listed(self.open)}"] if self.open else []
        words += [f"running {_listed(self.running)}"] if self.running else []
        applied = self.done.get("applied", 0)
        if applied and self.standing < applied:
            words.append("half undone" if self.standing else "undone")
        return ", ".join(words) or "ok"

    @property
    def well(self) -> bool:
        """Whether every step that it began has a good end, or was stopped."""
        return not self.failed and not self.open


def stories(journals: Mapping[str, Iterable[Entry]], held: Mapping[str, str] | None = None) -> tuple[Story, ...]:
    """Every run of these journals, newest first. The journals may be in any order, and have all entries.

    `held` are the runs that have the locks, by service.
    """
    of_run: dict[str, list[tuple[str, Entry]]] = defaultdict(list)
    stands: dict[str, int] = defaultdict(int)
    for name, entries in journals.items():
        newest: dict[str, Entry] = {}
        for entry in sorted(entries, key=lambda entry: entry.seq):
            of_run[entry.run].append((name, entry))
            if entry.event in _ENDED:
                newest[entry.migration] = entry
        for entry in newest.values():
            stands[entry.run] += entry.event is JournalEvent.SUCCEEDED and entry.direction is Direction.APPLY
    found = [_story(run, entries, stands[run], held or {}) for run, entries in of_run.items()]
    return tuple(sorted(found, key=lambda story: (story.began.timestamp() if story.began else 0.0, story.id))[::-1])


def _story(run: str, entries: Sequence[tuple[str, Entry]], standing: int, held: Mapping[str, str]) -> Story:
    done: dict[str, int] = {}
    newest: dict[str, Entry] = {}
    for name, entry in entries:
        verb = _DONE.get((entry.event, entry.direction))
        if verb:
            done[verb] = done.get(verb, 0) + 1
        if entry.event.is_about_a_step and entry.event is not JournalEvent.PRUNED:
            newest[f"{name}/{entry.migration}"] = entry
    begun = [step for step, entry in newest.items() if entry.event is JournalEvent.STARTED]
    ended = [step for step, entry in newest.items() if entry.event is JournalEvent.FAILED]
    stopped = [step for step in ended if newest[step].was_stopped]
    running = [step for step in begun if held.get(step.partition("/")[0]) == run]
    ordered = sorted(entries, key=lambda one: one[1].at.timestamp() if one[1].at else 0.0)  # stable: seq within one
    return Story(
        run,
        tuple(ordered),
        done,
        tuple(step for step in ended if step not in stopped),
        tuple(step for step in begun if step not in running),
        standing,
        tuple(running),
        tuple(stopped),
    )


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """For each run id the part behind its time, where that means only this run; else the whole id."""
    by_end: dict[str, list[str]] = defaultdict(list)
    for id_ in ids:
        by_end[id_.rpartition("-")[2]].append(id_)
    return {id_: end if len(ones) == 1 else id_ for end, ones in by_end.items() for id_ in ones}


def meant(written: str, ids: Iterable[str], known: Iterable[str] = ()) -> str:
    """The run id that a person means: all of it, its beginning, or the beginning of the part behind its time.

    Raises UsageError where it is none of `ids`, or more than one; `known` are those that the hint names.
    """
    ids = list(ids)
    hits = [id_ for id_ in ids if id_ == written] or [
        id_ for id_ in ids if written and (id_.startswith(written) or id_.rpartition("-")[2].startswith(written))
    ]
    if not hits:
        raise UsageError(
            f"there is no run {redact(written)} in the journal",
            hint=f"see dataops history; {near(written, list(known) or ids)}",
        )
    if len(hits) > 1:
        raise UsageError(f"{redact(written)} could be any of {', '.join(sorted(hits)[-5:])}", hint="write more of it")
    return hits[0]


def _listed(steps: Sequence[str]) -> str:
    return ", ".join(steps[:2]) + (f" and {len(steps) - 2} more" if len(steps) > 2 else "")


__all__ = ["Story", "meant", "short_ids", "stories"]
