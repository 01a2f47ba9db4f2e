"""The values with which the whole program works, all of them frozen.

Nothing here does I/O. The words are those of the table in docs/architecture.md.
"""

from __future__ import annotations

from dataops.model.backfill import Backfill, Limits, Pause
from dataops.model.effect import Effect, Held, Remark, Risk, Span, Verb, Work
from dataops.model.fleet import Databases, Mark, Member, Rollout, Wave, places_in
from dataops.model.journal import (
    ENDS_HALF_DONE,
    HALF_DONE,
    MIRRORED_TO,
    NOT_ONE_TRANSACTION,
    Adopted,
    Author,
    Entry,
    Imports,
    JournalEvent,
    Spent,
)
from dataops.model.migration import Direction, Migration, Pinned, broken
from dataops.model.plan import Details, Failure, Plan, Rendering, Result, Sent, Step
from dataops.model.policy import Policy, Window
from dataops.model.rehearsal import Measured, Observed, Rehearsed, Sampled, StepMeasured, recognized
from dataops.model.service import Ahead, Service, Timeouts
from dataops.model.state import AppliedMigration, Doing, Holder, Identity, State

__all__ = [
    "ENDS_HALF_DONE",
    "HALF_DONE",
    "MIRRORED_TO",
    "NOT_ONE_TRANSACTION",
    "Adopted",
    "Ahead",
    "AppliedMigration",
    "Author",
    "Backfill",
    "Databases",
    "Details",
    "Direction",
    "Doing",
    "Effect",
    "Entry",
    "Failure",
    "Held",
    "Holder",
    "Identity",
    "Imports",
    "JournalEvent",
    "Limits",
    "Mark",
    "Measured",
    "Member",
    "Migration",
    "Observed",
    "Pause",
    "Pinned",
    "Plan",
    "Policy",
    "Rehearsed",
    "Remark",
    "Rendering",
    "Result",
    "Risk",
    "Rollout",
    "Sampled",
    "Sent",
    "Service",
    "Span",
    "Spent",
    "State",
    "Step",
    "StepMeasured",
    "Timeouts",
    "Verb",
    "Wave",
    "Window",
    "Work",
    "broken",
    "places_in",
    "recognized",
]
