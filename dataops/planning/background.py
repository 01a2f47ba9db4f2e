"""Steps for which a deployment need not wait: a file that says `background = True`, and what comes after it. Pure.

An apply ends before the first of them, and is a success. `dataops apply --background` runs them, as a job of its own
or by a person. What comes after such a step waits for it, since a history has one order. In a new database there is
nothing to wait for: there an apply runs everything.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataops.model import Direction, Entry, Migration, State
from dataops.planning.recovery import Recovery, half_step, running_step


@dataclass(frozen=True)
class Left:
    """What an apply leaves: the migration that is for the background, and those that wait for it."""

    first: Migration
    waiting: tuple[Migration, ...] = ()
    half_done: bool = False
    running: bool = False

    @property
    def words(self) -> str:
        """What is left, for a person."""
        how = "runs in the background" if self.running else "is for the background"
        how += ", and is half done" if self.half_done else ""
        waits = (
            ""
            if not self.waiting
            else "; 1 waits for it"
            if len(self.waiting) == 1
            else (f"; {len(self.waiting)} wait for it")
        )
        return f"{self.first.id} {how}{waits}"


def left(state: State) -> Left | None:
    """What an apply leaves of what is pending; None where it leaves nothing."""
    half = half_step(state, Direction.APPLY)
    running = running_step(state)
    begun = _file(state, running) or (half.migration if half is not None else None)
    if not state.applied:  # also of the step that has begun: it was not left, but came in its turn
        return None
    if begun is not None:
        goes_on = half is None or (half.recovery is Recovery.AGAIN and half.entry.direction is Direction.APPLY)
        if not (begun.facts.background and goes_on):
            return None
    pending = state.pending
    at = next((at for at, one in enumerate(pending) if b"background" in one.text and one.facts.background), None)
    if at is None:
        return None
    return Left(pending[at], pending[at + 1 :], half is not None, running is not None)


def _file(state: State, entry: Entry | None) -> Migration | None:
    if entry is None or entry.direction is Direction.ROLLBACK:
        return None
    return state.service.by_id.get(entry.migration)


__all__ = ["Left", "left"]
