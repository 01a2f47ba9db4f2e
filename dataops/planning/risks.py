"""What a person has to know about a step before it is run, from all that is known of it. See dataops.hazards."""

from __future__ import annotations

from collections.abc import Mapping

from dataops.hazards import HAZARDS
from dataops.model import Plan, Rendering, Risk, Span, Step
from dataops.model.effect import together


def of_step(step: Step, rendering: Rendering | None) -> tuple[Risk, ...]:
    """The risks of a step, the worst first, each once."""
    found = [risk for effect in rendering.effects for risk in effect.risks] if rendering else []
    if rendering and rendering.fails:
        found.append(Risk("will-fail", rendering.fails))
    if rendering and rendering.opaque:
        found.append(Risk("unknown", rendering.opaque))
    if not step.migration.reversible:
        found.append(Risk("irreversible", step.migration.facts.irreversible_because or "it has no way back"))
    return tuple(sorted(dict.fromkeys(found), key=lambda risk: list(HAZARDS).index(risk.hazard)))


def to_decide(step: Step, rendering: Rendering | None) -> tuple[Risk, ...]:
    """Those about which a person has to decide."""
    return tuple(risk for risk in of_step(step, rendering) if HAZARDS[risk.hazard].decides)


def will_fail(step: Step, rendering: Rendering | None) -> bool:
    """Whether it is known already that the step fails."""
    return any(risk.hazard == "will-fail" for risk in of_step(step, rendering))


def names(risks: tuple[Risk, ...]) -> tuple[str, ...]:
    """The names of the hazards, the worst first, each once."""
    return tuple(dict.fromkeys(risk.hazard for risk in risks))


def span_of(rendering: Rendering | None) -> Span | None:
    """How long the commands of a step may take; None where nothing is known, or nothing takes long."""
    return together(effect.span for effect in rendering.effects) if rendering else None


def undecided(plan: Plan, renderings: Mapping[str, Rendering]) -> list[tuple[Step, tuple[str, ...]]]:
    """The steps that need a decision, and the names of their hazards."""
    found = ((step, names(to_decide(step, renderings.get(step.id)))) for step in plan.steps)
    return [(step, hazards) for step, hazards in found if hazards]


__all__ = ["names", "of_step", "span_of", "to_decide", "undecided", "will_fail"]
