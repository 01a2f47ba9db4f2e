"""What is to be done, what it would send, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dataops.errors import DataopsError
from dataops.model.effect import Effect, Remark
from dataops.model.journal import NOT_ONE_TRANSACTION, Spent
from dataops.model.migration import Direction, Migration
from dataops.model.state import State
from dataops.text import counted


@dataclass(frozen=True)
class Step:
    """One migration to apply or to roll back, in one service.

    `half` is "" for a step that begins. HALF_DONE means that an earlier run has left it half done, in this direction.
    ENDS_HALF_DONE means that it was left half done in the other direction, which this step takes back.
    """

    service: str
    migration: Migration
    direction: Direction
    half: str = ""

    @property
    def id(self) -> str:
        """SERVICE/MIGRATION, as a person writes it."""
        return f"{self.service}/{self.migration.id}"

    @property
    def start_reason(self) -> str:
        """The reason of its *started* entry: what the next run has to know if this one ends here."""
        migration = self.migration
        return self.half or (NOT_ONE_TRANSACTION if migration.kind.transactional and not migration.atomic else "")


@dataclass(frozen=True)
class Plan:
    """The steps to do over one or more services, in their order. A plan without steps is a success.

    `states` are what it was made from. A `saved` plan is only carried out when the databases are in exactly these
    states. For any other plan, another run may have done some of the steps meanwhile.

    `troubles` are the databases of fleets for which nothing can be planned, such as one that does not answer, by the
    name of their service, each with the error. They have no state and no step here. Each of them counts as a failure.
    `sizes` are those of databases of fleets in bytes, as far as they are known.
    """

    direction: Direction
    steps: tuple[Step, ...]
    states: tuple[State, ...]
    saved: bool = False
    troubles: Mapping[str, DataopsError] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    def of(self, service: str) -> tuple[Step, ...]:
        """The steps of one service."""
        return self._steps_of.get(service, ())

    def state(self, service: str) -> State:
        """The state of one service from which the plan was made."""
        return self._state_of[service]

    @cached_property
    def _steps_of(self) -> dict[str, tuple[Step, ...]]:
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.service, []).append(step)
        return {name: tuple(steps) for name, steps in found.items()}

    @cached_property
    def _state_of(self) -> dict[str, State]:
        return {state.service.name: state for state in self.states}


@dataclass(frozen=True)
class Rendering:
    """The commands of a step, as far as they can be known without running it.

    `opaque` says why some are not known, and `fails` with which error the step will end, wherever it is run; `commands`
    then ends before that. `line` is the line of the file at which it fails. `notes` are facts for the reader, such as
    about how many documents a command will change. `puts_aside` says what goes into the stash, and about how much.
    `stash` are the positions of the commands that only fill or empty the stash. `harms` are the commands that change
    something that is ours, such as the journal: such a step is refused. `effects` are what the commands do to the
    database as it is now, and `unforeseen` says what of that is not known, and why. `remarks` are what `dataops lint`
    finds in the file.
    """

    commands: tuple[str, ...] = ()
    opaque: str = ""
    notes: tuple[str, ...] = ()
    puts_aside: tuple[str, ...] = ()
    stash: frozenset[int] = frozenset()
    harms: tuple[str, ...] = ()
    fails: str = ""
    line: int = 1
    effects: tuple[Effect, ...] = ()
    unforeseen: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Sent:
    """What a step has sent to its database.

    `writes` counts statements and commands that were sent and are not certainly reads, also those that failed or were
    rolled back. `changed` is how many rows or documents (`unit`) the server says they changed. `last` is the newest
    statement or command, without values: SQL with ? for its literals, or the name of a command and its collection.
    `slowest` are those in which the step has spent most of its time.
    """

    writes: int = 0
    changed: int = 0
    unit: str = "rows"
    last: str = ""
    slowest: tuple[Spent, ...] = ()

    def __str__(self) -> str:
        if not self.last:
            return "nothing was sent to the database"
        changed = f"{self.changed:,} {self.unit.removesuffix('s') if self.changed == 1 else self.unit}"
        return f"{counted(self.writes, 'write')} sent, {changed} changed; last sent: {self.last}"


@dataclass(frozen=True)
class Details:
    """Where a step failed, and what it had sent by then. No text contains a secret.

    `place` is the innermost line of the migration's own files, such as `003_add_x.py:12 in helper`. `traceback` is
    Python's own, from the migration's function on.
    """

    place: str = ""
    traceback: str = ""
    sent: Sent = Sent()


@dataclass(frozen=True)
class Failure:
    """Which step failed, and with which error. The error contains no secret.

    If there is no step, something else failed for the service, such as reading the record at the end. `applied_before`
    is how many migrations of the service were applied before an apply failed, or rolled back before a rollback failed.
    """

    service: str
    step: Step | None
    error: Exception
    applied_before: int = 0
    details: Details = Details()


@dataclass(frozen=True)
class Result:
    """How a run ended. The steps that are `done` stay done, whatever failed after them.

    `left` are the steps that were not started. `stopped` says that a signal, and no failure, ended the run.
    """

    run: str
    plan: Plan
    done: tuple[Step, ...] = ()
    failures: tuple[Failure, ...] = ()
    left: tuple[Step, ...] = ()
    seconds: float = 0.0
    stopped: bool = False


__all__ = ["Details", "Failure", "Plan", "Rendering", "Result", "Sent", "Step"]
