"""Whether a policy lets a plan run: which of its rules forbid it, and what would allow it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dataops.durations import clock
from dataops.errors import Blocked
from dataops.model import Effect, Plan, Policy, Rendering, Step
from dataops.planning import grouping, risks
from dataops.planning.approvals import Approvals
from dataops.text import size_text

_APPROVALS = "approvals"
_BLOCKING = ("blocks-reads", "blocks-writes", "rewrites-table")


@dataclass(frozen=True)
class Violation:
    """A rule that forbids a plan. `hazard` is what `--allow` would have to name, "" where nothing allows it."""

    rule: str
    text: str
    step: str = ""
    hazard: str = ""

    def __str__(self) -> str:
        return f"{f'{self.step}: ' if self.step else ''}{self.text} ({self.rule})"


def violations(
    policy: Policy,
    plan: Plan,
    renderings: Mapping[str, Rendering],
    allowed: Collection[str],
    now: datetime,
    approvals: Approvals | None = None,
) -> tuple[Violation, ...]:
    """Everything that forbids this plan at this moment. A plan without steps is always allowed.

    `approvals` are those of the plan, None where it needs none.
    """
    if not plan.steps:
        return ()
    plan, renderings = grouping.told(plan, renderings)
    found = [one for step in plan.steps for one in _of_step(policy, step, renderings.get(step.id), allowed)]
    found += _closed(policy, now)
    if approvals is not None and not approvals.enough:
        found.append(Violation(f"{_APPROVALS} = {approvals.wanted}", approvals.words))
    return tuple(found)


def refuse(policy: Policy, found: Sequence[Violation], options: str, path: Path | None = None) -> None:
    """Raise Blocked for the first violations.

    `options` are those of the command, for the hint, and `path` is the plan's file, None where it is in none.
    """
    if not found:
        return
    shown = "; ".join(map(str, found[:3]))
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    first = found[0]
    to_allow = sorted({one.hazard for one in found})
    hint = f"what it means: dataops explain {first.rule.rpartition(' ')[2]}"
    if "" not in to_allow:
        hint = f"if it is meant: {options} {' '.join(f'--allow {name}' for name in to_allow)}; {hint}"
    elif first.rule.startswith(_APPROVALS):
        save = "" if path else "dataops plan --out FILE, then "
        name = str(path or "FILE")
        hint = f"{save}let others read it and run: dataops approve {name}; then: dataops apply {name}"
    elif not first.rule.startswith(("refuse", "ask")):
        hint = "who may change the policy can say otherwise: dataops docs configuration policy"
    service, _, migration = first.step.partition("/")
    raise Blocked(f"{policy.where} forbids this: {shown}{more}", hint=hint, service=service, migration=migration)


def _of_step(policy: Policy, step: Step, rendering: Rendering | None, allowed: Collection[str]) -> Iterator[Violation]:
    texts: dict[str, str] = {}
    for risk in risks.of_step(step, rendering):
        texts.setdefault(risk.hazard, risk.text)
    for name, text in texts.items():
        if name in policy.refuse:
            yield Violation(f"refuse {name}", text, step.id)
        elif name in policy.ask and name not in allowed:
            yield Violation(f"ask {name}", text, step.id, name)
    for effect in rendering.effects if rendering else ():
        for work in effect.work:
            if policy.rows is not None and work.rows is not None and work.rows > policy.rows:
                text = f"{work.verb.value} {work.object}, {work.rows:,} {work.unit}"
                yield Violation(f"rows = {policy.rows:_}", text, step.id)
            if policy.bytes is not None and work.bytes is not None and work.bytes > policy.bytes:
                text = f"{work.verb.value} {work.object}, {size_text(work.bytes)}"
                yield Violation(f"bytes = {size_text(policy.bytes)}", text, step.id)
    blocked = _blocked_seconds(rendering.effects if rendering else ())
    if policy.blocked is not None and blocked > policy.blocked:
        text = f"others may have to wait up to {clock(blocked)}"
        yield Violation(f"blocked = {policy.blocked:g}s", text, step.id)


def _blocked_seconds(effects: Sequence[Effect]) -> float:
    """How long others may have to wait: a lock is held to the end of the step, also while other tables are changed."""
    seconds, holds = 0.0, False
    for effect in effects:
        blocks = any(risk.hazard in _BLOCKING for risk in effect.risks)
        holds = holds or (blocks and bool(effect.held))
        if effect.span is not None and (blocks or holds):
            seconds += effect.span.high
    return seconds


def refuse_late(policy: Policy, now: datetime) -> None:
    """Raise Blocked if the time for a run is over: somebody may have thought about the plan for hours."""
    refuse(policy, [*_closed(policy, now)], "")


def _closed(policy: Policy, now: datetime) -> Iterator[Violation]:
    if policy.windows and not any(window.is_open(now) for window in policy.windows):
        times = ", ".join(window.written for window in policy.windows)
        yield Violation("windows", f"this is not the time for it, only {times}")


__all__ = ["Violation", "refuse", "refuse_late", "violations"]
