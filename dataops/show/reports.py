"""What commands answer with: one value for each kind of answer, which every format writes in its own way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataops.errors import DataopsError, ExitCode
from dataops.model import Doing, Plan, Rendering, Service, State, Step
from dataops.planning import grouping, planner, risks

if TYPE_CHECKING:
    from dataops import lint
    from dataops.drift import Drift
    from dataops.dumping import Change
    from dataops.planning.approvals import Approvals
    from dataops.planning.policies import Violation
    from dataops.proof import Proof
    from dataops.rehearsal import Rehearsal


@dataclass(frozen=True)
class Look:
    """What was found of one service: its state, or the error that kept us from reading it.

    `problem` is what would refuse an apply now. `doing` is how far the step is that runs, and
    `drift` how the database differs from its history, None where that was not asked for.
    """

    service: Service
    state: State | DataopsError
    problem: DataopsError | None = None
    doing: Doing | None = None
    drift: Drift | None = None

    @property
    def wrong(self) -> DataopsError | None:
        if isinstance(self.state, DataopsError):
            return self.state
        return self.problem or (self.drift.problem if self.drift else None)


@dataclass(frozen=True)
class StatusReport:
    """Where every service stands. With `check`, a pending migration is a failure, as it is for the exit code."""

    looks: Sequence[Look]
    root: Path
    check: bool = False
    code: ExitCode = ExitCode.OK


@dataclass(frozen=True)
class PlanReport:
    """What would be done, and the commands of each step by the step's id. `saved` is the plan file, if there is one.

    `forbidden` is what the policy of the environment would refuse now. `changes` are how the schemas change by it,
    where schema files say so. `approvals` are those of the plan, None where the policy wants none. `whole` is the plan
    where `plan` is what is told of it.
    """

    plan: Plan
    renderings: Mapping[str, Rendering]
    root: Path
    saved: Path | None = None
    code: ExitCode = ExitCode.OK
    forbidden: Sequence[Violation] = ()
    changes: Sequence[Change] = ()
    approvals: Approvals | None = None
    whole: Plan | None = None

    @property
    def told(self) -> PlanReport:
        """The report for a person, of one database for each group (see dataops.planning.grouping)."""
        plan, renderings = grouping.told(self.plan, self.renderings)
        return replace(self, plan=plan, renderings=renderings, whole=self.plan)

    @property
    def summary(self) -> str:
        """The last line of the plan."""
        return planner.summary(self.whole or self.plan)

    @property
    def steps(self) -> Iterator[tuple[Step, Rendering | None]]:
        return ((step, self.renderings.get(step.id)) for step in self.plan.steps)


@dataclass(frozen=True)
class ProofReport:
    """What `dataops prove` found."""

    proofs: Sequence[Proof]
    root: Path
    code: ExitCode = ExitCode.OK


@dataclass(frozen=True)
class RehearsalReport:
    """What `dataops rehearse` found, and what was known of each step beforehand. `sample` is 0 without data."""

    found: Sequence[Rehearsal]
    renderings: Mapping[str, Rendering]
    sample: int
    root: Path
    code: ExitCode = ExitCode.OK


@dataclass(frozen=True)
class DriftReport:
    """What `dataops drift` found."""

    found: Sequence[Drift]
    root: Path
    code: ExitCode = ExitCode.OK


@dataclass(frozen=True)
class LintReport:
    """What `dataops lint` found."""

    found: lint.Report
    root: Path
    code: ExitCode = ExitCode.OK


def below(path: Path, root: Path) -> str:
    """The path with slashes, relative to `root` where it is below it, else absolute. CI wants paths of the checkout."""
    absolute = Path(os.path.abspath(path))
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()


def step_remarks(step: Step, rendering: Rendering | None) -> list[str]:
    """What a reviewer has to know of a step: what it does, its flags, and what its commands do not show."""
    return [
        f"{step.direction.value}: {step.migration.title}",
        ", ".join(planner.flags(step)),
        *rendering_remarks(rendering),
    ]


def rendering_remarks(rendering: Rendering | None) -> list[str]:
    """What the commands of a step do not show."""
    if rendering is None:
        return []
    return [
        *([f"FAILS HERE: {rendering.fails}"] if rendering.fails else []),
        *([f"opaque: {rendering.opaque}"] if rendering.opaque else []),
        *(f"{risk.hazard}: {risk.text}" for effect in rendering.effects for risk in effect.risks),
        *([f"takes {span.told}"] if (span := risks.span_of(rendering)) else []),
        *(f"puts aside: {what}" for what in rendering.puts_aside),
        *(f"note: {note}" for note in rendering.notes),
        *(f"not known: {text}" for text in rendering.unforeseen),
        *map(str, rendering.remarks),
    ]
