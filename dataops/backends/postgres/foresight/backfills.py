"""What a backfill will do: what an UPDATE of the rows does, in many short transactions that keep nobody waiting."""

from __future__ import annotations

import re
from dataclasses import replace

from dataops.backends.postgres.backfilling import place as places
from dataops.backends.postgres.backfilling.refusals import refuse_for
from dataops.backends.postgres.foresight.grammar import Name
from dataops.backends.postgres.foresight.scene import Draft, Scene
from dataops.backfill import BackfillRefused, Change

_PART = re.compile(r'"(?:[^"]|"")*"|[^".]+')
_NOT_IN_BATCHES = ("changes-many", "blocks-reads", "blocks-writes", "exclusive-lock")


def in_batches(scene: Scene, change: Change, draft: Draft) -> None:
    """Make of the draft for one UPDATE that of a backfill, and ask the live table whether it can be one."""
    draft.risks = [risk for risk in draft.risks if risk.hazard not in _NOT_IN_BATCHES]
    draft.held = {name: replace(held, waits=()) for name, held in draft.held.items()}
    *schema, table = map(_folded, _PART.findall(change.place))
    if not scene.as_written([Name(".".join(schema), table)]):
        return
    try:
        refuse_for(places.find(scene.facts.connection, change.place, change.key), change)
    except BackfillRefused as error:
        draft.risk("will-fail", error.message)


def _folded(part: str) -> str:
    """A part of a name, as PostgreSQL reads it."""
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.strip().lower()


__all__ = ["in_batches"]
