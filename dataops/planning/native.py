"""What the tool whose files we run, such as Alembic, has done to its record by itself, past our journal. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dataops.model import Direction, Migration, State
from dataops.text import counted


@dataclass(frozen=True)
class Moved:
    """What the record shows and the journal does not know, or knows otherwise; both in the order of the history."""

    tool: str
    applied: tuple[Migration, ...] = ()
    rolled_back: tuple[Migration, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.applied or self.rolled_back)

    def __str__(self) -> str:
        parts = [
            f"{what} {of[-1].id}" + (f" and {counted(len(of) - 1, 'migration')} before it" if len(of) > 1 else "")
            for what, of in (("applied", self.applied), ("rolled back", self.rolled_back))
            if of
        ]
        return f"{self.tool} has {' and '.join(parts)} by itself"

    @property
    def lines(self) -> tuple[tuple[Migration, Direction], ...]:
        """Each of them with its direction, in the order in which it may have happened."""
        undone = [(migration, Direction.ROLLBACK) for migration in reversed(self.rolled_back)]
        return (*undone, *((migration, Direction.APPLY) for migration in self.applied))


def moved(state: State) -> Moved:
    """What was done by itself, since the journal began: what comes before its first migration was there before us.

    Nothing is known where the record has migrations without a file, and nothing about a step that has no end yet.
    """
    service, claims = state.service, dict(state.claims)
    if state.last is not None and state.last.is_open:
        claims[state.last.migration] = state.last.migration in state.applied_ids
    known = [service.position[id_] for id_ in claims if id_ in service.position]
    if state.unknown or not known:
        return Moved(service.kind.format.tool)
    first = min(known)
    return Moved(
        service.kind.format.tool,
        applied=tuple(
            migration
            for at, migration in enumerate(service.migrations)
            if at >= first and migration.id in state.applied_ids and not claims.get(migration.id)
        ),
        rolled_back=tuple(
            migration
            for migration in service.migrations
            if claims.get(migration.id) and migration.id not in state.applied_ids
        ),
    )


__all__ = ["Moved", "moved"]
